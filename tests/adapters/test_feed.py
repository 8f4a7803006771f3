"""The feed: what arrives is noted once, and looking at an archive with nothing new is cheap."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from adapters.compose import Site, open_site
from adapters.database import Database, Transaction
from adapters.home import Home
from adapters.pacs import Change
from tests.simulators.example_site import configuration
from tests.simulators.tiny_studies import tiny_study


@contextmanager
def opened(root: Path) -> Iterator[Site]:
    """A site without releases whose clock does not matter."""
    with open_site(Home(root / "home"), configuration=configuration(root)) as site:
        yield site


def waiting(site: Site) -> tuple[int, ...]:
    """Return how many instances of each waiting study were seen."""
    with site.database.reading() as transaction:
        rows = transaction.studies_waiting("pacs")
    return tuple(row.instance_count_seen for row in rows)


def test_an_archive_with_nothing_new_costs_no_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After what there was is noted, a poll does not touch the site database."""
    study = tiny_study(slices=3)
    with opened(tmp_path) as site:
        site.archives["pacs"].store(study.study_instance_uid, study.files)
        assert site.feed.poll() == 3
        opened_count = 0
        plain = Database._begin

        def counted(self: Database, how: str, **options: str) -> object:
            nonlocal opened_count
            opened_count += 1
            return plain(self, how, **options)

        monkeypatch.setattr(Database, "_begin", counted)
        assert site.feed.poll() == 0
        assert opened_count == 0
        more = tiny_study(slices=2)
        site.archives["pacs"].store(more.study_instance_uid, more.files)
        assert site.feed.poll() == 2
        assert opened_count > 0


def test_two_processes_that_poll_one_archive_note_each_change_once(tmp_path: Path) -> None:
    """The stored cursor decides: what another process has noted is not noted again."""
    first, second = tiny_study(slices=2), tiny_study(slices=4)
    with opened(tmp_path) as one, opened(tmp_path) as two:
        one.archives["pacs"].store(first.study_instance_uid, first.files)
        assert (one.feed.poll(), two.feed.poll()) == (2, 0)
        one.archives["pacs"].store(second.study_instance_uid, second.files)
        assert (two.feed.poll(), one.feed.poll()) == (4, 0)
        assert sorted(waiting(one)) == [2, 4]


def test_only_the_archives_that_were_named_are_polled(tmp_path: Path) -> None:
    """A turn for other archives leaves this one alone."""
    study = tiny_study(slices=2)
    with opened(tmp_path) as site:
        site.archives["pacs"].store(study.study_instance_uid, study.files)
        site.feed.turn({"elsewhere"})
        assert waiting(site) == ()
        site.feed.turn({"pacs"})
        with site.database.reading() as transaction:
            row = transaction.study("pacs", study.study_instance_uid)
        assert row is not None
        assert row.instance_count_seen == 2


def test_what_a_person_forces_is_looked_at_without_anything_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision of another process is found a second later at most; a turn before that does
    not search for it."""
    study = tiny_study(slices=2)
    with opened(tmp_path) as site:
        moment = 100.0
        clock = SimpleNamespace(monotonic=lambda: moment)
        monkeypatch.setattr("adapters.engine.feed.time", clock)
        site.archives["pacs"].store(study.study_instance_uid, study.files)
        site.feed.turn({"pacs"})
        with site.database.transaction() as transaction:
            transaction.set_study_state("pacs", study.study_instance_uid, "forced")
        moment += 0.5
        site.feed.turn({"pacs"})
        assert state_of(site, study.study_instance_uid) == "forced"
        moment += 0.6
        site.feed.turn({"pacs"})
        assert state_of(site, study.study_instance_uid) == "routed"


def state_of(site: Site, study_instance_uid: str) -> str:
    """Return the state of a study."""
    with site.database.reading() as transaction:
        row = transaction.study("pacs", study_instance_uid)
    assert row is not None
    return row.state


def test_changes_noted_together_are_noted_as_one_by_one(database: Database) -> None:
    """A batch of changes of several studies, some known, leaves what single changes leave."""
    at = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
    batch = [
        Change("new_instance", "1.2", at + timedelta(seconds=3), "1.2.1", "1.2.1.1", "CT1"),
        Change("new_instance", "1.3", at, "1.3.1", "1.3.1.1", ""),
        Change("new_instance", "1.2", at + timedelta(seconds=1), "1.2.1", "1.2.1.2", "CT2"),
        Change("changed", "1.2", at + timedelta(seconds=2)),
        Change("new_instance", "1.2", at + timedelta(seconds=3), "1.2.1", "1.2.1.1", "CT1"),
        Change("new_instance", "1.4", at, "1.4.1", "1.4.1.1", "CT1"),
    ]
    with database.transaction() as transaction:
        for pacs in ("together", "alone"):
            transaction.add_change(pacs, batch[-1])
            transaction.set_study_state(pacs, "1.4", "routed")
        fresh = transaction.add_changes("together", batch)
        single = [item for item in batch if transaction.add_change("alone", item)]
        assert list(fresh) == single
        assert rows(transaction, "together") == rows(transaction, "alone")
        assert transaction.add_changes("together", batch) == ()
        assert transaction.add_changes("together", []) == ()


def rows(transaction: Transaction, pacs: str) -> list[tuple[object, ...]]:
    """Return what is kept of the studies of an archive."""
    found = [transaction.study(pacs, uid) for uid in ("1.2", "1.3", "1.4")]
    return [
        (row.state, row.last_arrival_at, row.sender, row.instance_count_seen, row.generation)
        for row in found
        if row is not None
    ]
