"""Prescriptions as others would leave them: plans, physician's intents, orders on a FHIR server.

The plans are what planning systems export of their prescription; the intents follow PS3.3
C.36.5 and C.36.6; the orders are JSON of the CodeX RT course prescription.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTPlanStorage

from tests.simulators.tiny_studies import new_uid

RT_PHYSICIAN_INTENT = "1.2.840.10008.5.1.4.1.1.481.10"
LEVELS = {"PTV_7000": 70.0, "PTV_6300": 63.0, "PTV_5600": 56.0}
STRUCTURE_SET = "1.2.826.0.1.3680043.10.511.3.77"
CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/"


def plan(
    like: Dataset,
    levels: Mapping[str, float | str | None] = LEVELS,
    *,
    kind: str = "VOLUME",
    fractions: Sequence[int | None] = (35,),
    structure_set: str = STRUCTURE_SET,
    sop_class: str = RTPlanStorage,
    replaces: str = "",
    **attributes: Any,
) -> bytes:
    """Return an RT Plan of a study.

    Parameters
    ----------
    like : a header of the study.
    levels : description and dose of each target, ROI Numbers from 1; None leaves a dose out.
    """
    dataset = _header(like, sop_class, "RTPLAN")
    dataset.RTPlanLabel, dataset.RTPlanGeometry = "PLAN", "PATIENT"
    dataset.DoseReferenceSequence = []
    for number, (name, dose) in enumerate(levels.items(), 1):
        item = Dataset()
        item.DoseReferenceNumber = number
        item.DoseReferenceStructureType, item.DoseReferenceType = kind, "TARGET"
        item.DoseReferenceDescription = name
        item.ReferencedROINumber = number
        if dose is not None:
            item.TargetPrescriptionDose = dose
        dataset.DoseReferenceSequence.append(item)
    dataset.FractionGroupSequence = []
    for number, count in enumerate(fractions, 1):
        group = Dataset()
        group.FractionGroupNumber, group.NumberOfFractionsPlanned = number, count
        group.NumberOfBeams = group.NumberOfBrachyApplicationSetups = 0
        dataset.FractionGroupSequence.append(group)
    if structure_set:
        reference = Dataset()
        reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
        reference.ReferencedSOPInstanceUID = structure_set
        dataset.ReferencedStructureSetSequence = [reference]
    if replaces:
        earlier = Dataset()
        earlier.ReferencedSOPClassUID, earlier.ReferencedSOPInstanceUID = sop_class, replaces
        earlier.RTPlanRelationship = "PREDECESSOR"
        dataset.ReferencedRTPlanSequence = [earlier]
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return _file(dataset)


def intent(
    like: Dataset,
    levels: Mapping[str, float] = LEVELS,
    *,
    fractions: Sequence[int] = (35,),
    unit: str = "Gy",
    scope: str = "CURRENT",
    protocol: str = "",
    objective: str = "130009",
    replaces: str = "",
) -> bytes:
    """Return an RT Physician Intent with one prescription dose for each target."""
    dataset = _header(like, RT_PHYSICIAN_INTENT, "RTINTENT")
    dataset.RTTreatmentPhaseIntentPresenceFlag = "NO"
    goal = Dataset()
    goal.RTPhysicianIntentIndex, goal.TreatmentSite = 1, "Oropharynx"
    goal.RTTreatmentIntentType = "CURATIVE"
    goal.RTProtocolCodeSequence = [_code(protocol, "99SITE", "Protocol")] if protocol else []
    if replaces:
        earlier = Dataset()
        earlier.ReferencedSOPClassUID = RT_PHYSICIAN_INTENT
        earlier.ReferencedSOPInstanceUID = replaces
        goal.RTPhysicianIntentPredecessorSequence = [earlier]
    dataset.RTPhysicianIntentSequence = [goal]
    dataset.RTPrescriptionSequence, dataset.DosimetricObjectiveSequence = [], []
    volumes = {name: new_uid() for name in levels}
    for number, count in enumerate(fractions, 1):
        prescription = Dataset()
        prescription.RTPrescriptionLabel, prescription.RTPrescriptionIndex = f"P{number}", number
        prescription.ReferencedRTPhysicianIntentIndex = 1
        prescription.NumberOfFractions = count
        prescription.RTAnatomicPrescriptionSequence = [
            _volume(name, uid) for name, uid in volumes.items()
        ]
        dataset.RTPrescriptionSequence.append(prescription)
    for name, dose in levels.items():
        item, value = Dataset(), Dataset()
        item.DosimetricObjectiveUID = new_uid()
        item.ReferencedConceptualVolumeUID = volumes[name]
        item.DosimetricObjectiveTypeCodeSequence = [
            _code(objective, "DCM", "Prescription Radiation Dose")
        ]
        item.DosimetricObjectiveEvaluationScope = scope
        value.ValueType = "NUMERIC"
        value.ConceptNameCodeSequence = [_code("128002", "DCM", "Dose")]
        value.NumericValue = dose
        value.MeasurementUnitsCodeSequence = [_code(unit, "UCUM", unit)]
        item.DosimetricObjectiveParameterSequence = [value]
        dataset.DosimetricObjectiveSequence.append(item)
    return _file(dataset)


def order(
    study: str,
    levels: Mapping[str, float] = LEVELS,
    *,
    fractions: int | None = 35,
    protocol: str = "",
    **changes: Any,
) -> dict[str, Any]:
    """Return the ServiceRequest of docs/prescriptions.md; volumes are named in the reference."""
    resource: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "original-order",
        "identifier": [{"system": "urn:osteon:prescription", "value": f"urn:oid:{study}"}],
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "1217123003"}]},
        "subject": {"display": "see supportingInfo"},
        "supportingInfo": [
            {
                "type": "ImagingStudy",
                "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"},
            }
        ],
        "requester": {"reference": "Practitioner/4"},
        "extension": [
            dose_to_volume(name, dose, fractions=fractions) for name, dose in levels.items()
        ],
    }
    if protocol:
        coding = {"system": "urn:osteon:protocol", "code": protocol}
        resource["orderDetail"] = [{"coding": [coding]}]
    return {key: value for key, value in (resource | changes).items() if value is not None}


def dose_to_volume(
    name: str,
    dose_gy: float,
    *,
    fractions: int | None = 35,
    reference: Mapping[str, str] | None = None,
    unit: str = "cGy",
) -> dict[str, Any]:
    """Return one extension *dose prescribed to volume*; doses in cGy, as the profile fixes."""
    value = dose_gy * 100 if unit == "cGy" else dose_gy
    quantity = {"value": value, "system": "http://unitsofmeasure.org", "code": unit}
    parts: list[dict[str, Any]] = [
        {"url": "volume", "valueReference": dict(reference or {"display": name})},
        {"url": "totalDose", "valueQuantity": quantity},
    ]
    if fractions is not None:
        parts.append({"url": "fractions", "valuePositiveInt": fractions})
    return {"url": f"{CODEX}codexrt-radiotherapy-dose-prescribed-to-volume", "extension": parts}


def _volume(name: str, uid: str) -> Dataset:
    item, volume = Dataset(), Dataset()
    item.EntityLabel = name
    item.TherapeuticRoleCategoryCodeSequence = [_code("130041", "DCM", "RT Target")]
    item.TherapeuticRoleTypeCodeSequence = [_code("228793007", "SCT", "PTV")]
    volume.ConceptualVolumeUID = uid
    item.ConceptualVolumeSequence = [volume]
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _header(like: Dataset, sop_class: str, modality: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
        "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
    ):  # fmt: skip
        setattr(dataset, keyword, like.get(keyword, ""))
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, new_uid()
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SeriesInstanceUID, dataset.SeriesNumber = new_uid(), 79
    dataset.Modality, dataset.Manufacturer = modality, "Somebody's planning"
    dataset.OperatorsName = "Planner^Anna"
    return dataset


def _file(dataset: Dataset) -> bytes:
    sink = io.BytesIO()
    pydicom.dcmwrite(sink, dataset, enforce_file_format=True)
    return sink.getvalue()
