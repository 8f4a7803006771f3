"""RT Structure Set: the contours of the findings, for planning systems.

Built on pydicom alone.  Contours are those of `write_contours.trace` in patient
coordinates, one polygon per Contour Sequence item with the image that it lies on; every
instance of the reference series stands in the Referenced Frame of Reference Sequence.
The approval is always UNAPPROVED: a person approves in the planning system.

Coordinates carry four decimals of a millimetre; a contour keeps half a voxel from the
centres that it separates, so the mask comes back unchanged.

Encoded with implicit VR: with explicit VR a DS ends at 65,534 bytes (PS3.5 7.1.2), which a
long contour passes.

Source: PS3.3 A.19 (RT Structure Set IOD), C.8.8.5, C.8.8.6, C.8.8.8; AAPM TG-263 (names).
Read next: `write_contours.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import RTStructureSetStorage
from pydicom.valuerep import format_number_as_ds

from adapters.rt.equipment import PRIVATE_SCHEME, Label, WritingContext, stamp
from adapters.rt.repair import repair_long, repair_short
from adapters.rt.sources import FrameReference, SourceSeries
from adapters.rt.write_contours import trace
from adapters.rt.write_items import element, put, sequence, uid_element
from models.physics.decimals import format_decimals
from models.physics.extents import Extents, extents_of
from plugins.host.findings import Segmentation
from plugins.host.images import Code
from plugins.host.ports import Document

DECIMALS = 4
DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management SOP Class (retired): what Referenced Study items name."""
INTERPRETED_TYPES = {
    "EXTERNAL", "PTV", "CTV", "GTV", "TREATED_VOLUME", "IRRAD_VOLUME", "BOLUS", "AVOIDANCE",
    "ORGAN", "MARKER", "REGISTRATION", "ISOCENTER", "CONTRAST_AGENT", "CAVITY", "SUPPORT",
    "FIXATION", "DOSE_REGION", "CONTROL", "DOSE_MEASUREMENT",
}  # fmt: skip
"""Defined terms of RT ROI Interpreted Type (PS3.3 C.8.8.8.1)."""
COLOURS = ((255, 64, 64), (64, 160, 255), (255, 200, 0), (64, 220, 120), (220, 120, 255))


def write_structure_set(
    context: WritingContext,
    source: SourceSeries,
    segmentations: Sequence[Segmentation],
    number: int = 1,
) -> Dataset:
    """Return the RT Structure Set of the segmentations on one reference series.

    Parameters
    ----------
    source : the series whose grid the segmentations lie on.
    segmentations : at least one.
    """
    label = Label("RTSTRUCT", number, "structures")
    dataset = Dataset()
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.Modality = "RTSTRUCT"
    dataset.OperatorsName = None
    frame_of_reference_uid = segmentations[0].geometry.frame_of_reference_uid
    dataset.FrameOfReferenceUID = frame_of_reference_uid
    dataset.PositionReferenceIndicator = None
    dataset.StructureSetLabel = repair_short(f"{context.mark} {context.request.plugin}")[0]
    dataset.StructureSetName = label.series_description(context)
    dataset.StructureSetDescription = _description(context)
    dataset.StructureSetDate = dataset.StructureSetTime = None  # set by `stamp`
    if replaced := context.replaced("RTSTRUCT"):
        dataset.PredecessorStructureSetSequence = [_predecessor(item) for item in replaced]
    dataset.ReferencedFrameOfReferenceSequence = [
        _referenced_frame(context, source, frame_of_reference_uid)
    ]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    images = cache(lambda plane: sequence("ContourImageSequence", [_image(source.frame(plane))]))
    extents = extents_of([item.mask for item in segmentations])
    pairs = zip(segmentations, extents, strict=True)
    for roi_number, (segmentation, held) in enumerate(pairs, start=1):
        dataset.StructureSetROISequence.append(_region(context, roi_number, segmentation, held))
        dataset.ROIContourSequence.append(_contours(images, roi_number, segmentation, held))
        dataset.RTROIObservationsSequence.append(_observation(roi_number, segmentation))
    dataset.ApprovalStatus = "UNAPPROVED"
    return stamp(dataset, context, label)


def _description(context: WritingContext) -> str:
    request = context.request
    replaces = f" Replaces run {request.supersedes}." if request.supersedes else ""
    return (
        f"{context.mark}: made by {request.plugin} {request.plugin_version}, run "
        f"{request.run_id}; not approved. Contours follow voxel edges; holes are keyholes."
        f"{replaces}"
    )[:1024]


