"""One attempt at a run: call the pipeline, and decide what an error means.

A retryable error puts the run back (`waiting`) with a capped, growing pause that outlives
a weekend; everything else ends the run where somebody can see it.  What earlier attempts
finished is kept: staging holds the answer, the delivery ledger holds each document's
state, so a later attempt goes on from the failed step without a second inference.

Read next: `schedule.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from adapters.database import Database
from adapters.database.runs import OPEN_STATUSES, RunRow
from adapters.delivery.backoff import next_attempt
from adapters.engine.notices import Notices
from audit.errors import SuiteError
from plugins.host.pipeline import give_up, process, resume_delivery
from plugins.host.ports import House, Json, RunRequest, StepRunner
from plugins.host.result import RunResult, decode, encode

GIVE_UP_AFTER = timedelta(days=7)
_WAITING = "delivering:"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunExecutor:
    """Makes attempts at runs of one site; fulfils `adapters.engine.engine.Work`."""

    house: House
    database: Database
    notices: Notices
    now: Callable[[], datetime]

    def process(self, run_id: str, steps: StepRunner) -> Json:
        """Make one attempt at a run and return how it ended."""
        row = self._open_run(run_id)
        if row is None:
            return {"status": "discarded"}
        request: RunRequest = row.request
        with self.database.transaction() as transaction:
            transaction.set_run_status(run_id, "running")
        _log.info("run attempt", run_id=run_id, attempt=row.attempts, plugin=request.plugin)
        try:
            return self._ended(request, process(request, self.house, steps))
        except SuiteError as error:
            return self._failed(request, row.attempts, error)

    def deliver(self, run_id: str) -> Json:
        """Bring the documents of a run further to their targets."""
        row = self._open_run(run_id)
        with self.database.reading() as transaction:
            waiting = transaction.cursor(_WAITING + run_id)
        if row is None or not waiting:
            return {"status": "discarded"}
        before = decode(json.loads(waiting))
        return self._ended(row.request, resume_delivery(row.request, self.house, before))

    def _open_run(self, run_id: str) -> RunRow | None:
        with self.database.reading() as transaction:
            row = transaction.run(run_id)
        return row if row is not None and row.status in OPEN_STATUSES else None

    def _failed(self, request: RunRequest, attempt: int, error: SuiteError) -> Json:
        now = self.now()
        if error.retryable and now - request.opened_at < GIVE_UP_AFTER:
            due = next_attempt(attempt, now, request.run_id)
            with self.database.transaction() as transaction:
                transaction.put_retry(request.run_id, attempt + 1, due, error.code)
            _log.warning("run waits", run_id=request.run_id, code=error.code, due=due.isoformat())
            return {"status": "waiting", "code": error.code}
        result = give_up(request, self.house, error)
        self.notices.failed(request, error.code, error.advice)
        _log.error("run failed", run_id=request.run_id, code=error.code)
        return {"status": result.status, "code": error.code}

    def _ended(self, request: RunRequest, result: RunResult) -> Json:
        if result.status == "delivering":
            with self.database.transaction() as transaction:
                transaction.set_cursor(_WAITING + request.run_id, json.dumps(encode(result)))
                transaction.set_run_status(request.run_id, "delivering")
        if result.status == "failed":
            self.notices.failed(request, result.code, "Look at it: osteon runs show.")
        _log.info("run ended", run_id=request.run_id, status=result.status, code=result.code)
        return {"status": result.status, "code": result.code}
