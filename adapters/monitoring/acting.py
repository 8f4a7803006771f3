"""What the service does about an open alarm by policy: suspends, or asks people for a rollback.

Each act bears the evidence of its alarm: name, digest of the item, detector, evidence, threshold.
A request names the release on standby to which one would go back; going back is a person's act.

Read next: `governance/monitoring/actions.py` (the table).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from adapters.governance.acts import act
from adapters.governance.persons import GUARDIAN, Person
from audit.errors import RefusalError
from governance.monitoring import actions
from governance.ports import Deployment, GovernedDocument
from governance.rollback import target_of

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

_AT_WORK = actions.POLICIES["suspend"].states
_log = structlog.get_logger(__name__)


def act_by_policy(site: Site, item: GovernedDocument, present: Deployment | None) -> None:
    """Do what the table says of an open item now; twice changes nothing."""
    what = actions.due(item, present)
    if what == "suspend":
        suspend(site, str(item.content["release_digest"]), GUARDIAN, actions.evidence(item))
    elif what == actions.REQUEST:
        _ask(site, item)


def suspend(site: Site, digest: str, person: Person, evidence: dict[str, str]) -> None:
    """Suspend a release that is at work; one that is not stays as it is."""
    with site.database.reading() as transaction:
        states = {item.release_digest: item.state for item in transaction.deployments()}
    if states.get(digest) not in _AT_WORK:
        return
    try:
        act(site, "suspend", digest, person, evidence)
    except RefusalError:
        if person is not GUARDIAN:
            raise
        _log.warning("release not suspended", release=digest[:19])  # a person was faster


def answer_request(
    site: Site, transaction: Transaction, closed: GovernedDocument, person: str
) -> None:
    """Close the request of an alarm that was decided, on record."""
    asked = transaction.governed(actions.REQUEST, closed.name)
    if asked is None or asked.content["state"] != actions.ASKED:
        return
    content = actions.answered(
        asked.content, str(closed.content["decision"]), str(closed.content["decision_reason"])
    )
    document = transaction.put_governed(
        actions.REQUEST, closed.name, content, person, closed.recorded_at
    )
    site.journal.governed(transaction, document)


def _ask(site: Site, item: GovernedDocument) -> None:
    """Put a request on record, once for each alarm."""

    def write(transaction: Transaction) -> None:
        known = transaction.governed(actions.REQUEST, item.name)
        if known is not None and known.content["opened_at"] == item.content["opened_at"]:
            return
        content = actions.request(item, _standby(site, transaction, str(item.content["plugin"])))
        document = transaction.put_governed(
            actions.REQUEST, item.name, content, GUARDIAN.account_id, site.now()
        )
        site.journal.governed(transaction, document)

    site.database.run(write)


def _standby(site: Site, transaction: Transaction, plugin: str) -> str:
    """Return the release that a rollback would go to; empty where none waits."""
    name = site.configuration.site.name
    try:
        target, _ = target_of(transaction.deployments(plugin), name, plugin)
    except RefusalError:  # nothing on standby: the request says so, people stop the plugin
        return ""
    return target.release_digest
