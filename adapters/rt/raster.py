"""Turn contours into a mask on a grid; `write_contours.py` is the inverse.

Rule: a voxel belongs to the region when its centre lies inside an odd number of contours
of its frame (even-odd), so holes, islands in holes and keyholes need no special case.  The
border is half open: a centre exactly on a lower edge (smaller row or column index) is
inside, one exactly on an upper edge is outside, so that two regions that share an edge
share no voxel.  Indices are rounded to 1e-6 voxel first, since coordinates come from
decimal text.

A contour belongs to the frame that it lies in, to the nearest within half a spacing; it
is not interpolated to frames between.  Contours outside the grid are left out.

Standard: PS3.3 C.8.8.6.3 (Contour Geometric Type), C.7.6.2.1.1 (voxel centres).

Read next: `read_case.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from audit.errors import GeometryError
from plugins.host.images import Contour, Geometry

CLOSED_TYPES = frozenset({"CLOSED_PLANAR", "CLOSED_PLANAR_XOR", "CLOSEDPLANAR_XOR"})
ROUNDING_DIGITS = 6
PLANE_TOLERANCE_FRAMES = 0.5


def mask_from_contours(contours: Iterable[Contour], geometry: Geometry) -> NDArray[np.bool_]:
    """Return the bool mask (frames, rows, columns) of one region's closed contours.

    Raises
    ------
    GeometryError : a contour is not parallel to the frames (it spans half a frame or more).
    """
    frames, rows, columns = geometry.shape
    toggles = np.zeros((frames, rows, columns), dtype=np.uint8)
    touched: list[tuple[int, int, int, int]] = []  # frame, first and end row, first column
    for contour in contours:
        if contour.geometric_type not in CLOSED_TYPES or len(contour.points_mm) < 3:
            continue
        index = np.round(geometry.to_index(contour.points_mm), ROUNDING_DIGITS)
        depth = index[:, 0]
        if np.ptp(depth) >= PLANE_TOLERANCE_FRAMES:
            raise GeometryError(
                f"expected contours parallel to the frames, found one across {np.ptp(depth):.2f}"
            )
        frame = int(np.floor(depth.mean() + 0.5))
        if 0 <= frame < frames:
            low, high = index.min(axis=0), index.max(axis=0)
            first, end = (int(np.clip(np.ceil(y), 0, rows)) for y in (low[1], high[1]))
            touched.append((frame, first, end, int(np.clip(np.floor(low[2]), 0, columns))))
            _toggle(toggles[frame], index[:, 1], index[:, 2])
    return _filled(toggles, touched)


def _filled(
    toggles: NDArray[np.uint8], touched: list[tuple[int, int, int, int]]
) -> NDArray[np.bool_]:
    """Return the parity along each row, working on the touched part of each frame alone."""
    mask = toggles.view(np.bool_)  # 0 and 1 only: the same bytes
    boxes: dict[int, tuple[int, int, int]] = {}
    for frame, *box in touched:
        known = boxes.get(frame, tuple(box))
        boxes[frame] = (min(known[0], box[0]), max(known[1], box[1]), min(known[2], box[2]))
    for frame, (first, end, column) in boxes.items():
        part = toggles[frame, first:end, column:]
        np.bitwise_xor.accumulate(part, axis=1, out=part)
    return mask


def _toggle(plane: NDArray[np.uint8], y: NDArray[np.float64], x: NDArray[np.float64]) -> None:
    """Flip ``plane`` at the first centre right of each place where the contour crosses a row.

    Accumulating along the row then gives even-odd parity.  An edge from (y0, x0) to
    (y1, x1) crosses the rows r with min(y) <= r < max(y), at
    x = x0 + (r - y0) (x1 - x0) / (y1 - y0).
    """
    rows, columns = plane.shape
    y1, x1 = np.roll(y, -1), np.roll(x, -1)
    first = np.clip(np.ceil(np.minimum(y, y1)), 0, rows).astype(np.int64)
    end = np.clip(np.ceil(np.maximum(y, y1)), 0, rows).astype(np.int64)
    count = np.maximum(end - first, 0)
    edge = np.repeat(np.arange(len(y)), count)
    start = np.cumsum(count) - count
    row = first[edge] + np.arange(len(edge)) - start[edge]
    cross = x[edge] + (row - y[edge]) * (x1[edge] - x[edge]) / (y1[edge] - y[edge])
    column = np.maximum(np.ceil(np.round(cross, ROUNDING_DIGITS)), 0).astype(np.int64)
    inside = column < columns
    np.bitwise_xor.at(plane, (row[inside], column[inside]), np.uint8(1))
