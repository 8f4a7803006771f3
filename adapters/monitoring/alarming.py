"""What an alarm does: a record, an item that somebody owns, a notice, and what the plan says.

    alarm    governed document and re-evaluation item in the transaction of the sums; the same
             item raises no second one while it is open (silence)
    notice   owner, deputy, compliance (`telling.py`), once a day when overdue
    action   what the plan states, by the service (`acting.py`)

A decision closes item, alarm and request together and starts the sums anew.

Read next: `acting.py`, `governance/monitoring/reevaluation.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from adapters.governance.acts import refusals_recorded
from adapters.governance.persons import GUARDIAN, Person, decision_of
from adapters.monitoring.acting import act_by_policy, answer_request, suspend
from adapters.monitoring.telling import tell
from audit.errors import NotFoundError
from governance import alarms
from governance.approvals import builders, require_no_builder
from governance.deployment import registered_by
from governance.monitoring import actions
from governance.monitoring import watch as watches
from governance.monitoring.escalation import promises
from governance.monitoring.plan import Item
from governance.monitoring.reevaluation import (
    DECIDED,
    KIND,
    OPEN,
    opened,
    require_decision,
)
from governance.monitoring.watch import Beyond
from governance.ports import Deployment, GovernedDocument

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

_log = structlog.get_logger(__name__)


def alarm_name(about: str, release_digest: str) -> str:
    """Return the name of an alarm: the item and the beginning of the release digest."""
    return f"monitor:{about}:{release_digest.removeprefix('sha256:')[:12]}"


def alarm(
    site: Site,
    transaction: Transaction,
    deployment: Deployment,
    item: Item,
    about: str,
    told: str,
    beyond: Beyond | None = None,
) -> str:
    """Open an alarm and its re-evaluation item, on record; empty when one is open already.

    Parameters
    ----------
    beyond : the detector that passed its threshold; None where a monitor stopped.
    """
    name, now = alarm_name(about, deployment.release_digest), site.now()
    known = transaction.governed(KIND, name)
    if known is not None and known.content["state"] == OPEN:
        return ""
    plugin, digest = deployment.plugin, deployment.release_digest
    reason = f"{about}: {told}"
    content = {
        "state": alarms.OPEN, "plugin": plugin, "release_digest": digest, "reason": reason,
    }  # fmt: skip
    deadline = now + timedelta(days=item.decide_days)
    about_item = {
        **opened(plugin, digest, item.name, item.owner, reason, deadline),
        "action": item.action,
        "about": about,
        "opened_at": now.isoformat(),
        **promises(now, site.configuration.monitoring.times()),
        **_passed(beyond),
    }
    for kind, stated in ((alarms.KIND, content), (KIND, about_item)):
        document = transaction.put_governed(kind, name, stated, GUARDIAN.account_id, now)
        site.journal.governed(transaction, document)
    site.journal.guard(transaction, "monitor", about.upper().replace("-", "_"), digest)
    _log.error("monitor alarm", plugin=plugin, item=about)
    return name


def _passed(beyond: Beyond | None) -> dict[str, str]:
    if beyond is None:
        return {}
    return {
        "detector": beyond.name,
        "way": beyond.way,
        "evidence": f"{beyond.evidence:.4g}",
        "threshold": f"{beyond.threshold:.4g}",
    }


def follow_up(site: Site) -> None:
    """Act by policy on open items, and tell people of them."""
    with site.database.reading() as transaction:
        found = [item for item in transaction.governed_all(KIND) if item.content["state"] == OPEN]
        states = {item.release_digest: item for item in transaction.deployments()}
    for item in found:
        act_by_policy(site, item, states.get(str(item.content["release_digest"])))
        tell(site, item)


def decide(site: Site, name: str, decision: str, reason: str, person: Person) -> GovernedDocument:
    """Close a re-evaluation item and its alarm by a decision; the sums of the item start anew.

    A decision to suspend suspends at once; one for a rollback closes when it was done, since that
    is an act of its own.

    Raises
    ------
    NotFoundError : no item of that name is open.
    RefusalError : role, decision or reason are missing; nothing changed.
    """
    with site.database.reading() as transaction:
        found = transaction.governed(KIND, name)
    if found is None or found.content["state"] != OPEN:
        raise NotFoundError(f"expected an open re-evaluation {name[:64]!r}, found none")
    digest = str(found.content["release_digest"])
    stated = decision_of(site, person)
    with refusals_recorded(site, "reevaluation", digest, person):
        require_decision(stated.role, decision, reason)
        _require_right(site, found, decision, stated.person)
    if decision == "suspend":
        suspend(site, digest, person, {**actions.evidence(found), "reason": reason.strip()})

    def write(transaction: Transaction) -> GovernedDocument:
        words = {"state": DECIDED, "decision": decision, "decision_reason": reason.strip()}
        closed = {**found.content, **words}
        document = transaction.put_governed(KIND, name, closed, stated.person, stated.decided_at)
        site.journal.governed(transaction, document)
        _close_alarm(site, transaction, name, stated.person, stated.decided_at, reason)
        answer_request(site, transaction, document, stated.person)
        _restart(transaction, digest, str(found.content["item"]), stated.decided_at)
        return document

    return site.database.run(write)


def _require_right(site: Site, item: GovernedDocument, decision: str, person: str) -> None:
    """Return when nothing of the table of actions stands against a decision."""
    plugin, digest = str(item.content["plugin"]), str(item.content["release_digest"])
    with site.database.reading() as transaction:
        here = [
            one
            for one in transaction.deployments(plugin)
            if one.site == site.configuration.site.name
        ]
        present = next(one for one in here if one.release_digest == digest)
        by = registered_by(transaction, present)
    if actions.policy_of(item).four_eyes:
        manifest = json.loads(site.registry.row(digest).manifest)
        require_no_builder(person, builders(manifest, by))
    if decision == "rollback":
        actions.require_rolled_back(item, here)


def _close_alarm(
    site: Site, transaction: Transaction, name: str, person: str, at: datetime, reason: str
) -> None:
    known = transaction.governed(alarms.KIND, name)
    if known is not None and known.content["state"] == alarms.OPEN:
        content = {**known.content, "state": alarms.CLOSED, "reason": reason.strip()}
        document = transaction.put_governed(alarms.KIND, name, content, person, at)
        site.journal.governed(transaction, document)


def _restart(transaction: Transaction, digest: str, item: str, at: datetime) -> None:
    row = transaction.monitor(digest, item)
    if row is None:
        return
    state = watches.decode(json.loads(row.state))
    if state.beyond is None:
        return
    fresh = json.dumps(watches.encode(watches.restarted(state)))
    cursor_at = row.cursor_at if row.cursor_id else at  # outcomes have no cursor of their own
    transaction.put_monitor(
        replace(row, state=fresh, condition=watches.WATCHING, nearest=0.0, cursor_at=cursor_at)
    )
