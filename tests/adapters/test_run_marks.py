"""Marks on runs, and which refusals wait for a seed point: the same on every database."""

from datetime import timedelta

import pytest

from adapters.database import Database
from adapters.pacs import Change
from adapters.seeds.finder import AMBIGUOUS, UNUSABLE
from adapters.web.texts import TEXTS
from tests.simulators.run_values import request_for
from tests.simulators.site_database import START

WAITS = "SLICE_SPACING 8 mm; SEED_REQUIRED 900 x 500 x 500 mm, trained 300 x 300 x 300 mm"


def _refused(database: Database, number: int, reason: str = WAITS) -> str:
    request = request_for(number)
    with database.transaction() as transaction:
        transaction.add_run(request, "pacs")
        transaction.set_run_status(request.run_id, "refused", reason, START)
    return request.run_id


def test_a_mark_is_set_once_and_dropped(database: Database) -> None:
    """The first setting counts; dropping says whether there was one."""
    run_id, other = _refused(database, 1), _refused(database, 2)
    with database.transaction() as transaction:
        assert transaction.put_mark(run_id, AMBIGUOUS, START)
        assert not transaction.put_mark(run_id, AMBIGUOUS, START + timedelta(days=1))
        assert transaction.put_mark(run_id, UNUSABLE, START)
        assert transaction.marks(run_id) == (AMBIGUOUS, UNUSABLE)
        assert transaction.marks(other) == ()
        assert transaction.drop_mark(run_id, AMBIGUOUS)
        assert not transaction.drop_mark(run_id, AMBIGUOUS)
        assert transaction.marks(run_id) == (UNUSABLE,)


def test_only_standing_refusals_for_want_of_a_seed_wait(database: Database) -> None:
    """Not those refused for another reason, superseded, too old, or with a successor at work."""
    waiting = _refused(database, 1)
    _refused(database, 2, "AGE outside 10 to 120 years; SEEDING")
    superseded = _refused(database, 3)
    long_ago = request_for(4, opened_at=START - timedelta(days=40))
    with database.transaction() as transaction:
        transaction.mark_superseded(superseded, waiting)
        transaction.add_run(long_ago, "pacs")
        transaction.set_run_status(long_ago.run_id, "refused", WAITS, START)
    since = START - timedelta(days=30)
    with database.reading() as transaction:
        assert [item[0] for item in transaction.refused_for(("SEED_",), since)] == [waiting]
    successor = request_for(5, supersedes=waiting, trigger="seed")
    with database.transaction() as transaction:
        row = transaction.run(waiting)
        assert row is not None
        assert not transaction.has_open_successor(row)
        transaction.add_run(successor, "pacs")
        assert transaction.has_open_successor(row)
        transaction.set_run_status(successor.run_id, "failed", "PLUGIN_TIMEOUT", START)
        assert not transaction.has_open_successor(row)
        assert [item[0] for item in transaction.refused_for(("SEED_",), since)] == [waiting]


def test_waiting_tells_what_came_to_the_study(database: Database) -> None:
    """What is compared changes when something comes, and with nothing else."""
    _refused(database, 1)
    since = START - timedelta(days=30)

    def seen() -> object:
        with database.reading() as transaction:
            ((_, _, found),) = transaction.refused_for(("SEED_",), since)
        return found

    before = seen()
    assert seen() == before
    change = Change("new_instance", request_for(1).study_instance_uid, START, "1.2", "1.2.3")
    with database.transaction() as transaction:
        transaction.add_changes("pacs", [change])
    assert seen() != before


@pytest.mark.parametrize("code", [AMBIGUOUS, UNUSABLE])
def test_every_mark_has_words_on_the_page(code: str) -> None:
    """A mark that the suite sets can be read in both languages."""
    assert all(TEXTS[f"mark_{code}"])
