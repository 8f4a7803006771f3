"""Corrective actions of an incident: planned, done, verified, each on record.

Read next: `governance/corrective.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

from adapters.governance.persons import Person
from adapters.incidents.acts import act_of, known_incident, new_id
from audit.errors import NotFoundError
from governance.corrective import KIND, Action, decode, encode, finish, plan, verify
from governance.incidents import Act, plain_lines

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction


def plan_action(
    site: Site, person: Person, incident_id: str, what: tuple[str, str], who: tuple[str, date]
) -> Action:
    """Plan an action.

    Parameters
    ----------
    what : corrective or preventive, and a description.
    who : account id of the owner, and until when.
    """
    act = act_of(site, person)
    draft = Action(
        action_id=new_id("capa", site),
        incident_id=incident_id,
        kind=what[0],
        what=plain_lines(what[1]),
        owner=who[0],
        due_on=who[1],
        planned_by=act.person,
        planned_at=act.at,
    )
    with site.database.transaction() as transaction:
        known_incident(transaction, incident_id)
        if transaction.account(draft.owner) is None:
            raise NotFoundError(f"expected an account as owner, found {draft.owner[:40]!r}")
        planned = plan(draft, act)
        _keep(site, transaction, planned, act)
    site.log.seal(site.database)
    return planned


def finish_action(site: Site, person: Person, action_id: str) -> Action:
    """Record that an action was done."""
    return _change(site, person, action_id, finish)


def verify_action(site: Site, person: Person, action_id: str, effect: str) -> Action:
    """Record that the effect of an action was verified, with what was found."""
    lines = plain_lines(effect)
    return _change(site, person, action_id, lambda action, act: verify(action, act, lines))


def _change(
    site: Site, person: Person, action_id: str, what: Callable[[Action, Act], Action]
) -> Action:
    act = act_of(site, person)
    with site.database.transaction() as transaction:
        document = transaction.governed(KIND, action_id)
        if document is None:
            raise NotFoundError(f"expected a corrective action {action_id[:40]!r}, found none")
        after = what(decode(document.content), act)
        _keep(site, transaction, after, act)
    site.log.seal(site.database)
    return after


def _keep(site: Site, transaction: Transaction, action: Action, act: Act) -> None:
    document = transaction.put_governed(KIND, action.action_id, encode(action), act.person, act.at)
    site.journal.governed(transaction, document)
