"""The bodies of records about answers that are no result, and what lifts them: seed points.

Read next: `bodies.py`, whose rules for text from outside hold here too.
"""

from __future__ import annotations

from collections.abc import Iterable

from adapters.database.bodies import PseudonymOf, coded, document, reason, reason_code
from adapters.seeds.points import Seed
from audit.kinds import NOT_EVALUATED
from plugins.host.ports import Document, Json


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
