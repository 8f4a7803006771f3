"""What the ray of each field through a voxel crosses: centimetres of every target and organ.

What a planner gives a voxel by one field hangs on what else lies on that ray, before the voxel or
behind it. Of each structure the map that a field sees is made once, as its volume by bixel at the
isocentre, and read where the ray of each voxel crosses it. Read `inputs.py` next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from models.dose.beams import ANGLES_DEGREES, BIXEL_MM, ONE, Rays
from models.dose.patient import LEVELS, ORGANS
from models.physics.compiled import compiled_reordering

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

CROSSED = (*ORGANS, *LEVELS)
PATHS = tuple(f"path_{name}_{angle}" for name in CROSSED for angle in ANGLES_DEGREES)


def paths(rays: Rays, structures: Sequence[BoolArray | None], voxel_mm3: float) -> FloatArray:
    """Return the lengths (`PATHS`, N) in cm that the rays of N points run through structures.

    Parameters
    ----------
    structures : which of the points lie in each of `CROSSED`; None where it does not exist.

    A length is that of the whole ray, not magnified with the distance from the source.
    """
    fields, count = rays.bixel.shape
    out = np.zeros((len(structures), fields, count), np.float32)
    unit = np.float32(voxel_mm3 / float(BIXEL_MM) ** 2 / 10)
    places = (rays.bixel, rays.along_u, rays.along_v)
    size = (rays.shape[0] * rays.shape[1], rays.shape[1])
    for inside, lengths in zip(structures, out, strict=True):
        if inside is not None and inside.any():
            _cross(np.flatnonzero(inside), places, size, unit, lengths)
    return out.reshape(len(structures) * fields, count)


@compiled_reordering
def _cross(
    inside: NDArray[np.int64],
    places: tuple[NDArray[np.int32], FloatArray, FloatArray],
    size: tuple[int, int],
    unit: np.float32,
    out: FloatArray,
) -> None:
    """Sum a structure's points into the bixels of every field, and read them at all points."""
    bixel, along_u, along_v = places
    fields, count = bixel.shape
    stride = size[1]
    for field in numba.prange(fields):
        seen = np.zeros(size[0], np.float32)
        for j in inside:
            i, a, c = bixel[field, j], along_u[field, j], along_v[field, j]
            seen[i] += unit * (ONE - a) * (ONE - c)
            seen[i + 1] += unit * (ONE - a) * c
            seen[i + stride] += unit * a * (ONE - c)
            seen[i + stride + 1] += unit * a * c
        for j in range(count):
            i, a, c = bixel[field, j], along_u[field, j], along_v[field, j]
            near = seen[i] * (ONE - c) + seen[i + 1] * c
            far = seen[i + stride] * (ONE - c) + seen[i + stride + 1] * c
            out[field, j] = near * (ONE - a) + far * a
