"""What of a site something that comes back is held against, and whose study it lies in.

Read next: `finding.py` (approved contours) and `plans.py` (real plans), which use it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from adapters.database.runs import RunRow
from adapters.pacs import InstanceReference
from adapters.rt.read_part10 import Instance
from audit.kinds import NOT_EVALUATED
from plugins.host.steps import LEAVES

if TYPE_CHECKING:
    from adapters.compose import Site


def foreign(reference: InstanceReference, ours: set[str]) -> bool:
    """Return whether an object is not one that the suite wrote."""
    return reference.sop_instance_uid not in ours


def know_patient(site: Site, study: str, instance: Instance) -> None:
    """Note whose study it is, where nobody did yet: what came may lie in a study of its own."""
    if site.pseudonyms.subject(study) == NOT_EVALUATED:
        header = instance.dataset
        patient, issuer = header.get("PatientID"), header.get("IssuerOfPatientID")
        site.journal.enrol(study, str(patient or ""), str(issuer or ""))


def results_before(site: Site, study: str, first_at: datetime) -> list[RunRow]:
    """Return the patient's results that left, stand, and were there before something came."""
    with site.database.reading() as transaction:
        return [
            row
            for uid in site.pseudonyms.studies_with(study)
            for row in transaction.runs(study=uid)
            if row.status == "done" and row.mode in LEAVES and row.superseded_by is None
            if row.closed_at is not None and row.closed_at <= first_at
        ]
