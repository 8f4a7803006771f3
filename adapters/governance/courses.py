"""Patients in course: a physician decides on which release one goes on.

Read next: `governance/canary.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.database import Transaction
from adapters.governance.persons import Person, decision_of
from audit.errors import NotFoundError, RefusalError
from governance.canary import COURSE, COURSE_STATES, DECIDERS
from governance.ports import GovernedDocument

if TYPE_CHECKING:
    from adapters.compose import Site


def decide_course(
    site: Site, plugin: str, pseudonym: str, digest: str, person: Person, reason: str
) -> GovernedDocument:
    """Note on which release a patient goes on; empty is whatever is active.

    Raises
    ------
    NotFoundError : the plugin made no result for the patient.
    RefusalError : only a clinician decides, with a reason, for a release that may run.
    """
    decision = decision_of(site, person)
    if decision.role not in DECIDERS or not reason.strip():
        missing = "EVIDENCE_MISSING" if decision.role in DECIDERS else "ROLE_NOT_PERMITTED"
        raise RefusalError(
            f"expected a {' or '.join(DECIDERS)} with a reason, found {decision.role}",
            reasons=(missing,),
            advice="Let the physician decide who treats the patient.",
        )

    def write(transaction: Transaction) -> GovernedDocument:
        if not transaction.courses(plugin, pseudonym):
            raise NotFoundError(f"expected a patient with results of {plugin}, found none")
        states = {d.release_digest: d.state for d in transaction.deployments(plugin)}
        if digest and states.get(digest) not in COURSE_STATES:
            raise RefusalError(
                f"expected a release that is {', '.join(COURSE_STATES)}, found "
                f"{states.get(digest, 'none')}",
                reasons=("TRANSITION_NOT_PERMITTED",),
                advice="Name the active release, or one on standby.",
            )
        content = {"release_digest": digest, "reason": reason.strip()}
        document = transaction.put_governed(
            COURSE, f"{plugin}/{pseudonym}", content, decision.person, decision.decided_at
        )
        site.journal.governed(transaction, document)
        return document

    return site.database.run(write)
