"""One attempt at one target: what it says, as the next state of each document.

Pure but for the target itself: rows come in, rows go out, and `delivery.py` keeps them.

Read next: `delivery.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from adapters.database.delivery import DeliveryRow
from adapters.delivery.backoff import next_attempt
from adapters.delivery.states import moved
from adapters.delivery.target import Target
from audit.errors import AuthenticationError, SuiteError, UnavailableError
from plugins.host.ports import Document

Pair = tuple[DeliveryRow, Document]
MISSING = "DOOR_NOT_STORED"
GAVE_UP = "GAVE_UP"
UNEXPECTED = "UNEXPECTED"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """The clock, and after how many failed attempts nobody tries again."""

    clock: Callable[[], datetime]
    attempts_limit: int


@dataclass(frozen=True, slots=True)
class Attempted:
    """The documents in their next states, and whether the target was reached.

    ``wait_until`` is when a target that was not reached said that it may be asked again.
    """

    pairs: tuple[Pair, ...]
    reached: bool
    wait_until: datetime | None = None


def begin(pairs: Sequence[Pair], terms: Terms) -> tuple[Pair, ...]:
    """Return the rows as they are kept before anything is sent.

    A crash while sending then finds them ``sent``, counted and due later: a document that
    brings the process down cannot do so in a tight loop.
    """
    begun = []
    for row, document in pairs:
        attempts = row.attempts + 1
        due = next_attempt(attempts, terms.clock(), _seed(row))
        begun.append((moved(row, "sent", due=due, attempts=attempts), document))
    return tuple(begun)


def send(target: Target, pairs: Sequence[Pair], terms: Terms) -> Attempted:
    """Hand begun documents over and return them stored, pending or failed."""
    try:
        outcomes = target.send([document for _, document in pairs])
    except Exception as error:  # broad: a fault in one target must not stop the others
        return _on_error(pairs, error, terms)
    result = []
    for (row, document), outcome in zip(pairs, outcomes, strict=True):
        if outcome.state == "stored":
            row = moved(row, "stored", reason=outcome.reason, due=terms.clock())
        elif outcome.state == "again":
            row = _later(row, outcome.reason or MISSING, terms)
        else:
            row = moved(row, "failed", reason=outcome.reason or "DOOR_REJECTED")
        result.append((row, document))
    return Attempted(tuple(result), reached=True)


def verify(target: Target, pairs: Sequence[Pair], terms: Terms) -> Attempted:
    """Read documents back and return them verified, stored for good, pending or failed.

    Rows that were only ``pending`` or ``sent`` stay so when the target cannot tell.
    """
    try:
        answers = target.verify([document for _, document in pairs])
    except Exception as error:  # broad: a fault in one target must not stop the others
        return _on_error(pairs, error, terms)
    result = []
    for (row, document), found in zip(pairs, answers, strict=True):
        if found.state == "verified":
            row = moved(row, "verified", reason=found.reason)
        elif found.state == "different":
            row = moved(row, "failed", reason=found.reason or "DOOR_REJECTED")
        elif found.state == "unverifiable":
            if row.state == "stored":
                row = moved(row, "stored", reason=found.reason)
        elif row.state == "stored":
            row = _later(row, MISSING, terms)
        result.append((row, document))
    return Attempted(tuple(result), reached=True)


def not_before(attempted: Attempted, moment: datetime | None) -> Attempted:
    """Return the attempt with nothing due while its target rests."""
    if moment is None:
        return attempted
    pairs = tuple(
        (replace(row, next_attempt_at=max(row.next_attempt_at, moment)), document)
        if row.next_attempt_at
        else (row, document)
        for row, document in attempted.pairs
    )
    return Attempted(pairs, attempted.reached)


def _on_error(pairs: Sequence[Pair], error: Exception, terms: Terms) -> Attempted:
    """Put documents back for later, or into the failure queue, with the error's code."""
    code, later = UNEXPECTED, False
    if isinstance(error, SuiteError):
        # Credentials are repaired by a person while the documents wait.
        code, later = error.code, error.retryable or isinstance(error, AuthenticationError)
    _log.warning(
        "delivery attempt failed",
        target=pairs[0][0].target,
        code=code,
        error=type(error).__name__,
        again=later,
    )
    moves = tuple(
        (_later(row, code, terms) if later else moved(row, "failed", reason=code), document)
        for row, document in pairs
    )
    wait_s = error.retry_after_s if isinstance(error, UnavailableError) else None
    wait_until = None if wait_s is None else terms.clock() + timedelta(seconds=wait_s)
    return Attempted(moves, not later, wait_until)


def _later(row: DeliveryRow, reason: str, terms: Terms) -> DeliveryRow:
    """Return the row to be tried again, or failed when patience has run out.

    What was stored but could not be asked for stays ``stored``.
    """
    # Sending counted the attempt already; reading back alone counts here.
    attempts = row.attempts + (row.state in ("stored", "pending"))
    if attempts >= terms.attempts_limit:
        return moved(row, "failed", reason=f"{GAVE_UP}:{reason}", attempts=attempts)
    state = "stored" if row.state == "stored" and reason != MISSING else "pending"
    due = next_attempt(attempts, terms.clock(), _seed(row))
    return moved(row, state, reason=reason, due=due, attempts=attempts)


def _seed(row: DeliveryRow) -> str:
    # One seed for all documents of a run at a target, so that they travel together.
    return f"{row.run_id}/{row.target}"
