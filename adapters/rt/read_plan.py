"""Read an RT Plan or RT Ion Plan into typed values.

A control point states only what changes; what it leaves out holds from the one before
(PS3.3 C.8.8.14.5).  The values here are written out in full at every control point.

Standard: PS3.3 A.20, C.8.8.9 (General Plan), C.8.8.10 (Prescription), C.8.8.12 (Patient Setup),
C.8.8.13 (Fraction Scheme), C.8.8.14 (Beams), C.8.8.25 (Ion Beams).

Read next: `read_case.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydicom import Dataset

from adapters.rt.read_checks import check_series
from adapters.rt.read_part10 import Instance, Source, as_instance, readable_values
from adapters.rt.sources import SourceSeries
from audit.errors import GeometryError, MissingAttributeError
from plugins.host.images import Beam, ControlPoint, Plan, Vector3

REQUIRED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@readable_values("the plan")
def read_plan(source: Source | Instance) -> tuple[Plan, SourceSeries]:
    """Return a plan and its header.

    Raises
    ------
    ModalityError : the object is not an RT Plan or RT Ion Plan.
    MissingAttributeError : a beam without number.
    GeometryError : an angle, isocentre or leaf position is not a finite number.
    NotDicomError, TruncatedError : see `audit.errors`.
    """
    instance = as_instance(source)
    notes = set(check_series([instance], "RTPLAN", REQUIRED))
    dataset = instance.dataset
    groups = dataset.get("FractionGroupSequence") or ()
    if len(groups) > 1:
        notes.add("SEVERAL_FRACTION_GROUPS")
    metersets, positions = _metersets(groups, notes), _positions(dataset)
    beams = []
    for item in (*(dataset.get("BeamSequence") or ()), *(dataset.get("IonBeamSequence") or ())):
        beams.append(_beam(item, metersets, positions))
    if not beams:
        notes.add("PLAN_WITHOUT_BEAMS")
    counts = [
        number
        for group in groups
        if (number := _integer(group.get("NumberOfFractionsPlanned"))) is not None
    ]
    structures = dataset.get("ReferencedStructureSetSequence") or ()
    plan = Plan(
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        approval_status=str(dataset.get("ApprovalStatus") or ""),
        fraction_count=sum(counts) if counts else None,
        prescriptions_gy=_prescriptions(dataset),
        referenced_structure_set_uid=(
            str(structures[0].get("ReferencedSOPInstanceUID") or "") or None if structures else None
        ),
        beams=tuple(beams),
        notes=tuple(sorted(notes)),
        target_doses=_target_doses(dataset),
        intent=str(dataset.get("PlanIntent") or ""),
        frame_of_reference_uid=str(dataset.get("FrameOfReferenceUID") or ""),
        replaces=tuple(_predecessors(dataset)),
    )
    return plan, SourceSeries(plan.series_instance_uid, (dataset,))


def _metersets(groups: Any, notes: set[str]) -> dict[int, float]:
    """Return Beam Meterset per beam number; the first group that uses a beam counts."""
    found: dict[int, float] = {}
    for group in groups:
        for item in group.get("ReferencedBeamSequence") or ():
            number, value = _integer(item.get("ReferencedBeamNumber")), item.get("BeamMeterset")
            if number is None or value in (None, ""):
                continue
            if number in found and abs(found[number] - float(value)) > 1e-6:
                notes.add("METERSET_DIFFERS_BETWEEN_GROUPS")
            found.setdefault(number, float(value))
    return found


def _positions(dataset: Dataset) -> dict[int | None, str]:
    """Return Patient Position per Patient Setup Number; where there is one setup, also by None."""
    found: dict[int | None, str] = {}
    for item in dataset.get("PatientSetupSequence") or ():
        position = str(item.get("PatientPosition") or "").strip().upper()
        found[_integer(item.get("PatientSetupNumber"))] = position
    if len(set(found.values())) == 1:
        found[None] = next(iter(found.values()))
    return found


def _predecessors(dataset: Dataset) -> Iterator[str]:
    for item in dataset.get("ReferencedRTPlanSequence") or ():
        if str(item.get("RTPlanRelationship") or "").upper() == "PREDECESSOR":
            yield str(item.get("ReferencedSOPInstanceUID") or "")


def _prescriptions(dataset: Dataset) -> tuple[float, ...]:
    values = [
        item.get("TargetPrescriptionDose") for item in dataset.get("DoseReferenceSequence") or ()
    ]
    return tuple(float(value) for value in values if value not in (None, ""))


def _target_doses(dataset: Dataset) -> tuple[tuple[int, float], ...]:
    """Return ROI Number and dose of every dose reference that is a target's volume."""
    found = []
    for item in dataset.get("DoseReferenceSequence") or ():
        number, dose = _integer(item.get("ReferencedROINumber")), item.get("TargetPrescriptionDose")
        if number is None or dose in (None, ""):
            continue
        if str(item.get("DoseReferenceType") or "") == "TARGET" and math.isfinite(float(dose)):
            found.append((number, float(dose)))
    return tuple(found)


