"""Approvals: who put which meaning under which evidence, and when; four eyes.

A row of the table that asks for several persons is passed when each of its places is
filled by another person, all of whom signed the same evidence digest since the release
came into its present state.  None of them may have built or registered the release.

An approval is kept as the governed document ``approval`` of the release, every revision,
so that who signed what stays readable.

Source: REGULATORY.md section 4 (sign: two persons); 21 CFR 11.50 for the meaning of a
signature.

Read next: `deployment.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from audit.errors import RefusalError
from governance.lifecycle import Transition
from governance.ports import GovernedStore

KIND = "approval"
MEANINGS = ("approval", "review", "responsibility")
"""What a signature says (21 CFR 11.50(a)(3))."""
_NOBODY = ("local", "demonstration")


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's signature under one piece of evidence.

    Parameters
    ----------
    action : the act of the table that it is for.
    evidence : ``sha256:<hex>`` of what was signed.
    at : aware UTC.
    """

    action: str
    person: str
    role: str
    meaning: str
    evidence: str
    at: datetime


def name_of(person: str) -> str:
    """Return an account id without the prefix that records carry."""
    return person.removeprefix("account:")


def builders(manifest: Mapping[str, Any], registered_by: str) -> frozenset[str]:
    """Return who built or registered a release; services and nobody in particular do not count."""
    named = manifest.get("builders", ())
    people = {name_of(str(item)) for item in named if isinstance(named, (list, tuple))}
    people.add(name_of(registered_by))
    return frozenset(p for p in people if p and not p.startswith("service:") and p not in _NOBODY)


def approvals(documents: GovernedStore, release_digest: str) -> tuple[Approval, ...]:
    """Return every approval of a release, oldest first."""
    document = documents.governed(KIND, release_digest)
    if document is None:
        return ()
    return tuple(
        Approval(**{**item, "at": datetime.fromisoformat(item["at"])})
        for item in document.content["approvals"]
    )


def standing(
    given: Sequence[Approval], action: str, evidence: str, since: datetime
) -> tuple[Approval, ...]:
    """Return the approvals that count for an act now: same evidence, same state."""
    return tuple(
        item
        for item in given
        if item.action == action and item.evidence == evidence and item.at >= since
    )


def add(given: Sequence[Approval], new: Approval) -> dict[str, Any]:
    """Return the content of the next revision of the document, with one more approval."""
    rows = [{**asdict(item), "at": item.at.astimezone(UTC).isoformat()} for item in (*given, new)]
    return {"approvals": rows}


def require_own_place(
    row: Transition, given: Sequence[Approval], new: Approval, builders: frozenset[str]
) -> None:
    """Return when a person may fill one of the row's open places.

    Raises
    ------
    RefusalError : MEANING_UNKNOWN, BUILDER_MAY_NOT_DECIDE, SAME_PERSON or
        ROLE_NOT_PERMITTED (the places of that role are filled).
    """
    if new.meaning not in MEANINGS:
        raise _refused(
            "MEANING_UNKNOWN",
            f"expected a meaning in {', '.join(MEANINGS)}, found {new.meaning[:32]!r}",
            "Say what the signature means.",
        )
    require_not_builder(row, new.person, builders)
    if new.person in {item.person for item in given}:
        raise _refused(
            "SAME_PERSON",
            f"expected another person than {new.person}, who has signed this already",
            "Four eyes are two accounts: let a second person sign in and approve.",
        )
    if len(open_places(row, (*given, new))) == len(open_places(row, given)):
        wanted = " and ".join(" or ".join(place) for place in open_places(row, given))
        raise _refused(
            "ROLE_NOT_PERMITTED",
            f"expected {wanted}, found {new.role}",
            "Let a person in that role sign.",
        )


def require_not_builder(row: Transition, person: str, builders: frozenset[str]) -> None:
    """Return unless the row wants four eyes and the person built or registered the release."""
    if row.four_eyes:
        require_no_builder(person, builders)


def require_no_builder(person: str, builders: frozenset[str]) -> None:
    """Return unless the person built or registered the release (BUILDER_MAY_NOT_DECIDE)."""
    if name_of(person) in builders:
        raise _refused(
            "BUILDER_MAY_NOT_DECIDE",
            f"expected a person who neither built nor registered the release, found {person}",
            "Let somebody decide who had no part in making it.",
        )


def open_places(row: Transition, given: Sequence[Approval]) -> tuple[tuple[str, ...], ...]:
    """Return the places of a row that nobody has filled; a person fills the first that fits."""
    places = list(row.persons)
    people: set[str] = set()
    for item in given:
        fitting = [place for place in places if item.role in place]
        if fitting and item.person not in people:
            # the narrowest first, so that a wide place stays free for who fits no other
            places.remove(min(fitting, key=len))
            people.add(item.person)
    return tuple(places)


def _refused(code: str, text: str, advice: str) -> RefusalError:
    return RefusalError(text, reasons=(code,), advice=advice)
