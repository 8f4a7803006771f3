"""Tell people of open alarms: each step of the escalation once and on record, then once a day.

A step goes to the address of the person who is named for it; without one it goes the way of every
notice of the site and names the person.  A notice bears item, owner and deadline, and nothing of a
patient.  A step that could not be sent stands as taken all the same: the page shows it.

Read next: `governance/monitoring/escalation.py`, `governance/monitoring/silence.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.engine.notices import Notices
from adapters.governance.persons import GUARDIAN
from audit.errors import ConfigurationError
from governance.monitoring import actions, escalation, silence
from governance.monitoring.escalation import COMPLIANCE, OWNER
from governance.monitoring.reevaluation import KIND, is_overdue
from governance.ports import GovernedDocument

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

RAISED, ESCALATED, OVERDUE = "monitor alarm", "alarm escalated", "re-evaluation overdue"


def tell(site: Site, item: GovernedDocument) -> None:
    """Take the steps that are due for an open item, and tell once a day when it is overdue."""
    now = site.now()
    with site.database.reading() as transaction:
        quiet = transaction.governed(silence.KIND, item.name)
    if silence.is_silent(quiet, now) and not actions.policy_of(item).act:
        return
    due = escalation.steps_due(item, now)
    for step in due:
        item = _take(site, item, step)
    if is_overdue(item, now) and not due:
        _daily(site, item)


def check_duties(site: Site) -> str:
    """Return how many persons answer for alarms; ConfigurationError names who has no account."""
    named = site.configuration.monitoring.named().accounts
    with site.database.reading() as transaction:
        known = {one: transaction.account(one) for one in named}
    gone = [one for one, found in known.items() if found is None or found.disabled_at is not None]
    if gone:
        raise ConfigurationError(
            f"expected an open account for who answers for alarms, found none: {', '.join(gone)}",
            advice="Name others in [monitoring], or add them: `osteon account add`.",
        )
    return f"{len(named)} persons answer for alarms"


def _take(site: Site, item: GovernedDocument, step: str) -> GovernedDocument:
    """Send the notice of a step, then put it on record; return the item after it."""
    settings = site.configuration.monitoring
    person = settings.named().person(str(item.content["owner"]), step)
    event = RAISED if step == OWNER else ESCALATED
    _send(site, item, event, step, person, settings.addresses.get(person, ""))

    def write(transaction: Transaction) -> GovernedDocument:
        present = transaction.governed(KIND, item.name)
        if present is None or step not in escalation.steps_due(present, site.now()):
            return item  # somebody was faster
        content = escalation.told(present.content, step, person, site.now())
        document = transaction.put_governed(
            KIND, item.name, content, GUARDIAN.account_id, site.now()
        )
        site.journal.governed(transaction, document)
        return document

    return site.database.run(write)


def _daily(site: Site, item: GovernedDocument) -> None:
    """Tell that an item is overdue, once a day after the day of its last step."""
    name, today = f"alarm-told:{item.name}", site.now().date().isoformat()
    last = str(item.content.get("told", [{"at": ""}])[-1]["at"])[:10]
    with site.database.reading() as transaction:
        if today in (last, transaction.cursor(name)):
            return
    person = site.configuration.monitoring.named().person(str(item.content["owner"]), OWNER)
    _send(site, item, OVERDUE, OWNER, person, "")
    with site.database.transaction() as transaction:
        transaction.set_cursor(name, today)


def _send(
    site: Site, item: GovernedDocument, event: str, step: str, person: str, address: str
) -> None:
    keys = ("plugin", "release_digest", "item", "reason", "owner", "deadline")
    facts = {key: str(item.content[key]) for key in keys}
    role = COMPLIANCE if step == COMPLIANCE else facts["owner"]
    advice = actions.policy_of(item).advice
    notice = {**facts, "told": step, "to": person or role, "advice": advice}
    Notices(site.configuration.notices, site.configuration.site.name).alarmed(
        event, notice, address
    )
