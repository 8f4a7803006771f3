"""Labelled performance: has a calibrated probability of an event stopped meaning what it says?

The alternative is a recalibration of the frozen model: its log-odds x are still ordered as
before, but the log-odds of the event are a + b x.  A slope b near 0 is a model that no longer
tells patients apart (AUC 0.55); a shift of a alone is a prevalence that moved.

    factor = (q / p)^y * ((1 - q) / (1 - p))^(1 - y),   q = sigma(a + b x),  p = sigma(x)

Its expectation under y ~ p is exactly 1 at every x, whichever patients come: the case mix may
change without an alarm.  Slopes turn about the prevalence, a = (1 - b) logit(prevalence), so that
the mean risk stays.

What it cannot see: a score that is wrong in one subgroup and right on average (give each
subgroup its own detector under one bound), and a change of cases that leaves y given x as it is.
The premise is calibration at the site: `fit_calibration` fits it on a local window first, and
that window is not used again.

Source: PERFORMANCE.md note 7; Cox 1958 (calibration intercept and slope); likelihood ratio as
e-value: Grünwald, de Heide and Koolen 2024, "Safe testing", JRSS B 86; sums.py.

Read next: `labels.py` for labels that arrive late, twice or out of order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from audit.errors import SuiteError
from governance.monitoring.sums import FloatArray

SLOPES = (0.0, 0.2, 0.4, 0.6)
"""Slopes of the alternatives (PERFORMANCE.md note 7: 0 to 0.6)."""
SHIFTS = (-1.0, 1.0)
"""Shifts of the log-odds at slope 1: events about half or twice as likely as stated."""
SHIFT_WEIGHT = 0.1
MARGIN = 1e-6
"""Probabilities are kept this far from 0 and 1, as no finite evidence supports more."""
_STEPS = 50
_LEAST = 20


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Detector of a changed relation between stated and observed risk.

    Parameters
    ----------
    prevalence : share of events in the window that calibration was fitted on.
    intercept, slope : of the local window (`fit_calibration`), through which every stated
        probability is read; 0 and 1 for a model that is calibrated as it is.

    Examples
    --------
    >>> float(round(Recalibration(0.3).weights.sum(), 9))
    1.0
    """

    prevalence: float
    slopes: tuple[float, ...] = SLOPES
    shifts: tuple[float, ...] = SHIFTS
    shift_weight: float = SHIFT_WEIGHT
    intercept: float = 0.0
    slope: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.prevalence < 1 or not self.slopes or not 0 <= self.shift_weight < 1:
            raise SuiteError("expected a prevalence between 0 and 1, slopes, and a weight below 1")

    @property
    def weights(self) -> FloatArray:
        """Return the weights: equal among slopes, equal among shifts."""
        shared = self.shift_weight if self.shifts else 0.0
        slopes = np.full(len(self.slopes), (1 - shared) / len(self.slopes))
        return np.concatenate(
            [slopes, np.full(len(self.shifts), shared / max(1, len(self.shifts)))]
        )

    def factors(self, value: FloatArray) -> FloatArray:
        """Return the likelihood ratios of cases (..., 2): stated probability, label 0 or 1."""
        stated = logit(np.clip(value[..., 0], MARGIN, 1 - MARGIN))[..., np.newaxis]
        x = self.intercept + self.slope * stated
        event = value[..., 1, np.newaxis] > 0.5
        pivot = logit(self.prevalence)
        slopes = np.asarray(self.slopes)
        moved = np.concatenate(
            [(1 - slopes) * pivot + slopes * x, x + np.asarray(self.shifts)], axis=-1
        )
        ratio = np.where(event, expit(moved) / expit(x), expit(-moved) / expit(-x))
        return np.asarray(ratio)


def fit_calibration(probabilities: FloatArray, labels: FloatArray) -> tuple[float, float]:
    """Return intercept and slope of the log-odds on a local window, by maximum likelihood.

    Raises
    ------
    SuiteError : fewer than 20 patients, or only one outcome among them: nothing can be fitted.
    """
    y = np.asarray(labels, dtype=np.float64)
    if y.size < _LEAST or not 0 < y.sum() < y.size:
        raise SuiteError(
            f"expected {_LEAST} patients with both outcomes, found {y.size} with {int(y.sum())}",
            advice="Collect more outcomes before this monitor is started.",
        )
    x = logit(np.clip(np.asarray(probabilities, dtype=np.float64), MARGIN, 1 - MARGIN))
    design = np.stack([np.ones_like(x), x], axis=1)
    found = np.array([0.0, 1.0])
    ridge = 1e-3 * np.eye(2)  # Newton stays finite where the outcomes are separated
    for _ in range(_STEPS):
        p = expit(design @ found)
        gradient = design.T @ (y - p) - ridge @ (found - np.array([0.0, 1.0]))
        hessian = design.T @ (design * (p * (1 - p))[:, np.newaxis]) + ridge
        step = np.linalg.solve(hessian, gradient)
        found = found + np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < 1e-10:
            break
    return float(found[0]), float(found[1])


def recalibrate(probability: float, intercept: float, slope: float) -> float:
    """Return a stated probability as the local window reads it.

    Examples
    --------
    >>> round(recalibrate(0.3, 0.0, 1.0), 6)
    0.3
    """
    return float(expit(intercept + slope * logit(np.clip(probability, MARGIN, 1 - MARGIN))))
