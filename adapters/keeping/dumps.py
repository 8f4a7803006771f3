"""One database in a file and back: SQLite by its online backup, PostgreSQL by pg_dump.

Both take one state of a database that is at work.  A PostgreSQL database is filled only when it
is empty, or holds what a restore of the same backup left half done (its comment says so).

Read next: `backup.py`.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from adapters.database.emptiness import require_empty
from audit.errors import ConfigurationError, StorageError

SQLITE, POSTGRESQL = "sqlite", "postgresql"
_MARK = "osteon restore "


def kind_of(url: str) -> str:
    """Return which of the two a URL names."""
    return make_url(url).get_backend_name()


def file_of(url: str) -> Path:
    """Return the file of a SQLite URL."""
    return Path(make_url(url).database or "")


def dump(url: str, target: Path) -> bool:
    """Write a database into a file; False where a SQLite file is not there yet.

    Raises
    ------
    StorageError : it could not be read; ConfigurationError : pg_dump is not installed.
    """
    if kind_of(url) == POSTGRESQL:
        _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")
        return True
    if not file_of(url).exists():
        return False
    try:
        source = sqlite3.connect(f"file:{file_of(url)}?mode=ro", uri=True, timeout=30)
        sink = sqlite3.connect(target)
        try:
            source.backup(sink)
            sink.execute("PRAGMA journal_mode=DELETE")
        finally:
            sink.close()
            source.close()
    except sqlite3.Error as error:
        raise StorageError(f"expected to copy {file_of(url).name}, did not") from error
    target.chmod(0o600)
    return True


def load(source: Path, url: str, name: str, digest: str) -> None:
    """Fill a PostgreSQL database from a dump; all of it or nothing.

    Parameters
    ----------
    digest : of the backup; marks the database until `release` takes the mark off.

    Raises
    ------
    ConfigurationError : the database is not empty and no rest of this restore.
    """
    _claim(url, name, digest)
    _run(
        "pg_restore", url, "--single-transaction", "--exit-on-error", "--no-owner",
        "--no-privileges", str(source),
    )  # fmt: skip


def release(url: str) -> None:
    """Take the mark of a restore off a database: it is whole."""
    _execute(url, [f'COMMENT ON DATABASE "{make_url(url).database}" IS NULL'])


def _claim(url: str, name: str, digest: str) -> None:
    mark, database = f"{_MARK}{digest}", make_url(url).database
    query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = :name"
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            found = connection.scalar(text(query), {"name": database})
    except SQLAlchemyError as error:
        raise ConfigurationError(f"expected to reach {name}, did not") from error
    finally:
        engine.dispose()
    if found == mark:
        _execute(
            url,
            ["DROP SCHEMA IF EXISTS public CASCADE", "DROP SCHEMA IF EXISTS dbos CASCADE",
             "CREATE SCHEMA public"],
        )  # fmt: skip
    require_empty(str(_engine(url).url.render_as_string(hide_password=False)), name)
    _execute(url, [f"COMMENT ON DATABASE \"{database}\" IS '{mark}'"])


def _execute(url: str, statements: list[str]) -> None:
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    except SQLAlchemyError as error:
        raise StorageError("expected to prepare a database for a restore, did not") from error
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    return create_engine(_plain(url), hide_parameters=True)


def _plain(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")


def _run(program: str, url: str, *options: str) -> None:
    """Run a tool of PostgreSQL; the password travels in the environment, never in arguments."""
    found = shutil.which(program)
    if found is None:
        raise ConfigurationError(
            f"expected {program} of PostgreSQL's client tools, found it not installed",
            advice="Install postgresql-client of the server's version.",
        )
    parts = make_url(url)
    where = {
        "PGHOST": parts.host, "PGPORT": str(parts.port) if parts.port else None,
        "PGUSER": parts.username, "PGPASSWORD": parts.password,
    }  # fmt: skip
    environment = os.environ | {key: str(value) for key, value in where.items() if value}
    command = [found, f"--dbname={parts.database}", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise StorageError(
            f"expected {program} to work on database {parts.database}, found: "
            f"{lines[-1][:200] if lines else done.returncode}"
        )
