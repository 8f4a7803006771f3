"""Alarms about a release at a site: raised, decided on, and heeded where the site wants that.

Read next: `governance/alarms.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from adapters.database import Transaction
from adapters.governance.acts import act, refusals_recorded
from adapters.governance.persons import GUARDIAN, Person, decision_of
from audit.errors import NotFoundError, RefusalError
from governance.alarms import CLOSED, KIND, OPEN, SUSPENDED_BY, open_alarms, require_right
from governance.deployment import known
from governance.monitoring.reevaluation import KIND as REEVALUATION
from governance.ports import Deployment, GovernedDocument

if TYPE_CHECKING:
    from adapters.compose import Site

_AT_WORK = ("shadow", "canary", "active")
_log = structlog.get_logger(__name__)


def raise_alarm(
    site: Site, name: str, digest: str, person: Person, reason: str
) -> GovernedDocument:
    """Open an alarm about a release, on record; the same alarm again is a new revision.

    Raises
    ------
    NotFoundError : the release is not registered here.
    RefusalError : the role may not, or name or reason are missing; nothing changed.
    """
    return _keep(site, name, digest, person, reason, OPEN)


def close_alarm(site: Site, name: str, person: Person, reason: str) -> GovernedDocument:
    """Note what a person decided on an alarm; the release stays as it is.

    Raises
    ------
    NotFoundError : no alarm of that name is open.
    RefusalError : the role may not, or the reason is missing; nothing changed.
    """
    with site.database.reading() as transaction:
        found = transaction.governed(KIND, name)
        reevaluation = transaction.governed(REEVALUATION, name)
    if found is None or found.content["state"] != OPEN:
        raise NotFoundError(f"expected an open alarm {name[:64]!r}, found none")
    if reevaluation is not None and reevaluation.content["state"] == OPEN:
        raise RefusalError(
            "expected a decision on the re-evaluation, an alarm of a monitor is not closed alone",
            reasons=("DECISION_MISSING",),
            advice="Decide with `osteon monitor decide`; it closes both.",
        )
    return _keep(site, name, str(found.content["release_digest"]), person, reason, CLOSED)


def heed_alarms(site: Site) -> tuple[str, ...]:
    """Suspend what an open alarm is about, where the site wants that; return the digests.

    Only what runs is suspended, and nothing takes its place: switching is a person's decision.
    """
    if not site.configuration.governance.suspend_on_alarm:
        return ()
    with site.database.reading() as transaction:
        alarmed = [
            (item, alarms[0])
            for item in transaction.deployments()
            if item.site == site.configuration.site.name
            and item.state in _AT_WORK
            and (alarms := _new_alarms(transaction, item))
        ]
    return tuple(item.release_digest for item, alarm in alarmed if _suspend(site, item, alarm))


def _new_alarms(transaction: Transaction, item: Deployment) -> list[GovernedDocument]:
    """Return open alarms that came after the release did: a person may go on in spite of older."""
    found = open_alarms(transaction, item.release_digest)
    return [alarm for alarm in found if alarm.recorded_at >= item.since]


def _suspend(site: Site, item: Deployment, alarm: GovernedDocument) -> bool:
    evidence = {"reason": SUSPENDED_BY, "alarm": alarm.name, "alarm_sha256": alarm.digest}
    try:
        act(site, "suspend", item.release_digest, GUARDIAN, evidence)
    except RefusalError:  # a person was faster
        _log.warning("release not suspended", plugin=item.plugin)
        return False
    _log.error("release suspended on alarm", plugin=item.plugin)
    return True


def _keep(
    site: Site, name: str, digest: str, person: Person, reason: str, state: str
) -> GovernedDocument:
    decision = decision_of(site, person)
    with refusals_recorded(site, "alarm", digest, person):
        require_right(name, decision.role, reason, close=state == CLOSED)

    def write(transaction: Transaction) -> GovernedDocument:
        plugin = known(transaction, decision.site, digest).plugin
        content = {
            "state": state, "plugin": plugin, "release_digest": digest, "reason": reason.strip(),
        }  # fmt: skip
        document = transaction.put_governed(
            KIND, name, content, decision.person, decision.decided_at
        )
        site.journal.governed(transaction, document)
        return document

    return site.database.run(write)
