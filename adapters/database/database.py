"""The site database: SQLite or PostgreSQL, one way to open a transaction.

SQLite runs in WAL mode with ``synchronous=FULL`` (NORMAL may lose the last commits at
power loss: https://www.sqlite.org/pragma.html#pragma_synchronous); every writing
transaction begins with BEGIN IMMEDIATE, so that two writers wait instead of failing
half-way.  PostgreSQL runs READ COMMITTED; what must not change under a decision is
locked (`Runs.run(lock=True)`, `Records.lock_sequencer`).

Read next: `journal.py`.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from adapters.database.faults import speakable, translate, translate_sqlite
from adapters.database.transaction import Transaction
from audit.errors import ConfigurationError, DatabaseBusyError, StorageError

_MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE_LOCK_ID = 0x6F7374656F6E02
BEGIN = "osteon_begin"
"""Execution option: with which statement a SQLite transaction begins."""
T = TypeVar("T")


class Database:
    """The site database behind one URL.

    Parameters
    ----------
    url : ``sqlite:////path/site.db`` or ``postgresql+psycopg://...``; a bare path is SQLite.
    busy_timeout_s : how long one statement waits for a lock before DatabaseBusyError.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = 10.0) -> None:
        self.url = url if "://" in url else f"sqlite:///{url}"
        self._engine = open_engine(self.url, busy_timeout_s)

    @property
    def is_sqlite(self) -> bool:
        """Return whether this is SQLite."""
        return self._engine.dialect.name == "sqlite"

    def upgrade(self) -> None:
        """Bring the tables to the newest migration; safe while others do the same.

        Raises
        ------
        ConfigurationError : the database was made by a newer suite; it is left as it was.
        """
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        with self._begin("BEGIN IMMEDIATE") as connection:
            if not self.is_sqlite:
                connection.execute(text("SET LOCAL lock_timeout = 0"))  # others may migrate long
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:id)"), {"id": _UPGRADE_LOCK_ID}
                )
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise ConfigurationError(
                    "expected a database of this suite or an older one, found an unknown revision",
                    advice="Use the newer suite that made the database; nothing was changed.",
                ) from error

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a writing transaction: all of it is committed, or nothing.

        Raises
        ------
        DatabaseBusyError, DiskFullError, UnavailableError, StorageError : nothing was kept.
        """
        with self._begin("BEGIN IMMEDIATE") as connection:
            yield Transaction(connection)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Open a transaction that sees one state throughout; it never waits for a writer."""
        snapshot = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._begin("BEGIN", **snapshot) as connection:
            yield Transaction(connection)

    def run(self, function: Callable[[Transaction], T], attempts: int = 5) -> T:
        """Return what ``function`` returns in a transaction; again while the database is busy.

        ``function`` may run several times, so it must do nothing outside the transaction.
        """
        for attempt in range(attempts):
            try:
                with self.transaction() as transaction:
                    return function(transaction)
            except DatabaseBusyError:
                if attempt + 1 == attempts:
                    raise
                time.sleep(0.05 * 2**attempt)
        raise ValueError("expected at least one attempt")

    def check(self) -> str:
        """Return one line about the database; raises when it cannot be used."""
        with self.reading() as transaction:
            connection = transaction.connection
            version = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return f"{connection.dialect.name}, migration {version}"

    def scrub(self) -> bool:
        """Take what was deleted or replaced out of the files too; False while somebody reads.

        SQLite zeroes it in the file at once (``secure_delete``), and here empties the
        write-ahead log; PostgreSQL drops the dead rows.  Backups are the site's to erase.
        """
        with self._engine.connect() as connection:
            if self.is_sqlite:
                row = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
                return int(row[0]) == 0
            connection.rollback()
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM"))
            return True

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _begin(self, how: str, **options: str) -> Iterator[Connection]:
        try:
            with (
                self._engine.connect() as connection,
                connection.execution_options(**{BEGIN: how, **options}).begin(),
            ):
                yield connection
        except SQLAlchemyError as error:
            raise translate(error) from speakable(error)
        except sqlite3.Error as error:
            raise translate_sqlite(error) from error


def open_engine(url: str, busy_timeout_s: float) -> Engine:
    """Return an engine with the settings of this suite.

    Its errors do not quote the values of a statement: they hold UIDs, in the vault more.

    Raises
    ------
    ConfigurationError : the URL names another kind of database, or none.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
            raise ConfigurationError(
                "expected a database URL of sqlite:/// or postgresql+psycopg://, "
                f"found {parsed.drivername}"
            )
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(parsed.database, url, busy_timeout_s)
        wait = f"-c lock_timeout={round(busy_timeout_s * 1000)}"
        return create_engine(
            url, pool_pre_ping=True, hide_parameters=True, connect_args={"options": wait}
        )
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError("expected a database URL whose driver is installed") from error


def _sqlite(file: str | None, url: str, busy_timeout_s: float) -> Engine:
    if not file or file == ":memory:":
        raise ConfigurationError("expected a file for the SQLite database, found none")
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StorageError(
            f"expected to open the SQLite database, found {errno.errorcode.get(error.errno or 0)}"
        ) from error
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": busy_timeout_s})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `_start` does
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")

    @event.listens_for(engine, "begin")
    def _start(connection: Connection) -> None:
        how = connection.get_execution_options().get(BEGIN, "BEGIN")
        connection.exec_driver_sql(str(how))

    return engine
