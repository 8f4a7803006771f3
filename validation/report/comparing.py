"""Compare two runs case by case: paired differences, non-inferiority, the cases that changed.

Both runs saw the same cohort and were measured by the same metrics; anything else is refused.

Source: paired differences, percentile bootstrap over patients
(`validation/statistics/resampling.py`); non-inferiority:
the end of the interval against a margin, ICH E9, 3.3.2, with a two-sided 95 % interval
(one-sided alpha 0.025).

Read next: `validation/criteria/rules.py`, which judges non-inferiority by criteria fixed before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from audit.errors import RefusalError
from validation.harness.results import CaseResult, RunResults
from validation.report.figures import ALL, Interval, baselines, generator_of, metrics_of, rows_of
from validation.report.summary import MetricTerms

MOST = 10


class ComparisonError(RefusalError):
    """Two runs cannot be compared case by case."""

    code = "COMPARISON"
    advice = "Run both releases on the same cohort with the same metrics, then compare."


@dataclass(frozen=True, slots=True)
class Difference:
    """How much a metric changed from the first run to the second.

    Parameters
    ----------
    value, low, high : mean of second minus first, and its interval.
    pairs : cases with a value in both; ``lost`` have one in the first alone.
    not_inferior : whether the interval stays within the margin; None without a margin.
    """

    given: str
    metric: str
    value: float
    low: float
    high: float
    pairs: int
    patients: int
    lost: int
    not_inferior: bool | None


@dataclass(frozen=True, slots=True)
class Changed:
    """One case that changed, with its value in both runs."""

    given: str
    case: str
    metric: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed between two runs, and the cases that changed most, largest first."""

    differences: tuple[Difference, ...]
    changed: tuple[Changed, ...]


def compare(
    first: RunResults,
    second: RunResults,
    terms: Mapping[str, MetricTerms],
    margins: Mapping[str, float],
    interval: Interval,
) -> Comparison:
    """Return the paired comparison of two runs.

    Parameters
    ----------
    margins : how much worse a metric may be, in its unit, above zero.

    Raises
    ------
    ComparisonError : cohorts or metric packs differ, or the runs have no case in common
        (COHORTS_DIFFER, METRIC_PACKS_DIFFER, NO_COMMON_CASE, MARGIN_UNKNOWN).
    """
    _require_comparable(first, second, terms, margins)
    differences: list[Difference] = []
    changed: list[Changed] = []
    for condition in baselines(first.cases):
        before = {item.case_id: item for item in rows_of(first.cases, condition)}
        after = {item.case_id: item for item in rows_of(second.cases, condition)}
        for metric in (name for name in metrics_of(first.cases) if name in terms):
            had = [key for key, item in before.items() if _value(item, metric) is not None]
            both = [k for k in had if k in after and _value(after[k], metric) is not None]
            if not both:
                continue
            values = [after[k].metrics[metric] - before[k].metrics[metric] for k in both]
            groups = [before[k].patient_group for k in both]
            generator = generator_of(first.seed, condition, ALL, metric, "compared")
            low, high = interval(values, groups, generator)
            worse = -low if terms[metric].better == "higher" else high
            margin = margins.get(metric)
            differences.append(
                Difference(
                    condition.given, metric, sum(values) / len(values), low, high, len(both),
                    len(set(groups)), len(had) - len(both),
                    None if margin is None else worse < margin,
                )
            )  # fmt: skip
            changed += [
                Changed(condition.given, k, metric, before[k].metrics[metric],
                        after[k].metrics[metric])
                for k in both
                if metric in margins or (not margins and metric == "dsc")
            ]  # fmt: skip
    if not differences:
        raise _refused("NO_COMMON_CASE", "cases that both runs judged", "none")
    changed.sort(key=lambda item: (-abs(item.after - item.before), item.case, item.given))
    return Comparison(tuple(differences), tuple(changed[:MOST]))


def _require_comparable(
    first: RunResults,
    second: RunResults,
    terms: Mapping[str, MetricTerms],
    margins: Mapping[str, float],
) -> None:
    if first.cohort_digest != second.cohort_digest:
        raise _refused("COHORTS_DIFFER", first.cohort_digest, second.cohort_digest)
    if first.metric_pack != second.metric_pack:
        raise _refused("METRIC_PACKS_DIFFER", first.metric_pack, second.metric_pack)
    odd = [name for name, margin in margins.items() if name not in terms or not margin > 0]
    if odd:
        raise _refused("MARGIN_UNKNOWN", "margins above zero of known metrics", ", ".join(odd))


def _value(item: CaseResult, metric: str) -> float | None:
    value = item.metrics.get(metric, math.nan)
    return value if math.isfinite(value) else None


def _refused(code: str, expected: str, found: str) -> ComparisonError:
    return ComparisonError(f"expected {expected}, found {found}", reasons=(code,))
