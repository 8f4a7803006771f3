"""What a stored record says, read without judging it: for views, retention and verification.

`record.decode` holds a record against the schema of today.  A log is read for decades: a record
of an older suite may lack a key that a kind asks for now, and a newer one may bring keys and kinds
that this suite does not know.  Both are read here as they stand; that the bytes are what was
recorded is the tree's business.

Read next: `record.py`, `tombstone.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.errors import RecordError
from audit.record import Actor, Outcome, Subject


@dataclass(frozen=True, slots=True)
class Stated:
    """The fields of a record as its bytes state them; see `record.Record`."""

    event_id: str
    kind: str
    mode: str
    recorded_at: datetime
    clock: Mapping[str, Any]
    actor: Actor
    site: str
    node: str
    outcome: Outcome
    body: Mapping[str, Any]
    art12: tuple[str, ...]
    run_id: str | None = None
    release_digest: str | None = None
    subject: Subject | None = None


def stated(leaf: bytes) -> Stated:
    """Return what a stored record says.

    Raises
    ------
    RecordError : the bytes are no record of any version.
    """
    try:
        values = json.loads(leaf)
        subject, actor, outcome = values.get("subject"), values["actor"], values["outcome"]
        return Stated(
            event_id=values["event_id"],
            kind=values["kind"],
            mode=values["mode"],
            recorded_at=datetime.fromisoformat(values["recorded_at"]),
            clock=values["clock"],
            actor=Actor(actor["id"], actor["role"]),
            site=values["site"],
            node=values["node"],
            outcome=Outcome(outcome["code"], outcome["reason"]),
            body=values["body"],
            art12=tuple(values["art12"]),
            run_id=values.get("run_id"),
            release_digest=values.get("release_digest"),
            subject=None if subject is None else _subject(subject),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError("expected the fields of a record, found others") from error


def _subject(values: Mapping[str, Any]) -> Subject:
    known = ("pseudonym", "age_band", "sex", "site_code")
    return Subject(**{key: str(values[key]) for key in known if key in values})
