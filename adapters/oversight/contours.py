"""Two regions on one grid, and the numbers between them (`ContourComparison`).

The grid lies in the planes of our own contours; frames are as close as the closer of both
sets of planes.  A plane stands for half the distance to its neighbours, as in the archive's
images, so that a set that was drawn on other or fewer slices can be compared too.

Read next: `governance/oversight/comparison.py`, `models/physics/agreement.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapters.rt.contour_planes import (
    Planes,
    closed_contours,
    contours_by_plane,
    plane_axes,
    plane_spacing_mm,
)
from adapters.rt.raster import mask_from_contours
from governance.oversight.assessment import Figures
from governance.oversight.comparison import Region
from models.physics.agreement import Difference, centre_shift_mm, compare_masks
from plugins.host.images import Contour, Geometry, RegionOfInterest, Vector3

PIXEL_MM = 1.0
MARGIN_MM = 4.0
LARGEST_GRID = 60_000_000

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MaskComparison:
    """Compares regions of contours; fulfils `ContourComparison`.

    Raises
    ------
    GeometryError : contours that are not parallel to ours.
    """

    tolerance_mm: float

    def overlap(self, ours: Region, theirs: Region) -> float:
        """Return the DSC of two regions."""
        first, second, _ = common_masks(_contours(ours), _contours(theirs))
        total = int(first.sum()) + int(second.sum())
        return 2.0 * int((first & second).sum()) / total if total else 0.0

    def figures(self, ours: Region, theirs: Region) -> Figures:
        """Return every figure of two regions."""
        first, second, spacing_mm = common_masks(_contours(ours), _contours(theirs))
        found = compare_masks(first, second, spacing_mm, self.tolerance_mm)
        along = centre_shift_mm(first, second, spacing_mm)
        axes = np.asarray(plane_axes(_contours(ours)))
        return figures_of(found, None if along is None else _triple(np.asarray(along) @ axes))


def regions(rois: Iterable[RegionOfInterest]) -> tuple[Region, ...]:
    """Return the regions of a structure set that have closed contours."""
    return tuple(
        Region(roi.name, roi.interpreted_type, roi.contours)
        for roi in rois
        if closed_contours(roi.contours)
    )


def figures_of(found: Difference, shift_mm: Vector3 | None) -> Figures:
    """Return a difference as an assessment keeps it: six digits, shifts in LPS to a micrometre."""
    x, y, z = (None, None, None) if shift_mm is None else (round(value, 3) for value in shift_mm)
    return Figures(
        dsc=round(found.dsc, 6),
        surface_dice=_rounded(found.surface_dice),
        tolerance_mm=found.tolerance_mm,
        hd95_mm=_rounded(found.hd95_mm),
        added_path_length_mm=round(found.added_path_length_mm, 3),
        volume_difference_ml=round(found.volume_difference_ml, 6),
        volume_ml=round(found.volume_ml, 6),
        shift_x_mm=x,
        shift_y_mm=y,
        shift_z_mm=z,
    )


def common_masks(ours: Sequence[Contour], theirs: Sequence[Contour]) -> tuple[Mask, Mask, Vector3]:
    """Return two regions as masks of one grid, and its spacing in mm."""
    axes = plane_axes(ours)
    sides = [contours_by_plane(side, axes[0]) for side in (ours, theirs)]
    steps = [plane_spacing_mm(side) for side in sides]
    step = min((value for value in steps if value), default=PIXEL_MM)
    points = np.concatenate([contour.points_mm for side in (ours, theirs) for contour in side])
    place = points @ np.asarray(axes).T
    low, high = place.min(axis=0) - MARGIN_MM, place.max(axis=0) + MARGIN_MM
    first_plane = min(sides[0])
    low[0] = first_plane - step * np.ceil((first_plane - low[0]) / step)
    pixel = PIXEL_MM
    while True:
        spacing = (step, pixel, pixel)
        shape = tuple(int(n) for n in np.ceil((high - low) / spacing) + 1)
        if np.prod(shape, dtype=np.float64) <= LARGEST_GRID:
            break
        pixel *= 2
    geometry = Geometry(
        (shape[0], shape[1], shape[2]), spacing, _triple(low @ np.asarray(axes)), axes, "common"
    )
    masks = [
        _mask(side, value or step, geometry, float(low[0]))
        for side, value in zip(sides, steps, strict=True)
    ]
    return masks[0], masks[1], spacing


def _mask(planes: Planes, reach_mm: float, geometry: Geometry, first_mm: float) -> Mask:
    """Return the mask of a region whose planes stand for half their distance to both sides."""
    mask = np.zeros(geometry.shape, dtype=np.bool_)
    offsets = np.array(sorted(planes))
    drawn: dict[float, Mask] = {}
    for frame in range(geometry.shape[0]):
        height = first_mm + frame * geometry.spacing_mm[0]
        nearest = float(offsets[int(np.argmin(np.abs(offsets - height)))])
        if abs(nearest - height) > reach_mm / 2 + 1e-3:
            continue
        if nearest not in drawn:
            drawn[nearest] = _drawn(planes[nearest], geometry, nearest - first_mm)
        mask[frame] = drawn[nearest]
    return mask


def _drawn(contours: Sequence[Contour], geometry: Geometry, above_mm: float) -> Mask:
    """Return one plane of the grid with the contours that lie in it."""
    origin = np.asarray(geometry.origin_mm) + above_mm * np.asarray(geometry.axes[0])
    plane = Geometry(
        (1, geometry.shape[1], geometry.shape[2]),
        geometry.spacing_mm,
        _triple(origin),
        geometry.axes,
        geometry.frame_of_reference_uid,
    )
    mask: Mask = mask_from_contours(contours, plane)[0]
    return mask


def _contours(region: Region) -> Sequence[Contour]:
    contours: Sequence[Contour] = region.shape
    return contours


def _triple(values: NDArray[np.float64]) -> Vector3:
    return (float(values[0]), float(values[1]), float(values[2]))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
