"""Discrimination and calibration of a risk when some have not been followed to the end.

Own code, since scikit-survival may not be part of the suite (GPL); the conformance pack has its
values, worked out by hand, and without censoring it gives the plain figures.

    C      pairs in which the one who failed first had the higher risk, of all comparable pairs
    AUC(t) cumulative cases (failed by t) against controls (alive after t), cases weighted by the
           inverse probability of having been observed
    BS(t)  mean weighted squared error of the survival foretold at t
    C_tau  C whose pairs are weighted by 1/G², which does not depend on who was censored when
    IBS    mean of BS(t) over a span of time

Source: Harrell et al. 1996, Stat Med 15:361; Uno et al. 2007, JASA 102:527 (AUC); Uno et al. 2011,
Stat Med 30:1105 (C_tau); Graf et al. 1999, Stat Med 18:2529 (Brier score).

Read next: `registration.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.metrics.terms import Metric

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

METRICS = (
    Metric("c_index", "Concordance", "", "higher",
           "concordant of comparable pairs, ties of risk by half; a pair is comparable when the "
           "earlier time is an event; NaN without one",
           "Harrell et al. 1996, Stat Med 15:361"),
    Metric("auc_at_t", "Time-dependent AUC", "", "higher",
           "cases failed by t against those still followed after t, weighted by 1/G(time-)",
           "Uno et al. 2007, JASA 102:527"),
    Metric("brier_at_t", "Brier score at t", "", "lower",
           "squared error of S(t), failures weighted by 1/G(time-), survivors by 1/G(t)",
           "Graf et al. 1999, Stat Med 18:2529"),
    Metric("c_index_ipcw", "Concordance, censoring weighted", "", "higher",
           "as c_index, each pair weighted by 1/G(t-)² of its event; events before tau alone; NaN "
           "without a pair", "Uno et al. 2011, Stat Med 30:1105"),
    Metric("integrated_brier", "Integrated Brier score", "", "lower",
           "trapezoidal mean of brier_at_t over a span of times",
           "Graf et al. 1999, Stat Med 18:2529"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Followed:
    """Hold how long each patient was followed and whether the event came.

    Raises
    ------
    ValueError : sizes differ, or a time is negative or not finite.
    """

    time: FloatArray
    event: BoolArray

    def __post_init__(self) -> None:
        good = bool(np.isfinite(self.time).all() and (self.time >= 0).all())
        if self.time.shape != self.event.shape or self.time.ndim != 1 or not good:
            raise ValueError(f"expected times and events alike, found {self.time.shape}")


def c_index(followed: Followed, risk: FloatArray) -> float:
    """Return Harrell's C of a risk (N,), higher for an earlier event."""
    return _concordance(followed, risk, np.ones(len(risk)))


def c_index_ipcw(followed: Followed, risk: FloatArray, tau: float = float("inf")) -> float:
    """Return Uno's C of a risk (N,) for events before tau.

    C = Σ Δᵢ G(Tᵢ-)⁻² 1(Tᵢ < Tⱼ, Tᵢ < τ) 1(rᵢ > rⱼ) / Σ Δᵢ G(Tᵢ-)⁻² 1(Tᵢ < Tⱼ, Tᵢ < τ); ties of risk
    count by half, and a patient censored at the time of an event outlived it, as in `c_index`.
    Choose tau so that some are still followed after it: G is small where few are.
    """
    chosen = followed.event & (followed.time < tau)
    weight = np.zeros(len(risk))
    weight[chosen] = observed_before(followed, followed.time[chosen]) ** -2
    return _concordance(followed, risk, weight)


def _concordance(followed: Followed, risk: FloatArray, weight: FloatArray) -> float:
    """Return the share of concordant pairs, each weighted by its earlier patient's weight."""
    time, event = followed.time, followed.event
    # an event at a time comes before a censoring at the same time
    earlier = event[:, None] & (
        (time[:, None] < time) | ((time[:, None] == time) & ~event[None, :])
    )
    np.fill_diagonal(earlier, val=False)
    pairs = earlier * weight[:, None]
    total = float(pairs.sum())
    if not total:
        return float("nan")
    higher = (risk[:, None] > risk) + 0.5 * (risk[:, None] == risk)
    return float((higher * pairs).sum() / total)


def auc_at(followed: Followed, risk: FloatArray, moment: float) -> float:
    """Return the cumulative/dynamic AUC at a moment; NaN without a case or a control."""
    case = followed.event & (followed.time <= moment)
    control = followed.time > moment
    if not case.any() or not control.any():
        return float("nan")
    weight = 1.0 / observed_before(followed, followed.time[case])
    beats = (risk[case][:, None] > risk[control]) + 0.5 * (risk[case][:, None] == risk[control])
    return float((weight[:, None] * beats).sum() / (weight.sum() * control.sum()))


def brier_at(followed: Followed, survival: FloatArray, moment: float) -> float:
    """Return the Brier score of the foretold share alive (N,) at a moment."""
    failed = followed.event & (followed.time <= moment)
    alive = followed.time > moment
    total = np.zeros(len(survival))
    if failed.any():
        weight = observed_before(followed, followed.time[failed])
        total[failed] = survival[failed] ** 2 / weight
    if alive.any():
        weight = observed_before(followed, np.array([np.nextafter(moment, np.inf)]))
        total[alive] = (1 - survival[alive]) ** 2 / weight
    return float(total.mean())


def integrated_brier(followed: Followed, survival: FloatArray, moments: FloatArray) -> float:
    """Return the mean Brier score over the span of some moments.

    ∫ BS(t) dt / (t_last - t_first) by the trapezoidal rule.

    Parameters
    ----------
    survival : (N, moments), the share foretold to be alive at each.
    moments : rising, at least two.

    Raises
    ------
    ValueError : moments do not rise, or sizes differ.
    """
    fits = survival.shape == (len(followed.time), len(moments))
    if not fits or len(moments) < 2 or not (np.diff(moments) > 0).all():
        raise ValueError(f"expected rising moments and survival at each, found {survival.shape}")
    scores = [brier_at(followed, survival[:, k], float(t)) for k, t in enumerate(moments)]
    return float(np.trapezoid(scores, moments) / (moments[-1] - moments[0]))


def observed_before(followed: Followed, moments: FloatArray) -> FloatArray:
    """Return G(t-), the Kaplan-Meier share of patients not censored before each moment."""
    ends = np.unique(followed.time[~followed.event])
    # who has an event at a censoring time was observed there and is no longer at risk of censoring
    at_risk = np.array([
        (followed.time > t).sum() + ((followed.time == t) & ~followed.event).sum() for t in ends
    ])  # fmt: skip
    lost = np.array([((followed.time == t) & ~followed.event).sum() for t in ends])
    steps = np.concatenate([[1.0], np.cumprod(1.0 - lost / at_risk)]) if len(ends) else np.ones(1)
    return np.asarray(steps[np.searchsorted(ends, moments, side="left")], np.float64)
