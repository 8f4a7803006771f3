"""The intervals and error budgets that criteria are judged by; seeded and exact where they can be.

Percentile bootstrap over patients (Efron and Tibshirani 1993, 13.3); exact binomial interval
(Clopper and Pearson 1934); alpha spending (Lan and DeMets, Biometrika 1983; 70: 659-663).

Read next: `judging.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]


def bootstrap(
    values: Sequence[float],
    generator: np.random.Generator,
    level: float,
    resamples: int,
    statistic: Statistic | None = None,
) -> tuple[float, float]:
    """Return the percentile interval of a statistic of one value per patient.

    Parameters
    ----------
    statistic : from (resamples, n) to (resamples,); the mean where it is None.
    """
    array = np.asarray(values, dtype=np.float64)
    drawn = array[generator.integers(0, len(array), (resamples, len(array)))]
    found = drawn.mean(axis=1) if statistic is None else statistic(drawn)
    tail = (1 - level) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)


def exact_share(hits: int, n: int, level: float) -> tuple[float, float]:
    """Return the exact interval of a share: Beta(tail; k, n - k + 1), Beta(1 - tail; k + 1, n - k).

    Examples
    --------
    >>> [round(end, 4) for end in exact_share(8, 8, 0.95)]
    [0.6306, 1.0]
    """
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(stats.beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high


def spent(fraction: float, alpha: float, rule: str) -> float:
    """Return the one-sided type I error spent when a fraction of the information is in.

    O'Brien-Fleming type: 2 - 2 Phi(z(1 - alpha/2) / sqrt(t)); Pocock type:
    alpha ln(1 + (e - 1) t).
    """
    if rule == "pocock":
        return alpha * math.log(1 + (math.e - 1) * fraction)
    return float(2 - 2 * stats.norm.cdf(stats.norm.ppf(1 - alpha / 2) / math.sqrt(fraction)))


def alpha_of_look(look: int, looks: int, alpha: float, rule: str) -> float:
    """Return the type I error that the look may use: what was not spent at the one before.

    The increments sum to alpha, so that by Bonferroni's inequality the looks together err with
    probability at most alpha, whatever their correlation.
    """
    before = spent((look - 1) / looks, alpha, rule) if look > 1 else 0.0
    return spent(look / looks, alpha, rule) - before


def cases_for_margin(margin: float, deviation: float, alpha: float, power: float) -> int:
    """Return how many paired patients show non-inferiority at no true difference.

    n = ((z(1 - alpha) + z(power)) sd / margin)^2, rounded up (Julious, Stat Med 2004, 4.2).

    Examples
    --------
    >>> cases_for_margin(0.02, 0.05, 0.025, 0.9)
    66
    """
    z = stats.norm.ppf(1 - alpha) + stats.norm.ppf(power)
    return max(2, math.ceil((float(z) * deviation / margin) ** 2))


def cases_for_share(at_least: float, level: float) -> int:
    """Return the fewest patients of whom all have to be met to show a share at that level.

    n = ln((1 - level) / 2) / ln(at_least), rounded up: the exact interval of n of n begins there.
    """
    return math.ceil(math.log((1 - level) / 2) / math.log(at_least))
