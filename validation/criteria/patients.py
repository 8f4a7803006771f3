"""Take from the results what a criterion is about: one value per patient.

A patient's value is the mean over the patient's cases.  A case that failed, or whose metric is
not finite, is never left out: it makes the patient's value unknown, and an unknown value is
judged as a failure.  A case that abstained or was refused gave no answer to measure; criteria of
kind ``answered`` limit how many these may be.

Read next: `judging.py`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from validation.criteria.document import ALL, Criterion
from validation.harness.results import CaseResult, RunResults


@dataclass(frozen=True, slots=True)
class Values:
    """One value for each patient, sorted by patient; ``bad`` are patients without a usable one."""

    by_patient: Mapping[str, float]
    bad: int = 0

    @property
    def numbers(self) -> list[float]:
        """Return the values in the order of the patients."""
        return [self.by_patient[key] for key in sorted(self.by_patient)]


def chosen(
    results: RunResults,
    criterion: Criterion,
    stratum: str,
    condition: str = "baseline",
    level: float | None = None,
) -> list[CaseResult]:
    """Return the first runs of the cases that a criterion is about under a condition."""
    return [
        item
        for item in results.cases
        if item.condition.name == condition
        and item.condition.repeat == 0
        and (level is None or math.isclose(item.condition.level, level, abs_tol=1e-9))
        and (not criterion.given or item.condition.given == criterion.given)
        and (stratum == ALL or stratum in item.strata)
    ]


def values_of(cases: Iterable[CaseResult], metric: str, outcomes: tuple[str, ...]) -> Values:
    """Return each patient's mean of a metric over cases with one of the outcomes.

    A case that failed counts among ``bad`` whatever the outcomes.
    """
    return values_by(cases, lambda item: item.metrics.get(metric, math.nan), outcomes)


def values_by(
    cases: Iterable[CaseResult],
    measure: Callable[[CaseResult], float],
    outcomes: tuple[str, ...],
) -> Values:
    """Return each patient's mean of what is taken of a case, as `values_of`."""
    found: dict[str, list[float]] = defaultdict(list)
    for item in cases:
        if item.outcome == "failed":
            found[item.patient_group].append(math.nan)
        elif item.outcome in outcomes:
            found[item.patient_group].append(measure(item))
    means = {group: sum(numbers) / len(numbers) for group, numbers in found.items()}
    finite = {group: value for group, value in means.items() if math.isfinite(value)}
    return Values(finite, len(means) - len(finite))


def patients_in(results: RunResults, stratum: str) -> int:
    """Return how many patients of the baseline are in a stratum."""
    return len(
        {
            item.patient_group
            for item in results.cases
            if item.condition.name == "baseline" and (stratum == ALL or stratum in item.strata)
        }
    )
