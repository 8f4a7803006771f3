"""Intervals of a share: k of n.

Source: Clopper and Pearson, Biometrika 1934;26:404 (exact); Wilson, JASA 1927;22:209 (score),
without the correction for continuity; Brown, Cai and DasGupta, Stat Sci 2001;16:101 (which when).

Read next: `conformal.py`.
"""

from __future__ import annotations

import math

from scipy import stats

from validation.statistics.resampling import LEVEL


def exact_share(hits: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a share: Beta(tail; k, n - k + 1), Beta(1 - tail; k + 1, n - k).

    Its coverage is never below the level; that of small n is well above it.

    Examples
    --------
    >>> [round(end, 4) for end in exact_share(8, 8, 0.95)]
    [0.6306, 1.0]
    """
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(stats.beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high


def wilson_share(hits: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the score interval of a share: the level is met on average, not at every share.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)

    Examples
    --------
    >>> [round(end, 4) for end in wilson_share(5, 10)]
    [0.2366, 0.7634]
    """
    z = float(stats.norm.ppf((1 + level) / 2))
    p, whole = hits / n, 1 + z * z / n
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / whole
    middle = (p + z * z / (2 * n)) / whole
    return max(middle - half, 0.0), min(middle + half, 1.0)
