"""What people answer to an alarm before they decide: that they have taken it up, or be silent.

Read next: `governance/monitoring/escalation.py`, `governance/monitoring/silence.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from adapters.governance.acts import refusals_recorded
from adapters.governance.persons import Person, decision_of
from adapters.monitoring.alarming import alarm_name
from adapters.monitoring.running import watched
from audit.errors import NotFoundError, RefusalError
from governance.monitoring import escalation, silence
from governance.monitoring.actions import STOPPED
from governance.monitoring.plan import SUSPEND
from governance.monitoring.reevaluation import ACKNOWLEDGERS, KIND, OPEN
from governance.ports import GovernedDocument

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction


def acknowledge(site: Site, name: str, person: Person) -> GovernedDocument:
    """Record that a person has taken up an alarm; a second time changes nothing.

    Raises
    ------
    NotFoundError : no alarm of that name is open.
    RefusalError : the role may not; nothing changed.
    """
    with site.database.reading() as transaction:
        found = transaction.governed(KIND, name)
    if found is None or found.content["state"] != OPEN:
        raise NotFoundError(f"expected an open alarm {name[:64]!r}, found none")
    stated = decision_of(site, person)
    with refusals_recorded(site, "acknowledge", str(found.content["release_digest"]), person):
        if stated.role not in ACKNOWLEDGERS:
            raise RefusalError(
                f"role {stated.role} is not one of {', '.join(ACKNOWLEDGERS)}",
                reasons=("ROLE_NOT_PERMITTED",),
                advice="Let whoever owns the item take it up.",
            )

    def write(transaction: Transaction) -> GovernedDocument:
        present = transaction.governed(KIND, name)
        assert present is not None
        if present.content["state"] != OPEN or "acknowledged_at" in present.content:
            return present
        content = escalation.acknowledged(present.content, stated.person, stated.decided_at)
        document = transaction.put_governed(KIND, name, content, stated.person, stated.decided_at)
        site.journal.governed(transaction, document)
        return document

    return site.database.run(write)


def silence_alarm(
    site: Site, name: str, until: datetime, reason: str, person: Person
) -> GovernedDocument:
    """Tell nobody of an alarm until a time, on record; it may not have been raised yet.

    Raises
    ------
    NotFoundError : no item of a plan at work raises an alarm of that name.
    RefusalError : role, reason or end are missing, or this alarm is always told.
    """
    plugin, digest, item, action = _about(site, name)
    stated = decision_of(site, person)
    if site.configuration.governance.suspend_on_alarm:
        action = SUSPEND  # the site lets every alarm suspend
    with refusals_recorded(site, "silence", digest, person):
        silence.require_silence(stated.role, action, until, stated.decided_at, reason)

    def write(transaction: Transaction) -> GovernedDocument:
        content = silence.content(plugin, digest, item, until, reason)
        document = transaction.put_governed(
            silence.KIND, name, content, stated.person, stated.decided_at
        )
        site.journal.governed(transaction, document)
        return document

    return site.database.run(write)


def _about(site: Site, name: str) -> tuple[str, str, str, str]:
    """Return plugin, release, item and what an alarm of that name does."""
    for release in watched(site):
        digest = release.deployment.release_digest
        for item in release.plan.items:
            if name == alarm_name(item.name, digest):
                return release.deployment.plugin, digest, item.name, item.action
            if name == alarm_name(f"{STOPPED}-{item.name}", digest):
                return release.deployment.plugin, digest, item.name, STOPPED
    with site.database.reading() as transaction:
        found = transaction.governed(KIND, name)
    if found is None or found.content["state"] != OPEN:
        raise NotFoundError(f"expected an item of a plan or an open alarm, found {name[:64]!r}")
    stated = {key: str(value) for key, value in found.content.items()}
    return stated["plugin"], stated["release_digest"], stated["item"], stated["action"]
