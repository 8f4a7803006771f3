"""Make the network's channels from a patient: crop, masks, distances and quick plans.

The crop is the box of the possible-dose mask, padded to a multiple of 16 voxels. Read `voxels.py`
and `fluence.py` next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.dose.beams import ANGLES_DEGREES, dose_by_field, fields_around, rays_to
from models.dose.eye import CROSSED, View, along_ray_mm, lengths_cm, maps_of
from models.dose.paths import PATHS, paths
from models.dose.patient import LEVELS, ORGANS, TOP_GY, Patient
from models.dose.plan import (
    SPARING,
    Points,
    expected_gy,
    fall_off_gy,
    objective,
    open_fields,
    optimise,
)
from models.physics.distance import distance_mm

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Box = tuple[slice, slice, slice]
Number = TypeVar("Number", bound=np.generic)

GRANULARITY = 16
FAR_MM = 120.0
HIGHEST = np.float32(1.8)
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
FIELDS = tuple(
    f"{name}_{angle}"
    for name in ("plan_field", "open_field", "primary_field")
    for angle in ANGLES_DEGREES
)
"""Dose of each field in the plan and opened, in units of 70 Gy, and its primary's weakening."""
RAYS = (*(f"sparing_field_{angle}" for angle in ANGLES_DEGREES), *PATHS)
"""Dose of each field in the sparing plan, in units of 70 Gy, and what its ray crosses, in cm."""
CHANNELS = (*CONTINUOUS, "possible_dose", *ORGANS)
PLAN = CHANNELS.index("plan")
MASK = CHANNELS.index("possible_dose")
STEPS = 40


