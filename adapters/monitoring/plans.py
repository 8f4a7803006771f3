"""Which plan and which reference window a release has at this site.

The plan is the governed document of the release, else the attachment that came with it, else the
default; a change of it is a new revision on record.  The window is the attachment alone: a new
release has its own, or none.

Read next: `reading.py`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import structlog

from adapters.governance.persons import Person, decision_of
from audit.errors import RefusalError, SuiteError
from governance.monitoring import plan as plans
from governance.monitoring import reference as references
from governance.monitoring.default_plan import default_plan
from governance.monitoring.plan import Plan
from governance.monitoring.reference import ReferenceWindow
from governance.ports import GovernedDocument

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

PLANNERS = ("physicist", "compliance", "approver")
_log = structlog.get_logger(__name__)


def plan_of(
    site: Site,
    transaction: Transaction,
    plugin: str,
    release_digest: str,
    *,
    shipped: bool = False,
) -> Plan:
    """Return the plan of a release in force here, or with ``shipped`` the one it came with."""
    document = None if shipped else transaction.governed(plans.KIND, release_digest)
    if document is not None:
        return plans.decode(document.content)
    raw = site.registry.attachment(release_digest, plans.ATTACHMENT)
    return default_plan(plugin) if raw is None else plans.decode(json.loads(raw))


def window_of(site: Site, release_digest: str) -> ReferenceWindow | None:
    """Return the reference window of a release; None where it has none that can be read."""
    raw = site.registry.attachment(release_digest, references.ATTACHMENT)
    if raw is None:
        return None
    try:
        return references.decode(json.loads(raw), release_digest)
    except (SuiteError, ValueError):
        _log.error("reference window not readable", release=release_digest[:19])
        return None


def set_plan(
    site: Site, plugin: str, release_digest: str, plan: Plan, person: Person
) -> GovernedDocument:
    """Put a plan in force for a release, on record; what its items collected stays with them.

    Raises
    ------
    RefusalError : the role may not; nothing changed.
    """
    if person.role not in PLANNERS or plan.plugin != plugin:
        raise RefusalError(
            f"expected a plan of {plugin} by one of {', '.join(PLANNERS)}",
            reasons=("ROLE_NOT_PERMITTED" if person.role not in PLANNERS else "PLAN_OF_OTHERS",),
            advice="Ask somebody in one of these roles.",
        )
    decision = decision_of(site, person)

    def write(transaction: Transaction) -> GovernedDocument:
        document = transaction.put_governed(
            plans.KIND, release_digest, plans.encode(plan), decision.person, decision.decided_at
        )
        site.journal.governed(transaction, document)
        return document

    return site.database.run(write)