def _predecessor(replaced: Document) -> Dataset:
    """Return the reference to a structure set that this one replaces (PS3.3 C.8.8.5)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = replaced.sop_class_uid
    reference.ReferencedSOPInstanceUID = replaced.sop_instance_uid
    return reference


def _referenced_frame(
    context: WritingContext, source: SourceSeries, frame_of_reference_uid: str
) -> Dataset:
    """Return frame of reference, study, series and every instance (PS3.3 C.8.8.5)."""
    images = [
        _reference(str(header.SOPClassUID), str(header.SOPInstanceUID))
        for header in source.datasets
    ]
    series = Dataset()
    series.SeriesInstanceUID = source.series_instance_uid
    put(series, "ContourImageSequence", images)
    study = Dataset()
    study.ReferencedSOPClassUID = DETACHED_STUDY
    study.ReferencedSOPInstanceUID = context.inherited.text("StudyInstanceUID")
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _region(
    context: WritingContext, roi_number: int, segmentation: Segmentation, held: Extents
) -> Dataset:
    """Return the Structure Set ROI item: name, volume in cm3, how it was made."""
    algorithm = Dataset()
    algorithm.AlgorithmFamilyCodeSequence = [
        code_item(Code("123110", "DCM", "Artificial Intelligence"))
    ]
    algorithm.AlgorithmNameCodeSequence = [
        code_item(Code(repair_short(context.request.plugin)[0], PRIVATE_SCHEME, "Plugin"))
    ]
    algorithm.AlgorithmName = repair_long(context.request.plugin)[0]
    algorithm.AlgorithmVersion = repair_long(context.request.plugin_version)[0]
    algorithm.AlgorithmSource = "Osteon"
    region = Dataset()
    region.ROINumber = roi_number
    region.ReferencedFrameOfReferenceUID = segmentation.geometry.frame_of_reference_uid
    region.ROIName = repair_long(segmentation.name)[0]
    region.ROIDescription = repair_long(segmentation.description or segmentation.name)[0]
    volume_ml = float(held.counts.sum()) * segmentation.geometry.voxel_volume_ml()
    region.ROIVolume = format_number_as_ds(round(volume_ml, 6))
    region.ROIGenerationAlgorithm = "AUTOMATIC"
    region.ROIGenerationDescription = repair_long(
        f"{context.request.plugin} {context.request.plugin_version} run {context.request.run_id}"
    )[0]
    region.ROIDerivationAlgorithmIdentificationSequence = [algorithm]
    return region


def _contours(
    images: Callable[[int], bytes], roi_number: int, segmentation: Segmentation, held: Extents
) -> Dataset:
    """Return the ROI Contour item with one contour item per polygon."""
    item = Dataset()
    item.ROIDisplayColor = list(COLOURS[(roi_number - 1) % len(COLOURS)])
    item.ReferencedROINumber = roi_number
    contours: list[bytes] = []
    for plane in held.planes:
        corner = held.boxes[plane, [0, 2]]
        for polygon in trace(held.cut(segmentation.mask, plane)):
            index = np.column_stack([np.full(len(polygon), float(plane)), polygon + corner])
            points = segmentation.geometry.to_patient(index)
            contours.append(_contour(points, images(plane), len(contours) + 1))
    if contours:
        put(item, "ContourSequence", contours)
    return item


def _contour(points: NDArray[np.float64], image: bytes, contour_number: int) -> bytes:
    """Return one Contour Sequence item, its elements in the order of their tags."""
    return b"".join(
        (
            image,
            element("ContourGeometricType", b"CLOSED_PLANAR"),
            element("NumberOfContourPoints", b"%d" % len(points)),
            element("ContourNumber", b"%d" % contour_number),
            element("ContourData", format_decimals(points.ravel(), DECIMALS)),
        )
    )


def _image(frame: FrameReference) -> bytes:
    """Return the item that names the image of a contour (PS3.3 Table 10-3)."""
    named = _reference(frame.sop_class_uid, frame.sop_instance_uid)
    if frame.frame_number is None:
        return named
    return named + element("ReferencedFrameNumber", b"%d" % frame.frame_number)


def _reference(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    return uid_element("ReferencedSOPClassUID", sop_class_uid) + uid_element(
        "ReferencedSOPInstanceUID", sop_instance_uid
    )


def _observation(roi_number: int, segmentation: Segmentation) -> Dataset:
    """Return the RT ROI Observations item: interpreted type and coded identity."""
    interpreted = segmentation.interpreted_type.upper()
    observation = Dataset()
    observation.ObservationNumber = roi_number
    observation.ReferencedROINumber = roi_number
    observation.ROIObservationLabel = repair_short(segmentation.name)[0]
    observation.RTROIIdentificationCodeSequence = [code_item(segmentation.property_type)]
    observation.RTROIInterpretedType = interpreted if interpreted in INTERPRETED_TYPES else None
    observation.ROIInterpreter = None
    return observation


def code_item(code: Code) -> Dataset:
    """Return a code sequence item (PS3.3 Section 8); values over 16 characters are long."""
    item = Dataset()
    if len(code.value) <= 16:
        item.CodeValue = code.value
    else:
        item.LongCodeValue = code.value
    item.CodingSchemeDesignator = repair_short(code.scheme)[0]
    item.CodeMeaning = repair_long(code.meaning)[0]
    return item
