"""Notices after an incident: to whom they go, who has acknowledged, who is asked again.

Two kinds share one rule: the field safety notice to sites and users (MDR Art. 89, AI Act
Art. 20), and the notice of a deployer to its provider (AI Act Art. 26(5)).  A recipient is
asked again, at growing intervals, until it has acknowledged; whoever has not is listed.

Read next: `corrective.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from audit.errors import NotFoundError, RecordError, RefusalError
from governance.incidents import DECIDERS, REPORTERS, Act
from governance.ports import GovernedStore

KIND = "safety_notice"
SCHEMA = "osteon.safety-notice/1"
KINDS = ("field_safety_notice", "deployer_notice")
PAUSES = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(days=1))
"""How long to wait after the first, second, ... attempt; the last one from then on."""
_SENDERS = {"field_safety_notice": DECIDERS, "deployer_notice": REPORTERS}


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who gets a notice: a short id, and an address that is e-mail, a URL, or paper.

    Parameters
    ----------
    address : ``mailto:...``, ``https://...``; empty where a person carries it there.
    """

    name: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send: when, and ``sent`` or the code of what went wrong."""

    at: datetime
    outcome: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """When a recipient said that it has read the notice, and who put that on record."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice and what became of it at each recipient.

    Parameters
    ----------
    text : language -> lines that a person wrote; nothing here is generated.
    """

    notice_id: str
    incident_id: str
    kind: str
    text: Mapping[str, tuple[str, ...]]
    recipients: tuple[Recipient, ...]
    issued_at: datetime
    issued_by: str
    attempts: Mapping[str, tuple[Attempt, ...]]
    acknowledged: Mapping[str, Acknowledged]

    @property
    def unacknowledged(self) -> tuple[str, ...]:
        """Return the recipients that have not acknowledged, in their order."""
        return tuple(r.name for r in self.recipients if r.name not in self.acknowledged)


def issue(notice: Notice, act: Act) -> Notice:
    """Return a notice that may be sent.

    Raises
    ------
    RefusalError : another role than the kind asks for, no words, no recipients, or one twice.
    """
    if notice.kind not in KINDS or act.role not in _SENDERS[notice.kind]:
        raise RefusalError(
            f"role {act.role} may not issue a {notice.kind[:40]}", reasons=("ROLE_NOT_PERMITTED",)
        )
    names = [recipient.name for recipient in notice.recipients]
    if not any(notice.text.values()) or not names or len(set(names)) != len(names):
        raise RefusalError(
            "expected a text and at least one recipient, each once",
            reasons=("EVIDENCE_MISSING",),
            advice="Write what happened and what to do, and name who has to know.",
        )
    return replace(notice, issued_at=act.at, issued_by=act.person)


def attempted(notice: Notice, recipient: str, at: datetime, outcome: str) -> Notice:
    """Return the notice with another attempt at one recipient."""
    _find(notice, recipient)
    made = (*notice.attempts.get(recipient, ()), Attempt(at, outcome))
    return replace(notice, attempts={**notice.attempts, recipient: made})


def acknowledge(notice: Notice, recipient: str, act: Act) -> Notice:
    """Return the notice acknowledged by one recipient; the first time counts."""
    _find(notice, recipient)
    if act.role not in REPORTERS:
        raise RefusalError(
            f"role {act.role} may not record an acknowledgement", reasons=("ROLE_NOT_PERMITTED",)
        )
    if recipient in notice.acknowledged:
        return notice
    known = {**notice.acknowledged, recipient: Acknowledged(act.at, act.person)}
    return replace(notice, acknowledged=known)


def due(notice: Notice, now: datetime) -> tuple[Recipient, ...]:
    """Return the recipients with an address that have to be asked (again) now."""
    return tuple(
        recipient
        for recipient in notice.recipients
        if recipient.address
        and recipient.name not in notice.acknowledged
        and _next_attempt(notice.attempts.get(recipient.name, ()), now) <= now
    )


def notices(documents: GovernedStore, incident_id: str | None = None) -> tuple[Notice, ...]:
    """Return the notices of one incident, or all, by id."""
    found = (decode(item.content) for item in documents.governed_all(KIND))
    return tuple(n for n in found if incident_id in (None, n.incident_id))


def encode(notice: Notice) -> dict[str, Any]:
    """Return a notice as JSON values; inverse of `decode`."""
    return {
        "schema": SCHEMA,
        "notice_id": notice.notice_id,
        "incident_id": notice.incident_id,
        "kind": notice.kind,
        "text": {language: list(lines) for language, lines in notice.text.items()},
        "recipients": [asdict(recipient) for recipient in notice.recipients],
        "issued_at": _text(notice.issued_at),
        "issued_by": notice.issued_by,
        "attempts": {
            name: [{"at": _text(item.at), "outcome": item.outcome} for item in made]
            for name, made in notice.attempts.items()
        },
        "acknowledged": {
            name: {"at": _text(item.at), "by": item.by}
            for name, item in notice.acknowledged.items()
        },
    }


def decode(content: Mapping[str, Any]) -> Notice:
    """Return the notice that a document states; RecordError when it states none."""
    try:
        if content["schema"] != SCHEMA:
            raise ValueError("schema")
        return Notice(
            notice_id=content["notice_id"],
            incident_id=content["incident_id"],
            kind=content["kind"],
            text={language: tuple(lines) for language, lines in content["text"].items()},
            recipients=tuple(Recipient(**item) for item in content["recipients"]),
            issued_at=_time(content["issued_at"]),
            issued_by=content["issued_by"],
            attempts={
                name: tuple(Attempt(_time(item["at"]), item["outcome"]) for item in made)
                for name, made in content["attempts"].items()
            },
            acknowledged={
                name: Acknowledged(_time(item["at"]), item["by"])
                for name, item in content["acknowledged"].items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"expected a document of {SCHEMA}, found another") from error


def _next_attempt(made: tuple[Attempt, ...], now: datetime) -> datetime:
    if not made:
        return now
    return made[-1].at + PAUSES[min(len(made), len(PAUSES)) - 1]


def _find(notice: Notice, recipient: str) -> None:
    if recipient not in {item.name for item in notice.recipients}:
        raise NotFoundError(f"expected a recipient of {notice.notice_id}, found {recipient[:40]!r}")


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
