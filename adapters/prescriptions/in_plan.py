"""The prescription of an RT Plan: what its Dose References of type TARGET prescribe.

A dose reference counts that is a volume or a site; a point or coordinates prescribe to no
volume.  Doses are totals of the plan, so a plan with several fraction groups, whose doses
add up to nothing that is stated, is not used; nor is one of ions, whose doses are weighted.
Plans that treat nobody (Plan Intent VERIFICATION, MACHINE_QA, SERVICE) and rejected ones
prescribe nothing; one for RESEARCH prescribes where results are for research too.

Standard: PS3.3 C.8.8.9 (Plan Intent, relations), C.8.8.10 (Dose Reference Sequence),
C.8.8.13 (Fraction Group Sequence), C.8.8.16 (Approval Status).

Read next: `in_intent.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import Dataset
from pydicom.uid import RTIonPlanStorage, RTPlanStorage

from adapters.prescriptions.statements import (
    NOT_PHOTONS,
    SEVERAL_GROUPS,
    SHAPE,
    Statement,
    Unusable,
)
from audit.errors import InputError
from plugins.host.prescription import PrescribedTarget, Prescription

SOURCE = "plan"
PLANS = (RTPlanStorage, RTIonPlanStorage)
TREATS_NOBODY = ("VERIFICATION", "MACHINE_QA", "SERVICE")
VOLUMES = ("VOLUME", "SITE")
_NAME_LIMIT = 64


def of_plan(dataset: Dataset, *, for_research: bool = False) -> Statement | Unusable | None:
    """Return what a plan prescribes; None where it prescribes nothing.

    Parameters
    ----------
    dataset : an RT Plan or RT Ion Plan; damaged values may raise, see `readable_values`.
    for_research : plans of intent RESEARCH count.
    """
    uid = str(dataset.SOPInstanceUID)
    rejected = str(dataset.get("ApprovalStatus") or "").upper() == "REJECTED"
    intent = str(dataset.get("PlanIntent") or "").upper()
    if rejected or intent in TREATS_NOBODY or (intent == "RESEARCH" and not for_research):
        return None
    structure_set = _structure_set(dataset)
    try:
        targets = tuple(_targets(dataset, structure_set))
        if not targets:
            return None
        if dataset.get("SOPClassUID") == RTIonPlanStorage:
            return Unusable(SOURCE, uid, NOT_PHOTONS)
        groups = list(dataset.get("FractionGroupSequence") or [])
        if len(groups) > 1:
            return Unusable(SOURCE, uid, SEVERAL_GROUPS)
        planned = groups[0].get("NumberOfFractionsPlanned") if groups else None
        prescription = Prescription(
            targets,
            SOURCE,
            uid,
            None if planned in (None, "") else int(planned),
            structure_set_uid=structure_set,
        )
    except (InputError, ValueError):
        return Unusable(SOURCE, uid, SHAPE)
    return Statement(
        SOURCE, uid, prescription, given_by(dataset), replaces=tuple(_predecessors(dataset))
    )


def given_by(dataset: Dataset) -> str:
    """Return who or what made an object, as it says itself; empty where it does not."""
    person = dataset.get("ReviewerName") or dataset.get("OperatorsName")
    words = (str(dataset.get(word) or "") for word in ("Manufacturer", "ManufacturerModelName"))
    return str(person or "") or " ".join(word for word in words if word)


def _targets(dataset: Dataset, structure_set: str) -> Iterator[PrescribedTarget]:
    for item in dataset.get("DoseReferenceSequence") or []:
        dose = item.get("TargetPrescriptionDose")
        is_target = str(item.get("DoseReferenceType") or "").upper() == "TARGET"
        kind = str(item.get("DoseReferenceStructureType") or "").upper()
        if not is_target or kind not in VOLUMES or dose in (None, ""):
            continue
        number = item.get("ReferencedROINumber")
        usable = kind == "VOLUME" and structure_set and number not in (None, "")
        name = str(item.get("DoseReferenceDescription") or "").strip()[:_NAME_LIMIT]
        yield PrescribedTarget(float(dose), name, int(number) if usable else None)


def _structure_set(dataset: Dataset) -> str:
    """Return the structure set that the plan was made on; empty where it names none."""
    for item in dataset.get("ReferencedStructureSetSequence") or []:
        return str(item.get("ReferencedSOPInstanceUID") or "")
    return ""


def _predecessors(dataset: Dataset) -> Iterator[str]:
    for item in dataset.get("ReferencedRTPlanSequence") or []:
        if str(item.get("RTPlanRelationship") or "").upper() == "PREDECESSOR":
            yield str(item.get("ReferencedSOPInstanceUID") or "")
