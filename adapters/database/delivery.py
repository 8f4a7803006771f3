"""Deliveries: each document at each target, and whether a target is left in peace.

Read next: `deployments.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime

from sqlalchemy import and_, func, or_, select

from adapters.database.schema import BREAKER, DELIVERY, put
from adapters.database.session import Session


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One document at one target.

    Parameters
    ----------
    document_key : names the document within the run, whatever the target calls it.
    state : pending, sent, stored, verified, failed or held.
    next_attempt_at : aware UTC; None is at once for pending and sent, never for stored.
    """

    run_id: str
    target: str
    document_key: str
    kind: str
    sop_instance_uid: str
    content_digest: str
    path: str
    state: str = "pending"
    attempts: int = 0
    next_attempt_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """The circuit breaker of one target: open (leave it in peace) until ``open_until``."""

    target: str
    failures: int = 0
    open_until: datetime | None = None


class Deliveries(Session):
    """Deliveries and circuit breakers of a transaction."""

    def deliveries(self, run_id: str) -> tuple[DeliveryRow, ...]:
        """Return the deliveries of a run, by target and document."""
        query = select(DELIVERY).where(DELIVERY.c.run_id == run_id)
        query = query.order_by(DELIVERY.c.target, DELIVERY.c.document_key)
        return tuple(DeliveryRow(**row._mapping) for row in self.connection.execute(query))

    def deliveries_in(self, state: str) -> tuple[DeliveryRow, ...]:
        """Return the deliveries of all runs that are in a state, e.g. the failure queue."""
        query = select(DELIVERY).where(DELIVERY.c.state == state)
        query = query.order_by(DELIVERY.c.run_id, DELIVERY.c.target, DELIVERY.c.document_key)
        return tuple(DeliveryRow(**row._mapping) for row in self.connection.execute(query))

    def failed_delivery_runs(self, limit: int = 50) -> tuple[str, ...]:
        """Return runs of which a document could not be delivered, at most ``limit``."""
        query = select(DELIVERY.c.run_id).where(DELIVERY.c.state == "failed").limit(10 * limit)
        return tuple(dict.fromkeys(self.connection.scalars(query)))[:limit]

    def reopen_deliveries(self, run_id: str) -> int:
        """Let every document of a run be looked for, and sent where it is missing; how many."""
        rows = self.deliveries(run_id)
        for row in rows:
            again = replace(row, state="pending", attempts=1, next_attempt_at=None, reason="AGAIN")
            self.put_delivery(again)
        return len(rows)

    def put_delivery(self, row: DeliveryRow) -> None:
        """Add a delivery, or replace its state."""
        put(self.connection, DELIVERY, asdict(row))

    def due_deliveries(self, now: datetime) -> tuple[str, ...]:
        """Return the ids of runs that have a delivery to bring further at ``now``."""
        due = DELIVERY.c.next_attempt_at <= now
        unfinished = and_(
            DELIVERY.c.state.in_(("pending", "sent")),
            or_(DELIVERY.c.next_attempt_at.is_(None), due),
        )
        read_back = and_(DELIVERY.c.state == "stored", due)
        query = select(DELIVERY.c.run_id).where(or_(unfinished, read_back)).distinct()
        return tuple(sorted(self.connection.scalars(query)))

    def delivery_counts(self) -> dict[tuple[str, str], int]:
        """Return how many documents are in each (target, state)."""
        query = select(DELIVERY.c.target, DELIVERY.c.state, func.count())
        rows = self.connection.execute(query.group_by(DELIVERY.c.target, DELIVERY.c.state))
        return {(str(target), str(state)): int(count) for target, state, count in rows}

    def breaker(self, target: str) -> BreakerRow:
        """Return the breaker of a target; closed when nothing was ever noted."""
        row = self.connection.execute(select(BREAKER).where(BREAKER.c.target == target)).first()
        return BreakerRow(target) if row is None else BreakerRow(**row._mapping)

    def put_breaker(self, row: BreakerRow) -> None:
        """Keep the state of a breaker."""
        put(self.connection, BREAKER, asdict(row))
