"""What the results show beside means: sweeps, volumes, calibration, repeats, failures, worst cases.

Every function takes the results of a run and returns rows of plain JSON values, rounded, with
their n; `content.py` prints them.

    uncertainty_score beside dsc      a stated expectation of the metric: calibration, where
                                      dsc_bound_held says that it is one
    NAME_bound_held, NAME_covered     1 where a stated bound or interval held: coverage
    volume_ml beside reference_ml     volumes: Bland-Altman

Source: Bland JM, Altman DG, Lancet 1986;1:307, and Stat Methods Med Res 1999;8:135, 2.1 and 3.1
(limits of agreement and their intervals).

Read next: `summary.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from validation.harness.results import CaseResult, Condition
from validation.report.figures import (
    ALL,
    BASELINE,
    ROUND,
    Interval,
    baselines,
    by_case,
    conditions_of,
    figure,
    generator_of,
    rows_of,
)
from validation.statistics.resampling import LEVEL
from validation.statistics.shares import exact_share

Row = dict[str, Any]
EXPECTED: Mapping[str, tuple[str, str]] = {"dsc": ("uncertainty_score", "dsc_bound_held")}
"""Metric -> what a plugin states of it, and the metric that is there only where it does."""
HELD = ("_bound_held", "_covered")
MISSING = "missing-"
"""Begins the name of a condition in which the release gets fewer roles than the case has."""
BINS = 5
WORST = 5


def sweeps(
    cases: Sequence[CaseResult], metrics: Iterable[str], seed: int, interval: Interval
) -> list[Row]:
    """Return the paired change of metrics under each condition against the same input unchanged."""
    rows = []
    for condition in conditions_of(cases):
        if condition.name == BASELINE:
            continue
        plain = _reference(cases, condition)
        changed = {item.case_id: item for item in rows_of(cases, condition)}
        for metric in metrics:
            pairs = [
                (item.metrics[metric] - plain[key].metrics[metric], item.patient_group)
                for key, item in sorted(changed.items())
                if key in plain and _finite(item, metric) and _finite(plain[key], metric)
            ]
            found = figure(list(changed.values()), (condition, ALL, metric), seed, interval)
            if not pairs or found is None:
                continue
            values, groups = [v for v, _ in pairs], [g for _, g in pairs]
            generator = generator_of(seed, condition, "difference", metric)
            low, high = interval(values, groups, generator)
            rows.append({
                "sweep": condition.name, "level": condition.level, "given": condition.given,
                "metric": metric, "n": found.n, "mean": found.mean, "low": found.low,
                "high": found.high, "pairs": len(pairs), "change": _r(float(np.mean(values))),
                "change_low": _r(low), "change_high": _r(high),
                "answered": sum(item.outcome == "done" for item in changed.values()),
                "cases": len(changed),
            })  # fmt: skip
    return rows


def volumes(cases: Sequence[CaseResult]) -> list[Row]:
    """Return bias and limits of agreement of volumes (ml), one row for each input."""
    rows = []
    for condition in baselines(cases):
        pairs = volume_pairs(cases, condition)
        n = len(pairs)
        if n < 3:
            continue
        differences = np.array([one - other for one, other, _ in pairs])
        bias, sd = float(differences.mean()), float(differences.std(ddof=1))
        quantile = float(stats.t.ppf((1 + LEVEL) / 2, n - 1))
        near = quantile * sd / math.sqrt(n)
        far = quantile * sd * math.sqrt(1 / n + 1.96**2 / (2 * (n - 1)))
        lower, upper = bias - 1.96 * sd, bias + 1.96 * sd
        rows.append({
            "given": condition.given, "n": n, "bias": _r(bias), "bias_low": _r(bias - near),
            "bias_high": _r(bias + near), "lower": _r(lower), "lower_low": _r(lower - far),
            "lower_high": _r(lower + far), "upper": _r(upper), "upper_low": _r(upper - far),
            "upper_high": _r(upper + far),
        })  # fmt: skip
    return rows


def volume_pairs(
    cases: Sequence[CaseResult], condition: Condition
) -> list[tuple[float, float, str]]:
    """Return proposed and reference volume (ml) and the case, where a case has both."""
    return [
        (item.metrics["volume_ml"], item.metrics["reference_ml"], item.case_id)
        for item in rows_of(cases, condition)
        if _finite(item, "volume_ml") and _finite(item, "reference_ml")
    ]


def calibration(cases: Sequence[CaseResult], seed: int, interval: Interval) -> list[Row]:
    """Return what was predicted of a metric beside what was found, in bins of equal number."""
    rows = []
    for condition in baselines(cases):
        for name, (stated, mark) in EXPECTED.items():
            found = sorted(
                (item for item in rows_of(cases, condition) if _finite(item, name, stated, mark)),
                key=lambda item: (item.metrics[stated], item.case_id),
            )
            if len(found) < 2 * BINS:
                continue
            for index, part in enumerate(np.array_split(np.arange(len(found)), BINS)):
                members = [found[int(place)] for place in part]
                values = [item.metrics[name] for item in members]
                groups = [item.patient_group for item in members]
                generator = generator_of(seed, condition, "calibration", name, str(index))
                low, high = interval(values, groups, generator)
                expected = [item.metrics[stated] for item in members]
                rows.append({
                    "given": condition.given, "metric": name, "bin": index + 1, "n": len(members),
                    "predicted": _r(float(np.mean(expected))), "found": _r(float(np.mean(values))),
                    "low": _r(low), "high": _r(high),
                })  # fmt: skip
    return rows


def coverage(cases: Sequence[CaseResult]) -> list[Row]:
    """Return how often a stated bound or interval held, with exact intervals."""
    rows = []
    names = sorted({n for item in cases for n in item.metrics if n.endswith(HELD)})
    for condition in baselines(cases):
        for name in names:
            found = [
                item.metrics[name] for item in rows_of(cases, condition) if _finite(item, name)
            ]
            if found:
                share = _share(round(sum(found)), len(found))
                rows.append({"given": condition.given, "metric": name, **share})
    return rows


def repeats(cases: Sequence[CaseResult]) -> list[Row]:
    """Return how many repeats gave the same answer, bit for bit."""
    same: Counter[Condition] = Counter()
    of: Counter[Condition] = Counter()
    first = {
        (i.case_id, i.condition): i.output_digest for i in cases if i.condition.repeat == 0
    }  # fmt: skip
    for item in cases:
        plain = Condition(item.condition.name, item.condition.level, item.condition.given)
        if item.condition.repeat and (item.case_id, plain) in first:
            of[plain] += 1
            same[plain] += item.output_digest == first[item.case_id, plain]
    return [
        {
            "given": key.given,
            "condition": key.name,
            "level": key.level,
            **_share(same[key], of[key]),
        }
        for key in sorted(of)
    ]


def outcomes(cases: Sequence[CaseResult]) -> list[Row]:
    """Return how the runs ended, one row for each condition."""
    rows = []
    for condition in conditions_of(cases):
        found = Counter(item.outcome for item in rows_of(cases, condition))
        names = ("done", "abstained", "refused", "failed")
        rows.append({
            "condition": condition.name, "level": condition.level, "given": condition.given,
            "n": found.total(), **{name: found[name] for name in names},
        })  # fmt: skip
    return rows


def reasons(cases: Sequence[CaseResult]) -> list[Row]:
    """Return why the release gave no answer: codes with their counts and where they came up."""
    found: Counter[tuple[str, str, Condition]] = Counter()
    for item in cases:
        if item.condition.repeat == 0 and item.outcome != "done":
            # a reason may carry the case's own figure behind its code
            codes = {reason.partition(" ")[0] for reason in item.reasons} or {"NO_REASON"}
            for code in codes:
                found[code, item.outcome, item.condition] += 1
    total = {condition: len(rows_of(cases, condition)) for condition in conditions_of(cases)}
    return [
        {
            "code": code, "outcome": outcome, "condition": c.name, "level": c.level,
            "given": c.given, "count": count, "n": total[c],
        }
        for (code, outcome, c), count in sorted(found.items())
    ]  # fmt: skip


def per_case(cases: Sequence[CaseResult], metric: str) -> list[Row]:
    """Return a metric of each case as it is, and its range when the input is a little changed.

    The range is over the repeats and the smallest level of every sweep with the same inputs.
    """
    smallest: dict[tuple[str, str], float] = {}
    for item in cases:
        key = (item.condition.name, item.condition.given)
        smallest[key] = min(smallest.get(key, math.inf), abs(item.condition.level))
    rows = []
    for case_id, found in by_case(cases).items():
        for condition in baselines(found):
            (item,) = (i for i in found if i.condition == condition)
            near = [
                other.metrics[metric]
                for other in found
                if other.condition.given == condition.given
                and abs(other.condition.level) == smallest[other.condition.name, condition.given]
                and _finite(other, metric)
            ]
            if _finite(item, metric):
                rows.append({
                    "case": case_id, "given": condition.given, "outcome": item.outcome,
                    "value": _r(item.metrics[metric]), "low": _r(min(near)),
                    "high": _r(max(near)), "looks": len(near),
                })  # fmt: skip
    return rows


def worst(cases: Sequence[CaseResult], metric: str, *, higher: bool) -> list[Row]:
    """Return the cases with the lowest agreement, with everything that was measured of them."""
    rows = []
    for condition in baselines(cases):
        found = [item for item in rows_of(cases, condition) if _finite(item, metric)]
        found.sort(key=lambda item: (item.metrics[metric] * (1 if higher else -1), item.case_id))
        rows += [
            {
                "given": condition.given, "case": item.case_id, "outcome": item.outcome,
                "strata": list(item.strata), "reasons": list(item.reasons),
                "metrics": {k: _r(v) for k, v in sorted(item.metrics.items()) if math.isfinite(v)},
            }
            for item in found[:WORST]
        ]  # fmt: skip
    return rows


def _reference(cases: Sequence[CaseResult], condition: Condition) -> dict[str, CaseResult]:
    """Return the unchanged results that a condition is compared with.

    With an input missing, what the release gets is another set of roles: the richest is compared.
    """
    plain = baselines(cases)
    same = [item for item in plain if item.given == condition.given]
    chosen = plain if condition.name.startswith(MISSING) else same or plain
    return {item.case_id: item for item in rows_of(cases, chosen[0])} if chosen else {}


def _share(count: int, n: int) -> Row:
    low, high = exact_share(count, n)
    return {"count": count, "n": n, "share": _r(count / n), "low": _r(low), "high": _r(high)}


def _finite(item: CaseResult, *names: str) -> bool:
    return all(math.isfinite(item.metrics.get(name, math.nan)) for name in names)


def _r(value: float) -> float:
    return round(float(value), ROUND)
