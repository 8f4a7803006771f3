"""Run the harness: a release on a cohort, on the work engine, into the home.

    1  the plan is fixed: request.json, with the moment of the first result
    2  cases are judged on the engine, each step remembered
    3  results.json and measured.json are written once all cases are there

Files of a run lie in ``home/validations/RUN_ID``.  The same question has the same run id, and
goes on where it stopped.  `results.content_digest` is equal for a re-run elsewhere: it leaves
out the two moments, which differ.

Read next: `queue.py`, `judging.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.validation.album import PICTURES, Album
from adapters.validation.judging import PATIENCE, CohortJudge, UnderTest
from adapters.validation.queue import QueueSettings, validation_queue
from audit import canonical
from audit.errors import RecordError, RefusalError
from plugins.host.ports import Json
from plugins.host.runner import ReleaseWorkers
from validation.cohort import reading
from validation.cohort.cases import CohortFiles
from validation.cohort.linkage import Linkage
from validation.cohort.manifest import Cohort
from validation.harness import plan as plans
from validation.harness import results as harness_results
from validation.harness.plan import PHANTOM, RunPlan
from validation.harness.results import Condition, Measured, RunResults

UNFIXED_CRITERIA = "UNFIXED_CRITERIA"
SCHEMA = "osteon.validation-request/1"
RESULTS, MEASURED, REQUEST = "results.json", "measured.json", "request.json"
COHORT = "cohort.json"


class UnfixedCriteriaError(RefusalError):
    """Criteria were not recorded before the first result."""

    code = UNFIXED_CRITERIA
    advice = "Fix the criteria first: `osteon validate criteria`. They count from then on."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run lies and works.

    Parameters
    ----------
    folder : ``validations`` of the home.
    engine_url : database of the work engine; empty for a file beside the run.
    node : name of this machine; different on each machine that shares the engine.
    """

    folder: Path
    node: str = "site"
    engine_url: str = ""
    workers: int = 1

    def of(self, run_id: str) -> Path:
        """Return the folder of a run, made where it is not there."""
        found = self.folder / run_id
        (found / "cases").mkdir(parents=True, exist_ok=True, mode=0o700)
        return found


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the plan, and everything that it names by digest.

    ``criteria_recorded_at`` : when the audit log took the criteria down; None where it did not.
    """

    plan: RunPlan
    cohort: Cohort
    files: CohortFiles
    linkage: Linkage
    under_test: UnderTest
    criteria_recorded_at: datetime | None


def run_harness(
    question: Question,
    place: Place,
    *,
    now: Callable[[], datetime],
    say: Callable[[str], None] = lambda _: None,
) -> RunResults:
    """Return the results of a run; what was judged already is not judged again.

    Raises
    ------
    UnfixedCriteriaError : the criteria were not recorded before the first result.
    SuiteError : what ended a case, by its own code; the next call goes on behind it.
    """
    # 1
    plan = question.plan
    recorded_at, evaluated_at = settle_request(question, place, now)
    conditions = {
        item.case_id: plan.conditions(question.cohort, item) for item in question.cohort.cases
    }
    if plan.phantoms:
        conditions[PHANTOM] = plan.phantom_conditions()
    # 2
    settings = QueueSettings(
        place.engine_url or f"sqlite:///{place.of(plan.run_id) / 'engine.db'}",
        plan.run_id,
        f"validation-{place.node}",
        place.workers,
    )
    under_test = question.under_test
    with ReleaseWorkers(
        under_test.releases, max_workers=place.workers, patience=PATIENCE
    ) as workers:
        judge = CohortJudge(
            plan, question.cohort, question.files, question.linkage, under_test, workers
        )
        judge.node = place.node
        judge.album = Album(place.of(plan.run_id) / PICTURES)
        with validation_queue(settings, judge, say) as queue:
            for case_id in sorted(conditions):
                queue.submit(case_id, conditions[case_id])
            found = _collect(queue.results, conditions, place.of(plan.run_id), say)
    # 3
    return _written(question, place, found, recorded_at, evaluated_at)


def settle_request(
    question: Question, place: Place, now: Callable[[], datetime]
) -> tuple[datetime, datetime]:
    """Write the request once and return when criteria were recorded and results began.

    Raises
    ------
    UnfixedCriteriaError : the criteria are on no record, or younger than the first result.
    """
    recorded = question.criteria_recorded_at
    if recorded is None:
        raise UnfixedCriteriaError(
            "expected criteria on record before the first result, found none",
            reasons=(UNFIXED_CRITERIA,),
        )
    path = place.of(question.plan.run_id) / REQUEST
    if not path.exists():
        document = {
            "schema": SCHEMA,
            "run_id": question.plan.run_id,
            "plan": plans.encode(question.plan),
            "criteria_recorded_at": recorded.astimezone(UTC).isoformat(),
            "evaluated_at": now().astimezone(UTC).isoformat(),
        }
        _write(path, canonical.encode(document))
    values = read_request(path)
    evaluated = datetime.fromisoformat(values["evaluated_at"])
    if recorded >= evaluated:
        raise UnfixedCriteriaError(
            "expected criteria that are older than the first result, found younger ones",
            reasons=(UNFIXED_CRITERIA,),
        )
    return recorded, evaluated


def read_request(path: Path) -> dict[str, Any]:
    """Return the request of a run; RecordError where it is not one."""
    try:
        values = dict(canonical.decode(path.read_bytes()))
        if values["schema"] != SCHEMA:
            raise ValueError("schema")
    except (OSError, ValueError, KeyError, TypeError, RecordError) as error:
        raise RecordError(f"expected the request of a validation run in {path.name}") from error
    return values


def _collect(
    results: Callable[[str], list[Json]],
    conditions: dict[str, tuple[Condition, ...]],
    folder: Path,
    say: Callable[[str], None],
) -> list[Json]:
    """Return what came out for every case, in order, and keep a file of each."""
    found: list[Json] = []
    for number, case_id in enumerate(sorted(conditions), start=1):
        values = results(case_id)
        _write(folder / "cases" / f"{case_id}.json", canonical.encode({"results": values}))
        found += values
        say(f"{number} of {len(conditions)} cases judged")
    return found


def _written(
    question: Question,
    place: Place,
    found: Sequence[Json],
    recorded_at: datetime,
    evaluated_at: datetime,
) -> RunResults:
    """Write results, measurements and the manifest that was judged, and return the results.

    A cohort that is sealed or built again has another manifest, and the report needs this one.
    """
    plan = question.plan
    runtimes = {canonical.encode(item["runtime"]) for item in found if item["runtime"]}
    results = RunResults(
        run_id=plan.run_id,
        release_digest=plan.release_digest,
        cohort_digest=plan.cohort_digest,
        criteria_digest=plan.criteria_digest,
        metric_pack=plan.metric_pack,
        method=plan.method,
        seed=plan.seed,
        criteria_recorded_at=recorded_at,
        evaluated_at=evaluated_at,
        cases=tuple(
            sorted(
                (harness_results.decode_case(item["result"]) for item in found),
                key=lambda item: (item.case_id, item.condition),
            )
        ),
        runtime=_joined([json.loads(item) for item in sorted(runtimes)]),
        measured=tuple(_measured(item["measured"]) for item in found),
    )
    folder = place.of(plan.run_id)
    _write(folder / COHORT, reading.encode(question.cohort))
    _write(folder / RESULTS, harness_results.encode(results))
    _write(folder / MEASURED, canonical.encode({"measured": [asdict(i) for i in results.measured]}))
    return results


def read_results(folder: Path) -> RunResults:
    """Return the results of a run's folder with what was measured of the machines.

    Raises
    ------
    RecordError : a file is not what the harness wrote.
    """
    try:
        results = harness_results.decode((folder / RESULTS).read_bytes())
        values = canonical.decode((folder / MEASURED).read_bytes())["measured"]
        measured = tuple(_measured(item) for item in values)
    except (OSError, KeyError, TypeError) as error:
        raise RecordError(f"expected the results of a validation run in {folder.name}") from error
    return replace(results, measured=measured)


def _measured(values: Json) -> Measured:
    return Measured(**{**values, "condition": Condition(**values["condition"])})


def _joined(runtimes: Sequence[dict[str, str]]) -> dict[str, str]:
    """Return the runtime of all workers; where machines differ, every value in order."""
    keys = sorted({key for item in runtimes for key in item})
    return {
        key: " | ".join(sorted({item[key] for item in runtimes if key in item})) for key in keys
    }


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    building = path.with_suffix(".new")
    with building.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    building.replace(path)
