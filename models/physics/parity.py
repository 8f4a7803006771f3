"""Contours to voxels by the even-odd rule: cross the rows, then count along them.

Source: the scan-line rule of parity (Foley, van Dam et al., Computer Graphics, 3.5); which
centres on a border count is said in `adapters/rt/raster.py`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled


@compiled
def fill_contours(
    index: NDArray[np.float64],
    starts: NDArray[np.int64],
    flat: float,
    steps: float,
    voxels: NDArray[np.uint8],
) -> int:
    """Fill closed contours into zeros (frames, rows, columns); -1, or the first contour that
    spans ``flat`` frames or more.

    Parameters
    ----------
    index : finite (points, 3) in voxels of all contours, one after another.
    starts : where each contour begins, and the count of points at the end.
    steps : a crossing is rounded to this part of a voxel.
    """
    frames, rows, columns = voxels.shape
    box = np.empty((frames, 4), dtype=np.int64)
    box[:, 0], box[:, 1], box[:, 2], box[:, 3] = rows, 0, columns, 0
    for contour in range(len(starts) - 1):
        begin, end = starts[contour], starts[contour + 1]
        low, high, total = index[begin, 0], index[begin, 0], 0.0
        for point in range(begin, end):
            depth = index[point, 0]
            low, high, total = min(low, depth), max(high, depth), total + depth
        if high - low >= flat:
            return contour
        place = math.floor(total / (end - begin) + 0.5)
        if not 0 <= place < frames:
            continue
        frame = int(place)
        for point in range(begin, end):
            following = point + 1 if point + 1 < end else begin
            _cross(index[point], index[following], steps, voxels[frame], box[frame])
    for frame in range(frames):
        first, last, left, right = box[frame]
        for row in range(first, last):
            inside = np.uint8(0)
            for column in range(left, right):
                inside ^= voxels[frame, row, column]
                voxels[frame, row, column] = inside
    return -1


@compiled
def _cross(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    steps: float,
    plane: NDArray[np.uint8],
    box: NDArray[np.int64],
) -> None:
    """Flip the first centre right of each place where an edge crosses a row.

    The edge from (y0, x0) to (y1, x1) crosses the rows r with min(y) <= r < max(y), at
    x = x0 + (r - y0) (x1 - x0) / (y1 - y0).
    """
    rows, columns = plane.shape
    y0, x0, y1, x1 = start[1], start[2], end[1], end[2]
    first = int(min(max(math.ceil(min(y0, y1)), 0.0), float(rows)))
    last = int(min(max(math.ceil(max(y0, y1)), 0.0), float(rows)))
    if first >= last:
        return
    box[0], box[1] = min(box[0], first), max(box[1], last)
    for row in range(first, last):
        cross = x0 + (row - y0) * (x1 - x0) / (y1 - y0)
        ahead = max(math.ceil(np.rint(cross * steps) / steps), 0.0)
        # A crossing right of the grid ends a run that goes on to its edge.
        column = int(min(ahead, float(columns)))
        box[2], box[3] = min(box[2], column), max(box[3], min(column + 1, columns))
        if column < columns:
            plane[row, column] ^= 1
