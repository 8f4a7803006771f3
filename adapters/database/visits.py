"""Sessions that somebody ended, and glass that somebody broke.

Read next: `schema_workspace.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from adapters.database.schema import put_if_absent
from adapters.database.schema_workspace import BREAK_GLASS, ENDED_SESSION
from adapters.database.session import Session


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may see whose identity, why, and until when."""

    account_id: str
    pseudonym: str
    cause: str
    reason: str
    granted_at: datetime
    ends_at: datetime


class Visits(Session):
    """Ended sessions and broken glass of a transaction."""

    def end_session(self, session_id: str, ends_at: datetime, now: datetime) -> None:
        """Note that a session is over before its time; what is over anyway is forgotten."""
        self.connection.execute(delete(ENDED_SESSION).where(ENDED_SESSION.c.ends_at <= now))
        put_if_absent(
            self.connection, ENDED_SESSION, {"session_id": session_id, "ends_at": ends_at}
        )

    def session_has_ended(self, session_id: str) -> bool:
        """Return whether somebody ended a session."""
        query = select(ENDED_SESSION.c.session_id).where(ENDED_SESSION.c.session_id == session_id)
        return self.connection.scalar(query) is not None

    def break_glass(self, grant: Grant) -> None:
        """Keep a grant."""
        self.connection.execute(
            BREAK_GLASS.insert().values(
                account_id=grant.account_id,
                pseudonym=grant.pseudonym,
                cause=grant.cause,
                reason=grant.reason,
                granted_at=grant.granted_at,
                ends_at=grant.ends_at,
            )
        )

    def open_grant(self, account_id: str, pseudonym: str, now: datetime) -> Grant | None:
        """Return the grant by which an account may see an identity now."""
        query = select(BREAK_GLASS).where(
            BREAK_GLASS.c.account_id == account_id,
            BREAK_GLASS.c.pseudonym == pseudonym,
            BREAK_GLASS.c.ends_at > now,
        )
        row = self.connection.execute(query.order_by(BREAK_GLASS.c.ends_at.desc())).first()
        return None if row is None else Grant(*row[1:])

    def grants(self, limit: int = 50) -> tuple[Grant, ...]:
        """Return the newest grants."""
        query = select(BREAK_GLASS).order_by(BREAK_GLASS.c.number.desc()).limit(limit)
        return tuple(Grant(*row[1:]) for row in self.connection.execute(query))