def _beam(
    item: Dataset, metersets: Mapping[int, float], positions: Mapping[int | None, str]
) -> Beam:
    number = _integer(item.get("BeamNumber"))
    if number is None:
        raise MissingAttributeError("expected BeamNumber in every beam, found none in one")
    points = item.get("ControlPointSequence") or item.get("IonControlPointSequence") or ()
    controls: list[ControlPoint] = []
    for index, point in enumerate(points):
        controls.append(_control_point(point, index, controls[-1] if controls else None, number))
    return Beam(
        number=number,
        name=str(item.get("BeamName") or ""),
        radiation_type=str(item.get("RadiationType") or ""),
        machine=str(item.get("TreatmentMachineName") or ""),
        meterset=metersets.get(number),
        control_points=tuple(controls),
        delivery_type=str(item.get("TreatmentDeliveryType") or "").strip().upper(),
        patient_position=positions.get(_integer(item.get("ReferencedPatientSetupNumber")), ""),
    )


def _control_point(
    point: Dataset, index: int, before: ControlPoint | None, beam: int
) -> ControlPoint:
    """Return a control point with what it leaves out taken from the one before."""

    def angle(keyword: str, inherited: float | None) -> float | None:
        value = point.get(keyword)
        return inherited if value in (None, "") else _finite(value, keyword, beam, index)

    centre = point.get("IsocenterPosition")
    weight = angle("CumulativeMetersetWeight", before.cumulative_meterset_weight if before else 0.0)
    devices = dict(before.device_positions_mm) if before else {}
    for device in point.get("BeamLimitingDevicePositionSequence") or ():
        values = device.get("LeafJawPositions")
        if values is not None:
            kind = str(device.get("RTBeamLimitingDeviceType") or "")
            devices[kind] = tuple(_finite(v, "LeafJawPositions", beam, index) for v in values)
    return ControlPoint(
        index=index,
        cumulative_meterset_weight=weight or 0.0,
        gantry_angle_deg=angle("GantryAngle", before.gantry_angle_deg if before else None),
        collimator_angle_deg=angle(
            "BeamLimitingDeviceAngle", before.collimator_angle_deg if before else None
        ),
        couch_angle_deg=angle("PatientSupportAngle", before.couch_angle_deg if before else None),
        isocentre_mm=_point(centre, beam, index)
        if centre
        else before.isocentre_mm
        if before
        else None,
        device_positions_mm=devices,
    )


def _point(values: Any, beam: int, index: int) -> Vector3:
    if len(values) != 3:
        raise GeometryError(f"expected 3 coordinates of the isocentre of beam {beam}")
    x, y, z = (_finite(value, "IsocenterPosition", beam, index) for value in values)
    return (x, y, z)


def _finite(value: Any, keyword: str, beam: int, index: int) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise GeometryError(
            f"expected a finite {keyword} at control point {index} of beam {beam}, found another"
        )
    return number


def _integer(value: Any) -> int | None:
    try:
        return None if value in (None, "") else int(value)
    except (TypeError, ValueError):
        return None
