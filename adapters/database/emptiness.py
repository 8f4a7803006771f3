"""Is a database empty?  Asked before something that must not meet a hospital's data.

Read next: `database.py`.
"""

from __future__ import annotations

from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from audit.errors import ConfigurationError


def require_empty(url: str, name: str) -> None:
    """Return where a database has no table; ConfigurationError names it where it has one.

    Parameters
    ----------
    name : how the database is called in messages; the URL may hold a password.
    """
    engine = create_engine(url)
    try:
        inspector = inspect(engine)
        tables = sorted(
            table
            for schema in inspector.get_schema_names()
            if schema not in ("information_schema", "pg_catalog", "pg_toast")
            for table in inspector.get_table_names(schema=schema)
        )
    except SQLAlchemyError as error:
        raise ConfigurationError(f"expected to reach {name}, did not") from error
    finally:
        engine.dispose()
    if tables:
        raise ConfigurationError(
            f"expected {name} to be empty, found {len(tables)} tables",
            advice="Make new databases for it: it must never touch those of a site.",
        )
