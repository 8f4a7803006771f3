"""One record of the audit log: who, what, which version, which digests, how it ended.

The stored bytes are canonical JSON (RFC 8785) and the leaf hash is over them.  A record
that exists is valid: its kind is known, its body has the keys that the kind needs, and
nothing in it has the form of patient data.

Read next: `merkle.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from audit import canonical
from audit.errors import RecordError
from audit.guard import is_clean, refuse_patient_data
from audit.kinds import KINDS, NOT_EVALUATED

MODES = ("clinical", "research", "shadow", "replay", "what_if")
ROLES = ("clinician", "physicist", "engineer", "approver", "compliance", "administrator", "service")
OUTCOME_CODES = (0, 4, 8, 12)
"""EventOutcomeIndicator (PS3.15 A.5): success, minor, serious, major failure."""

_EVENT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_CODE = re.compile(r"[A-Za-z0-9_.:+-]{0,100}")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who caused the event: an account or service id, never a name, and its role."""

    id: str
    role: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: a code of PS3.15 A.5 and a stable reason code, empty when it went well."""

    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom it concerned, without identity: keyed pseudonym and coarse strata."""

    pseudonym: str
    age_band: str = NOT_EVALUATED
    sex: str = NOT_EVALUATED
    site_code: str = NOT_EVALUATED


@dataclass(frozen=True, slots=True)
class Record:
    """One event.

    Parameters
    ----------
    event_id : UUIDv7 (RFC 9562, 5.7).
    recorded_at : aware UTC.
    clock : what is known of the clock: source, offset_ms, stratum.
    site, node : configured ids of the site and of the machine.
    art12 : letters of Art. 12(2) that the event serves.

    Raises
    ------
    RecordError : a field breaks the schema, or has the form of patient data.
    """

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

    def __post_init__(self) -> None:
        _check_fields(self)
        _check_body(self)
        if not is_clean(_named(self)):
            refuse_patient_data(_head(self), "record")
        refuse_patient_data(self.body)


@dataclass(frozen=True, slots=True)
class Source:
    """What every record of one process shares: where it comes from and by whose doing."""

    site: str
    node: str
    mode: str
    actor: Actor
    clock: Mapping[str, Any] = field(
        default_factory=lambda: {
            "source": "system",
            "offset_ms": NOT_EVALUATED,
            "stratum": NOT_EVALUATED,
        }
    )


