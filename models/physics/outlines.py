"""The edges of a plane's voxels as loops of unit steps, with the mask on one side of each.

Every corner of the grid has at most two steps that leave it; they are kept as bits.  A walk
takes the highest bit left, cuts a loop off whenever a corner comes again, and ends where it
began, so that each loop passes a corner once and voxels that meet at a corner only belong to
separate loops.

Read next: `adapters/rt/write_contours.py`, which joins holes to what is around them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled

_LEFT, _RIGHT, _UP, _DOWN = 1, 2, 4, 8


def outlines(plane: NDArray[np.bool_]) -> list[tuple[bool, NDArray[np.int64]]]:
    """Return the loops of a plane, and of each whether it goes around voxels (not a hole).

    Returns
    -------
    Loops as (corners, 2) of (row, column); corner (r, c) is the point (r - 0.5, c - 0.5).
    """
    rows, columns = plane.shape
    padded = np.zeros((rows + 2, columns + 2), dtype=np.uint8)
    padded[1:-1, 1:-1] = plane
    steps = np.zeros((rows + 1, -(-(columns + 1) // 8) * 8), dtype=np.uint8)
    _step_out(padded, steps)
    corners, starts, areas = _loops(steps, steps.view(np.uint64))
    return [
        (bool(area > 0), corners[begin:end])
        for begin, end, area in zip(starts[:-1], starts[1:], areas, strict=True)
    ]


@compiled
def turns(loop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the corners of a loop at which its direction changes."""
    count, kept = len(loop), 0
    found = np.empty_like(loop)
    for place in range(count):
        before, after = loop[place - 1], loop[place + 1 if place + 1 < count else 0]
        row, column = loop[place]
        if not (before[0] == row == after[0] or before[1] == column == after[1]):
            found[kept] = loop[place]
            kept += 1
    return found[:kept].copy()


@compiled
def _step_out(padded: NDArray[np.uint8], steps: NDArray[np.uint8]) -> None:
    """Write the directions in which the loops leave each corner."""
    rows, columns = padded.shape[0] - 1, padded.shape[1] - 1
    for row in range(rows):
        above, below, line = padded[row], padded[row + 1], steps[row]
        for column in range(columns):
            a, b = above[column], above[column + 1]
            c, d = below[column], below[column + 1]
            line[column] = (
                (a & (c ^ 1)) * _LEFT
                + (d & (b ^ 1)) * _RIGHT
                + (b & (a ^ 1)) * _UP
                + (c & (d ^ 1)) * _DOWN
            )


@compiled
def _loops(
    steps: NDArray[np.uint8], words: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the corners of all loops, where each begins, and twice the area of each; positive
    where it encloses the mask.  Takes the steps away as it goes.

    Parameters
    ----------
    words : the memory of ``steps``, eight corners at once.
    """
    rows, columns = steps.shape
    total = 0
    for row in range(rows):
        for word in range(words.shape[1]):
            bits = words[row, word]
            while bits:
                bits &= bits - np.uint64(1)
                total += 1
    corners = np.empty((total, 2), dtype=np.int64)
    starts, areas = np.zeros(total // 4 + 1, dtype=np.int64), np.zeros(total // 4, dtype=np.int64)
    path = np.empty((total + 1, 2), dtype=np.int64)
    place = np.zeros((rows, columns), dtype=np.int32)  # in the path, from 1; 0 outside
    used = loops = 0
    for first_row in range(rows):
        for word in range(words.shape[1]):
            while words[first_row, word]:
                first_column = word * 8
                while steps[first_row, first_column] == 0:
                    first_column += 1
                row, column, length = first_row, first_column, 1
                path[0, 0], path[0, 1] = row, column
                place[row, column] = 1
                while length:
                    row, column = _step(steps, row, column)
                    begin = place[row, column] - 1
                    if begin < 0:
                        path[length, 0], path[length, 1] = row, column
                        length += 1
                        place[row, column] = length
                        continue
                    areas[loops] = _cut(path[begin:length], corners[used:], place)
                    used += length - begin
                    loops += 1
                    starts[loops] = used
                    place[row, column] = begin + 1
                    length = begin + 1 if begin else 0
                place[first_row, first_column] = 0
    return corners, starts[: loops + 1], areas[:loops]


@compiled
def _cut(loop: NDArray[np.int64], corners: NDArray[np.int64], place: NDArray[np.int32]) -> int:
    """Copy a loop, take its corners out of the path and return twice its area."""
    area, last = 0, len(loop) - 1
    before_row, before_column = loop[last]
    for index in range(last + 1):
        row, column = loop[index]
        area += before_column * row - column * before_row
        before_row, before_column = row, column
        corners[index, 0], corners[index, 1] = row, column
        place[row, column] = 0
    return area


@compiled
def _step(steps: NDArray[np.uint8], row: int, column: int) -> tuple[int, int]:
    """Take the highest step of a corner away and return where it leads."""
    bits = steps[row, column]
    if bits & _DOWN:
        steps[row, column] = bits & ~_DOWN
        return row + 1, column
    if bits & _UP:
        steps[row, column] = bits & ~_UP
        return row - 1, column
    if bits & _RIGHT:
        steps[row, column] = bits & ~_RIGHT
        return row, column + 1
    steps[row, column] = bits & ~_LEFT
    return row, column - 1
