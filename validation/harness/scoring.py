"""What one answer is worth against the reference standard of its case.

Besides the metrics of `validation/metrics` it keeps what conformal margins are later computed
from without any mask: the share of the reference that lies farther than a radius from the
contour, for a ladder of radii, and what the plugin itself said of its certainty.

    missed_share_at_R = |{x in reference : distance(x, contour) > R}| / |reference|

Source: Angelopoulos et al. 2024, Conformal Risk Control (the loss is monotone in R).

Read next: `evaluate.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from audit import canonical
from audit.errors import RefusalError
from governance.release import digest_of
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
PACK = "osteon-harness/1"
EXACT = 1e-9
"""Double precision on a few hundred voxels."""
BoolArray = NDArray[np.bool_]


class MetricDriftError(RefusalError):
    """The harness's own metrics give other values than they must."""

    code = "METRIC_DRIFT"
    advice = "Do not certify with this installation; install the pinned libraries again."


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


def metric_pack() -> str:
    """Return which metrics measured, after they gave the exact values of two boxes.

    Boxes of 4 x 4 x 4 voxels of 2 mm, one moved by two voxels along the frames: DSC 1/2,
    volumes 0.512 ml, shift 2 voxels, half of the reference missed at 0 mm, a quarter at 2 mm.

    Raises
    ------
    MetricDriftError : a metric gave another value.
    """
    reference = np.zeros((12, 12, 12), dtype=bool)
    reference[3:7, 4:8, 4:8] = True
    moved = np.roll(reference, 2, axis=0)
    spacing = (2.0, 2.0, 2.0)
    found = score_segmentation(moved, reference, spacing) | missed_shares(moved, reference, spacing)
    exact = {
        "dsc": 0.5,
        "volume_ml": 0.512,
        "reference_ml": 0.512,
        "volume_error_ml": 0.0,
        "centroid_error_frame_voxels": 2.0,
        "centroid_error_row_voxels": 0.0,
        "centroid_error_column_voxels": 0.0,
        "missed_share_at_0mm": 0.5,
        "missed_share_at_2mm": 0.25,
        "missed_share_at_4mm": 0.0,
    }
    wrong = [name for name, value in exact.items() if abs(found[name] - value) > EXACT]
    if wrong:
        raise MetricDriftError(
            "expected the exact values of two boxes, found others",
            reasons=tuple(f"METRIC_DRIFT {name}" for name in wrong),
        )
    values = {name: round(value, 9) for name, value in sorted(found.items())}
    return f"{PACK} {digest_of(canonical.encode(values))}"


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


def bounds_held(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return as 1 or 0 whether what the plugin foretold of the case came true.

    ``dsc_bound_held``: the DSC is at least the lower end of its interval; ``volume_covered``:
    the reference volume lies in the interval of the volume.
    """
    found: dict[str, float] = {}
    if {"dsc", "uncertainty_low"} <= set(metrics):
        found["dsc_bound_held"] = float(metrics["dsc"] >= metrics["uncertainty_low"])
    if {"volume_low_ml", "reference_ml"} <= set(metrics):
        low, high = metrics["volume_low_ml"], metrics["volume_high_ml"]
        found["volume_covered"] = float(low <= metrics["reference_ml"] <= high)
    return found
