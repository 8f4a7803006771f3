"""Make the network's channels from a patient: crop, masks, distances and quick plans.

The crop is the box of the possible-dose mask, padded to a multiple of 16 voxels. Read `network.py`
next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.dose.beams import dose_of, fields_around, rays_to
from models.dose.patient import LEVELS, ORGANS, TOP_GY, Patient
from models.dose.plan import SPARING, Points, expected_gy, fall_off_gy, objective, optimise
from models.physics.distance import distance_mm

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Box = tuple[slice, slice, slice]
Number = TypeVar("Number", bound=np.generic)

GRANULARITY = 16
FAR_MM = 120.0
CONTINUOUS = (
    "ct",
    "prescription",
    "distance_56",
    "distance_63",
    "distance_70",
    "plan",
    "sparing_plan",
    "open_fields",
)
CHANNELS = (*CONTINUOUS, "possible_dose", *ORGANS)
PLAN = CHANNELS.index("plan")
MASK = CHANNELS.index("possible_dose")
STEPS = 40


@dataclass(frozen=True, slots=True)
class Prepared:
    """Hold what one prediction runs on.

    `continuous` (8, rows, columns, slices) and `masks` (8, …) are the channels in order of
    `CHANNELS`; `box` is where they lie in the patient's arrays (it may reach over their end);
    `scale` turns the network's dose, made for 70 Gy, into this patient's.
    """

    continuous: FloatArray
    masks: BoolArray
    box: Box
    scale: float
    voxel_mm: tuple[float, float, float]


def prepare(patient: Patient) -> Prepared:
    """Return the channels of a patient."""
    scale = patient.top_gy / TOP_GY
    box = padded_box(patient.possible_dose)
    allowed = crop(patient.possible_dose, box, False)
    levels = {gray / scale: crop(mask, box, False) for gray, mask in patient.targets if mask.any()}
    organs = {name: crop(mask, box, False) for name, mask in patient.organs.items()}
    away = {
        level: np.minimum(distance_mm(mask, patient.voxel_mm), 1e4).astype(np.float32)
        for level, mask in levels.items()
    }
    prescription = np.zeros(allowed.shape, np.float32)
    for level in sorted(levels):
        prescription[levels[level]] = level
    plans = _plans(patient, box, allowed, prescription, away, organs)
    distances = _distance_channels(away, allowed.shape)
    ct = np.clip(crop(patient.ct_hu, box, -1000).astype(np.float32) / 1000, -1, 2)
    continuous = np.stack([ct, prescription / np.float32(TOP_GY), *distances, *plans])
    masks = np.stack([allowed, *(organs.get(n, np.zeros_like(allowed)) for n in ORGANS)])
    return Prepared(continuous.astype(np.float32), masks, box, scale, patient.voxel_mm)


def padded_box(mask: BoolArray) -> Box:
    """Return the box of a mask, each side widened evenly to a multiple of 16 voxels."""
    sides = []
    for axis in range(3):
        along = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = int(along[0]), int(along[-1]) + 1
        size = -(-(high - low) // GRANULARITY) * GRANULARITY
        start = low - (size - (high - low)) // 2
        if size <= mask.shape[axis]:
            start = min(max(start, 0), mask.shape[axis] - size)
        sides.append(slice(start, start + size))
    return sides[0], sides[1], sides[2]


def crop(array: NDArray[Number], box: Box, outside: float) -> NDArray[Number]:
    """Return the part of an array in a box, `outside` beyond its ends."""
    inner, margins = [], []
    for side, size in zip(box, array.shape, strict=True):
        inner.append(slice(max(side.start, 0), min(side.stop, size)))
        margins.append((max(-side.start, 0), max(side.stop - size, 0)))
    part = array[tuple(inner)]
    return np.pad(part, margins, constant_values=outside) if np.any(margins) else part


def uncrop(part: FloatArray, box: Box, shape: tuple[int, ...]) -> FloatArray:
    """Return an array of this shape that holds the part in its box and is zero elsewhere."""
    whole = np.zeros(shape, part.dtype)
    inside, inner = [], []
    for side, size in zip(box, shape, strict=True):
        low, high = max(side.start, 0), min(side.stop, size)
        inside.append(slice(low, high))
        inner.append(slice(low - side.start, high - side.start))
    whole[tuple(inside)] = part[tuple(inner)]
    return whole


def _distance_channels(
    away: dict[float, FloatArray], shape: tuple[int, ...]
) -> tuple[FloatArray, ...]:
    """Return the distance to the target nearest to each trained level, one where there is none."""
    trained = list(LEVELS.values())
    channels = [np.ones(shape, np.float32) for _ in trained]
    for level, distance in away.items():
        index = int(np.argmin([abs(level - known) for known in trained]))
        channels[index] = np.minimum(channels[index], distance / np.float32(FAR_MM))
    return tuple(channels)


def _plans(
    patient: Patient,
    box: Box,
    allowed: BoolArray,
    prescription: FloatArray,
    away: dict[float, FloatArray],
    organs: dict[str, BoolArray],
) -> list[FloatArray]:
    """Return two plans and the open fields on the crop, in units of 70 Gy."""
    fields = fields_around(patient.ct_hu, patient.target, patient.voxel_mm)
    places = np.argwhere(allowed)
    corner = np.asarray([side.start for side in box])
    everywhere = rays_to(fields, places + corner)
    samples, points = sample_points(allowed, prescription, away, organs)
    rays = rays_to(fields, samples + corner)
    ordinary = optimise(fields, rays, objective(points), points.target, STEPS)
    sparing = optimise(
        fields, rays, objective(points, SPARING), points.target, STEPS // 2, ordinary
    )
    opened = optimise(fields, rays, objective(points), points.target, 0)
    doses = []
    for fluence in (ordinary, sparing, opened):
        dose = np.zeros(allowed.shape, np.float32)
        dose[allowed] = dose_of(fields, fluence, everywhere) / np.float32(TOP_GY)
        doses.append(np.minimum(dose, np.float32(1.8)))
    return doses


def sample_points(
    allowed: BoolArray,
    prescription: FloatArray,
    away: dict[float, FloatArray],
    organs: dict[str, BoolArray],
) -> tuple[NDArray[np.int64], Points]:
    """Return the voxels the plan is made on: half of targets and organs, an eighth of the rest."""
    rows, columns, slices = np.ogrid[tuple(map(slice, allowed.shape))]
    odd = (rows + columns + slices) % 2 == 0
    structure = np.logical_or.reduce([prescription > 0, *organs.values()])
    coarse = (slices % 2 == 0) & (rows % 2 == 0)
    chosen = allowed & odd & (structure | coarse)
    samples = np.argwhere(chosen)
    prescribed = prescription[chosen]
    target = prescribed > 0
    goal = np.max([fall_off_gy(level, away[level][chosen]) for level in away], axis=0)
    for level in away:
        goal[prescribed == np.float32(level)] = expected_gy(level)
    share = np.where(structure[chosen], 1, 4).astype(np.float32)
    inside = {name: mask[chosen] for name, mask in organs.items()}
    return samples, Points(goal.astype(np.float32), target, inside, share)
