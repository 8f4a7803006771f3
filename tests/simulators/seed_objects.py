"""Seed points as others would leave them: reports and structure sets on a study's images.

The reports are made with highdicom, as a viewer's measurement tool would; the structure sets
are what planning systems export for a marked point.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from highdicom import sr
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from plugins.host.images import Vector3
from tests.simulators.tiny_studies import new_uid

NONE = "none"
"""As a frame of reference: the object names none."""


def ct_headers(files: Sequence[bytes]) -> list[Dataset]:
    """Return the headers of the CT images among some files."""
    headers = [pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True) for data in files]
    return [item for item in headers if item.Modality == "CT"]


def point_report(
    images: Sequence[Dataset],
    points: Sequence[Vector3],
    *,
    name: str = "Seed",
    by_finding: bool = False,
    graphic_type: str = "POINT",
    frame: str = "",
) -> bytes:
    """Return an SR TID 1500 with one measurement group for each point.

    Parameters
    ----------
    by_finding : the name stands in the Finding, as free-text labels of viewers do, and the
        tracking identifier says something else.
    """
    groups = []
    for number, point in enumerate(points):
        tracking = sr.TrackingIdentifier(
            uid=hd.UID(), identifier=f"Tool:Probe {number}" if by_finding else name
        )
        finding = sr.CodedConcept("FREETEXT", "99VIEWER", name) if by_finding else None
        group = sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking, finding_type=finding
        )
        data = np.asarray([point], dtype=np.float32)
        if graphic_type != "POINT":
            data = np.asarray([point] * 3, dtype=np.float32) + np.asarray([[0], [5], [9]])
        item = sr.Scoord3DContentItem(
            name=codes.DCM.ImageRegion,
            graphic_type=sr.GraphicTypeValues3D(graphic_type),
            graphic_data=data,
            frame_of_reference_uid=frame.replace(NONE, "") or str(images[0].FrameOfReferenceUID),
            relationship_type=sr.RelationshipTypeValues.CONTAINS,
        )
        if frame == NONE:
            item.ReferencedFrameOfReferenceUID = ""
        group[0].ContentSequence.append(item)
        groups.append(group)
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_person_context=sr.ObserverContext(
                observer_type=codes.DCM.Person,
                observer_identifying_attributes=sr.PersonObserverIdentifyingAttributes(
                    name="Marker^Anna"
                ),
            )
        ),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=groups,
    )
    dataset = sr.Comprehensive3DSR(
        evidence=list(images),
        content=report[0],
        series_instance_uid=new_uid(),
        series_number=77,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer="Somebody's viewer",
        is_complete=True,
    )
    return _file(dataset)


def point_structures(
    images: Sequence[Dataset],
    points: Sequence[Vector3],
    *,
    name: str = "GTVp_seed",
    kind: str = "POINT",
    frame: str = "",
) -> bytes:
    """Return an RT Structure Set with one region that holds points."""
    first = images[0]
    frame = "" if frame == NONE else frame or str(first.FrameOfReferenceUID)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
        "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
    ):  # fmt: skip
        setattr(dataset, keyword, first.get(keyword, ""))
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, new_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SeriesInstanceUID, dataset.SeriesNumber = new_uid(), 78
    dataset.Modality, dataset.Manufacturer = "RTSTRUCT", "Somebody's planning"
    dataset.OperatorsName = "Marker^Anna"
    dataset.StructureSetLabel = "POINTS"
    region, drawn, referenced = Dataset(), Dataset(), Dataset()
    region.ROINumber, region.ROIName, region.ROIGenerationAlgorithm = 4, name, "MANUAL"
    region.ReferencedFrameOfReferenceUID = referenced.FrameOfReferenceUID = frame
    drawn.ReferencedROINumber, drawn.ContourSequence = 4, []
    for point in points:
        contour = Dataset()
        contour.ContourGeometricType = kind
        corners = (
            [point] if kind == "POINT" else [point, np.add(point, 5), np.add(point, [5, 0, 0])]
        )
        contour.NumberOfContourPoints = len(corners)
        contour.ContourData = [f"{value:.3f}" for corner in corners for value in corner]
        drawn.ContourSequence.append(contour)
    dataset.ReferencedFrameOfReferenceSequence = [referenced]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [region], [drawn]
    return _file(dataset)


def seed_observation(study: str, point: Vector3, frame: str) -> dict[str, Any]:
    """Return the Observation of docs/seed-points.md."""

    def axis(name: str, value: float) -> dict[str, Any]:
        quantity = {
            "value": value, "unit": "mm", "system": "http://unitsofmeasure.org", "code": "mm",
        }  # fmt: skip
        code = {"coding": [{"system": "urn:osteon:code", "code": f"seed-{name}"}]}
        return {"code": code, "valueQuantity": quantity}

    uid = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "112227"}
    return {
        "resourceType": "Observation",
        "status": "final",
        "identifier": [{"system": "urn:osteon:seed", "value": f"urn:oid:{study}"}],
        "code": {"coding": [{"system": "urn:osteon:code", "code": "seed-point"}]},
        "derivedFrom": [
            {
                "type": "ImagingStudy",
                "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"},
            }
        ],
        "performer": [{"reference": "Practitioner/4"}],
        "component": [
            axis("x", point[0]),
            axis("y", point[1]),
            axis("z", point[2]),
            {"code": {"coding": [uid]}, "valueString": frame},
        ],
    }


def _file(dataset: Dataset) -> bytes:
    sink = io.BytesIO()
    pydicom.dcmwrite(sink, dataset, enforce_file_format=True)
    return sink.getvalue()
