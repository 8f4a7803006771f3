"""The prescription of an RT Physician Intent (second generation radiotherapy).

A volume has a prescription where a Dosimetric Objective of type *Prescription Radiation
Dose* (130009, DCM) of scope CURRENT refers to its Conceptual Volume.  The value of such an
objective is the total dose of all fractions of all prescriptions that reference it
(C.36.6.1.7).  The volume is called as the RT Anatomic Prescription labels it.

The number of fractions is that of the prescriptions where they all state the same; phases
with numbers of their own leave it open.

Standard: PS3.3 A.86.1.2 (IOD, SOP Class 1.2.840.10008.5.1.4.1.1.481.10), C.36.5, C.36.6, 10.33
(Conceptual Volume), 10.2 (Content Item); PS3.16 CID 9500, 9529.

Read next: `in_fhir.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydicom import Dataset

from adapters.prescriptions.in_plan import given_by
from adapters.prescriptions.statements import SHAPE, UNITS, Statement, Unusable
from audit.errors import InputError, UnitsError
from plugins.host.prescription import PrescribedTarget, Prescription

SOURCE = "physician_intent"
RT_PHYSICIAN_INTENT = "1.2.840.10008.5.1.4.1.1.481.10"
PRESCRIPTION_DOSE = ("130009", "DCM")
GRAY_PER_UNIT = {("Gy", "UCUM"): 1.0, ("cGy", "UCUM"): 0.01}
LABELS = ("EntityLabel", "EntityName", "EntityLongLabel")
_NAME_LIMIT = 64


def of_intent(dataset: Dataset) -> Statement | Unusable | None:
    """Return what a physician's intent prescribes; None where it states no dose or protocol."""
    uid = str(dataset.SOPInstanceUID)
    objectives = [
        item
        for item in dataset.get("DosimetricObjectiveSequence") or []
        if _code(item.get("DosimetricObjectiveTypeCodeSequence")) == PRESCRIPTION_DOSE
    ]
    protocols = tuple(dict.fromkeys(_protocols(dataset)))
    if not objectives and not protocols:
        return None
    try:
        prescription = _prescription(dataset, objectives, uid) if objectives else None
    except UnitsError:
        return Unusable(SOURCE, uid, UNITS)
    except (InputError, ValueError, KeyError):
        return Unusable(SOURCE, uid, SHAPE)
    replaced = tuple(_predecessors(dataset))
    return Statement(SOURCE, uid, prescription, given_by(dataset), protocols, replaced)


def _prescription(dataset: Dataset, objectives: list[Dataset], uid: str) -> Prescription:
    names = dict(_volumes(dataset))
    targets = []
    for item in objectives:
        if str(item.get("DosimetricObjectiveEvaluationScope") or "CURRENT") != "CURRENT":
            raise ValueError("scope")  # a lifetime dose holds what was given before
        volume = str(item.get("ReferencedConceptualVolumeUID") or "")
        targets.append(PrescribedTarget(_dose_gy(item), names[volume]))
    items = dataset.get("RTPrescriptionSequence") or []
    counts = {
        int(item.NumberOfFractions) for item in items if item.get("NumberOfFractions") is not None
    }
    return Prescription(tuple(targets), SOURCE, uid, counts.pop() if len(counts) == 1 else None)


def _volumes(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield Conceptual Volume UID and label of every volume that is prescribed to."""
    for prescription in dataset.get("RTPrescriptionSequence") or []:
        for item in prescription.get("RTAnatomicPrescriptionSequence") or []:
            label = next((str(item.get(word)) for word in LABELS if item.get(word)), "")
            for volume in item.get("ConceptualVolumeSequence") or []:
                yield str(volume.get("ConceptualVolumeUID") or ""), label[:_NAME_LIMIT]


def _dose_gy(objective: Dataset) -> float:
    """Return the one number of an objective in Gy."""
    values = [
        item
        for item in objective.get("DosimetricObjectiveParameterSequence") or []
        if item.get("NumericValue") is not None
    ]
    if len(values) != 1:
        raise ValueError("parameters")
    unit = _code(values[0].get("MeasurementUnitsCodeSequence"))
    if unit not in GRAY_PER_UNIT:
        raise UnitsError("expected a dose in Gy or cGy of UCUM, found another unit")
    return float(values[0].NumericValue) * GRAY_PER_UNIT[unit]


def _protocols(dataset: Dataset) -> Iterator[str]:
    for intent in dataset.get("RTPhysicianIntentSequence") or []:
        for code in intent.get("RTProtocolCodeSequence") or []:
            if value := str(code.get("CodeValue") or ""):
                yield value


def _predecessors(dataset: Dataset) -> Iterator[str]:
    for intent in dataset.get("RTPhysicianIntentSequence") or []:
        for item in intent.get("RTPhysicianIntentPredecessorSequence") or []:
            yield str(item.get("ReferencedSOPInstanceUID") or "")


def _code(codes: Any) -> tuple[str, str]:
    for code in codes or []:
        return str(code.get("CodeValue") or ""), str(code.get("CodingSchemeDesignator") or "")
    return "", ""
