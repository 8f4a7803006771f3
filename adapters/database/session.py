"""The connection that the subjects of a transaction share.

Read next: `transaction.py`.
"""

from __future__ import annotations

from sqlalchemy import Connection


class Session:
    """Holds the open connection; each subject (`runs.py`, ...) adds its methods."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
