"""What lies around each voxel: means of the channels there and aside, its slice, its depth.

The voxel networks read these features beside the channels themselves; all lengths are said in
millimetres or voxels where they are named. Read `voxels.py` next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from models.dose.box_mean import box_mean
from models.dose.inputs import CONTINUOUS
from models.dose.patient import ORGANS, TOP_GY
from models.physics.distance import distance_mm

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Places = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

ASIDE_MM = (20, 45)
SIDES = ((0, 1, "behind"), (0, -1, "before"), (1, 1, "left"), (1, -1, "right"))
SLICES_MM = (10, 25)
ENDS = ((1, "below"), (-1, "above"))
READ = ("plan", "prescription")
"""Channels read aside, each the mean of a box of five voxels."""
NEAR_VOXELS = 5
SMOOTH_ORGANS = ("Brainstem", "SpinalCord", "RightParotid", "LeftParotid", "Mandible")
WIDE = (31, 31, 21)
DEEP_MM, PLANE_MM, NEIGHBOUR_MM = 60.0, 120.0, 15.0
OTHER_PLANE_MM = 1000.0
"""Distance between slices where only those within a slice count."""
WHOLE = (
    "plan_wide",
    "prescription_wide",
    "mask_15",
    "open_fields_7",
    "sparing_plan_3",
    "plan_highest",
    "plan_spread",
    "depth",
)
SLICE = (
    "target_area",
    "mask_area",
    "target_area_above",
    "target_area_below",
    "plan_of_slice",
    "top_area",
    "height_in_targets",
)
SURROUNDINGS = (
    *(f"{name}_{side}_{mm}" for mm in ASIDE_MM for _, _, side in SIDES for name in READ),
    *(f"{name}_{end}_{mm}" for mm in SLICES_MM for _, end in ENDS for name in READ),
    *WHOLE,
    *SLICE,
    "distance_in_slice",
    *(f"{name}_9" for name in SMOOTH_ORGANS),
)
MIRRORED = {
    **{f"{n}_left_{mm}": f"{n}_right_{mm}" for mm in ASIDE_MM for n in READ},
    **{f"{n}_right_{mm}": f"{n}_left_{mm}" for mm in ASIDE_MM for n in READ},
    "RightParotid_9": "LeftParotid_9",
    "LeftParotid_9": "RightParotid_9",
}
"""Which feature takes the place of which when a patient is mirrored left to right."""


def surroundings(
    continuous: FloatArray, masks: BoolArray, spacing_mm: Sequence[float], places: Places
) -> Iterator[FloatArray]:
    """Yield the features `SURROUNDINGS` at places of the crop, by row, column and slice."""
    channel = dict(zip(CONTINUOUS, continuous, strict=True))
    step = np.asarray(spacing_mm, np.float32)
    plan, body = channel["plan"], masks[0].astype(np.float32)
    near = [box_mean(channel[name], NEAR_VOXELS) for name in READ]
    aside = [(mm, axis, sign) for mm in ASIDE_MM for axis, sign, _ in SIDES]
    for mm, axis, sign in aside + [(mm, 2, sign) for mm in SLICES_MM for sign, _ in ENDS]:
        there = moved(places, axis, round(sign * mm / float(step[axis])), plan.shape)
        yield from (values.ravel()[there] for values in near)
    here = moved(places, 0, 0, plan.shape)
    yield box_mean(plan, WIDE).ravel()[here]
    yield box_mean(channel["prescription"], WIDE).ravel()[here]
    yield box_mean(body, 15).ravel()[here]
    yield box_mean(channel["open_fields"], 7).ravel()[here]
    yield box_mean(channel["sparing_plan"], 3).ravel()[here]
    yield maximum_filter(plan, NEAR_VOXELS).ravel()[here]
    square = box_mean(plan * plan, NEAR_VOXELS) - near[0] ** 2
    yield np.sqrt(np.maximum(square.ravel()[here], 0))
    spacing = (float(step[0]), float(step[1]), float(step[2]))
    yield np.minimum(distance_mm(~masks[0], spacing).ravel()[here] / DEEP_MM, 1)
    yield from (along[places[2]] for along in slice_features(channel, masks[0], step))
    within = (spacing[0], spacing[1], OTHER_PLANE_MM)
    yield np.minimum(distance_mm(channel["prescription"] > 0, within).ravel()[here] / PLANE_MM, 2)
    for name in SMOOTH_ORGANS:
        yield box_mean(masks[1 + ORGANS.index(name)].astype(np.float32), 9).ravel()[here]


def moved(places: Places, axis: int, voxels: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return places moved along an axis, not beyond its ends, as they are counted in the array."""
    found = list(places)
    if voxels:
        found[axis] = np.clip(found[axis] + voxels, 0, shape[axis] - 1)
    return np.asarray((found[0] * shape[1] + found[1]) * shape[2] + found[2])


def slice_features(
    channel: dict[str, FloatArray], allowed: BoolArray, step: FloatArray
) -> tuple[FloatArray, ...]:
    """Return the features `SLICE` by slice: areas in units of 20 cm2 and 200 cm2, mean plan."""
    prescription = channel["prescription"]
    pixel = step[0] * step[1] / 2000
    area = (prescription > 0).sum(axis=(0, 1)) * pixel
    top = (np.abs(prescription * TOP_GY - TOP_GY) < 1).sum(axis=(0, 1)) * pixel
    size = len(area)
    every = np.arange(size)
    near = max(1, round(NEIGHBOUR_MM / float(step[2])))
    count = allowed.sum(axis=(0, 1))
    plan = (channel["plan"] * allowed).sum(axis=(0, 1)) / np.maximum(count, 1)
    targets = np.flatnonzero(area)
    height = (every - targets[0]) / max(int(targets[-1] - targets[0]), 1)
    return (
        area,
        count * pixel / 10,
        area[np.maximum(every - near, 0)],
        area[np.minimum(every + near, size - 1)],
        plan,
        top,
        height,
    )


def plan_facts(continuous: FloatArray, masks: BoolArray) -> list[float]:
    """Return what the quick plans do to each organ, in a slice at most, and to the targets."""
    channel = dict(zip(CONTINUOUS, continuous, strict=True))
    plan, spared = channel["plan"], channel["plan"] - channel["sparing_plan"]
    facts: list[float] = []
    for organ in masks[1:]:
        there = bool(organ.any())
        facts.append(float(plan[organ].mean()) if there else 0.3)
        facts.append(float(spared[organ].mean()) * 5 if there else 0.0)
    count = np.maximum(masks[0].sum(axis=(0, 1)), 1)
    facts.append(float(((plan * masks[0]).sum(axis=(0, 1)) / count).max()))
    facts.append(float(channel["open_fields"][channel["prescription"] > 0].std()))
    return facts


PLAN_FACTS = (
    *(f"{kind}_{name}" for name in ORGANS for kind in ("plan_of", "spared_of")),
    "plan_of_highest_slice",
    "open_fields_spread",
)
