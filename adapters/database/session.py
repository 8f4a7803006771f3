"""The connection that the subjects of a transaction share.

Read next: `transaction.py`.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import Connection


class Session:
    """Holds the open connection; each subject (`runs.py`, ...) adds its methods."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.sqlite: sqlite3.Connection | None = None
        """The driver's own connection where the database is SQLite, for hot statements."""
        if connection.dialect.name == "sqlite":
            self.sqlite = connection.connection.driver_connection
