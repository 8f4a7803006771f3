"""Gamma passing rates with the universal and the process limits of AAPM TG-218.

Universal: 3 %/2 mm, global, 10 % cutoff; tolerance 95 %, action 90 %. From a clinic's own history
the action limit follows the width of the process:

    action = 100 % - beta sqrt(s^2 + (mean - 100 %)^2) / 2,  beta = 6

and the tolerance limit is the lower limit of an individuals chart, mean - 2.660 mean |difference of
neighbours|. Both are made from at least twenty plans in control.

Source: Miften et al. 2018, Med Phys 45:e53, doi 10.1002/mp.12810.

Read next: `registry.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.physics import gamma
from validation.metrics.terms import Metric

FloatArray = NDArray[np.float64]
DOSE_PERCENT, DISTANCE_MM, CUTOFF_PERCENT = 3.0, 2.0, 10.0
TOLERANCE, ACTION = 95.0, 90.0
BETA, CHART = 6.0, 2.660
LEAST_PLANS = 20

_TG218 = "AAPM TG-218, Miften et al. 2018, doi 10.1002/mp.12810"
METRICS = (
    Metric("gamma_pass_percent", "Gamma passing rate", "%", "higher",
           "share of judged points with gamma at most 1, 3 %/2 mm global, cutoff 10 %; NaN "
           "where no point is judged", _TG218),
    Metric("gamma_mean", "Mean gamma", "", "lower", "mean over judged points", _TG218),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """Hold a tolerance and an action limit, in percent of points that pass."""

    tolerance: float = TOLERANCE
    action: float = ACTION

    def verdict(self, passing: float) -> str:
        """Return ``pass``, ``investigate`` (below tolerance) or ``act`` (below action, or NaN)."""
        if not passing >= self.action:
            return "act"
        return "pass" if passing >= self.tolerance else "investigate"


def score_gamma(
    reference_gy: FloatArray,
    evaluated_gy: FloatArray,
    spacing_mm: tuple[float, float, float],
    *,
    dose_percent: float = DOSE_PERCENT,
    distance_mm: float = DISTANCE_MM,
    cutoff_percent: float = CUTOFF_PERCENT,
) -> dict[str, float]:
    """Return passing rate and mean gamma of two doses on one grid, global normalisation."""
    criteria = gamma.GammaCriteria(dose_percent, distance_mm, cutoff_percent)
    found = gamma.gamma_index(reference_gy, evaluated_gy, gamma.same_grid(spacing_mm), criteria)
    judged = found[~np.isnan(found)]
    if not len(judged):
        return {"gamma_pass_percent": float("nan"), "gamma_mean": float("nan")}
    return {
        "gamma_pass_percent": 100.0 * float(np.mean(judged <= 1.0)),
        "gamma_mean": float(judged.mean()),
    }


def process_limits(passing: Sequence[float]) -> Limits:
    """Return the limits of a clinic's own process, never laxer than the universal action limit.

    Raises
    ------
    ValueError : fewer than twenty plans, or a rate outside 0 to 100.
    """
    rates = np.asarray(passing, np.float64)
    if len(rates) < LEAST_PLANS or not ((rates >= 0) & (rates <= 100)).all():
        raise ValueError(f"expected at least {LEAST_PLANS} rates from 0 to 100, found {len(rates)}")
    width = BETA * float(np.sqrt(rates.var(ddof=1) + (rates.mean() - 100.0) ** 2))
    action = max(100.0 - width / 2, ACTION)
    tolerance = float(rates.mean()) - CHART * float(np.abs(np.diff(rates)).mean())
    return Limits(max(tolerance, action), action)
