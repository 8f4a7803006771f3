"""What an alarm does: a record, an item that somebody owns, a notice, and what the plan says.

    alarm    governed document and re-evaluation item in the transaction of the sums; the same
             item raises no second one while it is open (silence)
    notice   once when raised, once a day when overdue (escalation); never patient data
    action   `suspend` takes the release out of work by itself; `ask-rollback` asks a person

Nothing is ever activated here.  A decision closes item and alarm together and starts the sums anew.

Read next: `governance/monitoring/reevaluation.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from adapters.engine.notices import Notices
from adapters.governance.acts import act, refusals_recorded
from adapters.governance.persons import GUARDIAN, Person, decision_of
from audit.errors import NotFoundError, RefusalError
from governance import alarms
from governance.monitoring import watch as watches
from governance.monitoring.plan import ROLLBACK, SUSPEND, Item
from governance.monitoring.reevaluation import (
    DECIDED,
    KIND,
    OPEN,
    is_overdue,
    opened,
    require_decision,
)
from governance.ports import Deployment, GovernedDocument

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

STOPPED = "stopped"
_AT_WORK = ("shadow", "canary", "active")
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
) -> str:
    """Open an alarm and its re-evaluation item, on record; empty when one is open already."""
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
    }
    for kind, stated in ((alarms.KIND, content), (KIND, about_item)):
        document = transaction.put_governed(kind, name, stated, GUARDIAN.account_id, now)
        site.journal.governed(transaction, document)
    site.journal.guard(transaction, "monitor", about.upper().replace("-", "_"), digest)
    _log.error("monitor alarm", plugin=plugin, item=about)
    return name


def follow_up(site: Site) -> None:
    """Tell of open items that nobody was told of, tell again when overdue, and act by policy."""
    with site.database.reading() as transaction:
        found = [item for item in transaction.governed_all(KIND) if item.content["state"] == OPEN]
        states = {item.release_digest: item for item in transaction.deployments()}
    for item in found:
        _tell(site, item)
        present = states.get(str(item.content["release_digest"]))
        is_new = present is not None and item.recorded_at >= present.since
        if present is not None and is_new and present.state in _AT_WORK:
            _act(site, item, present)


def decide(site: Site, name: str, decision: str, reason: str, person: Person) -> GovernedDocument:
    """Close a re-evaluation item and its alarm by a decision; the sums of the item start anew.

    A decision to suspend suspends at once; a rollback is an act of its own.

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
    if decision == "suspend":
        _suspend(site, digest, person, reason)

    def write(transaction: Transaction) -> GovernedDocument:
        words = {"state": DECIDED, "decision": decision, "decision_reason": reason.strip()}
        closed = {**found.content, **words}
        document = transaction.put_governed(KIND, name, closed, stated.person, stated.decided_at)
        site.journal.governed(transaction, document)
        _close_alarm(site, transaction, name, stated.person, stated.decided_at, reason)
        _restart(transaction, digest, str(found.content["item"]), stated.decided_at)
        return document

    return site.database.run(write)


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


def _tell(site: Site, item: GovernedDocument) -> None:
    """Send a notice once for each item, and once a day when it is overdue."""
    now = site.now()
    late = is_overdue(item, now)
    told = f"{item.content['opened_at']}:{now.date().isoformat() if late else 'raised'}"
    name = f"alarm-told:{item.name}"
    with site.database.reading() as transaction:
        before = transaction.cursor(name) or ""
    if before == told or (not late and before.startswith(str(item.content["opened_at"]))):
        return
    Notices(site.configuration.notices, site.configuration.site.name).alarmed(
        _notice(item.content), overdue=late
    )
    with site.database.transaction() as transaction:
        transaction.set_cursor(name, told)


def _notice(content: Mapping[str, Any]) -> dict[str, str]:
    asks = {
        SUSPEND: "The release is suspended by the plan. Decide: osteon monitor decide.",
        ROLLBACK: "The plan asks for a rollback: osteon governance rollback; then decide.",
    }
    advice = asks.get(str(content["action"]), "Look at the page of alarms and decide.")
    keys = ("plugin", "release_digest", "item", "reason", "owner", "deadline")
    return {**{key: str(content[key]) for key in keys}, "advice": advice}


def _act(site: Site, item: GovernedDocument, present: Deployment) -> None:
    stopped = str(item.content["about"]).startswith(STOPPED)
    if item.content["action"] == SUSPEND and not stopped:
        _suspend(site, present.release_digest, GUARDIAN, alarms.SUSPENDED_BY)


def _suspend(site: Site, digest: str, person: Person, reason: str) -> None:
    with site.database.reading() as transaction:
        states = {item.release_digest: item.state for item in transaction.deployments()}
    if states.get(digest) not in _AT_WORK:
        return
    try:
        act(site, "suspend", digest, person, {"reason": reason})
    except RefusalError:
        if person is not GUARDIAN:
            raise
        _log.warning("release not suspended", release=digest[:19])  # a person was faster
