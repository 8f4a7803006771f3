"""Values of a volume at points of the patient: nearest or trilinear.

A plane is drawn of several maps on the same grid; where its points lie in the grid is
worked out once and used for all of them, which is what makes pictures quick.

Read next: `pictures.py`.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from plugins.host.images import Geometry

EDGE = 0.5
"""A voxel reaches half a step beyond its centre; further out there is nothing."""


class Sampler:
    """Where points lie in one grid.

    Parameters
    ----------
    points : LPS mm, (..., 3).
    """

    def __init__(self, geometry: Geometry, points: NDArray[np.float64]) -> None:
        index = geometry.to_index(points)
        inside = np.ones(points.shape[:-1], dtype=np.bool_)
        for axis, size in enumerate(geometry.shape):
            inside &= (index[..., axis] > -EDGE) & (index[..., axis] < size - 1 + EDGE)
        self._inside: NDArray[np.bool_] = inside
        count = int(np.count_nonzero(inside))
        self._nearest = np.zeros(count, dtype=np.intp)
        offsets, weights = [], []
        for axis, size in enumerate(geometry.shape):
            stride = int(np.prod(geometry.shape[axis + 1 :]))
            place = np.clip(index[..., axis][inside], 0, size - 1)
            low = place.astype(np.intp)
            share = (place - low).astype(np.float32)
            offsets.append((low * stride, np.minimum(low + 1, size - 1) * stride))
            weights.append((1 - share, share))
            self._nearest += np.rint(place).astype(np.intp) * stride
        self._corners = [
            (
                offsets[0][z] + offsets[1][y] + offsets[2][x],
                weights[0][z] * weights[1][y] * weights[2][x],
            )
            for z, y, x in product((0, 1), repeat=3)
        ]

    def nearest(self, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the value of the nearest voxel; False outside."""
        found = np.zeros(self._inside.shape, dtype=np.bool_)
        found[self._inside] = values.ravel()[self._nearest]
        return found

    def linear(self, values: NDArray[np.float32], outside: float) -> NDArray[np.float32]:
        """Return the trilinear interpolation; ``outside`` beyond the grid."""
        flat = values.ravel()
        total = np.zeros(len(self._nearest), dtype=np.float32)
        for corner, weight in self._corners:
            total += flat[corner] * weight
        found = np.full(self._inside.shape, outside, dtype=np.float32)
        found[self._inside] = total
        return found


class Plane:
    """Points of a plane in the patient, and where they lie in each grid that was asked for."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        self._points = points
        self._samplers: list[tuple[Geometry, Sampler]] = []

    def on(self, geometry: Geometry) -> Sampler:
        """Return where the points lie in a grid."""
        for known, sampler in self._samplers:
            if known == geometry:
                return sampler
        self._samplers.append((geometry, Sampler(geometry, self._points)))
        return self._samplers[-1][1]
