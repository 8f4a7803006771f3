"""Judge one case under one condition, through the clinic's own steps.

    1  the input is changed as the condition says, the reference standard alike
    2  the pipeline runs: envelope check, worker process of the released code, abstention
    3  what it answered is measured against the reference standard

A refusal is an outcome, not an error.  Only members of an ensemble that never saw the patient
may judge him (`fair_members`); where there is none, the case is refused (NO_UNSEEN_MEMBER).

Read next: `adapters/validation/running.py`, which does this for a whole cohort.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plugins.host.findings import Segmentation
from plugins.host.manifest import Manifest
from plugins.host.pipeline import process
from plugins.host.ports import Answer, RunRequest, Workers
from plugins.host.result import RunResult
from plugins.host.staging import answer_digest
from validation.harness.cases import CohortCases, Evaluation, series_of
from validation.harness.conditions import BASELINE, OTHER_BODY, changed, generator_of
from validation.harness.dose_scoring import dose_of, score_dose
from validation.harness.house import HeldAnswers, InlineSteps, QuietWorkers, harness_house
from validation.harness.movement import cropped
from validation.harness.results import CaseResult, Condition, Measured
from validation.harness.scoring import bounds_held, said, score, segmentation_of

NO_UNSEEN_MEMBER = "NO_UNSEEN_MEMBER"
_OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""Stands in every request; nothing that is judged depends on it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is judged: what of a case of the cohort stands in its results.

    Parameters
    ----------
    members : those of the ensemble that may judge, ``all``, or empty where none may.
    """

    case_id: str
    patient_group: str
    site: str
    strata: tuple[str, ...]
    members: str = "all"


@dataclass(frozen=True, slots=True)
class Bench:
    """The release under test and how it is asked.

    Parameters
    ----------
    jitter_mm : reach of the crop that every case is put through first; 0 leaves it whole.
        A cohort whose images were cut around the lesion would else tell where it is.
    explained : conditions that are explained too, by name.
    seen : is shown each region that was measured beside what it was measured against.
    """

    manifest: Manifest
    release_digest: str
    workers: Workers
    seed: int
    jitter_mm: float = 0.0
    explained: tuple[str, ...] = (BASELINE,)
    parameters: Mapping[str, str | float | bool] = field(default_factory=dict)
    seen: Callable[[Evaluation, Segmentation], None] | None = None


def judge_case(
    bench: Bench, subject: Subject, evaluation: Evaluation, condition: Condition
) -> tuple[CaseResult, Measured]:
    """Return what came out for one case under one condition, and what it took."""
    started = time.monotonic()
    if not subject.members:
        result = _result(subject, condition, "refused", (NO_UNSEEN_MEMBER,))
        return result, Measured(subject.case_id, condition, 0.0, 0.0)
    # 1
    ready = _prepared(bench, subject, evaluation, condition)
    # 2
    ended, answer = run_release(bench, subject, ready, condition)
    # 3
    metrics: dict[str, float] = {}
    if answer is not None:
        metrics |= said(answer)
        region = segmentation_of(answer.prediction)
        if region is not None and ready.reference is not None and ready.reference.any():
            metrics |= score(region, ready.reference, ready.grid.spacing_mm)
            metrics |= bounds_held(metrics)
            if bench.seen is not None:
                bench.seen(ready, region)
        dose = dose_of(answer.prediction)
        if dose is not None and ready.planned is not None:
            metrics |= score_dose(dose, ready.planned)
    outcome, reasons = _outcome(ended)
    digest = answer_digest(replace(answer, explanation=None)) if answer is not None else ""
    result = _result(subject, condition, outcome, reasons, metrics, digest)
    seconds = answer.seconds if answer is not None else time.monotonic() - started
    return result, Measured(subject.case_id, condition, seconds, peak_memory_mb())


def run_release(
    bench: Bench, subject: Subject, evaluation: Evaluation, condition: Condition
) -> tuple[RunResult, Answer | None]:
    """Return how the pipeline ended on an evaluation, and the answer where there is one."""
    answers = HeldAnswers()
    workers = QuietWorkers(
        bench.workers, condition.name in bench.explained and condition.repeat == 0
    )
    cases = CohortCases(lambda _run_id: evaluation)
    request = _request(bench, subject, evaluation)
    house = harness_house(bench.manifest, cases, workers, answers)
    return process(request, house, InlineSteps()), answers.answer


