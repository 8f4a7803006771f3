"""Runs counted by the database, the same on SQLite and PostgreSQL."""

from adapters.database import Database
from tests.simulators.run_values import RELEASE, request_for


def test_runs_are_counted_by_plugin_release_and_status(database: Database) -> None:
    """Counts and seconds come grouped; a run without a time counts as no seconds."""
    with database.transaction() as transaction:
        assert transaction.run_counts() == {}
        for number in (1, 2, 3):
            transaction.add_run(request_for(number), "pacs")
        for number, seconds in ((1, 1.5), (2, 2.0)):
            transaction.set_run_seconds(request_for(number).run_id, seconds)
            transaction.set_run_status(request_for(number).run_id, "done")
        assert transaction.run_counts() == {
            ("contouring", RELEASE, "done"): (2, 3.5),
            ("contouring", RELEASE, "queued"): (1, 0.0),
        }
        assert transaction.open_run_count() == 1
