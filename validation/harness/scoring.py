"""What one answer is worth against the reference standard of its case.

The metrics are those of `validation/metrics/segmentation.py`; beside them stands what the plugin
itself said of its certainty.

Read next: `evaluate.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from plugins.host.findings import Measurement, Prediction, Segmentation
from plugins.host.ports import Answer
from validation.metrics.segmentation import missed_shares, score_segmentation

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
