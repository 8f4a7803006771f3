"""The mean over a box around every voxel, by running sums along each axis.

The values are those of `scipy.ndimage.uniform_filter` in its mode "reflect", on all threads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled, compiled_reordering

FloatArray = NDArray[np.float32]


def box_mean(values: FloatArray, widths: Sequence[int] | int) -> FloatArray:
    """Return the mean over boxes of odd widths in voxels, by axis or the same along all."""
    sides = (widths,) * 3 if isinstance(widths, int) else tuple(widths)
    if any(side < 1 or side % 2 == 0 for side in sides):
        raise ValueError(f"expected odd widths, found {sides}")
    first = np.empty(values.shape, np.float32)
    second = np.empty(values.shape, np.float32)
    _rows(np.ascontiguousarray(values, np.float32), sides[0] // 2, first)
    _columns(first, sides[1] // 2, second)
    _slices(second, sides[2] // 2, first)
    return first


@compiled
def _reflected(place: int, size: int) -> int:
    """Return where a place beyond the ends lies when the axis is reflected there."""
    place %= 2 * size
    return place if place < size else 2 * size - 1 - place


@compiled_reordering
def _rows(values: FloatArray, half: int, out: FloatArray) -> None:
    """Average along the first axis, all slices of a column at a time."""
    rows, columns, slices = values.shape
    share = 1.0 / (2 * half + 1)
    for column in numba.prange(columns):
        total = np.zeros(slices, np.float64)
        for place in range(-half, half + 1):
            row = _reflected(place, rows)
            for index in range(slices):
                total[index] += values[row, column, index]
        for row in range(rows):
            ahead = _reflected(row + half + 1, rows)
            behind = _reflected(row - half, rows)
            for index in range(slices):
                out[row, column, index] = total[index] * share
                total[index] += values[ahead, column, index] - values[behind, column, index]


@compiled_reordering
def _columns(values: FloatArray, half: int, out: FloatArray) -> None:
    """Average along the second axis."""
    rows, columns, slices = values.shape
    share = 1.0 / (2 * half + 1)
    for row in numba.prange(rows):
        total = np.zeros(slices, np.float64)
        for place in range(-half, half + 1):
            column = _reflected(place, columns)
            for index in range(slices):
                total[index] += values[row, column, index]
        for column in range(columns):
            ahead = _reflected(column + half + 1, columns)
            behind = _reflected(column - half, columns)
            for index in range(slices):
                out[row, column, index] = total[index] * share
                total[index] += values[row, ahead, index] - values[row, behind, index]


@compiled_reordering
def _slices(values: FloatArray, half: int, out: FloatArray) -> None:
    """Average along the last axis: one running sum for a block of columns at a time."""
    rows, columns, slices = values.shape
    share = 1.0 / (2 * half + 1)
    for row in numba.prange(rows):
        turned = np.empty((slices, columns), np.float32)
        means = np.empty((slices, columns), np.float32)
        total = np.zeros(columns, np.float64)
        for column in range(columns):
            for index in range(slices):
                turned[index, column] = values[row, column, index]
        for place in range(-half, half + 1):
            index = _reflected(place, slices)
            for column in range(columns):
                total[column] += turned[index, column]
        for index in range(slices):
            ahead = _reflected(index + half + 1, slices)
            behind = _reflected(index - half, slices)
            for column in range(columns):
                means[index, column] = total[column] * share
                total[column] += turned[ahead, column] - turned[behind, column]
        for column in range(columns):
            for index in range(slices):
                out[row, column, index] = means[index, column]
