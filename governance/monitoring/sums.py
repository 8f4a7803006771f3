"""Shiryaev-Roberts sums: one number per alternative, one bound for all of them.

A detector gives for each case a factor per alternative.  Under "no change" a factor has, given
the past, an expectation of at most 1 (it is a bet at fair or unfavourable odds).  Then

    R_n = (R_(n-1) + 1) * factor_n,   R_0 = 0                               (1)

satisfies E[R_n | past] <= R_(n-1) + 1, so R_n - n is a supermartingale, and so is any average of
several with weights that sum to 1, over alternatives, features, subgroups or structures.  With
T the first n at which the weighted sum reaches A, optional stopping gives

    A <= E[R_T] <= E[T]              alarm at A means a mean run length of at least A     (2)
    P(T <= n) <= n / A               at most n / A false alarms within n cases            (3)

whatever the distribution of the cases: (2) and (3) hold without a simulation.  Cost and memory
of a case do not grow with the number of cases before it.

Detectors that rest on different views of the same cases (ranks among all cases, values against
fixed limits) may not be summed: each one's inequality holds in its own history only.  They share a
bound by Boole's inequality: each alarms at its own threshold (`threshold`), whatever the
dependence between them, and (2) follows from summing 1 - n/A over n < A, which costs a factor 2.

Source: Shiryaev 1963; Roberts 1966; Pollak 1985; Shin, Ramdas and Rinaldo, "E-detectors: a
nonparametric framework for sequential change detection", arXiv 2203.03532, definition 2.2 and
theorem 2.4 (run length of an e-detector); Markov's inequality at min(T, n) for (3).

Read next: `recalibration.py`, `tails.py`, `rates.py`, `bounded_mean.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from audit.errors import SuiteError

FloatArray = NDArray[np.float64]
CEILING = 1e250
"""A sum stops growing here: an alarm was long before, and no float overflows."""


class Detector(Protocol):
    """A family of alternatives; many exist, each watches one kind of value."""

    @property
    def weights(self) -> FloatArray:
        """Return the weight of each alternative; they sum to 1."""

    def factors(self, value: FloatArray) -> FloatArray:
        """Return the factor of each alternative, on a new last axis.

        Parameters
        ----------
        value : one case, or any number of cases on leading axes.
        """


@dataclass(frozen=True, slots=True)
class Sums:
    """Where a detector stands: plain numbers that a database or a backup may carry.

    Parameters
    ----------
    values : R_n of each alternative.
    n : cases since the start or the last restart.

    Examples
    --------
    >>> Sums.start(2).values
    (0.0, 0.0)
    """

    values: tuple[float, ...]
    n: int = 0

    def __post_init__(self) -> None:
        if self.n < 0 or not all(0 <= value < np.inf for value in self.values):
            raise SuiteError("expected finite sums of at least 0, found others")

    @classmethod
    def start(cls, alternatives: int) -> Sums:
        """Return the sums before the first case."""
        return cls((0.0,) * alternatives)


def advance(values: FloatArray, factors: FloatArray) -> FloatArray:
    """Return R_n of (1) from R_(n-1) and the factors of a case; any leading axes."""
    return np.minimum((values + 1.0) * factors, CEILING)


def follow(detector: Detector, sums: Sums, value: FloatArray | float) -> Sums:
    """Return the sums after one more case; a value that is not finite changes nothing."""
    case = np.asarray(value, dtype=np.float64)
    if not np.all(np.isfinite(case)):
        return sums
    after = advance(np.asarray(sums.values), detector.factors(case))
    return Sums(tuple(float(item) for item in after), sums.n + 1)


def evidence(detector: Detector, sums: Sums) -> float:
    """Return the weighted sum of a detector: what is compared with A."""
    return float(np.asarray(sums.values) @ detector.weights)


def combined(evidences: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the summed evidence of detectors of one history, such as subgroups of one label.

    Parameters
    ----------
    evidences : of the detectors that have seen a case; the others count as 0.
    weights : of every detector, fixed before the first case.

    Raises
    ------
    SuiteError : the weights do not sum to at most 1, or an evidence has no weight.
    """
    if any(weight < 0 for weight in weights.values()) or sum(weights.values()) > 1 + 1e-9:
        raise SuiteError("expected weights of at least 0 that sum to at most 1")
    unknown = sorted(set(evidences) - set(weights))
    if unknown:
        raise SuiteError(f"expected a weight for every detector, none for {', '.join(unknown)}")
    return sum(weights[name] * value for name, value in evidences.items())


def threshold(run_length: float, weight: float, miss: float = 0.0) -> float:
    """Return at which evidence one detector of several alarms, so that all share a run length.

    The mean run length of the first alarm of all is then at least ``run_length``, and false
    alarms within n cases have at most probability n / (2 run_length) + miss.

    Parameters
    ----------
    weight : the detector's share; 1 for a detector that is alone, whose bound is (2) itself.
    miss : probability that limits from a reference window are wrong, all detectors together.

    Examples
    --------
    >>> threshold(2000, 1.0), threshold(2000, 0.5)
    (2000.0, 8000.0)
    """
    if not 0 < weight <= 1 or not 0 <= miss < 1 or run_length < 1:
        raise SuiteError(
            "expected a weight in (0, 1], a miss below 1, and a run length of 1 or more"
        )
    shared = 1.0 if weight == 1.0 else 2.0
    return shared * run_length / (weight * (1.0 - miss))


def false_alarms_within(cases: int, run_length: float) -> float:
    """Return the most that the probability of a false alarm within n cases can be, by (3).

    Examples
    --------
    >>> false_alarms_within(500, 50_000)
    0.01
    """
    return min(1.0, cases / run_length)
