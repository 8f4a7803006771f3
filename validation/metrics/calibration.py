"""Whether what was foretold comes true as often as it was said.

Intercept and slope are those of the logistic recalibration  logit P(y) = a + b logit(p); the
intercept "in the large" is a with b = 1. A slope below one means predictions too extreme.

Source: Van Calster et al. 2019, BMC Medicine 17:230, doi 10.1186/s12916-019-1466-7.

Read next: `survival.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit

from validation.metrics.terms import Metric

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_VAN_CALSTER = "Van Calster et al. 2019, doi 10.1186/s12916-019-1466-7"
_INSIDE = 1e-12
"""Probabilities of 0 and 1 are moved inside by this before a logarithm is taken."""
METRICS = (
    Metric("brier", "Brier score", "", "lower", "mean of (p - y)^2",
           "Brier 1950, Mon Weather Rev 78:1"),
    Metric("ece", "Expected calibration error", "", "lower",
           "mean |observed - foretold| over ten bins of equal count, by their share",
           "Naeini et al. 2015, AAAI; bins of equal count"),
    Metric("calibration_slope", "Calibration slope", "", "none",
           "b of logit P(y) = a + b logit(p); 1 is ideal; NaN where the classes are separated or "
           "one is missing", _VAN_CALSTER),
    Metric("calibration_in_the_large", "Calibration in the large", "", "zero",
           "a of logit P(y) = a + logit(p); NaN with one class", _VAN_CALSTER),
)  # fmt: skip


def score_calibration(
    truth: BoolArray, probability: FloatArray, bins: int = 10
) -> dict[str, float]:
    """Return Brier score, ECE, slope and intercept of probabilities (N,) for a truth (N,).

    Raises
    ------
    ValueError : sizes differ, or a probability lies outside 0 to 1.
    """
    inside = bool(((probability >= 0) & (probability <= 1)).all())
    if truth.shape != probability.shape or truth.ndim != 1 or not inside:
        raise ValueError(f"expected {truth.shape} probabilities, found {probability.shape}")
    outcome = truth.astype(np.float64)
    return {
        "brier": float(np.mean((probability - outcome) ** 2)),
        "ece": expected_error(outcome, probability, bins),
        "calibration_slope": slope(outcome, probability),
        "calibration_in_the_large": in_the_large(outcome, probability),
    }


def expected_error(outcome: FloatArray, probability: FloatArray, bins: int) -> float:
    """Return the expected calibration error over bins of equal count."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [len(p) * abs(outcome[p].mean() - probability[p].mean()) for p in parts]
    return float(sum(gaps) / len(outcome))


def slope(outcome: FloatArray, probability: FloatArray) -> float:
    """Return the slope of the logistic recalibration by maximum likelihood."""
    odds = _logit(probability)
    positive, negative = odds[outcome > 0], odds[outcome == 0]
    if not len(positive) or not len(negative) or np.ptp(odds) == 0:
        return float("nan")
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return float("nan")

    def loss(values: FloatArray) -> tuple[float, FloatArray]:
        line = values[0] + values[1] * odds
        error = expit(line) - outcome
        likelihood = float(np.sum(np.logaddexp(0.0, line) - outcome * line))
        return likelihood, np.array([error.sum(), (error * odds).sum()])

    found = minimize(loss, np.array([0.0, 1.0]), jac=True, method="BFGS", options={"gtol": 1e-9})
    return float(found.x[1])


def in_the_large(outcome: FloatArray, probability: FloatArray) -> float:
    """Return by how much the log odds have to be raised for the mean to come true."""
    odds, mean = _logit(probability), float(outcome.mean())
    if not 0.0 < mean < 1.0:
        return float("nan")
    return float(brentq(lambda a: float(expit(odds + a).mean()) - mean, -60.0, 60.0, xtol=1e-12))


def _logit(probability: FloatArray) -> FloatArray:
    return np.asarray(logit(np.clip(probability, _INSIDE, 1 - _INSIDE)), np.float64)
