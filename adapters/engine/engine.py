"""Durable execution of runs on DBOS: SQLite by default, PostgreSQL for several machines.

DBOS keeps only which steps of which attempt are done, in its own database; everything
else is in the site database (SEAMS: Database, engine, home).  One process holds one
engine, because DBOS is one object per process: `_CURRENT` is that object's way back to us.

The version that DBOS binds recovery to is fixed here: by default it would be a hash of
the workflow's source, and runs left unfinished by an upgrade would never be resumed.

Read next: `execution.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from dbos import DBOS, DBOSPortableJSONSerializer, SetEnqueueOptions, SetWorkflowID

from audit.errors import SuiteError
from plugins.host.ports import Json, StepRunner

APPLICATION_VERSION = "osteon-1"
PRIORITIES = {"urgent": 1, "normal": 10}
RUNS, DELIVERIES = "runs", "deliveries"
DELIVERY_PATIENCE = 5
"""A later round of a delivery has waited for seconds already: its queue is asked less often."""


class Work(Protocol):
    """What the engine calls back."""

    def process(self, run_id: str, attempt: int, steps: StepRunner) -> Json:
        """Make one attempt at a run."""
        ...

    def deliver(self, run_id: str) -> Json:
        """Bring the documents of a run further to their targets."""
        ...


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where the engine keeps its state and how much it does at once.

    ``executor_id`` is stable across restarts: work of a dead process waits for it.  The
    engine keeps both limits with its queues, so all machines must have the same
    (`serving.agree_on_limits`).
    """

    url: str
    executor_id: str
    concurrency: int = 1
    global_concurrency: int | None = None
    polling_interval_s: float = 0.2


class _Steps:
    """DBOS as the pipeline sees it; an error is remembered as JSON, never as a pickle."""

    def step(self, name: str, function: Callable[[], Json]) -> Json:
        """Run a step at least once and remember its JSON value across a crash."""
        value: Json = DBOS.run_step({"name": name}, _settled, function)
        if ERROR in value:
            raise error_of(value[ERROR])
        return value


ERROR = "osteon_error"


def _settled(function: Callable[[], Json]) -> Json:
    try:
        return function()
    except SuiteError as error:
        return {ERROR: {"code": error.code, "message": str(error), "advice": error.advice}}


def error_of(values: Json) -> SuiteError:
    """Return the error that a step remembered, of the class that has its code."""
    known = {SuiteError.code: SuiteError}
    waiting = [SuiteError]
    while waiting:
        for child in waiting.pop().__subclasses__():
            known.setdefault(child.code, child)
            waiting.append(child)
    error = known.get(values["code"], SuiteError)(values["message"])
    error.advice = values["advice"]
    return error


class _Current:
    """The engine of this process, as the workflow functions find it."""

    work: Work | None = None


_CURRENT = _Current()


@DBOS.workflow(name="osteon.run")  # type: ignore[untyped-decorator]  # DBOS has no types here
def _run_workflow(run_id: str, attempt: int) -> Json:
    return _work().process(run_id, attempt, _Steps())


@DBOS.workflow(name="osteon.deliver")  # type: ignore[untyped-decorator]  # as above
def _deliver_workflow(run_id: str, token: str) -> Json:
    value: Json = DBOS.run_step({"name": f"deliver-{token}"}, lambda: _work().deliver(run_id))
    return value


def _work() -> Work:
    if _CURRENT.work is None:
        raise RuntimeError("the work engine was stopped while a workflow was running")
    return _CURRENT.work


def _attempt_name(run_id: str, attempt: int) -> str:
    return run_id if attempt == 1 else f"{run_id}-{attempt}"


class WorkEngine:
    """Run attempts durably; use as a context manager."""

    def __init__(self, settings: EngineSettings, work: Work) -> None:
        self.settings = settings
        self._work = work

    def __enter__(self) -> WorkEngine:
        os.environ.setdefault("DBOS__TELEMETRY", "0")
        _CURRENT.work = self._work
        config: dict[str, Any] = {
            "name": "osteon",
            "system_database_url": self.settings.url,
            "application_version": APPLICATION_VERSION,
            "executor_id": self.settings.executor_id,
            "log_level": "ERROR",
            "enable_otlp": False,
            "serializer": DBOSPortableJSONSerializer(),
        }
        DBOS(config=config)
        DBOS.launch()
        # A machine can never do more at once than all together, and DBOS refuses the words.
        everywhere = self.settings.global_concurrency or self.settings.concurrency
        for queue, patience in ((RUNS, 1), (DELIVERIES, DELIVERY_PATIENCE)):
            DBOS.register_queue(
                queue,
                worker_concurrency=min(self.settings.concurrency, everywhere),
                global_concurrency=self.settings.global_concurrency,
                polling_interval_sec=self.settings.polling_interval_s * patience,
                on_conflict="always_update",
            )
        return self

    def __exit__(self, *error: object) -> None:
        DBOS.destroy(workflow_completion_timeout_sec=0)
        _CURRENT.work = None

    def submit(self, run_id: str, attempt: int = 1, priority: str = "normal") -> None:
        """Queue an attempt at a run; the same attempt twice is one attempt."""
        with (
            SetWorkflowID(_attempt_name(run_id, attempt)),
            SetEnqueueOptions(priority=PRIORITIES[priority]),
        ):
            DBOS.enqueue_workflow(RUNS, _run_workflow, run_id, attempt)

    def submit_delivery(self, run_id: str, token: str, priority: str = "normal") -> None:
        """Queue another round of delivery of a run; ``token`` names the round."""
        with (
            SetWorkflowID(f"{run_id}-deliver-{token}"),
            SetEnqueueOptions(priority=PRIORITIES[priority]),
        ):
            DBOS.enqueue_workflow(DELIVERIES, _deliver_workflow, run_id, token)

    def has_ended(self, run_id: str, attempt: int) -> bool | None:
        """Return whether the engine is done with an attempt; None when it never heard of it."""
        found = DBOS.list_workflows(
            workflow_ids=[_attempt_name(run_id, attempt)], load_input=False, load_output=False
        )
        if not found:
            return None
        return found[0].status not in ("ENQUEUED", "PENDING", "DELAYED")

    def adopt(self, is_alive: Callable[[str], bool]) -> tuple[str, ...]:
        """Take over the unfinished attempts of executors that are dead.

        DBOS leaves the work of a dead executor to one with the same id; a site with several
        machines does not want to wait for that (DEPENDENCIES: DBOS).
        """
        adopted = []
        for status in DBOS.list_workflows(status="PENDING", load_input=False, load_output=False):
            owner = status.executor_id or ""
            if owner and owner != self.settings.executor_id and not is_alive(owner):
                DBOS.resume_workflow(status.workflow_id, queue_name=status.queue_name or RUNS)
                adopted.append(status.workflow_id)
        return tuple(adopted)
