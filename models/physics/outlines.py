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
    steps = _steps(np.ascontiguousarray(plane).view(np.uint8))
    corners, starts, areas = _loops(steps)
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
def _steps(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the directions in which the loops leave each corner."""
    rows, columns = plane.shape
    steps = np.zeros((rows + 1, columns + 1), dtype=np.uint8)
    for row in range(rows + 1):
        for column in range(columns):
            above = plane[row - 1, column] if row > 0 else 0
            below = plane[row, column] if row < rows else 0
            if below > above:
                steps[row, column] |= _RIGHT
            elif above > below:
                steps[row, column + 1] |= _LEFT
    for row in range(rows):
        for column in range(columns + 1):
            left = plane[row, column - 1] if column > 0 else 0
            right = plane[row, column] if column < columns else 0
            if right > left:
                steps[row + 1, column] |= _UP
            elif left > right:
                steps[row, column] |= _DOWN
    return steps


@compiled
def _loops(
    steps: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the corners of all loops, where each begins, and twice the area of each; positive
    where it encloses the mask.  Takes the steps away as it goes."""
    rows, columns = steps.shape
    total = 0
    for row in range(rows):
        for column in range(columns):
            bits = steps[row, column]
            total += (bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3)
    corners = np.empty((total, 2), dtype=np.int64)
    starts, areas = np.zeros(total // 4 + 1, dtype=np.int64), np.zeros(total // 4, dtype=np.int64)
    path = np.empty((total + 1, 2), dtype=np.int64)
    place = np.full((rows, columns), -1, dtype=np.int64)
    used = loops = 0
    for first_row in range(rows):
        for first_column in range(columns):
            while steps[first_row, first_column]:
                row, column, length = first_row, first_column, 1
                path[0, 0], path[0, 1] = row, column
                place[row, column] = 0
                while True:
                    row, column = _step(steps, row, column)
                    begin = place[row, column]
                    if begin < 0:
                        place[row, column] = length
                        path[length, 0], path[length, 1] = row, column
                        length += 1
                        continue
                    area = 0
                    for index in range(begin, length):
                        after = index + 1 if index + 1 < length else begin
                        area += path[index, 1] * path[after, 0] - path[after, 1] * path[index, 0]
                        corners[used] = path[index]
                        used += 1
                        if index > begin:
                            place[path[index, 0], path[index, 1]] = -1
                    areas[loops] = area
                    loops += 1
                    starts[loops] = used
                    length = begin + 1
                    if length == 1:
                        break
                place[first_row, first_column] = -1
    return corners, starts[: loops + 1], areas[:loops]


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
