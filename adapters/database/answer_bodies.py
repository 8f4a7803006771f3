"""The bodies of records about answers that are no result, and what lifts them.

Read next: `bodies.py`, whose rules for text from outside hold here too.
"""

from __future__ import annotations

from collections.abc import Iterable

from adapters.database.bodies import PseudonymOf, coded, document, reason, reason_code
from adapters.prescriptions.statements import Choice, Statement
from adapters.seeds.points import Seed
from audit.kinds import NOT_EVALUATED
from plugins.host.ports import Document, Json
from plugins.host.prescription import Prescription, digest_of


def refusal(
    reasons: Iterable[str],
    documents: Iterable[Document],
    unwritten: str,
    pseudonym: PseudonymOf,
) -> Json:
    """Return why a study was refused, and the objects that tell it or why there are none."""
    return {
        "reasons": [reason(item) for item in reasons],
        "documents": [document(item, pseudonym) for item in documents],
        "unwritten": reason_code(unwritten) if unwritten else "",
    }


def seed(taken: Seed, pseudonym: PseudonymOf) -> Json:
    """Return where a seed point lies, and who or what gave it in which object."""
    is_dicom = taken.source != "fhir"
    return {
        "action": "taken",
        "source": coded(taken.source),
        "given_by": coded(taken.given_by) if taken.given_by else NOT_EVALUATED,
        "sop_uid_p": pseudonym(taken.object_id) if is_dicom else NOT_EVALUATED,
        "resource": NOT_EVALUATED if is_dicom else coded(taken.object_id),
        "frame_of_ref_uid_p": pseudonym(taken.frame_of_reference_uid),
        "position_mm": [round(value, 2) for value in taken.point_mm],
    }


def prescription(taken: Prescription, statement: Statement, pseudonym: PseudonymOf) -> Json:
    """Return which prescription a run takes, and who or what states it in which object."""
    return {
        "action": "taken",
        "given_by": coded(statement.given_by) if statement.given_by else NOT_EVALUATED,
        **_stated(statement.source, statement.object_id, pseudonym),
        "doses_gy": [round(item.dose_gy, 3) for item in taken.targets],
        "fractions": NOT_EVALUATED if taken.fraction_count is None else taken.fraction_count,
        "protocol": coded(taken.protocol) if taken.protocol else NOT_EVALUATED,
        "prescription_sha256": digest_of(taken),
    }


def prescription_fault(choice: Choice, pseudonym: PseudonymOf) -> Json:
    """Return why no prescription is taken, and which objects that is about."""
    return {
        "action": reason_code(choice.reason),
        "source": NOT_EVALUATED,
        "given_by": NOT_EVALUATED,
        "between": [_stated(source, name, pseudonym) for source, name in choice.named],
    }


def _stated(source: str, name: str, pseudonym: PseudonymOf) -> Json:
    """Return where something stands: in a DICOM object, a resource, or a protocol."""
    is_dicom = source in ("plan", "physician_intent")
    return {
        "source": coded(source),
        "sop_uid_p": pseudonym(name) if is_dicom else NOT_EVALUATED,
        "resource": NOT_EVALUATED if is_dicom else coded(name),
    }
