"""What the ray of each field through a voxel crosses: centimetres of every target and organ.

What a planner gives a voxel by one field hangs on what else lies on that ray, before the voxel or
behind it. The map that a field sees of each structure (`eye.py`) is read where the ray of each
voxel crosses it. Read `inputs.py` next.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from models.dose.beams import ANGLES_DEGREES, ONE, Rays
from models.dose.eye import CROSSED
from models.physics.compiled import compiled_reordering

FloatArray = NDArray[np.float32]

PATHS = tuple(f"path_{name}_{angle}" for name in CROSSED for angle in ANGLES_DEGREES)


def paths(rays: Rays, lengths_cm: FloatArray) -> FloatArray:
    """Return the lengths (`PATHS`, N) in cm that the rays of N points run through structures.

    Parameters
    ----------
    lengths_cm : by structure of `CROSSED`, field and bixel, as `eye.lengths_cm` gives them.

    A length is that of the whole ray, not magnified with the distance from the source.
    """
    fields, count = rays.bixel.shape
    out = np.zeros((len(lengths_cm), fields, count), np.float32)
    places = (rays.bixel, rays.along_u, rays.along_v)
    for seen, lengths in zip(lengths_cm, out, strict=True):
        if seen.any():
            _read(seen.reshape(fields, -1), places, rays.shape[1], lengths)
    return out.reshape(len(lengths_cm) * fields, count)


@compiled_reordering
def _read(
    seen: FloatArray,
    places: tuple[NDArray[np.int32], FloatArray, FloatArray],
    stride: int,
    out: FloatArray,
) -> None:
    """Read the map of every field at all points."""
    bixel, along_u, along_v = places
    for field in numba.prange(len(bixel)):
        lengths = seen[field]
        for j in range(bixel.shape[1]):
            i, a, c = bixel[field, j], along_u[field, j], along_v[field, j]
            near = lengths[i] * (ONE - c) + lengths[i + 1] * c
            far = lengths[i + stride] * (ONE - c) + lengths[i + stride + 1] * c
            out[field, j] = near * (ONE - a) + far * a
