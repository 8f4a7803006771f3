"""Means with their intervals: each metric under each condition, for all and for each stratum.

A mean is over cases; its interval and its standard error resample and leave out whole patients,
because cases of one patient are not independent.  A case without a finite value of a metric is
left out of that mean and counted.

Source: percentile bootstrap over clusters, Davison and Hinkley, Bootstrap Methods and their
Application, 1997, 3.8 and 5.3; delete-one-group jackknife, Efron and Stein, Ann Stat 1981;9:586.

Read next: `summary.py`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from validation.harness.results import CaseResult, Condition

ALL = "all"
BASELINE = "baseline"
ROUND = 6
Interval = Callable[[Sequence[float], Sequence[str], np.random.Generator], tuple[float, float]]
"""Gives the interval of a mean from values, their groups and a generator."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One mean.

    Parameters
    ----------
    given, condition, level : what the release got, and what was done to it.
    n, patients : cases and patients behind the mean.
    missing : cases of the group without a finite value.
    sd : between patients; standard_error : of the mean, over patients; 0 where there is one.
    """

    given: str
    condition: str
    level: float
    stratum: str
    metric: str
    n: int
    patients: int
    missing: int
    mean: float
    sd: float
    standard_error: float
    low: float
    high: float


def rows_of(
    cases: Iterable[CaseResult], condition: Condition | None = None, stratum: str = ALL
) -> list[CaseResult]:
    """Return the results of one condition (first run) and stratum, in the order of cases."""
    return sorted(
        (
            item
            for item in cases
            if (condition is None or item.condition == condition)
            and (stratum == ALL or stratum in item.strata)
        ),
        key=lambda item: item.case_id,
    )


def figure(
    rows: Sequence[CaseResult], key: tuple[Condition, str, str], seed: int, interval: Interval
) -> Figure | None:
    """Return the mean of a metric over results; None where no case has it.

    Parameters
    ----------
    key : condition, stratum and metric; with the seed it fixes the generator, so that a figure
        does not depend on which others are made.
    """
    condition, stratum, metric = key
    found = [item for item in rows if math.isfinite(item.metrics.get(metric, math.nan))]
    if not found:
        return None
    values = [float(item.metrics[metric]) for item in found]
    groups = [item.patient_group for item in found]
    low, high = interval(values, groups, generator_of(seed, condition, stratum, metric))
    mean, sd, error = moments(values, groups)
    return Figure(
        condition.given, condition.name, condition.level, stratum, metric, len(found),
        len(set(groups)), len(rows) - len(found), round(mean, ROUND), round(sd, ROUND),
        round(error, ROUND), round(min(low, mean), ROUND), round(max(high, mean), ROUND),
    )  # fmt: skip


def moments(values: Sequence[float], groups: Sequence[str]) -> tuple[float, float, float]:
    """Return mean over cases, standard deviation between patients, standard error of the mean.

    Examples
    --------
    >>> [round(v, 4) for v in moments([1.0, 2.0, 3.0], ["a", "b", "c"])]
    [2.0, 1.0, 0.5774]
    """
    y = np.asarray(values, dtype=np.float64)
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    k, mean = len(names), float(y.mean())
    if k < 2:
        return mean, 0.0, 0.0
    sums, counts = np.bincount(place, weights=y), np.bincount(place)
    left = (y.sum() - sums) / (len(y) - counts)
    # jackknife: se² = (k − 1) / k · Σ (θ₍ᵢ₎ − θ̄)²
    error = math.sqrt((k - 1) / k * float(((left - left.mean()) ** 2).sum()))
    return mean, float(np.std(sums / counts, ddof=1)), error


def generator_of(seed: int, condition: Condition, *names: str) -> np.random.Generator:
    """Return the generator of one figure: from the run's seed and what the figure is of."""
    text = "\0".join((condition.name, f"{condition.level:g}", condition.given, *names))
    return np.random.default_rng([seed & 0xFFFFFFFF, zlib.crc32(text.encode())])


def baselines(cases: Iterable[CaseResult]) -> tuple[Condition, ...]:
    """Return the unchanged conditions, one for each set of roles given, the richest first."""
    found = {i.condition for i in cases if i.condition.name == BASELINE and not i.condition.repeat}
    return tuple(sorted(found, key=lambda item: (-len(item.given), item)))


def conditions_of(cases: Iterable[CaseResult]) -> tuple[Condition, ...]:
    """Return every first run of a condition, baselines before sweeps."""
    found = {item.condition for item in cases if item.condition.repeat == 0}
    return tuple(
        sorted(found, key=lambda c: (c.name != BASELINE, c.name, c.level, -len(c.given), c))
    )


def metrics_of(cases: Iterable[CaseResult]) -> tuple[str, ...]:
    """Return the names of the metrics that any case has, sorted."""
    return tuple(sorted({name for item in cases for name in item.metrics}))


def by_case(cases: Iterable[CaseResult]) -> Mapping[str, list[CaseResult]]:
    """Return the results of each case, cases in order."""
    found: dict[str, list[CaseResult]] = {}
    for item in sorted(cases, key=lambda c: (c.case_id, c.condition)):
        found.setdefault(item.case_id, []).append(item)
    return found
