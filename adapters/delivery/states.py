"""The states of one document at one target, as a table.

    pending    to be sent, at ``next_attempt_at``
    sent       being handed over; after a crash nobody knows whether it arrived
    stored     the target says that it has it; final where it cannot be read back
    verified   read back, with the content that was sent
    failed     in the failure queue until a person restarts it
    held       the site wants a person to release it first

Read next: `delivery.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from adapters.database.delivery import DeliveryRow

TRANSITIONS: dict[str, frozenset[str]] = {
    "held": frozenset({"pending"}),
    "pending": frozenset({"pending", "sent", "verified", "failed"}),
    "sent": frozenset({"sent", "stored", "verified", "pending", "failed"}),
    "stored": frozenset({"stored", "sent", "verified", "pending", "failed"}),
    "failed": frozenset({"pending"}),
    "verified": frozenset(),
}


def moved(
    row: DeliveryRow,
    state: str,
    *,
    reason: str = "",
    due: datetime | None = None,
    attempts: int | None = None,
) -> DeliveryRow:
    """Return the row in its next state; ValueError for a step that the table forbids."""
    if state not in TRANSITIONS[row.state]:
        raise ValueError(f"expected a step out of {row.state}, found {state}")
    count = row.attempts if attempts is None else attempts
    return replace(row, state=state, reason=reason, next_attempt_at=due, attempts=count)


def is_due(row: DeliveryRow, now: datetime) -> bool:
    """Say whether there is something to do now.

    A stored document without a time is final (see `DeliveryRow`); a pending or sent one
    without a time is due at once.
    """
    if row.state == "stored":
        return row.next_attempt_at is not None and row.next_attempt_at <= now
    if row.state in ("pending", "sent"):
        return row.next_attempt_at is None or row.next_attempt_at <= now
    return False
