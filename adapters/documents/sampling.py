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
STILL = 1e-9
"""Voxels a pixel: an index that changes by less does not change over a picture."""


class Sampler:
    """Where the points of a plane lie in one grid.

    What depends on one direction of the plane only keeps an axis of length 1, so that a
    plane along the axes of the grid, which is the usual one, costs next to nothing.
    """

    def __init__(self, geometry: Geometry, plane: Plane) -> None:
        self._inside: NDArray[np.bool_] = np.ones((1, 1), dtype=np.bool_)
        self._nearest: NDArray[np.intp] = np.zeros((1, 1), dtype=np.intp)
        offsets, weights = [], []
        for axis, index in enumerate(plane.index_in(geometry)):
            size = geometry.shape[axis]
            self._inside = self._inside & (index > -EDGE) & (index < size - 1 + EDGE)
            stride = int(np.prod(geometry.shape[axis + 1 :]))
            place = np.clip(index, 0, size - 1)
            low = place.astype(np.intp)
            share = (place - low).astype(np.float32)
            offsets.append((low * stride, np.minimum(low + 1, size - 1) * stride))
            weights.append((1 - share, share))
            self._nearest = self._nearest + np.rint(place).astype(np.intp) * stride
        self._corners = [
            (
                offsets[0][z] + offsets[1][y] + offsets[2][x],
                weights[0][z] * weights[1][y] * weights[2][x],
            )
            for z, y, x in product((0, 1), repeat=3)
        ]

    def nearest(self, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the value of the nearest voxel; False outside."""
        return np.asarray(values.ravel().take(self._nearest) & self._inside, dtype=np.bool_)

    def linear(self, values: NDArray[np.float32], outside: float) -> NDArray[np.float32]:
        """Return the trilinear interpolation; ``outside`` beyond the grid."""
        flat = values.ravel()
        total = np.zeros(self._nearest.shape, dtype=np.float32)
        for corner, weight in self._corners:
            total += flat.take(corner) * weight
        return np.where(self._inside, total, np.float32(outside))


class Plane:
    """Points of a plane in the patient, and where they lie in each grid that was asked for.

    Parameters
    ----------
    corner : LPS mm of the first point.
    down, right : LPS mm from a point to the next one below, and to the right.
    size : points down and right.
    """

    def __init__(
        self,
        corner: NDArray[np.float64],
        down: NDArray[np.float64],
        right: NDArray[np.float64],
        size: int,
    ) -> None:
        self._corner, self._down, self._right = corner, down, right
        self._steps = np.arange(size, dtype=np.float64)
        self._samplers: list[tuple[Geometry, Sampler]] = []

    def on(self, geometry: Geometry) -> Sampler:
        """Return where the points lie in a grid."""
        for known, sampler in self._samplers:
            if known == geometry:
                return sampler
        self._samplers.append((geometry, Sampler(geometry, self)))
        return self._samplers[-1][1]

    def index_in(self, geometry: Geometry) -> list[NDArray[np.float64]]:
        """Return the fractional frame, row and column index of every point, each (down, right)
        with an axis of length 1 where it does not change along it."""
        ends = np.stack([self._corner, self._corner + self._down, self._corner + self._right])
        first, below, beside = geometry.to_index(ends)
        indices = []
        for axis in range(3):
            index = np.full((1, 1), first[axis])
            for step, shape in ((below - first, (-1, 1)), (beside - first, (1, -1))):
                if abs(step[axis]) > STILL:
                    index = index + self._steps.reshape(shape) * step[axis]
            indices.append(index)
        return indices
