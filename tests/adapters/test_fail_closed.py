"""Log down, disk full, commit lost, at every step of a run: no state without its record.

What kills the process is in `tests/journeys/test_kill_matrix.py`; here the process lives on
and the log does not take its record.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.engine.default import DefaultDialect

from adapters.database import Transaction, sqlite_leaves
from audit.errors import LogUnavailableError, SuiteError
from audit.log import Log
from audit.verify import verify_site
from plugins.host.ports import Delivered
from tests.simulators.run_values import STUDY, answer_for, case_for, documents_for, request_for
from tests.simulators.site_database import Recorded

REQUEST, CASE = request_for(), case_for()
DOCUMENTS = documents_for(REQUEST)
SENT = (Delivered("pacs", "RTSTRUCT", "2.25.1", "verified", ""),)
STEPS: dict[str, Callable[[Recorded], object]] = {
    "opened": lambda site: site.journal.opened(REQUEST),
    "input_read": lambda site: site.journal.input_read(REQUEST, CASE, "sha256:" + "0" * 64),
    "inferred": lambda site: site.journal.inferred(REQUEST, answer_for(CASE), DOCUMENTS, {}),
    "delivered": lambda site: site.journal.delivered(REQUEST, SENT),
    "closed": lambda site: site.journal.closed(REQUEST, "done"),
}


def _full(*_: object) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def _down(*_: object) -> int:
    raise LogUnavailableError("expected the log to answer, found it down")


def _lost(*_: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")


FAULTS: dict[str, tuple[object, str, Callable[..., object]]] = {
    "disk full at the record": (sqlite_leaves, "append", _full),
    "log down at the place in the tree": (Log, "integrate", _down),
    "disk full at the tree": (sqlite_leaves, "put_nodes", _full),
    "commit refused by the disk": (DefaultDialect, "do_commit", _lost),
}


@contextmanager
def _broken(fault: str) -> Iterator[None]:
    place, name, breaks = FAULTS[fault]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, breaks)
        yield


def _state(site: Recorded) -> tuple[object, ...]:
    """Return everything that a step may change: the run, its steps, documents, records."""
    with site.database.reading() as store:
        row = store.run(REQUEST.run_id)
        leaves = store.connection.exec_driver_sql("SELECT event_id, leaf_index FROM leaf").all()
        return (row, store.run_steps(REQUEST.run_id), store.documents(REQUEST.run_id), leaves)


@pytest.mark.reg("AIA-12.1")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_without_its_record_never_was(
    sqlite_recorded: Recorded, step: str, fault: str
) -> None:
    """The caller hears it, nothing is kept, nothing may leave; afterwards it is done once."""
    site = sqlite_recorded
    site.journal.enrol(STUDY, "PID-47110815")
    for name, do in STEPS.items():
        if name == step:
            break
        do(site)
    before = _state(site)
    with _broken(fault), pytest.raises(SuiteError):
        STEPS[step](site)
    assert _state(site) == before
    if step in ("opened", "input_read", "inferred"):
        with pytest.raises(LogUnavailableError):
            site.journal.require_recorded(REQUEST.run_id)  # what a delivery asks first
    for _ in range(2):
        STEPS[step](site)
    kinds = site.kinds()
    assert len(kinds) == len(set(kinds))
    verify_site(site.database, site.key, now=site.clock())


@pytest.mark.reg("AIA-12.1")
@pytest.mark.parametrize("fault", list(FAULTS)[1:3])
def test_no_output_leaves_while_the_log_is_down(sqlite_recorded: Recorded, fault: str) -> None:
    """A record that waits outside the tree holds its output back until the log is there."""
    site = sqlite_recorded
    site.journal.enrol(STUDY, "PID-47110815")
    site.journal.opened(REQUEST)
    site.journal.input_read(REQUEST, CASE, "sha256:" + "0" * 64)
    # As a crash leaves it: committed, and without a place.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Log, "integrate", lambda *_: 0)
        with pytest.raises(LogUnavailableError):
            site.journal.inferred(REQUEST, answer_for(CASE), DOCUMENTS, {})
    with _broken(fault), pytest.raises(SuiteError):
        site.journal.require_recorded(REQUEST.run_id)
    site.journal.require_recorded(REQUEST.run_id)  # the log is back: placed, and may leave
    with site.database.reading() as store:
        assert store.unplaced(site.clock()) == ()
    assert site.kinds().count("inference") == 1


def test_checkpoints_come_in_time_on_the_path_of_a_run(sqlite_recorded: Recorded) -> None:
    """By the clock of the log: with the first record, after 60 s, with the thousandth record."""
    site = sqlite_recorded

    def faults(count: int) -> None:
        def write(transaction: Transaction) -> None:
            for number in range(count):
                site.journal.fault(transaction, f"X{number % 100}", "test")

        site.journal._write(write)

    def sizes() -> list[int]:
        with site.database.reading() as store:
            return [item.tree_size for item in store.checkpoints()]

    faults(1)
    assert sizes() == [1]
    site.clock.advance(59)
    faults(1)
    assert sizes() == [1]
    site.clock.advance(1)
    faults(1)
    assert sizes() == [1, 3]
    faults(2_500)
    assert sizes() == [1, 3, 1_003, 2_003]
    site.clock.advance(60)
    site.log.seal(site.database)
    assert sizes()[-1] == 2_503
