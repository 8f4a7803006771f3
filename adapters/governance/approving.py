"""Approvals by several persons: each signs the certificate's digest; the last one moves it.

Read next: `certifying.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.database import Transaction
from adapters.governance.acts import ask_gates, refusals_recorded, subject_of, write_down
from adapters.governance.certifying import CERTIFICATE
from adapters.governance.persons import Person, decision_of
from audit.errors import RefusalError
from governance.approvals import (
    KIND,
    Approval,
    add,
    approvals,
    name_of,
    open_places,
    require_own_place,
    standing,
)
from governance.certificate import ADVICE
from governance.lifecycle import check_transition
from governance.ports import Deployment

if TYPE_CHECKING:
    from adapters.compose import Site


@dataclass(frozen=True, slots=True)
class Approved:
    """What an approval led to.

    Parameters
    ----------
    deployment : the release's state after it.
    missing : the roles of which a person has to sign still, one entry a person.
    """

    deployment: Deployment
    missing: tuple[tuple[str, ...], ...]


def approve(site: Site, digest: str, person: Person, meaning: str = "approval") -> Approved:
    """Put a person's signature under a release's certificate; the last one approves it.

    Raises
    ------
    NotFoundError : the release is not registered here.
    RefusalError : the table, four eyes or a gate does not permit it; nothing changed.
    """
    with refusals_recorded(site, "approve", digest, person):
        return site.database.run(
            lambda transaction: _approve(site, transaction, digest, person, meaning)
        )


def _approve(
    site: Site, transaction: Transaction, digest: str, person: Person, meaning: str
) -> Approved:
    decision = decision_of(site, person)
    subject = subject_of(transaction, "approve", digest, decision)
    document = transaction.governed(CERTIFICATE, digest)
    if document is None:
        raise RefusalError(
            "expected a certificate to approve, found none",
            reasons=("CERTIFICATE_MISSING",),
            advice=ADVICE["CERTIFICATE_MISSING"],
        )
    certified = {
        "certificate": document.digest,
        "certificate_id": str(document.content["certificate"]["certificate_id"]),
    }
    # 1. May this person sign, and is nothing in the way?
    check_transition(subject.row, decision.role, certified, decision.mode)
    new = Approval(
        "approve", name_of(decision.person), decision.role, meaning, document.digest,
        decision.decided_at,
    )  # fmt: skip
    given = approvals(transaction, digest)
    counting = standing(given, "approve", document.digest, subject.present.since)
    require_own_place(subject.row, counting, new, subject.builders)
    ask_gates(site, transaction, subject, decision, certified)
    # 2. The signature is kept, and on record.
    signed = transaction.put_governed(
        KIND, digest, add(given, new), decision.person, decision.decided_at
    )
    site.journal.governed(transaction, signed)
    missing = open_places(subject.row, (*counting, new))
    if missing:
        return Approved(subject.present, missing)
    # 3. All have signed: the state follows.
    people = "+".join(item.person for item in (*counting, new))
    evidence = {**certified, "approved_by": people, "approval": signed.digest}
    return Approved(write_down(site, transaction, subject, decision, evidence).deployment, ())
