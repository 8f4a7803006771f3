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
from models.physics.parity import fill_contours
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
    closed = [
        contour.points_mm
        for contour in contours
        if contour.geometric_type in CLOSED_TYPES and len(contour.points_mm) >= 3
    ]
    voxels = np.zeros(geometry.shape, dtype=np.uint8)
    if closed:
        index = np.round(geometry.to_index(np.concatenate(closed)), ROUNDING_DIGITS)
        if not np.isfinite(index).all():
            raise GeometryError("expected finite contour points, found others")
        starts = np.cumsum([0, *map(len, closed)])
        across = fill_contours(index, starts, PLANE_TOLERANCE_FRAMES, 10.0**ROUNDING_DIGITS, voxels)
        if across >= 0:
            depth = index[starts[across] : starts[across + 1], 0]
            raise GeometryError(
                f"expected contours parallel to the frames, found one across {np.ptp(depth):.2f}"
            )
    return voxels.view(np.bool_)  # 0 and 1 only: the same bytes
