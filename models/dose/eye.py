"""What each field sees: maps of the patient on its fluence grid.

For every bixel of every field: how much of each target and organ its ray runs through, where along
the ray that lies, and what dose the quick plan gives it there. So a network can judge a whole ray
at once, and all nine fields are alike to it. Read `fluence.py` next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from models.dose.beams import ANGLES_DEGREES, BIXEL_MM, ONE, Fields, Rays
from models.dose.patient import LEVELS, ORGANS, TOP_GY
from models.physics.compiled import compiled_reordering

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

CROSSED = (*ORGANS, *LEVELS)
SEEN = (*CROSSED, "possible_dose")
EYE = (
    *(f"path_{name}" for name in SEEN),
    *(f"place_{name}" for name in SEEN),
    *(f"plan_{name}" for name in CROSSED),
    "primary_target",
    "plan_possible_dose",
    "spared_possible_dose",
)
"""Maps: centimetres of ray in units of 10, mean place along the ray from the isocentre plane in
units of 100 mm, mean dose of the quick plan there in units of 70 Gy; mean weakening of the primary
in targets, mean dose on the whole ray, and how far the sparing plan differs there (of 7 Gy)."""
LEAST_CM = np.float32(0.05)
LEAST_VOXELS = np.float32(0.1)


@dataclass(frozen=True, slots=True)
class View:
    """Hold what the fields see of one patient.

    Parameters
    ----------
    maps : `EYE` (maps, fields, across, along).
    fluences : (3, fields, across, along) of the quick plan, of the sparing plan, of open fields.
    fields, rays : by which a fluence gives a dose at the voxels of the possible-dose mask.
    """

    maps: FloatArray
    fluences: FloatArray
    fields: Fields
    rays: Rays


def along_ray_mm(fields: Fields, voxels: IntArray) -> FloatArray:
    """Return how far behind the isocentre plane of each field the voxels lie, (fields, N)."""
    offset = (voxels - np.asarray(fields.isocentre)) * np.asarray(fields.voxel_mm)
    angles = np.deg2rad(np.asarray(ANGLES_DEGREES))[:, None]
    return np.asarray(np.cos(angles) * offset[:, 0] - np.sin(angles) * offset[:, 1], np.float32)


def seen(
    rays: Rays, inside: IntArray, by_field: FloatArray, by_point: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return sums over points by bixel: of ones, of `by_field` and of `by_point`.

    Parameters
    ----------
    inside : which of the N points of the rays count.
    by_field, by_point : values (fields, N) and (N,).

    Each is (fields, *rays.shape); a point counts for the four bixels around its ray.
    """
    count = len(rays.bixel)
    out = np.zeros((3, count, rays.shape[0] * rays.shape[1]), np.float32)
    places = (rays.bixel, rays.along_u, rays.along_v)
    _see(inside, places, rays.shape[1], by_field, by_point, out)
    one, field, point = out.reshape(3, count, *rays.shape)
    return one, field, point


def maps_of(
    rays: Rays,
    structures: Sequence[BoolArray | None],
    along_mm: FloatArray,
    plans_gy: tuple[FloatArray, FloatArray],
    voxel_mm3: float,
) -> FloatArray:
    """Return the maps `EYE` (maps, fields, *rays.shape).

    Parameters
    ----------
    structures : which of the points lie in each of `CROSSED`; None where it does not exist.
    plans_gy : ordinary and sparing quick plan at the points.
    """
    plan, spared = plans_gy
    unit = np.float32(voxel_mm3 / float(BIXEL_MM) ** 2 / 10)
    maps = np.zeros((len(EYE), len(rays.bixel), *rays.shape), np.float32)
    path, place, dose = np.split(maps[:-3], (len(SEEN), 2 * len(SEEN)))
    everything = np.ones(len(plan), bool)
    for index, mask in enumerate((*structures, everything)):
        if mask is None or not mask.any():
            continue
        one, along, planned = seen(rays, np.flatnonzero(mask), along_mm, plan)
        length = one * unit
        path[index] = length / 10
        place[index] = _mean(along * unit, length, LEAST_CM) / 100
        if index < len(dose):
            dose[index] = _mean(planned, one, LEAST_VOXELS) / np.float32(TOP_GY)
        else:
            maps[-2] = planned / np.maximum(one, ONE) / np.float32(TOP_GY)
    targets = [mask for mask in structures[len(ORGANS) :] if mask is not None]
    inside = np.flatnonzero(np.logical_or.reduce(targets))
    one, weakened, _ = seen(rays, inside, rays.primary, plan)
    maps[-3] = _mean(weakened, one, LEAST_VOXELS)
    one, _, apart = seen(rays, np.flatnonzero(everything), along_mm, spared - plan)
    maps[-1] = apart / np.maximum(one, ONE) / np.float32(TOP_GY / 10)
    return maps


def lengths_cm(maps: FloatArray) -> FloatArray:
    """Return by structure of `CROSSED` how much of it the rays run through (…, fields, bixels)."""
    return maps[: len(CROSSED)] * 10


def _mean(total: FloatArray, count: FloatArray, least: np.float32) -> FloatArray:
    """Return the mean where enough counts, zero elsewhere."""
    return np.asarray(np.where(count > least, total / np.maximum(count, least), 0), np.float32)


@compiled_reordering
def _see(
    inside: IntArray,
    places: tuple[NDArray[np.int32], FloatArray, FloatArray],
    stride: int,
    by_field: FloatArray,
    by_point: FloatArray,
    out: FloatArray,
) -> None:
    """Sum points into the four bixels around the ray of every field."""
    bixel, along_u, along_v = places
    for field in numba.prange(len(bixel)):
        ones, firsts, seconds = out[0, field], out[1, field], out[2, field]
        for j in inside:
            i, a, c = bixel[field, j], along_u[field, j], along_v[field, j]
            first, second = by_field[field, j], by_point[j]
            w00, w01, w10, w11 = (ONE - a) * (ONE - c), (ONE - a) * c, a * (ONE - c), a * c
            ones[i] += w00
            ones[i + 1] += w01
            ones[i + stride] += w10
            ones[i + stride + 1] += w11
            firsts[i] += w00 * first
            firsts[i + 1] += w01 * first
            firsts[i + stride] += w10 * first
            firsts[i + stride + 1] += w11 * first
            seconds[i] += w00 * second
            seconds[i + 1] += w01 * second
            seconds[i + stride] += w10 * second
            seconds[i + stride + 1] += w11 * second