def mirrored_field(name: str) -> str:
    """Return which of `FIELDS` and `RAYS` takes the place of this one when sides change."""
    kind, _, angle = name.rpartition("_")
    for side, other in (("Right", "Left"), ("Left", "Right")):
        if f"_{side}" in kind:
            kind = kind.replace(side, other)
            break
    return f"{kind}_{-int(angle) % 360}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Hold what one prediction runs on.

    `continuous` (8, rows, columns, slices) and `masks` (8, …) are the channels in order of
    `CHANNELS`; `box` is where they lie in the patient's arrays (it may reach over their end);
    `scale` turns the network's dose, made for 70 Gy, into this patient's. `fields`, blocks of
    (…, N), say of each voxel of the possible-dose mask what the nine fields give it and what their
    rays cross, in order of `FIELDS` and `RAYS`; `view` is what the
    fields see, where a network is to plan by it.
    """

    continuous: FloatArray
    masks: BoolArray
    box: Box
    scale: float
    voxel_mm: tuple[float, float, float]
    fields: tuple[FloatArray, ...]
    view: View | None = None


def prepare(patient: Patient, priorities: Mapping[str, float] | None = None) -> Prepared:
    """Return the channels of a patient.

    Parameters
    ----------
    priorities : factors on the weight of organs in the quick plans; 1 where nothing is said.
    """
    scale = patient.top_gy / TOP_GY
    box = padded_box(patient.possible_dose)
    allowed = crop(patient.possible_dose, box, False)
    organs = {name: crop(mask, box, False) for name, mask in patient.organs.items()}
    prescription, away = levels_of(patient, box)
    plans, by_field, view = _plans(patient, box, allowed, prescription, away, organs, priorities)
    distances = _distance_channels(away, allowed.shape)
    ct = np.clip(crop(patient.ct_hu, box, -1000).astype(np.float32) / 1000, -1, 2)
    continuous = np.stack([ct, prescription / np.float32(TOP_GY), *distances, *plans])
    masks = np.stack([allowed, *(organs.get(n, np.zeros_like(allowed)) for n in ORGANS)])
    return Prepared(
        continuous.astype(np.float32), masks, box, scale, patient.voxel_mm, by_field, view
    )


def levels_of(patient: Patient, box: Box) -> tuple[FloatArray, dict[float, FloatArray]]:
    """Return the highest level of each voxel of a box, and by level the distance to its target.

    Levels are on the scale of 70 Gy to the highest, 0 outside of targets; distances in mm.
    """
    scale = patient.top_gy / TOP_GY
    levels = {gray / scale: crop(mask, box, False) for gray, mask in patient.targets if mask.any()}
    away = {
        level: np.minimum(distance_mm(mask, patient.voxel_mm), 1e4).astype(np.float32)
        for level, mask in levels.items()
    }
    prescription = np.zeros(tuple(side.stop - side.start for side in box), np.float32)
    for level in sorted(levels):
        prescription[levels[level]] = level
    return prescription, away


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
    priorities: Mapping[str, float] | None,
) -> tuple[list[FloatArray], tuple[FloatArray, ...], View]:
    """Return plans and open fields on the crop (unit: 70 Gy), `FIELDS` and `RAYS`, and the view."""
    fields = fields_around(
        patient.ct_hu, patient.target, patient.voxel_mm, patient.possible_dose, patient.isocentre
    )
    places = np.argwhere(allowed)
    corner = np.asarray([side.start for side in box])
    everywhere = rays_to(fields, places + corner)
    samples, points = sample_points(allowed, prescription, away, organs)
    rays = rays_to(fields, samples + corner)
    aim, target = objective(points, 1.0, priorities), points.target
    opened = open_fields(fields, rays, aim, target)
    ordinary = optimise(fields, rays, aim, target, STEPS, opened)
    heavier = objective(points, SPARING, priorities)
    sparing = optimise(fields, rays, heavier, target, STEPS // 2, ordinary)
    fluences = (ordinary, sparing, opened)
    by_field = [dose_by_field(fields, one, everywhere) for one in fluences]
    sums = [each.sum(0) for each in by_field]
    doses = [_in_crop(values / np.float32(TOP_GY), allowed) for values in sums]
    maps = maps_of(
        everywhere,
        _crossed(allowed, away, organs),
        along_ray_mm(fields, places + corner),
        (sums[0], sums[1]),
        float(np.prod(patient.voxel_mm)),
    )
    plan, spared, open_ = (values / np.float32(TOP_GY) for values in by_field)
    crossed = paths(everywhere, lengths_cm(maps))
    view = View(maps, np.stack(fluences), fields, everywhere)
    return doses, (plan, open_, everywhere.primary, spared, crossed), view


def _in_crop(dose: FloatArray, allowed: BoolArray) -> FloatArray:
    """Return a dose at the points of the mask on the crop, `HIGHEST` at most."""
    out = np.zeros(allowed.shape, np.float32)
    out[allowed] = np.minimum(dose, HIGHEST)
    return out


def _crossed(
    allowed: BoolArray, away: dict[float, FloatArray], organs: dict[str, BoolArray]
) -> list[BoolArray | None]:
    """Return `CROSSED` at the points of the mask; a target counts for the trained level nearest."""
    found: dict[str, BoolArray] = {name: mask[allowed] for name, mask in organs.items()}
    names = list(LEVELS)
    for level, distance in away.items():
        name = names[int(np.argmin([abs(level - known) for known in LEVELS.values()]))]
        inside = distance[allowed] <= 0
        found[name] = found[name] | inside if name in found else inside
    return [found.get(name) for name in CROSSED]


def sample_points(
    allowed: BoolArray,
    prescription: FloatArray,
    away: dict[float, FloatArray],
    organs: dict[str, BoolArray],
) -> tuple[NDArray[np.int64], Points]:
    """Return the voxels the plan is made on: half of targets and organs, an eighth of the rest.

    A target of which none would be left keeps all of its own: a target of one voxel has a plan.
    """
    rows, columns, slices = np.ogrid[tuple(map(slice, allowed.shape))]
    odd = (rows + columns + slices) % 2 == 0
    structure = np.logical_or.reduce([prescription > 0, *organs.values()])
    coarse = (slices % 2 == 0) & (rows % 2 == 0)
    chosen = allowed & odd & (structure | coarse)
    for level in away:
        own = allowed & (prescription == np.float32(level))
        if not (own & odd).any():
            chosen |= own
    samples = np.argwhere(chosen)
    prescribed = prescription[chosen]
    target = prescribed > 0
    goal = np.max([fall_off_gy(level, away[level][chosen]) for level in away], axis=0)
    for level in away:
        goal[prescribed == np.float32(level)] = expected_gy(level)
    share = np.where(structure[chosen], 1, 4).astype(np.float32)
    inside = {name: mask[chosen] for name, mask in organs.items()}
    return samples, Points(goal.astype(np.float32), target, inside, share)
