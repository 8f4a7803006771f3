"""Overlap, surface, volume and place of a contour against its reference standard.

Masks are boolean (frames, rows, columns) on one grid; spacing is in millimetres along the same
axes, so that a tolerance is one in space and not in voxels. Surfaces are marching-cubes pieces
weighted by their area (`models/physics/surface.py`). Besides what is usual, the share of the
reference that lies farther than a radius from the contour is kept for a ladder of radii: from
these alone conformal margins are computed later, without any mask:

    missed_share_at_R = |{x in reference : distance(x, contour) > R}| / |reference|

The numerics are called through their module, so that the conformance pack sees what is installed.

Read next: `dose.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.physics import agreement, distance
from validation.metrics.terms import Metric

BoolArray = NDArray[np.bool_]
Spacing = tuple[float, float, float]

TOLERANCE_MM = 3.0
"""Of the surface DSC: about one planning CT slice."""
MARGINS_MM = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
"""Radii that a margin may be chosen from; 20 mm is a wide clinical margin of limb sarcoma."""

_RELOADED = "Maier-Hein et al. 2024, Metrics Reloaded, doi 10.1038/s41592-023-02151-z"
_NIKOLOV = "Nikolov et al. 2021, doi 10.2196/26151"
_CRC = "Angelopoulos et al. 2024, Conformal Risk Control, arXiv:2208.02814"
_PLACE = "difference of the centroids along one axis of the grid; NaN where a mask is empty"

METRICS = (
    Metric("dsc", "DSC", "", "higher", "2 |A and B| / (|A| + |B|); NaN where both are empty",
           "Dice 1945, doi 10.2307/1932409"),
    Metric("nsd_3mm", "Surface DSC, 3 mm", "", "higher",
           "share of both surfaces' area within 3 mm of the other; 0 where one mask is empty, "
           "NaN where both are", _NIKOLOV),
    Metric("hd95_mm", "HD95", "mm", "lower",
           "the larger of both directions' 95th percentiles of surface distance, by area; infinite "
           "where one mask is empty", _RELOADED),
    Metric("assd_mm", "ASSD", "mm", "lower",
           "mean distance of both surfaces, by area; infinite where one mask is empty", _RELOADED),
    Metric("added_path_length_mm", "Added path length", "mm", "lower",
           "length of the reference's outline, slice by slice, that the contour does not have",
           "Vaassen et al. 2020, doi 10.1016/j.phro.2019.12.001"),
    Metric("volume_ml", "Volume", "ml", "none", "voxels of the contour times their volume",
           _RELOADED),
    Metric("reference_ml", "Reference volume", "ml", "none",
           "voxels of the reference times their volume", _RELOADED),
    Metric("volume_error_ml", "Volume error", "ml", "zero", "contour minus reference", _RELOADED),
    Metric("absolute_volume_error_percent", "Absolute volume error", "%", "lower",
           "|contour minus reference| / reference; NaN where the reference is empty", _RELOADED),
    Metric("centroid_error_frame_voxels", "Centroid error, frames", "voxel", "zero", _PLACE,
           "suite: geometry known-answer test"),
    Metric("centroid_error_row_voxels", "Centroid error, rows", "voxel", "zero", _PLACE,
           "suite: geometry known-answer test"),
    Metric("centroid_error_column_voxels", "Centroid error, columns", "voxel", "zero", _PLACE,
           "suite: geometry known-answer test"),
    *(Metric(f"missed_share_at_{radius}mm", f"Missed beyond {radius} mm", "", "lower",
             f"share of the reference farther than {radius} mm from the contour; 1 where the "
             "contour is empty", _CRC) for radius in MARGINS_MM),
)  # fmt: skip


def score_segmentation(
    mask: BoolArray, reference: BoolArray, spacing_mm: Spacing
) -> dict[str, float]:
    """Return overlap, surface, volume and place of a mask against a reference, by name.

    Raises
    ------
    ValueError : the masks differ in shape, or a spacing is not positive.
    """
    far = agreement.surface_distances(mask, reference, spacing_mm)
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    volume, truth = float(mask.sum()) * voxel_ml, float(reference.sum()) * voxel_ml
    shift = _centroid(mask) - _centroid(reference)
    error = volume - truth
    return {
        "dsc": agreement.dsc(mask, reference),
        "nsd_3mm": agreement.nsd(far, TOLERANCE_MM),
        "hd95_mm": agreement.hausdorff_mm(far),
        "assd_mm": agreement.assd_mm(far),
        "added_path_length_mm": agreement.added_path_length_mm(mask, reference, spacing_mm),
        "volume_ml": volume,
        "reference_ml": truth,
        "volume_error_ml": error,
        "absolute_volume_error_percent": 100.0 * abs(error) / truth if truth else float("nan"),
        "centroid_error_frame_voxels": float(shift[0]),
        "centroid_error_row_voxels": float(shift[1]),
        "centroid_error_column_voxels": float(shift[2]),
    }


def missed_shares(mask: BoolArray, reference: BoolArray, spacing_mm: Spacing) -> dict[str, float]:
    """Return the missed share of the reference at each radius of `MARGINS_MM`."""
    if not mask.any() or not reference.any():
        share = 1.0 if reference.any() else 0.0
        return {f"missed_share_at_{radius}mm": share for radius in MARGINS_MM}
    places = np.argwhere(mask | reference)
    box = tuple(slice(int(low), int(high) + 1) for low, high in zip(
        places.min(axis=0), places.max(axis=0), strict=True))  # fmt: skip
    away = distance.distance_mm(mask[box], spacing_mm)[reference[box]]
    return {f"missed_share_at_{radius}mm": float(np.mean(away > radius)) for radius in MARGINS_MM}


def _centroid(mask: BoolArray) -> NDArray[np.float64]:
    places = np.argwhere(mask)
    if not len(places):
        return np.full(3, np.nan)
    return np.asarray(places.mean(axis=0), np.float64)