def new_event_id(now: datetime, random: bytes | None = None) -> str:
    """Return a UUIDv7: 48 bits of milliseconds, then random bits (RFC 9562, 5.7)."""
    milliseconds = int(now.timestamp() * 1000)
    tail = int.from_bytes(random if random is not None else os.urandom(10), "big")
    number = (milliseconds << 80) | tail
    number = number & ~(0xF << 76) | (0x7 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def make_record(
    kind: str,
    source: Source,
    now: datetime,
    body: Mapping[str, Any],
    *,
    mode: str | None = None,
    actor: Actor | None = None,
    run_id: str | None = None,
    release_digest: str | None = None,
    subject: Subject | None = None,
    outcome: Outcome | None = None,
) -> Record:
    """Return a new record of ``kind`` with an event id and the articles that it serves.

    Raises
    ------
    RecordError : the kind is unknown or the body breaks its schema.
    """
    if kind not in KINDS:
        raise RecordError(f"expected a kind of record in {sorted(KINDS)}, found {kind!r}")
    return Record(
        event_id=new_event_id(now),
        kind=kind,
        mode=mode or source.mode,
        recorded_at=now,
        clock=source.clock,
        actor=actor or source.actor,
        site=source.site,
        node=source.node,
        outcome=outcome or Outcome(),
        body=_plain(body),
        art12=KINDS[kind].art12,
        run_id=run_id,
        release_digest=release_digest,
        subject=subject,
    )


def encode(record: Record) -> bytes:
    """Return the bytes that are stored and hashed; inverse of `decode`."""
    return canonical.encode({**_head(record), "body": record.body})


def decode(data: bytes) -> Record:
    """Return the record that ``data`` states.

    Raises
    ------
    RecordError : the bytes are not canonical, or not a valid record.
    """
    values = canonical.decode(data)
    try:
        kind = values["kind"]
        if values.pop("schema") != f"osteon.audit.{kind}/1":
            raise RecordError("expected a schema that names the kind, found another")
        values["recorded_at"] = _parse_time(values["recorded_at"])
        values["actor"] = Actor(**values["actor"])
        values["outcome"] = Outcome(**values["outcome"])
        values["art12"] = tuple(values["art12"])
        if "subject" in values:
            values["subject"] = Subject(**values["subject"])
        return Record(**values)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RecordError("expected the fields of a record, found others") from error


def _head(record: Record) -> dict[str, Any]:
    actor, outcome, subject = record.actor, record.outcome, record.subject
    moment = record.recorded_at.astimezone(UTC).isoformat(timespec="microseconds")
    values: dict[str, Any] = {
        "schema": f"osteon.audit.{record.kind}/1",
        "event_id": record.event_id,
        "kind": record.kind,
        "mode": record.mode,
        "recorded_at": f"{moment[:-6]}Z",
        "clock": dict(record.clock),
        "actor": {"id": actor.id, "role": actor.role},
        "site": record.site,
        "node": record.node,
        "outcome": {"code": outcome.code, "reason": outcome.reason},
        "art12": list(record.art12),
    }
    if record.run_id is not None:
        values["run_id"] = record.run_id
    if record.release_digest is not None:
        values["release_digest"] = record.release_digest
    if subject is not None:
        values["subject"] = {
            "pseudonym": subject.pseudonym,
            "age_band": subject.age_band,
            "sex": subject.sex,
            "site_code": subject.site_code,
        }
    return values


def _named(record: Record) -> tuple[object, ...]:
    """Return the values of the head that come from outside."""
    subject = record.subject
    about = () if subject is None else (
        subject.pseudonym, subject.age_band, subject.sex, subject.site_code,
    )  # fmt: skip
    clock = record.clock if type(record.clock) is dict else dict(record.clock)
    return (
        record.site,
        record.node,
        record.actor.id,
        record.run_id,
        record.release_digest,
        record.event_id,
        record.kind,
        clock,
        *about,
    )


def _check_fields(record: Record) -> None:
    if record.kind not in KINDS:
        raise RecordError(f"expected a known kind of record, found {record.kind!r}")
    if record.mode not in MODES:
        raise RecordError(f"expected a mode in {MODES}, found {record.mode!r}")
    if record.actor.role not in ROLES:
        raise RecordError(f"expected a role in {ROLES}, found {record.actor.role!r}")
    if record.outcome.code not in OUTCOME_CODES:
        raise RecordError(f"expected an outcome in {OUTCOME_CODES}, found {record.outcome.code}")
    if not _CODE.fullmatch(record.outcome.reason):
        raise RecordError("expected a reason code, found free text")
    if not _EVENT_ID.fullmatch(record.event_id):
        raise RecordError("expected a UUIDv7 as event id, found another value")
    if record.recorded_at.tzinfo is None:
        raise RecordError("expected an aware time of recording, found one without a zone")
    if not record.site or not record.node or not record.actor.id:
        raise RecordError("expected site, node and actor, found an empty one")


def _check_body(record: Record) -> None:
    kind = KINDS[record.kind]
    if kind.of_run and record.run_id is None:
        raise RecordError(f"expected a run id in a record of kind {record.kind}, found none")
    missing = [key for key in kind.required if key not in record.body]
    for group, keys in kind.groups.items():
        content = record.body.get(group)
        if isinstance(content, Mapping):
            missing += [f"{group}.{key}" for key in keys if key not in content]
        elif content is not None:
            raise RecordError(f"expected an object in {record.kind}.{group}, found another value")
    if missing:
        raise RecordError(f"expected {record.kind} to state {missing}, found them missing")


def _plain(value: Any) -> Any:
    """Return mappings and tuples as the dictionaries and lists that JSON has.

    A whole double becomes the integer that RFC 8785 writes for it, so that the fast encoder
    can write it.
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return int(value) if value.is_integer() and abs(value) <= canonical.SAFE_INTEGER else value
    if kind is dict or isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if kind is list or isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _parse_time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
