"""Discrimination of a probability or a decision, by scikit-learn where it defines the same.

A metric that its sample cannot define (one class alone, no positive decision) is NaN, never 0 or 1.

Read next: `calibration.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as kept

from validation.metrics.terms import Metric

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_STARD = "STARD 2015, doi 10.1136/bmj.h5527"
METRICS = (
    Metric("auc", "AUC", "", "higher",
           "probability that a positive gets the higher value than a negative, ties by half; NaN "
           "with one class", "Hanley and McNeil 1982, doi 10.1148/radiology.143.1.7063747"),
    Metric("average_precision", "Average precision", "", "higher",
           "sum over thresholds of precision times the step in recall; NaN without a positive",
           "scikit-learn, average_precision_score"),
    Metric("sensitivity", "Sensitivity", "", "higher", "true positives / positives", _STARD),
    Metric("specificity", "Specificity", "", "higher", "true negatives / negatives", _STARD),
    Metric("ppv", "Positive predictive value", "", "higher",
           "true positives / positive decisions", _STARD),
    Metric("npv", "Negative predictive value", "", "higher",
           "true negatives / negative decisions", _STARD),
    Metric("balanced_accuracy", "Balanced accuracy", "", "higher",
           "mean of sensitivity and specificity", "Brodersen et al. 2010, ICPR"),
    Metric("f1", "F1", "", "higher", "2 TP / (2 TP + FP + FN); NaN without any positive",
           "van Rijsbergen 1979"),
)  # fmt: skip


def score_probabilities(truth: BoolArray, probability: FloatArray) -> dict[str, float]:
    """Return AUC and average precision of values (N,) for a binary truth (N,).

    Raises
    ------
    ValueError : sizes differ or a value is not finite.
    """
    _check(truth, probability)
    both = bool(truth.any() and not truth.all())
    return {
        "auc": float(kept.roc_auc_score(truth, probability)) if both else float("nan"),
        "average_precision": (
            float(kept.average_precision_score(truth, probability)) if truth.any() else float("nan")
        ),
    }


def score_decisions(truth: BoolArray, decided: BoolArray) -> dict[str, float]:
    """Return what decisions (N,) are worth against a binary truth (N,).

    Raises
    ------
    ValueError : sizes differ.
    """
    _check(truth, decided.astype(np.float64))
    hit, missed = int((truth & decided).sum()), int((truth & ~decided).sum())
    false, quiet = int((~truth & decided).sum()), int((~truth & ~decided).sum())
    sensitivity, specificity = _share(hit, hit + missed), _share(quiet, quiet + false)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": _share(hit, hit + false),
        "npv": _share(quiet, quiet + missed),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "f1": _share(2 * hit, 2 * hit + false + missed),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _check(truth: BoolArray, values: FloatArray) -> None:
    if truth.shape != values.shape or truth.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"expected {truth.shape} finite values, found {values.shape}")
