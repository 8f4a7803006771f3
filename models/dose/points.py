"""What the points of targets would be in the plan, foretold from facts of the patient as a whole.

A network that sees voxels cannot tell one planner's habit from another's, and a network that is
told facts of 200 patients learns them by heart. A kernel machine on 84 facts (size and place of
targets, organs, the points of both quick plans) does neither: it foretells what a planner adds to
the quick plan's points, and falls back to the usual where a patient is unlike all it has seen.
Support vector regression with a Gaussian kernel (Smola and Schölkopf 2004, Stat Comput 14:199).
Read `sharpen.py` next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.dose.inputs import CONTINUOUS, Prepared
from models.dose.patient import LEVELS, ORGANS, TOP_GY

FloatArray = NDArray[np.float32]
Point = tuple[str, str]

PREFIX = "points."
"""Of the names of these weights in a file."""
TARGET_PERCENT = {"D99%": 1.0, "D95%": 5.0, "D50%": 50.0, "D1%": 99.0}
ORGAN_POINTS = ("D0.1cc", "mean")
SMALL_VOLUME_MM3 = 100.0
POINTS: tuple[Point, ...] = tuple((n, p) for n in LEVELS for p in TARGET_PERCENT)
"""What is foretold. Of organs the networks know more than this can tell them (held-back patients:
points of organs became worse by it, their D0.1cc no better)."""
SIZES = ("volume", "height", "width", "aside", "below")
PLANS = ("plan", "sparing_plan")
FACTS = (
    *(f"{size}_{level}" for level in LEVELS for size in SIZES),
    *(f"{fact}_{organ}" for organ in ORGANS for fact in ("present", "volume")),
    "volume_mask",
    "levels",
    "slice_mm",
    *(f"{plan}_{p}_{name}" for plan in PLANS for name in LEVELS for p in TARGET_PERCENT),
    *(f"{plan}_{p}_{name}" for plan in PLANS for name in ORGANS for p in ORGAN_POINTS),
)
"""Volumes of targets and mask as logarithms of millilitres, of organs in millilitres; lengths in
mm, places from the centroid of all targets; doses in Gy on the scale of 70 Gy."""


def structures(prepared: Prepared) -> dict[str, NDArray[np.int64]]:
    """Return the voxels of each target and organ that exist, as they are counted in the crop.

    A target is where its level, or one that is nearest to it, is the highest prescribed.
    """
    prescription = prepared.continuous[CONTINUOUS.index("prescription")].ravel()
    inside = np.flatnonzero(prescription > 0)
    known = np.asarray(list(LEVELS.values()), np.float32) / np.float32(TOP_GY)
    nearest = np.abs(prescription[inside][:, None] - known).argmin(axis=1)
    found = {name: inside[nearest == level] for level, name in enumerate(LEVELS)}
    found |= {n: np.flatnonzero(m) for n, m in zip(ORGANS, prepared.masks[1:], strict=True)}
    return {name: places for name, places in found.items() if len(places)}


def points_of(
    dose: FloatArray, places: Mapping[str, NDArray[np.int64]], voxel_mm3: float
) -> dict[Point, float]:
    """Return the points of a dose in its unit, `ORGAN_POINTS` too; missing structures have none."""
    small = max(1, round(SMALL_VOLUME_MM3 / voxel_mm3))
    flat = dose.ravel()
    found: dict[Point, float] = {}
    for name, there in places.items():
        values = flat[there]
        if name in LEVELS:
            ends = np.percentile(values, list(TARGET_PERCENT.values()))
            found |= {(name, p): float(v) for p, v in zip(TARGET_PERCENT, ends, strict=True)}
        else:
            share = max(100 - small / len(values) * 100, 0.0)
            found[name, "D0.1cc"] = float(np.percentile(values, share))
            found[name, "mean"] = float(values.mean())
    return found


def facts_of(prepared: Prepared, places: Mapping[str, NDArray[np.int64]]) -> FloatArray:
    """Return what is known of a patient, in order of `FACTS`; NaN where it does not exist."""
    step = np.asarray(prepared.voxel_mm)
    voxel_mm3 = float(np.prod(step))
    shape = prepared.masks[0].shape
    facts: dict[str, float] = dict.fromkeys(FACTS, np.nan)
    targets = [places[name] for name in LEVELS if name in places]
    whole = np.stack(np.unravel_index(np.concatenate(targets), shape)).mean(axis=1)
    for name in LEVELS:
        there = places.get(name)
        facts[f"volume_{name}"] = 0.0
        if there is not None:
            where = np.stack(np.unravel_index(there, shape))
            size, away = np.ptp(where, axis=1) * step, (where.mean(axis=1) - whole) * step
            facts[f"volume_{name}"] = float(np.log1p(len(there) * voxel_mm3 / 1000))
            facts[f"height_{name}"], facts[f"width_{name}"] = float(size[2]), float(size[1])
            facts[f"aside_{name}"], facts[f"below_{name}"] = float(away[1]), float(away[2])
    for name in ORGANS:
        count = len(places.get(name, ()))
        facts[f"present_{name}"] = float(count > 0)
        facts[f"volume_{name}"] = count * voxel_mm3 / 1000
    facts["volume_mask"] = float(np.log(prepared.masks[0].sum() * voxel_mm3 / 1000))
    facts["levels"], facts["slice_mm"] = float(len(targets)), float(step[2])
    for plan in PLANS:
        dose = prepared.continuous[CONTINUOUS.index(plan)]
        for (name, point), value in points_of(dose, places, voxel_mm3).items():
            facts[f"{plan}_{point}_{name}"] = value * TOP_GY
    return np.asarray(list(facts.values()), np.float32)


def mirrored_facts(facts: FloatArray) -> FloatArray:
    """Return the facts of the patient mirrored left to right, for (patients, facts)."""
    order = [FACTS.index(_other_side(name)) for name in FACTS]
    sign = [-1.0 if name.startswith("aside_") else 1.0 for name in FACTS]
    return np.asarray(facts[:, order] * np.asarray(sign), np.float32)


def _other_side(name: str) -> str:
    if "Right" in name:
        return name.replace("Right", "Left")
    return name.replace("Left", "Right")


@dataclass(frozen=True, slots=True)
class PointMachine:
    """Foretell what a planner adds to the quick plan's points.

    Parameters
    ----------
    mean, scale : of the facts; a fact that is missing counts as its mean.
    support : standardised facts (patients, facts) that a new patient is held against.
    weights, offset : of each patient for each of `POINTS`, and what is added, in Gy.
    narrowness : γ of the kernel e^(-γ d²).
    """

    mean: FloatArray
    scale: FloatArray
    support: FloatArray
    weights: FloatArray
    offset: FloatArray
    narrowness: float

    def added_gy(self, facts: FloatArray) -> FloatArray:
        """Return by point of `POINTS` what is added to the quick plan's, in Gy."""
        own = standardised(facts[None], self.mean, self.scale)[0]
        likeness = np.exp(-self.narrowness * ((self.support - own) ** 2).sum(axis=1))
        return np.asarray(likeness @ self.weights + self.offset, np.float32)

    def foretold_gy(self, prepared: Prepared) -> dict[Point, float]:
        """Return the points of the targets that exist, in Gy on the scale of 70 Gy."""
        places = structures(prepared)
        facts = facts_of(prepared, places)
        added = dict(zip(POINTS, self.added_gy(facts).tolist(), strict=True))
        of_plan = {(n, p): float(facts[FACTS.index(f"plan_{p}_{n}")]) for n, p in POINTS}
        return {key: of_plan[key] + added[key] for key in POINTS if key[0] in places}

    def named(self) -> dict[str, torch.Tensor]:
        """Return the tensors that a weights file holds; `machine_of` gives the machine back."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays["narrowness"] = np.asarray([self.narrowness], np.float32)
        return {
            PREFIX + name: torch.from_numpy(np.ascontiguousarray(values, np.float32))
            for name, values in arrays.items()
        }


ARRAYS = ("mean", "scale", "support", "weights", "offset")


def machine_of(values: Mapping[str, torch.Tensor]) -> PointMachine | None:
    """Return the machine of stored weights, None where there is none; ValueError by its sizes."""
    if not any(name.startswith(PREFIX) for name in values):
        return None
    mean, scale, support, weights, offset = (
        values[PREFIX + name].float().numpy() for name in ARRAYS
    )
    sizes = (mean.shape, scale.shape, support.shape[1:], weights.shape[1:], offset.shape)
    expected = ((len(FACTS),),) * 3 + ((len(POINTS),),) * 2
    if sizes != expected or len(support) != len(weights):
        raise ValueError(f"expected {len(FACTS)} facts and {len(POINTS)} points, found {sizes}")
    narrowness = float(values[PREFIX + "narrowness"][0])
    return PointMachine(mean, scale, support, weights, offset, narrowness)


def standardised(facts: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    """Return facts (patients, facts) in units of their spread; what is missing is zero."""
    known = np.isfinite(facts)
    return np.asarray(np.where(known, (facts - mean) / scale, 0), np.float32)


def mean_and_scale(facts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and spread of facts over patients; one where a fact does not vary."""
    known = np.isfinite(facts)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, facts, 0).sum(axis=0) / count
    spread = np.std(np.where(known, facts, mean), axis=0)
    return mean.astype(np.float32), np.where(spread > 1e-6, spread, 1).astype(np.float32)
