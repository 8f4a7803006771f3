"""When a detector would have alarmed: streams replayed, many at once.

Used by the benchmark, by the tests of the stated run lengths, and by `osteon monitor simulate`.

Source: sums.py; run length and conditional delay: Tartakovsky, Nikiforov and Basseville 2014,
"Sequential Analysis", 6.3.

Read next: `validation/benchmarks/drift.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from governance.monitoring.sums import Detector, FloatArray, advance

IntArray = NDArray[np.int64]
NEVER = 0
"""Case number of an alarm that did not come within the stream."""


def evidence_of(detector: Detector, streams: FloatArray) -> FloatArray:
    """Return the evidence of a detector after each case, shape (streams, cases).

    Parameters
    ----------
    streams : values (streams, cases) or (streams, cases, numbers of a case); a value that is
        not finite leaves the detector where it was.
    """
    count, cases = streams.shape[:2]
    found = np.zeros((count, cases))
    sums = np.zeros((count, len(detector.weights)))
    for case in range(cases):
        value = streams[:, case]
        finite = np.asarray(np.isfinite(value).reshape(count, -1).all(axis=1))
        after = advance(sums, detector.factors(np.where(np.isfinite(value), value, 0.0)))
        sums = np.where(finite[:, np.newaxis], after, sums)
        found[:, case] = sums @ detector.weights
    return found


def first_alarms(evidence: FloatArray, at: float) -> IntArray:
    """Return the number of the first case at which each stream reaches ``at``, from 1."""
    hit: NDArray[np.bool_] = np.greater_equal(evidence, at)
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, NEVER).astype(np.int64)


def earliest(alarms: Sequence[IntArray]) -> IntArray:
    """Return the first alarm of several detectors on the same streams."""
    stacked = np.stack(list(alarms)).astype(np.float64)
    first = np.where(stacked == NEVER, np.inf, stacked).min(axis=0)
    return np.where(np.isfinite(first), first, NEVER).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays of the streams that were quiet before the change.

    Parameters
    ----------
    streams : how many were quiet until the change.
    false_share : share of all streams that had alarmed before it.
    found_share : share of the quiet ones that alarmed within what followed.
    median, p90 : in cases; infinite where fewer were found.
    median_interval : 95 %, by order statistics of the binomial.
    """

    streams: int
    false_share: float
    found_share: float
    median: float
    p90: float
    mean_of_found: float
    median_interval: tuple[float, float]


def delays(alarms: IntArray, change_at: int) -> Delays:
    """Return how long after a change, made after case ``change_at``, streams alarm."""
    early = (alarms != NEVER) & (alarms <= change_at)
    quiet = alarms[~early]
    waits = np.sort(np.where(quiet == NEVER, np.inf, quiet - change_at))
    n = len(waits)
    found = waits[np.isfinite(waits)]
    half = 1.96 * np.sqrt(n) / 2  # normal order of the binomial (n, 1/2)
    low, high = max(0, int(n / 2 - half) - 1), min(n - 1, int(n / 2 + half) + 1)
    return Delays(
        n,
        float(early.mean()),
        float(np.isfinite(waits).mean()) if n else 0.0,
        _quantile(waits, 0.5),
        _quantile(waits, 0.9),
        float(found.mean()) if len(found) else float("inf"),
        (float(waits[low]), float(waits[high])) if n else (float("inf"), float("inf")),
    )


def mean_run_length(alarms: IntArray, cases: int) -> tuple[float, float, float]:
    """Return cases at risk per first alarm, with the 95 % interval of a Poisson count.

    Streams without an alarm count with all their cases; the ratio is the mean run length where
    alarms come at a constant rate after the start.
    """
    count = int((alarms != NEVER).sum())
    at_risk = float(np.where(alarms == NEVER, cases, alarms).sum())
    most = at_risk / (chi2.ppf(0.025, 2 * count) / 2) if count else float("inf")
    least = at_risk / (chi2.ppf(0.975, 2 * count + 2) / 2)
    return (at_risk / count if count else float("inf")), float(least), float(most)


def _quantile(waits: FloatArray, share: float) -> float:
    return (
        float(waits[min(len(waits) - 1, int(share * len(waits)))]) if len(waits) else float("inf")
    )
