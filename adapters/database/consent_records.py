"""What a patient agreed to or not, as a person put it on record here.

No consent service answers to the suite, so that a decision comes from a person who read
it somewhere; the inference record repeats what was in force (REGULATORY.md section 3, row
25) and says ``not-evaluated`` where nobody stated anything.  A refusal or a withdrawal
bars the patient's runs from then on: nothing more is recorded as a result, nothing leaves.

Read next: `journal.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from adapters.database import bodies
from adapters.database.keeping_records import KeepingRecords
from adapters.database.transaction import Transaction
from audit.errors import BarredError, NotFoundError
from audit.kinds import NOT_EVALUATED
from audit.record import Subject

DECISIONS = ("permit", "deny", "withdrawn")
DENIED = "CONSENT_DENIED"
_STATE = "consent:"


@dataclass(frozen=True, slots=True)
class Consent:
    """One decision: how it went, where it is written (not kept as text), on which basis."""

    decision: str
    reference: str
    basis: str


class ConsentRecords(KeepingRecords):
    """Records about consent; see `SiteRecords` for the rest."""

    def consent(
        self, transaction: Transaction, study_instance_uid: str, stated: Consent, person: str
    ) -> str:
        """Record the decision of a study's patient and let it count from here on.

        Raises
        ------
        NotFoundError : it is not known whose study it is.
        """
        subject = self._pseudonyms.subject(study_instance_uid)
        if subject == NOT_EVALUATED:
            raise NotFoundError("expected a study whose patient is known here, found none")
        body = {
            "decision": stated.decision,
            "consent_ref_p": self._pseudonyms.reference(study_instance_uid, stated.reference),
            "basis": bodies.coded(stated.basis),
        }
        transaction.set_cursor(_STATE + subject, json.dumps(body))
        return self._append(
            transaction,
            "consent",
            body,
            actor=self._actor(transaction, person),
            subject=Subject(subject),
        )

    def consented(self, transaction: Transaction, study_instance_uid: str) -> Mapping[str, str]:
        """Return the decision that is in force for a study's patient; empty without one."""
        subject = self._pseudonyms.subject(study_instance_uid)
        kept = None if subject == NOT_EVALUATED else transaction.cursor(_STATE + subject)
        return json.loads(kept) if kept else {}

    def require_consent(self, transaction: Transaction, study_instance_uid: str) -> None:
        """Return unless the patient refused.

        Raises
        ------
        BarredError : the decision on record is a refusal or a withdrawal.
        """
        stated = self.consented(transaction, study_instance_uid)
        if stated.get("decision") in ("deny", "withdrawn"):
            raise BarredError("the patient did not consent", reasons=(DENIED,))
