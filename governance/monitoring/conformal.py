"""Conformal test martingale: ranks among everything seen, for a reference that is all there is.

A new case is ranked among the reference and the cases before it; with ties broken by a uniform
number the ranks are independent and uniform when all cases are exchangeable, exactly, for a
reference of any size:

    p = (cases further out + u * cases as far out) / (all cases, with the new one)

A bet on small p pays factor = epsilon p^(epsilon - 1), of expectation 1.  Nothing is estimated,
so no miss is subtracted; the price is that the cases after a change join the ranks and hide it
after a while (`tails.py` does not).  Values are taken at two significant digits, a rule that does
not look at the data, so that the state is a count for each distinct one and stays small.

The ranks are independent of each other, not of the values: two such detectors, or one beside
another kind, share a bound by `sums.threshold`, not by the sum of their evidence.

Source: Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World", 7.1 (power
martingale, smoothed p-values); Vovk 2021, "Testing randomness online", Stat Sci 36; sums.py.

Read next: `tails.py`.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit.errors import SuiteError
from governance.monitoring.sums import FloatArray, advance

EPSILONS = (0.1, 0.3, 0.6)
DIGITS = 2
_SIDES = 2
BOTH, HIGH, LOW = "both", "high", "low"


@dataclass(frozen=True, slots=True)
class Ranks:
    """Detector and its state together.

    Parameters
    ----------
    values, counts : distinct values at two digits, rising, with how many cases each has.
    side : which bets count as evidence.
    sums : R_n, first of the bets on high values, then on low ones.
    """

    values: tuple[float, ...]
    counts: tuple[int, ...]
    sums: tuple[float, ...] = (0.0,) * (_SIDES * len(EPSILONS))
    n: int = 0
    side: str = BOTH

    def __post_init__(self) -> None:
        rising = list(self.values) == sorted(set(self.values))
        if len(self.counts) != len(self.values) or not rising or min(self.counts, default=1) < 1:
            raise SuiteError("expected rising values with a count of each")

    @classmethod
    def from_reference(cls, reference: Sequence[float], side: str = BOTH) -> Ranks:
        """Return the detector before the first case, of values that move to one side or both."""
        counted = Counter(float(item) for item in rounded(np.asarray(reference, dtype=np.float64)))
        values = tuple(sorted(value for value in counted if math.isfinite(value)))
        return cls(values, tuple(counted[value] for value in values), side=side)

    @property
    def evidence(self) -> float:
        """Return the weighted sum that is compared with A."""
        high, low = self.sums[: len(EPSILONS)], self.sums[len(EPSILONS) :]
        return float(np.mean({BOTH: self.sums, HIGH: high, LOW: low}[self.side]))


def rounded(values: FloatArray) -> FloatArray:
    """Return values at two significant digits.

    Examples
    --------
    >>> rounded(np.array([123.0, -0.0456, 0.0])).tolist()
    [120.0, -0.046, 0.0]
    """
    size = np.abs(values)
    safe = np.where((size > 0) & np.isfinite(size), size, 1.0)
    step = np.floor(np.log10(safe)) - (DIGITS - 1)
    power = 10.0 ** np.abs(step)
    return np.asarray(
        np.where(step >= 0, np.round(values / power) * power, np.round(values * power) / power)
        + 0.0
    )


def bets(p: FloatArray) -> FloatArray:
    """Return the factors of the bets on high values and on low ones, on a new last axis."""
    epsilon = np.asarray(EPSILONS)
    sides = [np.maximum(side, 1e-12)[..., np.newaxis] for side in (p, 1.0 - p)]
    return np.concatenate([epsilon * side ** (epsilon - 1) for side in sides], axis=-1)


def follow_ranks(ranks: Ranks, value: float, case: str) -> Ranks:
    """Return the detector after one more case; a value that is not finite changes nothing.

    Parameters
    ----------
    case : identifier of the case; ties are broken by its digest, the same at every replay.
    """
    if not math.isfinite(value):
        return ranks
    taken = float(rounded(np.asarray(value)))
    place = bisect_left(ranks.values, taken)
    known = place < len(ranks.values) and ranks.values[place] == taken
    here = ranks.counts[place] if known else 0
    further = sum(ranks.counts[place + known :])
    p = (further + tie_break(case) * (here + 1)) / (sum(ranks.counts) + 1)
    after = advance(np.asarray(ranks.sums), bets(np.asarray(p)))
    values, counts = list(ranks.values), list(ranks.counts)
    if known:
        counts[place] += 1
    else:
        values.insert(place, taken)
        counts.insert(place, 1)
    return Ranks(tuple(values), tuple(counts), tuple(map(float, after)), ranks.n + 1, ranks.side)


def stream_evidence(reference: FloatArray, streams: FloatArray, u: FloatArray) -> FloatArray:
    """Return the evidence after each case of many streams at once.

    Parameters
    ----------
    reference : (streams, n).
    streams, u : values and uniform numbers, (streams, cases).
    """
    all_values = np.unique(np.concatenate([rounded(reference), rounded(streams)], axis=None))
    rows = np.arange(len(streams))
    counts = np.zeros((len(streams), len(all_values)))
    for column in np.searchsorted(all_values, rounded(reference)).T:
        counts[rows, column] += 1
    places = np.searchsorted(all_values, rounded(streams))
    sums = np.zeros((len(streams), _SIDES * len(EPSILONS)))
    found = np.zeros(streams.shape)
    index = np.arange(len(all_values))
    for case in range(streams.shape[1]):
        place = places[:, case]
        here = counts[rows, place]
        further = (counts * (index > place[:, np.newaxis])).sum(axis=1)
        p = (further + u[:, case] * (here + 1)) / (counts.sum(axis=1) + 1)
        sums = advance(sums, bets(p))
        counts[rows, place] += 1
        found[:, case] = sums.mean(axis=1)
    return found


def tie_break(case: str) -> float:
    """Return a number in (0, 1) from the digest of a case's identifier.

    Examples
    --------
    >>> tie_break("a") == tie_break("a") and 0 < tie_break("b") < 1
    True
    """
    return (int.from_bytes(hashlib.sha256(case.encode()).digest()[:6]) + 0.5) / 2**48
