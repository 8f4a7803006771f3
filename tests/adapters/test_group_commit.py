"""Group commit: callers share a transaction, and each gets what is his."""

import threading
from collections.abc import Callable

import pytest

from adapters.database import Transaction
from adapters.database.group_commit import GroupCommit
from audit.errors import LogTamperedError, StorageError
from audit.record import make_record
from audit.verify import verify_site
from tests.simulators.site_database import SOURCE, START, Recorded

COUNT = 40


def _write(site: Recorded, number: int, *, fails: bool = False) -> Callable[[Transaction], int]:
    """Return a function that writes a state with its record, and may raise between them."""

    def write(transaction: Transaction) -> int:
        transaction.set_cursor(f"state-{number}", str(number))
        if fails:
            raise RuntimeError(number)
        body = {"code": f"X{number}", "where": "test"}
        site.log.append(transaction, make_record("fault", SOURCE, START, body))
        return number

    return write


def _at_once(site: Recorded, group: GroupCommit, failing: set[int]) -> dict[int, object]:
    """Let many callers write at the same time, and return what each got."""
    got: dict[int, object] = {}
    barrier = threading.Barrier(COUNT)

    def call(number: int) -> None:
        barrier.wait()
        try:
            got[number] = group.run(_write(site, number, fails=number in failing))
        except RuntimeError as error:
            got[number] = error

    threads = [threading.Thread(target=call, args=(number,)) for number in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


@pytest.mark.parametrize("failing", [set(), {3, 17}], ids=["all good", "two raise"])
def test_each_caller_gets_his_own_result(recorded: Recorded, failing: set[int]) -> None:
    """State and record of each are there or not, together; who raised harms nobody."""
    group = GroupCommit(recorded.database, recorded.log)
    got = _at_once(recorded, group, failing)
    for number in range(COUNT):
        if number in failing:
            assert isinstance(got[number], RuntimeError)
            assert got[number].args == (number,)
        else:
            assert got[number] == number
    with recorded.database.reading() as transaction:
        states = {n for n in range(COUNT) if transaction.cursor(f"state-{n}") is not None}
    codes = {int(str(record.body["code"])[1:]) for record in recorded.records("fault")}
    assert states == codes == set(range(COUNT)) - failing
    verify_site(recorded.database, recorded.key, now=recorded.clock())


def test_callers_that_wait_share_a_transaction(
    sqlite_recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one commits the others gather, and the next transaction takes all of them."""
    site, group = sqlite_recorded, GroupCommit(sqlite_recorded.database, sqlite_recorded.log)
    begun: list[int] = []
    transaction = site.database.transaction
    monkeypatch.setattr(site.database, "transaction", lambda: begun.append(1) or transaction())
    entered, go_on = threading.Event(), threading.Event()

    def slow(open_one: Transaction) -> int:
        entered.set()
        assert go_on.wait(30)
        return _write(site, COUNT)(open_one)

    first = threading.Thread(target=group.run, args=(slow,))
    first.start()
    assert entered.wait(30)
    others = [threading.Thread(target=group.run, args=(_write(site, n),)) for n in range(COUNT)]
    for thread in others:
        thread.start()
    while len(group._waiting) < COUNT:
        threading.Event().wait(0.005)
    go_on.set()
    for thread in (first, *others):
        thread.join()
    assert len(begun) == 2
    assert len(site.records()) == COUNT + 1


def test_return_means_durable_and_in_the_tree(sqlite_recorded: Recorded) -> None:
    """Whoever returns may let his output leave: another connection sees record and place."""
    site = sqlite_recorded
    group = GroupCommit(site.database, site.log)
    record = make_record("fault", SOURCE, START, {"code": "X", "where": "test"})
    group.run(lambda transaction: site.log.append(transaction, record))
    with site.database.reading() as transaction:
        site.log.require_included(transaction, [record.event_id])
        assert transaction.connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_failed_commit_has_failed_for_everyone(
    sqlite_recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the log cannot be written nobody is told otherwise, and nothing is kept."""
    site = sqlite_recorded
    group = GroupCommit(site.database, site.log)

    def refuse(*_: object, **__: object) -> int:
        raise LogTamperedError("expected another tree")

    monkeypatch.setattr(type(site.log), "integrate", refuse)
    failed: list[BaseException] = []

    def call(number: int) -> None:
        try:
            group.run(_write(site, number))
        except LogTamperedError as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 10
    monkeypatch.undo()
    with site.database.reading() as transaction:
        assert not any(transaction.cursor(f"state-{n}") for n in range(10))
    assert group.run(_write(site, 11)) == 11
    assert [record.body["code"] for record in site.records("fault")] == ["X11"]


def test_a_full_disk_keeps_nothing_and_goes_on_later(sqlite_recorded: Recorded) -> None:
    """SQLite says that the disk is full: the caller hears it, and the next one succeeds."""
    site = sqlite_recorded
    group = GroupCommit(site.database, site.log)

    def fill(transaction: Transaction) -> None:
        pages = transaction.connection.exec_driver_sql("PRAGMA page_count").scalar()
        transaction.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        for number in range(2_000):
            _write(site, number)(transaction)

    with pytest.raises(StorageError):
        group.run(fill)
    assert site.records() == []

    def widen(transaction: Transaction) -> int:
        transaction.connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")
        return _write(site, 1)(transaction)

    assert group.run(widen) == 1
    verify_site(site.database, site.key, now=site.clock())