def fair_members(
    training: Iterable[Mapping[str, Any]],
    patient_group: str,
    pseudonym: Callable[[str], str],
) -> str:
    """Return the members of an ensemble that never saw a patient, as its parameter takes them.

    Parameters
    ----------
    training : the ``training`` of the release's manifest: ``fold`` and ``trained_on`` of each.
    pseudonym : makes the cohort's pseudonym of a patient id of the training.

    Returns
    -------
    ``all`` where no member saw him, names joined by commas, or empty where every member did.
    """
    members = list(training)
    seen = [patient_group in {pseudonym(item) for item in m["trained_on"]} for m in members]
    if not any(seen):
        return "all"
    names = [f"fold-{m['fold']}" for m, saw in zip(members, seen, strict=True) if not saw]
    return ",".join(sorted(names))


def peak_memory_mb() -> float:
    """Return the largest peak of resident memory among this process's children, in MB.

    Source: proc(5), VmHWM; 0 where the system has no /proc.
    """
    peaks = [0.0]
    for place in Path("/proc/self/task").glob("*/children"):
        try:
            pids = place.read_text("ascii").split()
            status = "".join(Path(f"/proc/{pid}/status").read_text("ascii") for pid in pids)
        except OSError:  # a child ended meanwhile
            continue
        peaks += [float(line.split()[1]) for line in status.splitlines() if "VmHWM" in line]
    return max(peaks) / 1024.0


def _prepared(
    bench: Bench, subject: Subject, evaluation: Evaluation, condition: Condition
) -> Evaluation:
    """Return the evaluation, cropped as every condition of this case is, then changed."""
    if bench.jitter_mm > 0 and evaluation.planned is None:
        generator = generator_of(bench.seed, subject.case_id, "baseline-crop")
        if condition.name != "crop-jitter":
            evaluation = cropped(evaluation, bench.jitter_mm, generator)
    if condition.name == OTHER_BODY:
        evaluation = _of_purpose(bench.manifest, evaluation)
    return changed(evaluation, condition, subject.case_id, bench.seed)


def _of_purpose(manifest: Manifest, evaluation: Evaluation) -> Evaluation:
    """Return the evaluation; where no header says which part of the body it shows, one of the
    intended purpose is assumed, so that another part is one outside of it."""
    known, parts = evaluation.case.body_part, manifest.envelope.body_parts
    if known or not parts:
        return evaluation
    return replace(evaluation, case=replace(evaluation.case, body_part=parts[0]))


def _request(bench: Bench, subject: Subject, evaluation: Evaluation) -> RunRequest:
    parameters = {**bench.manifest.parameters, **bench.parameters}
    if subject.members != "all":
        parameters["members"] = subject.members
    return RunRequest(
        run_id=f"validation-{subject.case_id}",
        study_instance_uid=evaluation.case.study_instance_uid,
        plugin=bench.manifest.plugin,
        plugin_version=bench.manifest.version,
        release_digest=bench.release_digest,
        mode="research",
        series=series_of(evaluation.case),
        sop_instance_uids=evaluation.case.sop_instance_uids(),
        opened_at=_OPENED_AT,
        parameters=parameters,
        trigger="manual",
        requested_by="service:validation",
    )


def _outcome(ended: RunResult) -> tuple[str, tuple[str, ...]]:
    if ended.status == "done" or ended.status == "abstained":
        return ended.status, ended.reasons
    if ended.status == "refused":
        return "refused", ended.reasons or (ended.refusal,)
    return "failed", (ended.code,)


def _result(
    subject: Subject,
    condition: Condition,
    outcome: str,
    reasons: Sequence[str],
    metrics: Mapping[str, float] | None = None,
    digest: str = "",
) -> CaseResult:
    return CaseResult(
        subject.case_id,
        subject.patient_group,
        subject.site,
        subject.strata,
        condition,
        outcome,
        tuple(reasons),
        metrics or {},
        digest,
    )
