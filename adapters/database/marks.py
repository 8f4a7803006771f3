"""Marks on runs: what somebody who looks at a result should know since it was made.

A mark is a stable code, set once until it is dropped.  What happened is in the audit log;
the mark is what pages and lists show.

Read next: `studies.py`.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select

from adapters.database.schema import RUN_MARK, put_if_absent
from adapters.database.session import Session

SUSPECT = "INPUT_SUSPECT"
"""An instance that the answer rests on came again; it is read once more."""
CORRECTED = "INPUT_CORRECTED"
"""The images are others than those that the answer rests on."""


class Marks(Session):
    """Marks of a transaction."""

    def put_mark(self, run_id: str, code: str, at: datetime) -> bool:
        """Mark a run; False, and nothing changed, when it carries the mark already."""
        return put_if_absent(
            self.connection, RUN_MARK, {"run_id": run_id, "code": code, "since": at}
        )

    def drop_mark(self, run_id: str, code: str) -> bool:
        """Take a mark from a run; False when it had none."""
        where = (RUN_MARK.c.run_id == run_id, RUN_MARK.c.code == code)
        return self.connection.execute(delete(RUN_MARK).where(*where)).rowcount > 0

    def marks(self, run_id: str) -> tuple[str, ...]:
        """Return the marks of a run, sorted."""
        query = select(RUN_MARK.c.code).where(RUN_MARK.c.run_id == run_id)
        return tuple(sorted(str(code) for code in self.connection.scalars(query)))
