"""What goes wrong with a database, in the suite's own words."""

import sqlite3
import threading
import traceback
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, text

from adapters.database import Database, Transaction
from adapters.database.migrations import versions
from adapters.database.schema import METADATA
from audit.errors import (
    ConfigurationError,
    DatabaseBusyError,
    DiskFullError,
    StorageError,
    UnavailableError,
)
from audit.verify import verify_site
from tests.simulators.run_values import answer_for, documents_for, request_for
from tests.simulators.site_database import Recorded


def test_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    """The tables after all migrations are those of `schema.py`, on each database."""
    with database.reading() as transaction:
        context = MigrationContext.configure(transaction.connection)
        assert compare_metadata(context, METADATA) == []


def test_upgrade_is_safe_by_many_at_once(database_url: str) -> None:
    """Processes that start together bring the tables up once, without an error."""
    failures: list[BaseException] = []

    def upgrade() -> None:
        database = Database(database_url)
        try:
            database.upgrade()
        except BaseException as error:
            failures.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    database = Database(database_url)
    newest = max(path.name[:4] for path in Path(versions.__file__).parent.glob("0*.py"))
    assert f"migration {newest}" in database.check()
    database.close()


def test_database_of_a_newer_suite_is_left_alone(database: Database) -> None:
    """An unknown revision is refused, and the tables stay as they are."""
    with database.transaction() as transaction:
        transaction.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="unknown revision"):
        database.upgrade()
    assert "9999" in database.check()


def test_locked_database_is_busy_and_tried_again(tmp_path: Path) -> None:
    """A lock that somebody holds is reported as busy; when it goes, the work is done."""
    path = tmp_path / "site.db"
    database = Database(f"sqlite:///{path}", busy_timeout_s=0.05)
    database.upgrade()
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusyError) as caught, database.transaction():
        pass
    assert caught.value.retryable
    release = threading.Timer(0.2, holder.execute, ["ROLLBACK"])
    release.start()
    database.run(lambda transaction: transaction.set_cursor("x", "1"), attempts=8)
    release.join()
    holder.close()
    with database.reading() as transaction:
        assert transaction.cursor("x") == "1"
    database.close()


def test_full_disk_is_named_and_loses_nothing(sqlite_recorded: Recorded) -> None:
    """When the disk is full the step fails as a whole; with space again it is done."""
    limits = {"pages": 1_000_000}

    @event.listens_for(sqlite_recorded.database._engine, "checkout")
    def _limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={limits['pages']}")

    def infer(number: int) -> None:
        request = request_for(number)
        sqlite_recorded.journal.inferred(request, answer_for(), documents_for(request), {})

    def infer_many() -> None:
        for number in range(1, 100):
            infer(number)

    infer(0)
    limits["pages"] = 1  # SQLite takes the present size instead: not one page more
    with pytest.raises(DiskFullError) as caught:
        infer_many()
    assert caught.value.retryable
    kinds = sqlite_recorded.kinds()
    assert kinds.count("inference") == kinds.count("explanation")
    limits["pages"] = 1_000_000
    infer(100)
    assert sqlite_recorded.kinds().count("inference") == kinds.count("inference") + 1
    verify_site(sqlite_recorded.database, sqlite_recorded.key)


def test_error_does_not_quote_the_values_of_a_statement(database: Database) -> None:
    """Neither the error nor its causes repeat a value that was to be stored."""
    uid = "1.2.276.0.7230010.3.1.2.4711"

    def write(transaction: Transaction) -> None:
        statement = text("INSERT INTO breaker (target, failures) VALUES (:uid, NULL)")
        transaction.connection.execute(statement, {"uid": uid})

    with pytest.raises(StorageError) as caught:
        database.run(write)
    assert uid not in "".join(traceback.format_exception(caught.value))


def test_absent_server_is_unavailable() -> None:
    """A server that cannot be reached is a retryable error without the password in it."""
    database = Database("postgresql+psycopg://osteon:secret-word@127.0.0.1:1/none")
    with pytest.raises(UnavailableError) as caught, database.reading():
        pass
    assert "secret-word" not in str(caught.value)
    database.close()


@pytest.mark.server
def test_lost_connection_is_unavailable(postgresql_url: str) -> None:
    """A connection that the server ends is reported as unavailable, and the next one works."""
    database, other = Database(postgresql_url), Database(postgresql_url)
    database.upgrade()

    def lose(transaction: Transaction) -> None:
        transaction.set_cursor("x", "1")
        number = transaction.connection.scalar(text("SELECT pg_backend_pid()"))
        with other.transaction() as killer:
            killer.connection.execute(text(f"SELECT pg_terminate_backend({number})"))

    with pytest.raises(UnavailableError):
        database.run(lose)
    with database.reading() as transaction:
        assert transaction.cursor("x") is None
    database.close()
    other.close()


@pytest.mark.parametrize(
    "url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "://", "postgresql://x/y", "x://y"]
)
def test_other_databases_are_refused(url: str) -> None:
    """A URL of another kind is a configuration error that does not repeat the URL."""
    with pytest.raises(ConfigurationError):
        Database(url)


def test_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A folder in place of the file, or a file that is no database, is a storage error."""
    with pytest.raises(StorageError, match="EISDIR"):
        Database(f"sqlite:///{tmp_path}")
    path = tmp_path / "site.db"
    path.write_bytes(b"this is not a database, not at all" * 100)
    database = Database(str(path))
    with pytest.raises(StorageError, match="SQLITE_NOTADB"):
        database.upgrade()
    database.close()
