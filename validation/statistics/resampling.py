"""Bootstrap intervals over patients; the same values and generator give the same interval.

    bootstrap           one value per patient, any statistic: percentile
    bias_corrected      the same draws, bias-corrected and accelerated (BCa)
    of_mean             mean over cases, whole patients drawn: what a report prints
    of_difference       mean of one group less that of another, each drawn by itself

The order in which a generator is drawn from is part of every result on record: a change of it
changes digests, and the test of the first certificate finds it.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, 13.3 and 14.3; Efron, JASA
1987;82:171 (BCa); Davison and Hinkley, Bootstrap Methods and their Application, 1997, 3.8, 5.3.

Read next: `shares.py`, `looks.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]
"""From (samples, n) to (samples,)."""

LEVEL = 0.95
RESAMPLES = 2000


def bootstrap(
    values: Sequence[float],
    generator: np.random.Generator,
    level: float,
    resamples: int,
    statistic: Statistic | None = None,
) -> tuple[float, float]:
    """Return the percentile interval of a statistic of one value per patient; the mean if None."""
    drawn = _drawn(np.asarray(values, dtype=np.float64), generator, resamples, statistic)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def bias_corrected(
    values: Sequence[float],
    generator: np.random.Generator,
    level: float,
    resamples: int,
    statistic: Statistic | None = None,
) -> tuple[float, float]:
    """Return the BCa interval of a statistic of one value per patient; the mean if None.

    Its ends are the quantiles Φ(z0 + (z0 + z) / (1 − a (z0 + z))) of the same draws, with the bias
    z0 = Φ⁻¹(share of draws below the estimate, ties by half) and the acceleration
    a = Σ(θ̄ − θᵢ)³ / 6(Σ(θ̄ − θᵢ)²)^(3/2) over the values that leave one patient out.  Where all
    draws lie on one side of the estimate, or nothing varies, it is the percentile interval.
    """
    array = np.asarray(values, dtype=np.float64)
    drawn = _drawn(array, generator, resamples, statistic)
    of = statistic or _mean
    estimate = float(of(array[None])[0])
    below = float(np.mean(drawn < estimate) + 0.5 * np.mean(drawn == estimate))
    tail = np.array([(1 - level) / 2, (1 + level) / 2])
    left = [float(of(np.delete(array, i)[None])[0]) for i in range(len(array)) if len(array) > 1]
    apart = np.mean(left) - np.asarray(left) if left else np.zeros(1)
    spread = float((apart**2).sum())
    if 0 < below < 1 and spread > 0:
        bias = stats.norm.ppf(below)
        speed = float((apart**3).sum()) / (6 * spread**1.5)
        z = bias + stats.norm.ppf(tail)
        tail = stats.norm.cdf(bias + z / (1 - speed * z))
    low, high = np.quantile(drawn, tail)
    return float(low), float(high)


def of_mean(
    values: Sequence[float], groups: Sequence[str], generator: np.random.Generator
) -> tuple[float, float]:
    """Return the interval of the mean over values when whole groups are drawn anew.

    The same values, groups and generator state give the same interval.
    """
    y = np.asarray(values, dtype=np.float64)
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return float(y.mean()), float(y.mean())
    sums, counts = np.bincount(place, weights=y), np.bincount(place)
    drawn = generator.integers(0, len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def of_difference(
    first: FloatArray,
    second: FloatArray,
    generator: np.random.Generator,
    level: float,
    resamples: int,
) -> tuple[float, float]:
    """Return the percentile interval of the mean of ``first`` less that of ``second``."""
    one = _drawn(first, generator, resamples, None)
    other = _drawn(second, generator, resamples, None)
    tail = (1 - level) / 2
    low, high = np.quantile(one - other, [tail, 1 - tail])
    return float(low), float(high)


def _drawn(
    values: FloatArray, generator: np.random.Generator, resamples: int, statistic: Statistic | None
) -> FloatArray:
    """Return the statistic of ``resamples`` draws of as many values, with return."""
    drawn = values[generator.integers(0, len(values), (resamples, len(values)))]
    return (statistic or _mean)(drawn)


def _mean(drawn: FloatArray) -> FloatArray:
    return np.asarray(drawn.mean(axis=1), dtype=np.float64)
