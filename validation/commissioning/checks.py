"""The checks of a commissioning: pure judgements of what was measured, against the site's plan.

    local-cases        enough of the site's own patients, and the criteria met on them
    scanners           every scanner of the plan has patients
    known-answer       geometry of this installation, and of the release on phantoms
    end-to-end         a run went from arrival to objects that were read back
    failure-behaviour  inputs outside the purpose are refused or withheld
    training           so many persons are trained for the plugin today
    baseline           answers that routine QA can ask for again

A check passes, fails, or is insufficient where too little was tried; the worst verdict is that of
the whole.

Source: Vandewinckele et al., Radiother Oncol 2020; 153: 55-66, sections on commissioning and
QA; REGULATORY.md ESTRO-1.

Read next: `content.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from governance.commissioning_plan import CommissioningPlan, Scanner
from governance.known_answer import KnownAnswer, PluginAnswer
from governance.strata import CaseFacts
from validation.cohort.manifest import Cohort, CohortFacts
from validation.harness.conditions import BASELINE, SWEEPS
from validation.harness.results import CaseResult, RunResults

ORDER = ("pass", "insufficient", "fail")
OUTSIDE = tuple(name for name, sweep in SWEEPS.items() if sweep.kind == "outside")
"""Sweeps that make an input which nobody should answer."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried.

    Parameters
    ----------
    reason : stable code of why it did not pass; empty where it did.
    figures : what was found, as JSON values; every share with its n.
    """

    name: str
    verdict: str
    reason: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer of the baseline: what routine QA asks for again.

    Parameters
    ----------
    headline : value of the headline metric; None where the case was not answered.
    """

    case_id: str
    given: str
    outcome: str
    output_digest: str
    headline: float | None


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """How one run went from arrival to what was read back.

    Parameters
    ----------
    archive : name of the archive that the study lay in; ``folder`` for files.
    outputs, verified : documents at targets, and those whose content was read back.
    """

    run_id: str
    mode: str
    status: str
    archive: str
    outputs: int
    verified: int

    @property
    def whole(self) -> bool:
        """Return whether the run ended, and everything that it wrote was read back."""
        return self.status == "done" and 0 < self.outputs == self.verified


def worst(checks: Sequence[Check]) -> str:
    """Return the verdict of all checks together."""
    return max((item.verdict for item in checks), key=ORDER.index, default="insufficient")


def local_cases(plan: CommissioningPlan, results: RunResults, verdict: str) -> Check:
    """Judge number and verdict of the site's own patients."""
    patients = {c.patient_group for c in results.cases if c.condition.name == BASELINE}
    figures = {"patients": len(patients), "asked": plan.cases, "verdict": verdict}
    if verdict == "fail":
        return Check("local-cases", "fail", "CRITERIA_MISSED", figures)
    if len(patients) < plan.cases:
        return Check("local-cases", "insufficient", "TOO_FEW_PATIENTS", figures)
    if verdict != "pass":
        return Check("local-cases", "insufficient", "CRITERIA_UNDECIDED", figures)
    return Check("local-cases", "pass", "", figures)


def scanners(plan: CommissioningPlan, cohort: Cohort) -> Check:
    """Judge whether every scanner of the plan has patients; count those of others."""
    found = {scanner.words: len(_patients(cohort, scanner)) for scanner in plan.scanners}
    known = {group for scanner in plan.scanners for group in _patients(cohort, scanner)}
    others = len({case.patient_group for case in cohort.cases} - known)
    figures = {"patients": found, "of_other_or_unknown_scanners": others}
    missing = [words for words, count in found.items() if not count]
    if missing:
        return Check("scanners", "insufficient", "SCANNER_WITHOUT_PATIENTS", figures)
    return Check("scanners", "pass", "", figures)


def known_answer(installation: KnownAnswer, release: PluginAnswer | None) -> Check:
    """Judge the geometry of installation and release; a release may outline no phantom."""
    figures = {
        "installation": installation.words,
        "release": release.words if release else "outlines no lesion of the phantom",
    }
    well = installation.passed and (release is None or release.passed)
    return Check("known-answer", "pass" if well else "fail", "" if well else "MISPLACED", figures)


