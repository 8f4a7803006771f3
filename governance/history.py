"""Which release was in use when: answered from the history of states, for any moment.

Read next: `deployment.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from governance.ports import Deployment

IN_USE = ("active", "canary", "shadow", "standby")


@dataclass(frozen=True, slots=True)
class InUse:
    """A release as it was at a moment, and until when it stayed so.

    Parameters
    ----------
    until : None where it is so still.
    on : ``certificate`` or ``waiver``: by what it ran.
    """

    deployment: Deployment
    until: datetime | None
    on: str


def in_use_at(history: Sequence[Deployment], site: str | None, at: datetime) -> tuple[InUse, ...]:
    """Return the releases in use at a site at a moment: active first, then the others.

    A release whose waiver had run out by then was not in use.

    Parameters
    ----------
    history : every state of one or more plugins, oldest first.
    site : None for every name that this site ever had.
    """
    found = []
    for spell in spells(history, site):
        item = spell.deployment
        began = item.since <= at and (spell.until is None or at < spell.until)
        if item.state in IN_USE and began:
            found.append(spell)
    return tuple(
        sorted(
            found,
            key=lambda spell: (
                spell.deployment.plugin,
                spell.deployment.site,
                IN_USE.index(spell.deployment.state),
                spell.deployment.since,
            ),
        )
    )


def spells(history: Sequence[Deployment], site: str | None) -> tuple[InUse, ...]:
    """Return each state of each release with its end, oldest first.

    A release that is active on a waiver ends with the waiver where nobody acted before.
    """
    here = [item for item in history if site is None or item.site == site]
    ends: dict[int, datetime] = {}
    last: dict[tuple[str, str], int] = {}
    for place, item in enumerate(here):
        subject = item.site, item.release_digest
        before = last.get(subject)
        if before is not None:
            ends[before] = item.since
        last[subject] = place
    return tuple(
        InUse(item, _until(item, ends.get(place)), _by_what(item))
        for place, item in enumerate(here)
    )


def _until(item: Deployment, end: datetime | None) -> datetime | None:
    expires_at = item.evidence.get("expires_at")
    if item.state not in IN_USE or expires_at is None:
        return end
    over = datetime.fromisoformat(expires_at)
    return over if end is None or over < end else end


def _by_what(item: Deployment) -> str:
    if "expires_at" in item.evidence:
        return "waiver"
    return "certificate" if "certificate" in item.evidence else ""
