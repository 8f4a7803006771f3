"""What one answer is worth against the reference standard of its case.

Besides the metrics of `validation/metrics` it keeps what conformal margins are later computed
from without any mask: the share of the reference that lies farther than a radius from the
contour, for a ladder of radii, and what the plugin itself said of its certainty.

    missed_share_at_R = |{x in reference : distance(x, contour) > R}| / |reference|

Source: Angelopoulos et al. 2024, Conformal Risk Control (the loss is monotone in R).

Read next: `evaluate.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.physics.agreement import (
    added_path_length_mm,
    assd_mm,
    dsc,
    hausdorff_mm,
    nsd,
    surface_distances,
)
from plugins.host.findings import Measurement, Prediction, Segmentation
from plugins.host.ports import Answer

MARGINS_MM = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
"""Radii that a margin may be chosen from; 20 mm is a wide clinical margin of limb sarcoma."""
BoolArray = NDArray[np.bool_]


def segmentation_of(prediction: Prediction) -> Segmentation | None:
    """Return the first region of an answer; None where it gives none."""
    return next((item for item in prediction.findings if isinstance(item, Segmentation)), None)


def score(
    found: Segmentation, reference: BoolArray, spacing_mm: Sequence[float]
) -> dict[str, float]:
    """Return the metrics of a contour, by name; NaN where one is not defined."""
    spacing = (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
    return score_segmentation(found.mask, reference, spacing) | missed_shares(
        found.mask, reference, spacing
    )


def score_segmentation(
    mask: BoolArray, reference: BoolArray, spacing_mm: tuple[float, float, float]
) -> dict[str, float]:
    """Return overlap, surface and volume metrics of a mask against a reference."""
    far = surface_distances(mask, reference, spacing_mm)
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    volume, truth = float(mask.sum()) * voxel_ml, float(reference.sum()) * voxel_ml
    shift = np.argwhere(mask).mean(axis=0) - np.argwhere(reference).mean(axis=0)
    error = volume - truth
    return {
        "dsc": dsc(mask, reference),
        "nsd_3mm": nsd(far, 3.0),
        "hd95_mm": hausdorff_mm(far),
        "assd_mm": assd_mm(far),
        "added_path_length_mm": added_path_length_mm(mask, reference, spacing_mm),
        "volume_ml": volume,
        "reference_ml": truth,
        "volume_error_ml": error,
        "absolute_volume_error_percent": 100.0 * abs(error) / truth,
        "centroid_error_frame_voxels": float(shift[0]),
        "centroid_error_row_voxels": float(shift[1]),
        "centroid_error_column_voxels": float(shift[2]),
    }


def missed_shares(
    mask: BoolArray, reference: BoolArray, spacing_mm: tuple[float, float, float]
) -> dict[str, float]:
    """Return the missed share of the reference at each margin of `MARGINS_MM`."""
    if not mask.any():
        return {f"missed_share_at_{radius}mm": 1.0 for radius in MARGINS_MM}
    box = ndimage.find_objects((mask | reference).astype(np.int8))[0]
    away = ndimage.distance_transform_edt(~mask[box], sampling=spacing_mm)[reference[box]]
    return {f"missed_share_at_{radius}mm": float(np.mean(away > radius)) for radius in MARGINS_MM}


def said(answer: Answer) -> dict[str, float]:
    """Return what the plugin said of itself, as numbers: certainty, intervals, faithfulness."""
    uncertainty = answer.prediction.uncertainty
    found = {
        "uncertainty_score": uncertainty.score,
        "uncertainty_low": uncertainty.interval[0],
        "uncertainty_high": uncertainty.interval[1],
    }
    region = segmentation_of(answer.prediction)
    for item in region.measurements if region else ():
        if isinstance(item, Measurement) and item.unit == "ml" and item.interval:
            found |= {"volume_low_ml": item.interval[0], "volume_high_ml": item.interval[1]}
    if answer.explanation is not None:
        found |= {f"explanation_{k}": v for k, v in sorted(answer.explanation.faithfulness.items())}
    return {name: float(value) for name, value in found.items()}