def end_to_end(runs: Sequence[EndToEnd]) -> Check:
    """Judge the runs that were named: all of them whole, and at least one."""
    figures = {
        "runs": len(runs),
        "whole": sum(run.whole for run in runs),
        "named": [run.run_id for run in runs],
        "archives": sorted({run.archive for run in runs}),
        "modes": sorted({run.mode for run in runs}),
        "outputs": sum(run.outputs for run in runs),
        "verified": sum(run.verified for run in runs),
    }
    if not runs:
        return Check("end-to-end", "insufficient", "NOT_TRIED", figures)
    if not all(run.whole for run in runs):
        return Check("end-to-end", "fail", "NOT_READ_BACK", figures)
    return Check("end-to-end", "pass", "", figures)


def failure_behaviour(plan: CommissioningPlan, results: RunResults) -> Check:
    """Judge how often an input outside the purpose was refused or withheld; a crash is neither."""
    tried = [case for case in results.cases if case.condition.name in OUTSIDE]
    held = [case for case in tried if case.outcome in ("refused", "abstained")]
    by_name = {
        name: [case.outcome for case in tried if case.condition.name == name] for name in OUTSIDE
    }
    figures = {
        "tried": len(tried),
        "held_back": len(held),
        "crashed": sum(case.outcome == "failed" for case in tried),
        "asked": plan.refused_share,
        "by_condition": {
            name: {word: found.count(word) for word in sorted(set(found))}
            for name, found in by_name.items()
        },
    }
    if not tried:
        return Check("failure-behaviour", "insufficient", "NOT_TRIED", figures)
    if len(held) / len(tried) < plan.refused_share:
        return Check("failure-behaviour", "fail", "ANSWERED_OUTSIDE", figures)
    return Check("failure-behaviour", "pass", "", figures)


def training(plan: CommissioningPlan, trained: int) -> Check:
    """Judge how many persons are trained for the plugin today."""
    figures = {"trained": trained, "asked": plan.trained}
    if trained < plan.trained:
        return Check("training", "insufficient", "TOO_FEW_TRAINED", figures)
    return Check("training", "pass", "", figures)


def baseline(
    plan: CommissioningPlan, results: RunResults, headline: str
) -> tuple[Check, tuple[Kept, ...]]:
    """Return the answers that routine QA compares with: the first cases, as they were asked."""
    plain = sorted(
        (c for c in results.cases if c.condition.name == BASELINE and c.condition.repeat == 0),
        key=lambda case: (case.case_id, -len(case.condition.given)),
    )
    first: dict[str, CaseResult] = {}
    for case in plain:
        if case.outcome == "done" and case.output_digest:
            first.setdefault(case.case_id, case)
    kept = tuple(
        Kept(case.case_id, case.condition.given, case.outcome, case.output_digest,
             case.metrics.get(headline))
        for case in list(first.values())[: plan.baseline_cases]
    )  # fmt: skip
    figures = {"kept": len(kept), "asked": plan.baseline_cases, "metric": headline}
    if len(kept) < plan.baseline_cases:
        return Check("baseline", "insufficient", "TOO_FEW_ANSWERS", figures), kept
    return Check("baseline", "pass", "", figures), kept


def routine(before: Sequence[Kept], now: Sequence[Kept], tolerance: float) -> Check:
    """Judge a baseline that was asked again: the same answers, or the metric near what it was."""
    known = {(item.case_id, item.given): item for item in now}
    same = near = 0
    largest = 0.0
    for item in before:
        found = known.get((item.case_id, item.given))
        if found is None or found.outcome != item.outcome:
            continue
        if found.output_digest == item.output_digest:
            same += 1
            near += 1
        elif found.headline is not None and item.headline is not None:
            difference = abs(found.headline - item.headline)
            largest = max(largest, difference)
            near += difference <= tolerance
    figures = {
        "asked": len(before), "the_same": same, "near": near, "largest_difference": largest,
        "tolerance": tolerance,
    }  # fmt: skip
    if not before or near < len(before):
        return Check("routine", "fail", "ANSWERS_DIFFER", figures)
    return Check("routine", "pass", "", figures)


def machine_of(facts: CohortFacts) -> CaseFacts:
    """Return the facts of a case that say which scanner made it."""
    return CaseFacts(manufacturer=facts.manufacturer, model=facts.model, station=facts.station)


def _patients(cohort: Cohort, scanner: Scanner) -> set[str]:
    return {c.patient_group for c in cohort.cases if scanner.made(machine_of(c.facts)) is True}
