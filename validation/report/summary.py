"""The values of a report: what stands inside its digest, and what differs from machine to machine.

`summarise` gives ``results``: who was judged on what, every figure with n and interval, verdicts.
Nothing in it depends on when or where the run took place, so that the same run gives the same
digest.  `measured` gives the rest: times, memory, machine, moment.

Source: SEAMS, Certificate; REGULATORY.md VAL-1.

Read next: `document.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC
from typing import Any, Protocol

import numpy as np

from audit import canonical
from governance.release import digest_of
from validation.harness.results import CaseResult, RunResults, encode, encode_case
from validation.report import findings
from validation.report.explanations import explained
from validation.report.figures import (
    ALL,
    BASELINE,
    Interval,
    baselines,
    figure,
    metrics_of,
    rows_of,
)
from validation.report.margins import margins

Values = dict[str, Any]


class MetricTerms(Protocol):
    """What a report has to know of a metric; `validation.metrics` fulfils it."""

    @property
    def unit(self) -> str:
        """Unit (UCUM), empty for a pure number."""
        ...

    @property
    def better(self) -> str:
        """``higher`` or ``lower``."""
        ...

    @property
    def title(self) -> str:
        """Name in print."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was asked of the results, and how it ended.

    Parameters
    ----------
    asked : the criterion in words, as it was fixed: ``mean at least 0.82``.
    statistic, limit : the same as values, where it is a limit of one statistic.
    value, low, high : what was found; None where nothing was.
    timed : it is about times or memory, so its value stands outside the digest.
    """

    criterion: str
    given: str
    stratum: str
    metric: str
    asked: str
    verdict: str
    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    statistic: str = ""
    limit: float | None = None
    timed: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A stratum: its conditions, how many patients it needs, how many there are, its verdict."""

    name: str
    n: int
    needed: int
    verdict: str
    where: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the report is about, in words that the results only name by digest.

    Parameters
    ----------
    cohort : facts of the cohort by name (``name``, ``version``, ``reference_standard`` ...).
    headline : the metric that figures of single cases, strata and sweeps are drawn of.
    criteria : what the document of criteria says of itself: ``known_before``, ``post_hoc`` ...
    gaps : levels of the target population without a case, ``axis: level``.
    """

    plugin: str
    version: str
    intended_purpose: str
    cohort: Mapping[str, str]
    headline: str
    verdict: str
    verdicts: tuple[Verdict, ...]
    groups: tuple[Group, ...]
    gaps: tuple[str, ...] = ()
    criteria: Mapping[str, str] = field(default_factory=dict)


def summarise(
    results: RunResults, subject: Subject, terms: Mapping[str, MetricTerms], interval: Interval
) -> Values:
    """Return ``results`` of a report: equal for equal results of the harness."""
    cases = results.cases
    names = [metric for metric in metrics_of(cases) if metric in terms]
    higher = subject.headline not in terms or terms[subject.headline].better == "higher"
    return {
        "release_digest": results.release_digest,
        "plugin": subject.plugin,
        "version": subject.version,
        "intended_purpose": subject.intended_purpose,
        "cohort_digest": results.cohort_digest,
        "cohort": dict(subject.cohort),
        "criteria_digest": results.criteria_digest,
        "criteria": dict(subject.criteria),
        "metric_pack": results.metric_pack,
        "method": results.method,
        "seed": results.seed,
        "cases_digest": cases_digest(cases),
        "n": {
            "cases": len({item.case_id for item in cases}),
            "patients": len({item.patient_group for item in cases}),
            "results": len(cases),
        },
        "sites": _per_site(cases),
        "headline": subject.headline,
        "metrics": {
            name: {"title": terms[name].title, "unit": terms[name].unit,
                   "better": terms[name].better}
            for name in names
        },
        "verdict": subject.verdict,
        "verdicts": [_untimed(item) for item in subject.verdicts],
        "groups": [dict(asdict(item), where=dict(item.where)) for item in subject.groups],
        "gaps": list(subject.gaps),
        "figures": _figures(cases, subject, names, results.seed, interval),
        "sweeps": findings.sweeps(cases, names, results.seed, interval),
        "volumes": findings.volumes(cases),
        "volume_pairs": [
            {"given": condition.given, "case": case, "volume_ml": round(one, 6),
             "reference_ml": round(other, 6)}
            for condition in baselines(cases)
            for one, other, case in findings.volume_pairs(cases, condition)
        ],
        "calibration": findings.calibration(cases, results.seed, interval),
        "coverage": findings.coverage(cases),
        "margins": margins(cases, results.seed, interval),
        "repeats": findings.repeats(cases),
        "outcomes": findings.outcomes(cases),
        "reasons": findings.reasons(cases),
        "per_case": findings.per_case(cases, subject.headline),
        "worst": findings.worst(cases, subject.headline, higher=higher),
    }  # fmt: skip


def measured(results: RunResults, verdicts: Sequence[Verdict]) -> Values:
    """Return what of a run differs from machine to machine and from time to time, and what was
    measured of explanations."""
    seconds = [item.seconds for item in results.measured]
    memory = [item.peak_memory_mb for item in results.measured]
    plain = [item.seconds for item in results.measured if item.condition.name == BASELINE]
    return {
        "run_id": results.run_id,
        "results_digest": digest_of(encode(results)),
        "criteria_recorded_at": results.criteria_recorded_at.astimezone(UTC).isoformat(),
        "evaluated_at": results.evaluated_at.astimezone(UTC).isoformat(),
        "runtime": dict(results.runtime),
        "nodes": sorted({item.node for item in results.measured if item.node}),
        "seconds": _spread(seconds),
        "baseline_seconds": _spread(plain),
        "peak_memory_mb": _spread(memory),
        "verdicts": [asdict(item) for item in verdicts if item.timed],
        "explanations": explained(results.cases, results.seed),
    }


def cases_digest(cases: Iterable[CaseResult]) -> str:
    """Return the digest of what was found of all cases, whenever and in whatever order."""
    ordered = sorted(cases, key=lambda item: (item.case_id, item.condition))
    return digest_of(canonical.encode([encode_case(item) for item in ordered]))


def _figures(
    cases: Sequence[CaseResult],
    subject: Subject,
    names: Sequence[str],
    seed: int,
    interval: Interval,
) -> list[Values]:
    """Return the means of all metrics for all cases and each stratum of the unchanged input."""
    found: list[Values] = []
    for condition in baselines(cases):
        for stratum in (ALL, *(group.name for group in subject.groups)):
            rows = rows_of(cases, condition, stratum)
            made = (figure(rows, (condition, stratum, name), seed, interval) for name in names)
            found += [asdict(item) for item in made if item is not None]
    return found


def _per_site(cases: Iterable[CaseResult]) -> dict[str, int]:
    """Return the number of patients of each site."""
    patients: dict[str, set[str]] = {}
    for item in cases:
        patients.setdefault(item.site, set()).add(item.patient_group)
    return {site: len(found) for site, found in sorted(patients.items())}


def _untimed(item: Verdict) -> Values:
    values = asdict(item)
    if item.timed:
        values |= {"value": None, "low": None, "high": None}
    return {
        key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()
    }


def _spread(values: Sequence[float]) -> Values:
    """Return number, median, 95th percentile and largest of measured values."""
    if not values:
        return {"n": 0}
    return {
        "n": len(values),
        "median": round(float(np.median(values)), 3),
        "p95": round(float(np.percentile(values, 95)), 3),
        "highest": round(max(values), 3),
    }
