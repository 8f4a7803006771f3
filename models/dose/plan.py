"""A quick inverse plan: the non-negative fluence that serves prescription and organs best.

Targets are pulled to their prescription from both sides, organs and the tissue around are pulled
down above a fall-off with distance; the squares are minimised by FISTA (Beck and Teboulle 2009,
doi 10.1137/080716542) with the fluence kept at or above zero. Two answers are made, one with
ordinary and one with raised weights of the organs: how far they differ shows the network what a
planner could trade. The weights were chosen by coordinate search on 12 training patients (mean
error of the plan alone against the planned dose: 3.92 Gy). Doses here are on the scale of 70 Gy to
the highest target. Read `inputs.py` next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.dose.beams import Fields, Rays, dose_of, fluence_gradient

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

MAXIMUM_ORGANS = ("SpinalCord", "Brainstem")
MEAN_WEIGHTS = {
    "RightParotid": 0.04,
    "LeftParotid": 0.04,
    "Esophagus": 0.0042,
    "Larynx": 0.0042,
    "Mandible": 0.004,
}
MAXIMUM_GY, MAXIMUM_WEIGHT = 30.0, 0.7
OVER_WEIGHT, FALL_OFF_WEIGHT, LOW_WEIGHT = 1.7, 0.125, 0.002
FALL_OFF_MM, FAR_FALL_OFF_MM, STEEP_SHARE, FALL_OFF_SCALE = 26.4, 101.4, 0.466, 1.05
SPARING = 5.0
"""How much heavier organs weigh in the second plan."""


@dataclass(frozen=True, slots=True)
class Points:
    """Hold what the plan needs to know at its sample points, one value a point.

    `goal` is the dose aimed at: in a target the expected mean, elsewhere the fall-off; `target`
    marks target points; `organs` marks those of each organ; `share` is how many voxels a sample
    stands for.
    """

    goal: FloatArray
    target: BoolArray
    organs: dict[str, BoolArray]
    share: FloatArray


@dataclass(frozen=True, slots=True)
class Objective:
    """Hold the quadratic objective: weights above and below the goal, and of the dose itself."""

    goal: FloatArray
    above: FloatArray
    below: FloatArray
    low: FloatArray

    def gradient(self, dose: FloatArray) -> FloatArray:
        """Return the derivative by dose at every point."""
        error = dose - self.goal
        pull = np.where(error > 0, self.above, self.below) * error
        return np.asarray(pull + self.low * dose, np.float32)

    def curvature(self) -> FloatArray:
        """Return the largest second derivative at every point."""
        return np.asarray(np.maximum(self.above, self.below) + self.low, np.float32)


def expected_gy(level_gy: float) -> float:
    """Return the mean dose of a target prescribed `level_gy`, as training plans have it.

    The highest level keeps 1.03 of its prescription; lower ones lie beside it and get more:
    1.087 at nine tenths (63), 1.063 at eight tenths (56).
    """
    return float(
        np.interp(level_gy, (56.0, 63.0, 70.0), (59.52, 68.47, 72.11))
        if level_gy >= 56
        else level_gy * 1.063
    )


def fall_off_gy(level_gy: float, distance_mm: FloatArray) -> FloatArray:
    """Return the dose that tissue at this distance from a target of this level may have."""
    steep = STEEP_SHARE * np.exp(-distance_mm / FALL_OFF_MM)
    far = (1 - STEEP_SHARE) * np.exp(-distance_mm / FAR_FALL_OFF_MM)
    return np.asarray(FALL_OFF_SCALE * expected_gy(level_gy) * (steep + far), np.float32)


def objective(
    points: Points, sparing: float = 1.0, priorities: Mapping[str, float] | None = None
) -> Objective:
    """Return the objective; `sparing` multiplies the weights of all organs, a priority of one."""
    asked = priorities or {}
    target = points.target
    goal = points.goal.copy()
    above = np.where(target, OVER_WEIGHT, FALL_OFF_WEIGHT).astype(np.float32)
    low = np.where(target, 0, LOW_WEIGHT).astype(np.float32)
    for name, inside in points.organs.items():
        free = inside & ~target
        priority = asked.get(name, 1.0)
        if name in MAXIMUM_ORGANS:
            goal[free] = np.minimum(goal[free], MAXIMUM_GY / (sparing * priority) ** 0.25)
            above[free] = MAXIMUM_WEIGHT * priority
        else:
            low[free] += MEAN_WEIGHTS[name] * sparing * priority
    share = points.share
    return Objective(goal, above * share, target * share, low * share)


def optimise(
    fields: Fields,
    rays: Rays,
    aim: Objective,
    target: BoolArray,
    steps: int = 40,
    start: FloatArray | None = None,
) -> FloatArray:
    """Return the fluence (fields, u, v) after some steps of projected, accelerated descent.

    It starts from `start`, or from the open fields around the target.
    """
    fluence = open_fields(fields, rays, aim, target) if start is None else start
    if not steps:
        return fluence
    curvature = aim.curvature()
    largest = _largest(fields, rays, curvature)
    ahead, momentum = fluence, 1.0
    for _ in range(steps):
        slope = fluence_gradient(fields, aim.gradient(dose_of(fields, ahead, rays)), rays)
        following = np.maximum(ahead - slope / np.float32(largest), 0)
        after = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + np.float32((momentum - 1) / after) * (following - fluence)
        fluence, momentum = following, after
    return fluence


def open_fields(fields: Fields, rays: Rays, aim: Objective, target: BoolArray) -> FloatArray:
    """Return fields open where they see the target, scaled to its mean goal."""
    seen = fluence_gradient(fields, target.astype(np.float32), rays)
    opened = (seen > seen.max() * np.float32(0.02)).astype(np.float32)
    mean = dose_of(fields, opened, rays)[target].mean()
    return np.asarray(opened / mean * np.float32(aim.goal[target].mean()), np.float32)


def _largest(fields: Fields, rays: Rays, curvature: FloatArray) -> float:
    """Return an upper estimate of the largest curvature over the fluence, by power iteration."""
    vector = np.ones((rays.bixel.shape[0], *rays.shape), np.float32)
    largest = 1.0
    for _ in range(6):
        product = fluence_gradient(fields, curvature * dose_of(fields, vector, rays), rays)
        largest = float(np.linalg.norm(product) / np.linalg.norm(vector))
        vector = product / np.linalg.norm(product)
    return largest * 1.08
