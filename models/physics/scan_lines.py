"""Where contours cross the scan lines of their plane, and the area between the crossings.

Odd crossings to even ones lie inside, so that holes and keyholes need no special case. Each edge
is visited once and writes its crossings into the lists of the lines that it meets.

Points are (row, column) millimetres, scan lines run along columns. Read next: `dvh_planes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def pack(contours: Sequence[FloatArray]) -> tuple[FloatArray, IntArray]:
    """Return all points and where each contour starts, with the end as last value."""
    starts = np.cumsum([0, *(len(contour) for contour in contours)]).astype(np.int64)
    points = np.ascontiguousarray(np.concatenate(contours), dtype=np.float64)
    return points, starts


@compiled
def crossings(
    points: FloatArray, starts: IntArray, first: float, step: float, count: int
) -> tuple[IntArray, FloatArray]:
    """Return the columns where contours cross the lines at first + (n + 1/2) step.

    Parameters
    ----------
    starts : where each contour begins in the points, with the end as last value.

    Returns
    -------
    Where each line's crossings begin, with the end as last value; the crossings, ascending in
    each line.
    """
    ahead = np.empty(starts[-1] - starts[0], np.int64)  # the first line not above a point
    for index in range(len(ahead)):
        place = int(np.ceil((points[starts[0] + index, 0] - first) / step - 0.5))
        ahead[index] = min(max(place, 0), count)
    begin = np.zeros(count + 1, np.int64)
    for contour in range(len(starts) - 1):
        before = starts[contour + 1] - 1
        for index in range(starts[contour], starts[contour + 1]):
            near, far = ahead[before - starts[0]], ahead[index - starts[0]]
            for line in range(min(near, far), max(near, far)):
                begin[line + 1] += 1
            before = index
    begin = np.cumsum(begin)
    found, filled = np.empty(begin[-1]), begin.copy()
    for contour in range(len(starts) - 1):
        before = starts[contour + 1] - 1
        for index in range(starts[contour], starts[contour + 1]):
            near, far = ahead[before - starts[0]], ahead[index - starts[0]]
            low, rise = points[before, 0], points[index, 0] - points[before, 0]
            for line in range(min(near, far), max(near, far)):
                share = (first + (line + 0.5) * step - low) / rise
                value = points[before, 1] + share * (points[index, 1] - points[before, 1])
                place = filled[line]
                while place > begin[line] and found[place - 1] > value:
                    found[place] = found[place - 1]
                    place -= 1
                found[place] = value
                filled[line] += 1
            before = index
    return begin, found


@compiled
def shape(points: FloatArray, starts: IntArray, lines: int) -> tuple[float, float, float]:
    """Return the area between odd and even crossings, and its centre (row, column)."""
    own = points[starts[0] : starts[-1], 0]
    low, high = own.min(), own.max()
    if not high > low:
        return 0.0, 0.0, 0.0
    step = (high - low) / lines
    begin, found = crossings(points, starts, low, step, lines)
    length, rows, columns = 0.0, 0.0, 0.0
    for line in range(lines):
        row = low + (line + 0.5) * step
        for pair in range(begin[line], begin[line + 1] - 1, 2):
            chord = found[pair + 1] - found[pair]
            length += chord
            rows += chord * row
            columns += chord * (found[pair + 1] + found[pair]) / 2
    if length == 0:
        return 0.0, 0.0, 0.0
    return length * step, rows / length, columns / length
