"""The contours of a region by the parallel planes they lie in.

Standard: PS3.3 C.8.8.6 (ROI Contour). Read next: `dosimetry.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.rt.raster import CLOSED_TYPES
from audit.errors import GeometryError
from plugins.host.images import Contour, Vector3

Planes = Mapping[float, list[Contour]]
_PLANE_DIGITS = 2
_PARALLEL = 0.02
"""Largest sine between the planes of contours that count as parallel."""


def closed_contours(contours: Iterable[Contour]) -> list[Contour]:
    """Return the contours that enclose something."""
    return [c for c in contours if c.geometric_type in CLOSED_TYPES and len(c.points_mm) >= 3]


def plane_axes(contours: Sequence[Contour]) -> tuple[Vector3, Vector3, Vector3]:
    """Return unit vectors along planes, rows and columns of the contours.

    Raises
    ------
    GeometryError : no contour encloses an area.
    """
    # Newell: the sum of the cross products of neighbouring points is twice the area vector.
    # Of the largest contour alone: holes run the other way and must not cancel it.
    closed = closed_contours(contours)
    points = np.zeros((1, 3))
    if closed:
        extents = _ranges(*_stacked(closed)).sum(axis=1)
        points = closed[int(np.argmax(extents))].points_mm
    area = np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)
    length = float(np.linalg.norm(area))
    if length == 0:
        raise GeometryError("expected contours that enclose an area, found none")
    normal = np.asarray(area) / length
    leading = int(np.argmax(np.abs(normal)))
    normal = normal * np.sign(normal[leading])
    across = np.eye(3)[0 if leading != 0 else 1]
    column = across - normal * float(across @ normal)
    column /= np.linalg.norm(column)
    return _triple(normal), _triple(np.cross(normal, column)), _triple(column)


def contours_by_plane(contours: Sequence[Contour], normal: Vector3) -> Planes:
    """Return closed contours by their place along the normal, in mm.

    Raises
    ------
    GeometryError : none is closed, or one does not lie across the normal.
    """
    closed = closed_contours(contours)
    if not closed:
        raise GeometryError("expected closed contours, found none")
    points, starts = _stacked(closed)
    heights = points @ np.asarray(normal)
    extents = _ranges(points, starts).max(axis=1)
    if (_ranges(heights, starts) > np.maximum(_PARALLEL * extents, 0.1)).any():
        raise GeometryError("expected contours in parallel planes, found others")
    places = np.add.reduceat(heights, starts) / np.diff([*starts, len(points)])
    planes: dict[float, list[Contour]] = {}
    for contour, place in zip(closed, places.tolist(), strict=True):
        planes.setdefault(round(place, _PLANE_DIGITS), []).append(contour)
    return planes


def plane_spacing_mm(planes: Planes) -> float | None:
    """Return the usual distance of neighbouring planes; None of a single one."""
    gaps = np.diff(sorted(planes))
    gaps = gaps[gaps > 10**-_PLANE_DIGITS]
    return float(np.median(gaps)) if len(gaps) else None


def _stacked(contours: Sequence[Contour]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the points of all contours, and where each one starts in them."""
    starts = np.cumsum([0, *(len(contour.points_mm) for contour in contours[:-1])])
    return np.concatenate([contour.points_mm for contour in contours]), starts


def _ranges(values: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return greatest less least value of each contour."""
    most, least = np.maximum.reduceat(values, starts), np.minimum.reduceat(values, starts)
    return np.asarray(most - least)


def _triple(values: NDArray[np.float64]) -> Vector3:
    return (float(values[0]), float(values[1]), float(values[2]))
