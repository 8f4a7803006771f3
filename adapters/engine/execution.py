"""One attempt at a run: call the pipeline, and decide what an error means.

A retryable error lets the run wait, with a capped, growing pause that outlives a weekend;
everything else ends the run where somebody can see it.  What earlier attempts finished is
kept: staging holds the answer, the delivery ledger each document's state, so a later
attempt goes on from there without a second inference.

An attempt has a number.  The engine may run it again after a crash, but never once a later
one was made (`Runs.begin_attempt`); what the engine lost is found by `serving.reconcile`.

Read next: `schedule.py`.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from adapters.database import Database, Transaction
from adapters.database.journal import SiteJournal
from adapters.database.runs import CLOSED_STATUSES, RunRow
from adapters.delivery.backoff import next_attempt
from adapters.engine.notices import Notices
from adapters.engine.waiting import LEASE, WAITING
from audit.errors import SuiteError
from plugins.host.pipeline import give_up, process, resume_delivery
from plugins.host.ports import House, Json, RunRequest, StepRunner
from plugins.host.result import RunResult, decode, encode

GIVE_UP_AFTER = timedelta(days=7)
NO_ROOM = "NO_ROOM"
NO_ROOM_PAUSE = timedelta(seconds=1)

_log = structlog.get_logger(__name__)


class DefectError(SuiteError):
    """The suite itself broke; kind and place are in the program log."""

    code = "DEFECT"
    advice = "Send the program log of this run to the maintainer."


@dataclass(frozen=True, slots=True)
class RunExecutor:
    """Makes attempts at runs of one site; fulfils `adapters.engine.engine.Work`.

    ``cap`` is how many runs may be at work on all machines together; None is no limit.
    """

    house: House
    database: Database
    journal: SiteJournal
    notices: Notices
    forget: Callable[[str], None]
    now: Callable[[], datetime]
    cap: int | None = None

    def process(self, run_id: str, attempt: int, steps: StepRunner) -> Json:
        """Make one attempt at a run and return how it ended."""
        row = self.database.run(lambda transaction: self._begin(transaction, run_id, attempt))
        if row is None:
            return {"status": "not-its-turn"}
        request: RunRequest = row.request
        _log.info("run attempt", run_id=run_id, attempt=attempt, plugin=request.plugin)
        try:
            return self._ended(request, process(request, self.house, steps))
        except SuiteError as error:
            return self._failed(request, attempt, error)
        except Exception as error:  # broad: a defect must end where somebody sees it
            return self._failed(request, attempt, _defect(error))
        finally:
            self.forget(run_id)

    def _begin(self, transaction: Transaction, run_id: str, attempt: int) -> RunRow | None:
        """Begin an attempt; None when it is not its turn, or has to wait for the others.

        The engine counts before it claims, and two machines may count at once where new
        work arrives between them; this count is taken by one after the other.
        """
        row = transaction.begin_attempt(run_id, attempt)
        if row is None or self.cap is None or transaction.at_work(run_id) < self.cap:
            return row
        transaction.put_retry(run_id, attempt + 1, self.now() + NO_ROOM_PAUSE, NO_ROOM)
        return None

    def deliver(self, run_id: str) -> Json:
        """Bring the documents of a run further to their targets; an error waits for the next."""
        with self.database.reading() as transaction:
            row = transaction.run(run_id)
            waiting = transaction.cursor(WAITING + run_id)
        if row is None or row.status != "delivering" or not waiting:
            return {"status": "not-its-turn"}
        try:
            result = resume_delivery(row.request, self.house, decode(json.loads(waiting)))
            return self._ended(row.request, result)
        except SuiteError as error:
            _log.warning("delivery waits", run_id=run_id, code=error.code)
            return {"status": "delivering", "code": error.code}
        finally:
            self.database.run(lambda transaction: transaction.set_cursor(LEASE + run_id, ""))

    def lost(self, row: RunRow) -> None:
        """Let a run whose attempt the engine has lost wait for its next one."""
        now = self.now()

        def retry(transaction: Transaction) -> bool:
            current = transaction.run(row.run_id, lock=True)
            if current is None or (current.status, current.attempts) != (row.status, row.attempts):
                return False
            due = next_attempt(row.attempts, now, row.run_id)
            transaction.put_retry(row.run_id, row.attempts + 1, due, "ENGINE_LOST")
            return True

        if self.database.run(retry):
            _log.warning("attempt lost", run_id=row.run_id, attempt=row.attempts)

    def _failed(self, request: RunRequest, attempt: int, error: SuiteError) -> Json:
        now = self.now()
        if self._taken_out(request.run_id):
            return {"status": "discarded"}
        if error.retryable and now - request.opened_at < GIVE_UP_AFTER:
            due = next_attempt(attempt, now, request.run_id)
            self.database.run(
                lambda transaction: transaction.put_retry(
                    request.run_id, attempt + 1, due, error.code
                )
            )
            _log.warning("run waits", run_id=request.run_id, code=error.code, due=due.isoformat())
            return {"status": "waiting", "code": error.code}
        result = give_up(request, self.house, error)
        self._fault(request, error.code)
        self.notices.failed(request, error.code, error.advice)
        _log.error("run failed", run_id=request.run_id, code=error.code)
        return {"status": result.status, "code": error.code}

    def _ended(self, request: RunRequest, result: RunResult) -> Json:
        run_id = request.run_id
        if self._taken_out(run_id):
            self.house.staging.wipe(run_id)
            return {"status": "discarded"}
        if result.documents and result.status in ("delivering", "failed"):
            text = json.dumps(encode(result))
            self.database.run(lambda transaction: transaction.set_cursor(WAITING + run_id, text))
        if result.status == "delivering":
            self.database.run(lambda transaction: transaction.set_run_status(run_id, "delivering"))
        if result.status == "failed":
            self._fault(request, result.code)
            self.notices.failed(request, result.code, "Look at it: osteon runs show.")
        if result.status in CLOSED_STATUSES and result.status != "failed":
            self.database.run(lambda transaction: transaction.set_cursor(WAITING + run_id, ""))
        _log.info("run ended", run_id=run_id, status=result.status, code=result.code)
        return {"status": result.status, "code": result.code}

    def _taken_out(self, run_id: str) -> bool:
        """Tell whether somebody ended the run while it was at work: it did not fail by itself."""
        with self.database.reading() as transaction:
            row = transaction.run(run_id)
        return row is not None and row.status == "discarded"

    def _fault(self, request: RunRequest, code: str) -> None:
        with self.database.transaction() as transaction:
            self.journal.fault(transaction, code or "FAILED", "run", run_id=request.run_id)


def _defect(error: Exception) -> SuiteError:
    """Return a defect without its message, which might quote the input."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    _log.error("defect", error=type(error).__name__, where=where)
    return DefectError(f"expected the suite to work, found {type(error).__name__} at {where}")
