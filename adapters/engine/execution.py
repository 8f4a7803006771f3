"""One attempt at a run: call the pipeline, and decide what an error means.

A retryable error puts the run back (`waiting`) with a capped, growing pause that outlives
a weekend; everything else ends the run where somebody can see it.  What earlier attempts
finished is kept: staging holds the answer, the delivery ledger holds each document's
state, so a later attempt goes on from the failed step without a second inference.

Read next: `schedule.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from adapters.database import Database
from adapters.delivery.backoff import next_attempt
from adapters.engine.notices import Notices
from audit.errors import SuiteError
from plugins.host.pipeline import RunResult, process, resume_delivery
from plugins.host.ports import House, Json, RunRequest, StepRunner

GIVE_UP_AFTER = timedelta(days=7)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunExecutor:
    """Makes attempts at runs of one site; fulfils `adapters.engine.engine.Work`."""

    house: House
    database: Database
    notices: Notices
    now: Callable[[], datetime]

    def process(self, run_id: str, attempt: int, steps: StepRunner) -> Json:
        """Make one attempt at a run and return how it ended."""
        request = self._request(run_id)
        if request is None:
            return {"status": "discarded"}
        with self.database.transaction() as transaction:
            transaction.set_run_status(run_id, "running")
        _log.info("run attempt", run_id=run_id, attempt=attempt, plugin=request.plugin)
        try:
            result = process(request, self.house, steps)
        except SuiteError as error:
            return self._failed(request, attempt, error)
        return self._ended(request, result)

    def deliver(self, run_id: str) -> Json:
        """Bring the documents of a run further to their targets."""
        request = self._request(run_id)
        if request is None:
            return {"status": "discarded"}
        return self._ended(request, resume_delivery(request, self.house))

    def _request(self, run_id: str) -> RunRequest | None:
        with self.database.transaction() as transaction:
            row = transaction.run(run_id)
            if row is None or row.status in ("discarded", "done", "superseded"):
                return None
            return transaction.request_of(run_id)

    def _failed(self, request: RunRequest, attempt: int, error: SuiteError) -> Json:
        now = self.now()
        expired = now - request.opened_at > GIVE_UP_AFTER
        if error.retryable and not expired:
            due = next_attempt(attempt, now, jitter_seed=request.run_id)
            with self.database.transaction() as transaction:
                transaction.put_retry(request.run_id, attempt + 1, due, error.code)
            _log.warning("run waits", run_id=request.run_id, code=error.code, due=due.isoformat())
            return {"status": "waiting", "code": error.code}
        self.house.journal.closed(request, "failed", error.code)
        self.notices.failed(request, error.code, error.advice)
        _log.error("run failed", run_id=request.run_id, code=error.code)
        return {"status": "failed", "code": error.code}

    def _ended(self, request: RunRequest, result: RunResult) -> Json:
        if result.status == "failed":
            self.notices.failed(request, result.reason, "Look at the run: osteon runs show.")
        _log.info("run ended", run_id=request.run_id, status=result.status)
        return {"status": result.status, "reason": result.reason}
