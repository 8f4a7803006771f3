"""How far two masks of one grid differ: overlap, surface distances, path to draw.

The surface of a mask is the faces between its voxels and others.  A face of area a whose
axis makes the angle t with the surface normal stands for the area a |cos t|: over the three
axes of one piece of surface that adds up to the piece itself (the squares of a unit normal's
components sum to 1), so that a staircase counts as the smooth surface that it stands for.

    DSC            2 |A and B| / (|A| + |B|)                                   Dice 1945
    surface Dice   share of both surfaces that lies within the tolerance of the other
                                                                 Nikolov et al. 2021 (JMIR)
    HD95           larger of both directed 95th percentiles of the distance, by area
    added path     length of B's contour pixels that are not contour of A, in the planes
                                                                 Vaassen et al. 2020 (phiRO)

Distances are from face centre to face centre and so exact to half a voxel.

Read next: `governance/oversight/comparison.py`, which says what they are for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

_SMOOTHING_VOXELS = 1.5
"""Width over which the normal of a staircase is found."""
_PERCENTILE = 0.95

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Surface:
    """Pieces of the surface of a mask: centres in mm (n, 3) and areas in mm² (n,)."""

    points_mm: NDArray[np.float64]
    areas_mm2: NDArray[np.float64]

    @property
    def area_mm2(self) -> float:
        """Return the whole area."""
        return float(self.areas_mm2.sum())


@dataclass(frozen=True, slots=True)
class Difference:
    """How far mask B (the judge's) is from mask A (the one that is judged).

    Parameters
    ----------
    surface_dice : at ``tolerance_mm``; None, like ``hd95_mm``, where one mask is empty.
    volume_difference_ml : A minus B.
    """

    dsc: float
    surface_dice: float | None
    tolerance_mm: float
    hd95_mm: float | None
    added_path_length_mm: float
    volume_ml: float
    reference_volume_ml: float

    @property
    def volume_difference_ml(self) -> float:
        """Return how much larger the judged mask is."""
        return self.volume_ml - self.reference_volume_ml


def compare_masks(
    mask: Mask, reference: Mask, spacing_mm: Spacing, tolerance_mm: float
) -> Difference:
    """Return how a mask differs from the reference on the same grid.

    Parameters
    ----------
    spacing_mm : of frames, rows and columns.

    Raises
    ------
    ValueError : the masks have not the same three-dimensional shape.
    """
    if mask.shape != reference.shape or mask.ndim != 3:
        raise ValueError(f"expected two masks of one grid, found {mask.shape}, {reference.shape}")
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    counts = int(np.count_nonzero(mask)), int(np.count_nonzero(reference))
    common = int(np.count_nonzero(mask & reference))
    total = sum(counts)
    dice, hd95 = _distances(mask, reference, spacing_mm, tolerance_mm)
    return Difference(
        dsc=2.0 * common / total if total else 1.0,
        surface_dice=dice,
        tolerance_mm=tolerance_mm,
        hd95_mm=hd95,
        added_path_length_mm=added_path_length(mask, reference, spacing_mm),
        volume_ml=counts[0] * voxel_ml,
        reference_volume_ml=counts[1] * voxel_ml,
    )


def surface_of(mask: Mask, spacing_mm: Spacing) -> Surface:
    """Return the surface of a mask; what lies outside the grid counts as outside the mask."""
    padded = np.pad(mask, 2)
    smooth = ndimage.gaussian_filter(padded.astype(np.float32), _SMOOTHING_VOXELS)
    slopes = np.stack([np.gradient(smooth, step, axis=i) for i, step in enumerate(spacing_mm)])
    length = np.maximum(np.sqrt((slopes**2).sum(axis=0)), 1e-12)
    points, areas = [], []
    for axis, step in enumerate(spacing_mm):
        low = np.argwhere(np.diff(padded.view(np.int8), axis=axis))
        high = low.copy()
        high[:, axis] += 1
        area = float(np.prod(spacing_mm)) / step
        share = 0.5 * sum(
            np.abs(slopes[axis][tuple(side.T)]) / length[tuple(side.T)] for side in (low, high)
        )
        centre = (low + high) / 2.0 - 2.0
        points.append(centre * np.asarray(spacing_mm))
        areas.append(area * share)
    return Surface(np.concatenate(points), np.concatenate(areas).astype(np.float64))


def added_path_length(mask: Mask, reference: Mask, spacing_mm: Spacing) -> float:
    """Return the length in mm of the reference's contour that the mask's does not give."""
    added = _contours(reference) & ~_contours(mask)
    return float(np.count_nonzero(added)) * (spacing_mm[1] + spacing_mm[2]) / 2.0


def _contours(mask: Mask) -> Mask:
    """Return the pixels of each plane that touch the outside in it."""
    cross = np.zeros((3, 3, 3), dtype=np.bool_)
    cross[1, 1, :] = cross[1, :, 1] = True
    return np.asarray(mask & ~ndimage.binary_erosion(mask, cross), dtype=np.bool_)


def _distances(
    mask: Mask, reference: Mask, spacing_mm: Spacing, tolerance_mm: float
) -> tuple[float | None, float | None]:
    """Return surface Dice and HD95; None where there is no surface to measure."""
    first, second = surface_of(mask, spacing_mm), surface_of(reference, spacing_mm)
    if not first.area_mm2 or not second.area_mm2:
        return None, None
    there = cKDTree(second.points_mm).query(first.points_mm)[0]
    back = cKDTree(first.points_mm).query(second.points_mm)[0]
    near = sum(
        float(side.areas_mm2[distance <= tolerance_mm].sum())
        for side, distance in ((first, there), (second, back))
    )
    hd95 = max(_percentile(side, distance) for side, distance in ((first, there), (second, back)))
    return near / (first.area_mm2 + second.area_mm2), hd95


def _percentile(surface: Surface, distance_mm: NDArray[np.float64]) -> float:
    """Return the distance that 95 % of the area keeps."""
    order = np.argsort(distance_mm)
    covered = np.cumsum(surface.areas_mm2[order]) / surface.area_mm2
    place = min(int(np.searchsorted(covered, _PERCENTILE)), len(order) - 1)
    return float(distance_mm[order][place])
