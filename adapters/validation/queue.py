"""Validation on the work engine: one workflow for each case, one durable step a condition.

What is done stays done: a process that was killed takes a case up behind its last finished
step.  Machines that share the engine's database (PostgreSQL) and ask the same question take
cases from one queue, each case once.  An error is remembered as JSON, never as a pickle; the
next start makes another attempt at a case that ended with one.

Read next: `running.py`; `adapters/engine/engine.py` does the same for the clinic's runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from dbos import DBOS, DBOSPortableJSONSerializer, SetWorkflowID

from adapters.engine.engine import ERROR, error_of
from audit.errors import SuiteError
from plugins.host.ports import Json
from validation.harness.results import Condition

ATTEMPTS = 3
"""How often a step is tried while its error says that trying again may help."""
_POLL_S = 0.1


class Judge(Protocol):
    """What the engine calls back."""

    def judge(self, case_id: str, condition: Condition) -> Json:
        """Return the result of one case under one condition, as JSON values."""
        ...

    def forget(self, case_id: str) -> None:
        """Let what is kept of a case go."""
        ...


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Where the engine keeps its state, for which run, and how much this machine does at once."""

    url: str
    run_id: str
    executor_id: str
    workers: int = 1


class _Current:
    """The judge of this process, as the workflow finds it."""

    judge: Judge | None = None


_CURRENT = _Current()


@DBOS.workflow(name="osteon.validate")  # type: ignore[untyped-decorator]  # DBOS has no types here
def _case_workflow(run_id: str, case_id: str, conditions: list[Json]) -> Json:
    judge = _CURRENT.judge
    if judge is None:
        raise RuntimeError("validation was stopped while a case was judged")
    found: list[Json] = []
    for values in conditions:
        value: Json = DBOS.run_step(
            {
                "name": f"{run_id[:8]}-{values['name']}-{values['level']}-{values['repeat']}",
                "retries_allowed": True,
                "max_attempts": ATTEMPTS,
            },
            _settled,
            judge,
            case_id,
            values,
        )
        if ERROR in value:
            return value
        found.append(value)
    judge.forget(case_id)
    return {"results": found}


def _settled(judge: Judge, case_id: str, values: Json) -> Json:
    try:
        return judge.judge(case_id, Condition(**values))
    except SuiteError as error:
        if error.retryable:
            raise
        return {ERROR: {"code": error.code, "message": str(error), "advice": error.advice}}


class ValidationQueue:
    """The cases of one run, queued and waited for."""

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._attempts: dict[str, int] = {}

    def submit(self, case_id: str, conditions: Sequence[Condition]) -> None:
        """Queue a case; one that is queued or done already is left alone."""
        attempt = 1
        while self._ended_badly(self._name(case_id, attempt)):
            attempt += 1
        self._attempts[case_id] = attempt
        with SetWorkflowID(self._name(case_id, attempt)):
            DBOS.enqueue_workflow(
                queue_name(self._settings.run_id),
                _case_workflow,
                self._settings.run_id,
                case_id,
                [asdict(item) for item in conditions],
            )

    def results(self, case_id: str) -> list[Json]:
        """Wait for a case and return what came out under each condition.

        Raises
        ------
        SuiteError : what ended the case, by its own code.
        """
        handle = DBOS.retrieve_workflow(self._name(case_id, self._attempts[case_id]))
        value: Any = handle.get_result(polling_interval_sec=_POLL_S)
        if ERROR in value:
            raise error_of(value[ERROR])
        return list(value["results"])

    def _name(self, case_id: str, attempt: int) -> str:
        return f"{self._settings.run_id}-{case_id}-{attempt}"

    def _ended_badly(self, workflow_id: str) -> bool:
        status = DBOS.get_workflow_status(workflow_id)
        if status is None or status.status in ("PENDING", "ENQUEUED", "DELAYED"):
            return False
        output = status.output if isinstance(status.output, dict) else {}
        return status.status != "SUCCESS" or ERROR in output


def queue_name(run_id: str) -> str:
    """Return the name of a run's queue; also its version, so that no other run recovers it."""
    return f"validation-{run_id}"


@contextmanager
def validation_queue(
    settings: QueueSettings, judge: Judge, say: Callable[[str], None] = lambda _: None
) -> Iterator[ValidationQueue]:
    """Start the engine of a run; what a killed process left is taken up at once."""
    os.environ.setdefault("DBOS__TELEMETRY", "0")
    _CURRENT.judge = judge
    config: dict[str, Any] = {
        "name": "osteon-validation",
        "system_database_url": settings.url,
        "application_version": queue_name(settings.run_id),
        "executor_id": settings.executor_id,
        "log_level": "ERROR",
        "enable_otlp": False,
        "serializer": DBOSPortableJSONSerializer(),
    }
    say("starting the work engine")
    DBOS(config=config)
    DBOS.launch()
    try:
        DBOS.register_queue(
            queue_name(settings.run_id),
            worker_concurrency=settings.workers,
            polling_interval_sec=_POLL_S,
            on_conflict="always_update",
        )
        yield ValidationQueue(settings)
    finally:
        DBOS.destroy(workflow_completion_timeout_sec=0)
        _CURRENT.judge = None
