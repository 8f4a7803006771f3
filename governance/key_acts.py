"""Who may change which keys count, and what ``keys/trust.json`` says afterwards.

A table: what can let more count (another key, an exception for what was signed before a
compromise) takes two persons, an administrator who proposes and an approver who confirms;
to stop trusting a key takes one, at once.  Nothing takes a revocation back.

Source: RFC 5280 section 5.3.2 (a signature from after the invalidity date counts no more);
KEYS.md.

Read next: `signing.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from audit.errors import RefusalError
from governance.signing import PURPOSES, TrustedKey

KIND = "key_act"
"""Governed document by act id: what was proposed about a key, by whom, and who confirmed it."""
SCHEMA = "osteon.key-act/1"
LASTS = timedelta(days=7)
"""After this time a proposal has to be made again."""
ADVICE_ROLE = "Ask somebody in one of the named roles: `osteon account list`."


@dataclass(frozen=True, slots=True)
class Rule:
    """Who begins an act, and who confirms it; nobody where one person is enough."""

    begins: tuple[str, ...]
    confirms: tuple[str, ...] = ()


ACTS: Mapping[str, Rule] = {
    "trust": Rule(("administrator",), ("approver",)),
    "rotate": Rule(("administrator",), ("approver",)),
    "except": Rule(("administrator",), ("approver",)),
    "revoke": Rule(("administrator", "approver")),
    "protect": Rule(("administrator",)),
}
"""``except``: what was on record before a revoked key was compromised counts on."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one person wants to do about a key.

    Parameters
    ----------
    key_id : the key that it is about; of a rotation the one that goes.
    details : of ``trust`` the key itself, of ``rotate`` the token, of ``except`` the moment.
    state : proposed, then done.
    """

    act_id: str
    action: str
    key_id: str
    purpose: str
    reason: str
    person: str
    role: str
    at: datetime
    details: Mapping[str, str] = field(default_factory=dict)
    state: str = "proposed"
    confirmed_by: str = ""


def propose(proposal: Proposal) -> Proposal:
    """Return a proposal after checking who makes it and why.

    Raises
    ------
    RefusalError : another role, no reason, or an unknown purpose.
    """
    require_role(proposal.action, proposal.role)
    require_reason(proposal.reason)
    if proposal.purpose not in PURPOSES:
        raise _refused(
            f"expected a purpose in {', '.join(PURPOSES)}, found {proposal.purpose[:20]!r}",
            "PURPOSE_UNKNOWN", "Name one of the purposes.",
        )  # fmt: skip
    return proposal


def confirm(proposal: Proposal, person: str, role: str, now: datetime) -> Proposal:
    """Return a proposal that a second person has confirmed.

    Raises
    ------
    RefusalError : the same person, another role, done already, or too old.
    """
    rule = ACTS[proposal.action]
    if role not in rule.confirms:
        raise _role(role, rule.confirms)
    if name_of(person) == name_of(proposal.person):
        raise _refused(
            "expected another person than who proposed it, found the same",
            "FOUR_EYES", "Let a second person confirm it: `osteon key confirm`.",
        )  # fmt: skip
    if proposal.state != "proposed":
        raise _refused("expected an open proposal, found it done", "KEY_ACT_DONE", "Look at it: "
                       "`osteon key list`.")  # fmt: skip
    if now - proposal.at > LASTS:
        raise _refused(
            f"the proposal is older than {LASTS.days} days", "KEY_ACT_EXPIRED", "Propose it again."
        )
    return replace(proposal, state="done", confirmed_by=name_of(person))


def require_role(action: str, role: str) -> None:
    """Return when a role may begin an act; RefusalError otherwise."""
    if role not in ACTS[action].begins:
        raise _role(role, ACTS[action].begins)


def require_reason(reason: str) -> None:
    """Return when a reason was given; RefusalError otherwise."""
    if not reason.strip():
        raise _refused("expected a reason, found none", "EVIDENCE_MISSING", "Give it: `--reason`.")


def add(trust: tuple[TrustedKey, ...], key: TrustedKey) -> tuple[TrustedKey, ...]:
    """Return the keys with one more; RefusalError where its id or its bytes are known."""
    for known in trust:
        if known.key_id == key.key_id or (
            known.public_key == key.public_key and known.purpose == key.purpose
        ):
            raise _refused(
                f"expected a new key, found {known.key_id} under this id or with these bytes",
                "KEY_KNOWN", "Give it another id; a revoked key is never trusted again.",
            )  # fmt: skip
    return (*trust, key)


def retire(
    trust: tuple[TrustedKey, ...], key_id: str, at: datetime, reason: str, kept: frozenset[str]
) -> tuple[TrustedKey, ...]:
    """Return the keys with one rotated out: it signs no more, and what was on record counts."""

    def change(key: TrustedKey) -> TrustedKey:
        if key.revoked_at is not None or key.kept is not None:
            raise _gone(key)
        until = at if key.valid_until is None else min(at, key.valid_until)
        return replace(key, valid_until=until, reason=reason.strip(), kept=kept)

    return _changed(trust, key_id, change)


def revoke(
    trust: tuple[TrustedKey, ...], key_id: str, at: datetime, reason: str
) -> tuple[TrustedKey, ...]:
    """Return the keys with one revoked; nothing that it signed counts from now on."""

    def change(key: TrustedKey) -> TrustedKey:
        if key.revoked_at is not None:
            raise _gone(key)
        return replace(key, revoked_at=at, reason=reason.strip(), kept=None)

    return _changed(trust, key_id, change)


def except_before(
    trust: tuple[TrustedKey, ...], key_id: str, since: datetime, kept: frozenset[str]
) -> tuple[TrustedKey, ...]:
    """Return the keys with an exception: what was on record before ``since`` counts on.

    Raises
    ------
    RefusalError : the key was not revoked, or is said to be compromised only afterwards.
    """

    def change(key: TrustedKey) -> TrustedKey:
        if key.revoked_at is None or since > key.revoked_at:
            raise _refused(
                "expected a revoked key, compromised before it was revoked, found another",
                "KEY_TIME", "Revoke it first; give the first moment at which it was in danger.",
            )  # fmt: skip
        return replace(key, compromised_from=since, kept=kept)

    return _changed(trust, key_id, change)


def encode(proposal: Proposal) -> dict[str, Any]:
    """Return a proposal as a governed document; inverse of `decode`."""
    return {
        "schema": SCHEMA,
        "act_id": proposal.act_id,
        "action": proposal.action,
        "key_id": proposal.key_id,
        "purpose": proposal.purpose,
        "reason": proposal.reason,
        "person": proposal.person,
        "role": proposal.role,
        "at": proposal.at.astimezone(UTC).isoformat(),
        "details": dict(proposal.details),
        "state": proposal.state,
        "confirmed_by": proposal.confirmed_by,
    }


def decode(content: Mapping[str, Any]) -> Proposal:
    """Return a proposal from its governed document."""
    values = {key: value for key, value in content.items() if key != "schema"}
    values["at"] = datetime.fromisoformat(values["at"])
    return Proposal(**values)


def name_of(person: str) -> str:
    """Return the account id of somebody as records name them."""
    return person.removeprefix("account:")


def _changed(
    trust: tuple[TrustedKey, ...], key_id: str, change: Callable[[TrustedKey], TrustedKey]
) -> tuple[TrustedKey, ...]:
    if not any(key.key_id == key_id for key in trust):
        raise _refused(
            f"expected a key that is known here, found {key_id[:40]!r}",
            "KEY_UNKNOWN", "See which there are: `osteon key list`.",
        )  # fmt: skip
    return tuple(change(key) if key.key_id == key_id else key for key in trust)


def _gone(key: TrustedKey) -> RefusalError:
    return _refused(
        f"expected a key in force, found {key.key_id} revoked or rotated out",
        "KEY_NOT_IN_FORCE", "See which there are: `osteon key list`.",
    )  # fmt: skip


def _role(role: str, roles: tuple[str, ...]) -> RefusalError:
    words = ", ".join(roles) or "nobody: one person is enough"
    return _refused(f"role {role} is not one of {words}", "ROLE_NOT_PERMITTED", ADVICE_ROLE)


def _refused(text: str, code: str, advice: str) -> RefusalError:
    return RefusalError(text, reasons=(code,), advice=advice)
