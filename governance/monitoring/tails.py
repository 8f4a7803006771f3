"""A number against the release's reference window: order statistics as limits, ranks as bets.

Of n reference values the k-th smallest, t, bounds a tail whatever the distribution is:
P(X > t) is at most u with probability 1 - delta over reference windows, u the 1 - delta quantile
of Beta(n - k + 1, k).  With several such pairs, t_1 < ... < t_K and 1 = u_0 > u_1 > ... > u_K,
a new value at level j (above t_j, not above t_(j+1)) is bet upon by Lehmann's alternative, which
raises every tail to a power theta below 1:

    factor_j = (u_j^theta - u_(j+1)^theta) / (u_j - u_(j+1)),   u_(K+1) = 0

It rises with j, so its expectation is largest when every tail is as heavy as its limit permits,
and is 1 then.  The reference window never grows: cases after a change cannot hide it.

The limits miss with probability `miss` over reference windows; the mean run length over windows
and cases is then at least (1 - miss) A, with the misses of all detectors of a bound added up.

What it cannot see: a change inside the range of the reference that leaves its tails alone.
Several studies of one patient are not independent; give each patient's first.

Source: Wilks 1941, Ann Math Stat 12:91; Scheffé and Tukey 1945, 16:187 (ties only make it safer);
Lehmann 1953, 24:23 (power alternatives); fixed reference instead of a growing one: arXiv
2602.13848; sums.py.

Read next: `rates.py`, `categories.py`, `embedding.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import betaincinv

from audit.errors import SuiteError
from governance.monitoring.sums import FloatArray

QUANTILES = (0.5, 0.7, 0.85, 0.95, 1.0)
"""Which order statistics stand as limits."""
POWERS = (0.1, 0.3, 0.6)
"""Lehmann powers: 0.1 is a shift of about two standard deviations, 0.6 of one half."""
LEAST_REFERENCE = 20


@dataclass(frozen=True, slots=True)
class Tail:
    """Limits of one tail; thresholds strictly rise and limits strictly fall."""

    thresholds: tuple[float, ...]
    limits: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.thresholds))
        chain = (1.0, *self.limits, 0.0)
        falling = all(a > b for a, b in pairwise(chain))
        if not (rising and falling and len(self.thresholds) == len(self.limits)):
            raise SuiteError("expected rising thresholds with falling limits between 1 and 0")

    def factors(self, value: FloatArray, powers: Sequence[float]) -> FloatArray:
        """Return the factor of each power for values of any shape, on a new last axis."""
        chain = np.array([1.0, *self.limits, 0.0])
        raised = chain[:, np.newaxis] ** np.asarray(powers)
        table = (raised[:-1] - raised[1:]) / (chain[:-1] - chain[1:])[:, np.newaxis]
        level = np.searchsorted(np.asarray(self.thresholds), value, side="left")
        return np.asarray(table[level])


def upper_tail(reference: Sequence[float], miss: float) -> Tail:
    """Return the limits of the upper tail that hold together with probability 1 - miss.

    Raises
    ------
    SuiteError : fewer than 20 finite values, or a miss outside (0, 1).
    """
    values = np.sort(np.asarray([item for item in reference if math.isfinite(item)]))
    n = len(values)
    if n < LEAST_REFERENCE or not 0 < miss < 1:
        raise SuiteError(
            f"expected {LEAST_REFERENCE} reference values and a miss in (0, 1), found {n}, {miss}"
        )
    best: dict[float, float] = {}
    for rank in sorted({math.ceil(q * n) for q in QUANTILES}):
        limit = float(betaincinv(n - rank + 1, rank, 1 - miss / len(QUANTILES)))
        threshold = float(values[rank - 1])
        best[threshold] = min(limit, best.get(threshold, 1.0))
    thresholds: list[float] = []
    limits: list[float] = []
    for threshold, limit in sorted(best.items()):
        if limit < (limits[-1] if limits else 1.0):
            thresholds.append(threshold)
            limits.append(limit)
    return Tail(tuple(thresholds), tuple(limits))


@dataclass(frozen=True, slots=True)
class Tails:
    """Detector of a number that leaves its reference window, upwards, downwards or both.

    Parameters
    ----------
    upper, lower : limits of each side; ``lower`` is over the negated values. None: not watched.
    """

    upper: Tail | None
    lower: Tail | None
    powers: tuple[float, ...] = POWERS

    def __post_init__(self) -> None:
        if self.upper is None and self.lower is None:
            raise SuiteError("expected at least one tail to watch, found none")

    @property
    def weights(self) -> FloatArray:
        """Return equal weights of every power on every side."""
        count = len(self.powers) * sum(side is not None for side in (self.upper, self.lower))
        return np.full(count, 1.0 / count)

    def factors(self, value: FloatArray) -> FloatArray:
        """Return the factors of both sides for values of any shape."""
        sides = []
        if self.upper is not None:
            sides.append(self.upper.factors(value, self.powers))
        if self.lower is not None:
            sides.append(self.lower.factors(-value, self.powers))
        return np.concatenate(sides, axis=-1)


def both_tails(reference: Sequence[float], miss: float) -> Tails:
    """Return the detector of either side; half of the miss to each."""
    negated = [-item for item in reference]
    return Tails(upper_tail(reference, miss / 2), upper_tail(negated, miss / 2))


def falling(reference: Sequence[float], miss: float) -> Tails:
    """Return the detector of a number that may only fall, such as agreement."""
    return Tails(None, upper_tail([-item for item in reference], miss))


def rising(reference: Sequence[float], miss: float) -> Tails:
    """Return the detector of a number that may only rise, such as a distance or a latency."""
    return Tails(upper_tail(reference, miss), None)
