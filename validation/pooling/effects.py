"""Random-effects analysis of one figure over several sites.

Between-site variance after DerSimonian and Laird; interval of the mean after Hartung and Knapp,
never narrower than without their correction; heterogeneity I² with the interval of the variance
by its Q-profile; the interval in which the mean of a further site is expected.

Source: DerSimonian R, Laird N, Control Clin Trials 1986;7:177. Hartung J, Knapp G, Stat Med
2001;20:3875, with the safeguard of Röver C et al., BMC Med Res Methodol 2015;15:99. Higgins JPT,
Thompson SG, Stat Med 2002;21:1539 (I²). Viechtbauer W, Stat Med 2007;26:37 (Q-profile).
Higgins JPT et al., J R Stat Soc A 2009;172:137 (prediction interval).

Read next: `pooled.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from audit.errors import RecordError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SiteEffect:
    """The mean of one figure at one site.

    Parameters
    ----------
    standard_error : of the mean, over patients; above zero.
    n : patients.
    """

    site: str
    value: float
    standard_error: float
    n: int

    def __post_init__(self) -> None:
        finite = math.isfinite(self.value) and math.isfinite(self.standard_error)
        if not finite or self.standard_error <= 0 or self.n < 2:
            raise RecordError("expected a finite mean of two patients or more with its error")


@dataclass(frozen=True, slots=True)
class Pooled:
    """One figure over several sites.

    Parameters
    ----------
    low, high : interval of the mean over sites.
    tau2, tau2_low, tau2_high : variance between sites, in squared units of the figure.
    i2, i2_low, i2_high : part of the variation that is between sites, 0 to 1.
    q, q_p : Cochran's Q and its p value.
    predicted : interval in which the mean of a further site is expected; None below three sites.
    weights : of the sites in the mean, summing to 1.
    """

    value: float
    low: float
    high: float
    level: float
    tau2: float
    tau2_low: float
    tau2_high: float
    i2: float
    i2_low: float
    i2_high: float
    q: float
    q_p: float
    predicted: tuple[float, float] | None
    weights: tuple[float, ...]
    n: int


def pool(effects: Sequence[SiteEffect], level: float = 0.95) -> Pooled:
    """Return the mean over sites with intervals and heterogeneity.

    Raises
    ------
    RecordError : there are fewer than two sites.

    Examples
    --------
    >>> pooled = pool([SiteEffect("a", 0.8, 0.02, 30), SiteEffect("b", 0.8, 0.02, 30)])
    >>> round(pooled.value, 3), pooled.tau2, pooled.i2
    (0.8, 0.0, 0.0)
    """
    if len(effects) < 2:
        raise RecordError(f"expected two sites or more, found {len(effects)}")
    y = np.array([item.value for item in effects], dtype=np.float64)
    v = np.array([item.standard_error**2 for item in effects], dtype=np.float64)
    k = len(effects)
    fixed = 1 / v
    q = _q(y, v, 0.0)
    # C = Σw − Σw² / Σw;  τ² = max(0, (Q − (k − 1)) / C)
    scale = float(fixed.sum() - (fixed**2).sum() / fixed.sum())
    tau2 = max(0.0, (q - (k - 1)) / scale)
    weights = 1 / (v + tau2)
    value = _mean(y, weights)
    # Hartung and Knapp: q* = Σ w*(y − μ)² / (k − 1);  Var μ = max(1, q*) / Σw*
    spread = float((weights * (y - value) ** 2).sum() / (k - 1))
    variance = max(1.0, spread) / float(weights.sum())
    half = float(stats.t.ppf((1 + level) / 2, k - 1)) * math.sqrt(variance)
    tau2_low, tau2_high = _profile(y, v, level)
    typical = (k - 1) / scale  # s²: the typical variance within sites (Higgins, Thompson eq. 9)
    return Pooled(
        value=value, low=value - half, high=value + half, level=level,
        tau2=tau2, tau2_low=min(tau2_low, tau2), tau2_high=max(tau2_high, tau2),
        i2=max(0.0, (q - (k - 1)) / q) if q > 0 else 0.0,
        i2_low=_share(min(tau2_low, tau2), typical), i2_high=_share(max(tau2_high, tau2), typical),
        q=q, q_p=float(stats.chi2.sf(q, k - 1)),
        predicted=_predicted(value, tau2, variance, k, level),
        weights=tuple(float(item) for item in weights / weights.sum()),
        n=sum(item.n for item in effects),
    )  # fmt: skip


def _mean(y: Floats, weights: Floats) -> float:
    return float((weights * y).sum() / weights.sum())


def _q(y: Floats, v: Floats, tau2: float) -> float:
    """Return Cochran's Q with the weights of a between-site variance."""
    weights = 1 / (v + tau2)
    return float((weights * (y - _mean(y, weights)) ** 2).sum())


def _profile(y: Floats, v: Floats, level: float) -> tuple[float, float]:
    """Return the τ² at which Q(τ²) is at either quantile of χ² with k − 1 degrees of freedom."""
    k = len(y)
    ends = []
    for quantile in ((1 + level) / 2, (1 - level) / 2):
        wanted = float(stats.chi2.ppf(quantile, k - 1))
        if _q(y, v, 0.0) <= wanted:
            ends.append(0.0)
            continue
        above = float(v.max())
        while _q(y, v, above) > wanted:
            above *= 4
        ends.append(float(optimize.brentq(lambda t, w=wanted: _q(y, v, t) - w, 0.0, above)))
    return ends[0], ends[1]


def _share(tau2: float, typical: float) -> float:
    return tau2 / (tau2 + typical)


def _predicted(
    value: float, tau2: float, variance: float, k: int, level: float
) -> tuple[float, float] | None:
    if k < 3:
        return None
    half = float(stats.t.ppf((1 + level) / 2, k - 2)) * math.sqrt(tau2 + variance)
    return value - half, value + half
