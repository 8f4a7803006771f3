"""What a repository must do, and where delivery to it stands.

Read next: `syslog_tls.py`, `fhir_feed.py`, `feeder.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Protocol

from adapters.audit_views.message import Message
from adapters.config_audit import AuditRepositorySection
from adapters.database import Transaction

_CURSOR = "audit-repository:"


class Transport(Protocol):
    """One way to a repository."""

    def send(self, messages: Sequence[Message]) -> Iterator[int]:
        """Send messages in order; yield how many the repository has for certain, as it grows.

        Raises
        ------
        DoorError : it does not answer, refuses us, or refuses a message; what was yielded last
            is certain, the rest is not.
        """
        ...

    def check(self) -> str:
        """Return one line about the repository; DoorError when it cannot be used."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


@dataclass(frozen=True, slots=True)
class Repository:
    """A configured repository with its transport."""

    section: AuditRepositorySection
    transport: Transport

    @property
    def name(self) -> str:
        """Name of the repository, in cursor, metrics and records."""
        return self.section.name


@dataclass(frozen=True, slots=True)
class Standing:
    """Where delivery stands; kept in the site database.

    Parameters
    ----------
    next_index : leaf index of the first record that the repository is not known to have.
    failures : attempts in a row that failed.
    due_at : when to try again; None at once.
    failing_since, reason : of an outage that lasts; None and empty where there is none.
    leased_until : until when one process sends; others leave it alone.
    """

    next_index: int = 0
    failures: int = 0
    due_at: datetime | None = None
    failing_since: datetime | None = None
    reason: str = ""
    leased_until: datetime | None = None


def read_standing(transaction: Transaction, name: str) -> Standing | None:
    """Return where delivery to a repository stands; None before the first look."""
    text = transaction.cursor(_CURSOR + name)
    if not text:
        return None
    values = json.loads(text)
    for key in ("due_at", "failing_since", "leased_until"):
        values[key] = None if values[key] is None else datetime.fromisoformat(values[key])
    return Standing(**values)


def write_standing(transaction: Transaction, name: str, standing: Standing) -> None:
    """Keep where delivery stands."""
    values = asdict(standing)
    for key in ("due_at", "failing_since", "leased_until"):
        values[key] = None if values[key] is None else values[key].isoformat()
    transaction.set_cursor(_CURSOR + name, json.dumps(values, sort_keys=True))


def advanced(standing: Standing, next_index: int) -> Standing:
    """Return the standing after a success."""
    return replace(
        standing, next_index=next_index, failures=0, due_at=None, failing_since=None, reason=""
    )
