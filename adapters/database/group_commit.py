"""Group commit: callers that wait at the same time share one transaction, and so one fsync.

Each caller brings a function that writes state and record.  The first who finds nobody at
work leads: it runs the functions of all who wait, places their
records in the tree and signs what is due, in one transaction.  Who returns from `run` has
state and record on the disk and the record in the tree.  While a leader commits, the next
group gathers; a caller that is alone waits for nobody.

A function that raises undoes what it did itself and nothing else.  A commit that fails has
failed for everyone in the group: nothing was kept, and nobody is told otherwise.

On PostgreSQL, where writers of several machines hold row locks, each function keeps its own
transaction and the sequencer comes after it.

Read next: `journal.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from adapters.database.database import Database
from adapters.database.faults import translated
from adapters.database.transaction import Transaction
from audit.errors import DatabaseBusyError
from audit.log import GROUP, Log

LARGEST = 1_000
"""Functions in one transaction: it stays short for those who read and for the write-ahead log."""
_ATTEMPTS = 5
_SAVEPOINT = "osteon_group"
T = TypeVar("T")


class _Job:
    """One caller's function, and what came of it."""

    __slots__ = ("error", "function", "leads", "result", "wake")

    def __init__(self, function: Callable[[Transaction], Any]) -> None:
        self.function = function
        self.result: Any = None
        self.error: BaseException | None = None
        self.leads = False
        self.wake = threading.Lock()
        self.wake.acquire()


class GroupCommit:
    """Runs writing functions of many threads in shared transactions of one database."""

    def __init__(self, database: Database, log: Log) -> None:
        self._database = database
        self._log = log
        self._mutex = threading.Lock()
        self._waiting: list[_Job] = []
        self._led = False

    def run(self, function: Callable[[Transaction], T]) -> T:
        """Return what ``function(transaction)`` returns; durable and in the tree on return.

        ``function`` may run several times, so it must do nothing outside the transaction.
        """
        if not self._database.is_sqlite:
            result = self._database.run(function)
            self._log.seal(self._database)
            return result
        job = _Job(function)
        with self._mutex:
            self._waiting.append(job)
            leads, self._led = not self._led, True
        if not leads:
            job.wake.acquire()
            leads = job.leads
        if leads:
            self._lead()
        if job.error is not None:
            raise job.error
        result = job.result
        return result

    def _lead(self) -> None:
        """Commit those who wait, hand over, then wake those who were committed."""
        with self._mutex:
            group, self._waiting = self._waiting[:LARGEST], self._waiting[LARGEST:]
        try:
            self._commit(group)
        finally:
            with self._mutex:
                if self._waiting:
                    self._waiting[0].leads = True
                    self._waiting[0].wake.release()
                else:
                    self._led = False
            for job in group:
                if not job.leads and job.wake.locked():
                    job.wake.release()

    def _commit(self, group: list[_Job]) -> None:
        if self._attempt(group, apart=False):
            return
        self._attempt(group, apart=True)

    def _attempt(self, group: list[_Job], *, apart: bool) -> bool:
        """Commit a group; False, and nothing kept, where a function raised among others.

        Functions rarely raise, so that savepoints are set only once one did.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with self._database.transaction() as transaction:
                    self._work(transaction, group, apart=apart)
            except DatabaseBusyError as error:
                if attempt + 1 < _ATTEMPTS:
                    time.sleep(0.05 * 2**attempt)
                    continue
                _fail(group, error)
            except _RaisedError:
                return False
            except BaseException as error:
                _fail(group, error)
                if not isinstance(error, Exception):
                    raise
            return True
        return True

    def _work(self, transaction: Transaction, group: list[_Job], *, apart: bool) -> None:
        for job in group:
            job.result, job.error = None, None
            if apart:
                _between_savepoints(transaction, job)
            elif len(group) == 1:
                job.result = job.function(transaction)
            else:
                try:
                    job.result = job.function(transaction)
                except Exception as error:  # broad: a caller's fault is that caller's alone
                    raise _RaisedError from error
        while self._log.integrate(transaction) == GROUP:
            pass
        if self._log.signer is not None:
            self._log.sign_checkpoint(transaction, self._log.now())


class _RaisedError(Exception):
    """One of several functions raised: which ones, savepoints tell."""


def _between_savepoints(transaction: Transaction, job: _Job) -> None:
    run = transaction.connection.exec_driver_sql
    run(f"SAVEPOINT {_SAVEPOINT}")
    try:
        job.result = job.function(transaction)
    except Exception as error:  # broad: one caller's fault is handed to that caller alone
        run(f"ROLLBACK TO {_SAVEPOINT}")
        job.error = translated(error)
    run(f"RELEASE {_SAVEPOINT}")


def _fail(group: list[_Job], error: BaseException) -> None:
    """Tell everyone of the group: nothing was kept."""
    for job in group:
        job.result, job.error = None, error
