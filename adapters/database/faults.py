"""Foreign database errors, translated once.

SQLite result codes: https://www.sqlite.org/rescode.html; SQLSTATE classes: PostgreSQL
documentation, Appendix A.  Messages name the fault, never the statement's values.

Read next: `database.py`.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from audit.errors import (
    DatabaseBusyError,
    DiskFullError,
    StorageError,
    SuiteError,
    UnavailableError,
)

_SQLITE_KIND: dict[int, type[SuiteError]] = {
    sqlite3.SQLITE_BUSY: DatabaseBusyError,
    sqlite3.SQLITE_LOCKED: DatabaseBusyError,
    sqlite3.SQLITE_FULL: DiskFullError,
}
_SQLSTATE_KIND: dict[str, type[SuiteError]] = {
    "40001": DatabaseBusyError,  # serialization_failure
    "40P01": DatabaseBusyError,  # deadlock_detected
    "55P03": DatabaseBusyError,  # lock_not_available
    "57014": DatabaseBusyError,  # query_canceled (timeout)
    "53100": DiskFullError,
    "53300": UnavailableError,  # too_many_connections
    "57P01": UnavailableError,  # admin_shutdown
    "57P02": UnavailableError,  # crash_shutdown
    "57P03": UnavailableError,  # cannot_connect_now
}


def translate_sqlite(error: sqlite3.Error) -> SuiteError:
    """Return the error of the suite that says what SQLite said."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    kind = _SQLITE_KIND.get(code & 0xFF, StorageError)
    return kind(f"expected the database to answer, found {name}")


def translated(error: Exception) -> Exception:
    """Return a database's error as one of the suite, every other as it is."""
    if isinstance(error, SQLAlchemyError):
        return translate(error)
    return translate_sqlite(error) if isinstance(error, sqlite3.Error) else error


def translate(error: SQLAlchemyError) -> SuiteError:
    """Return the error of the suite that says what the database said."""
    if isinstance(error, PoolTimeoutError):
        return DatabaseBusyError("expected a free database connection, found all in use")
    if not isinstance(error, DBAPIError):
        return StorageError(f"expected a database answer, found {type(error).__name__}")
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return translate_sqlite(cause)
    state = getattr(cause, "sqlstate", None)
    if state is None or state.startswith("08") or error.connection_invalidated:
        return UnavailableError("expected a database connection, found it closed or refused")
    kind = _SQLSTATE_KIND.get(state, StorageError)
    diag = getattr(cause, "diag", None)
    names = [getattr(diag, name, None) for name in ("table_name", "column_name", "constraint_name")]
    where = "".join(f" {name}" for name in names if name)
    return kind(f"expected the database to answer, found SQLSTATE {state}{where}")


def speakable(error: SQLAlchemyError) -> SQLAlchemyError | None:
    """Return the error as a cause that may be logged; None when it quotes a stored row.

    PostgreSQL prints the values of the failing row as DETAIL.
    """
    diag = getattr(getattr(error, "orig", None), "diag", None)
    return None if getattr(diag, "message_detail", None) else error
