"""Read an RT Structure Set into typed values.

Planning systems write references to images that were never sent, regions without
contours, and counts that do not match; such a set is still read, and what was odd is
said in ``notes`` as stable codes:

=============================  =====================================================
FRAME_OF_REFERENCE_MISSING     no frame of reference is stated anywhere
ROI_WITHOUT_CONTOURS           a region has no usable contour
ROI_WITHOUT_OBSERVATION        a region has no interpreted type
ROI_CONTOUR_WITHOUT_ROI        contours refer to a region that is not listed; left out
CONTOUR_DAMAGED                a contour has no, odd or non-finite points; left out
CONTOUR_POINT_COUNT            Number of Contour Points disagrees with the points
CONTOUR_IMAGE_MISSING          a contour names no image
REFERENCE_NOT_IN_SET           a contour names an image that the set does not list
MODALITY_DISAGREES_WITH_SOP_CLASS
=============================  =====================================================

Standard: PS3.3 A.19, C.8.8.5 (Structure Set), C.8.8.6 (ROI Contour), C.8.8.8 (RT ROI
Observations).

Read next: `raster.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from adapters.rt.read_checks import check_series
from adapters.rt.read_items import Item, of_sequence
from adapters.rt.read_part10 import Instance, Source, as_instance, readable_values
from adapters.rt.sources import SourceSeries
from audit.errors import MixedSeriesError
from models.physics.decimals import parse_decimals
from plugins.host.images import Contour, RegionOfInterest, StructureSet

REQUIRED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@readable_values("the structure set")
def read_structures(source: Source | Instance) -> tuple[StructureSet, SourceSeries]:
    """Return a structure set and its header.

    Raises
    ------
    ModalityError : the object is not an RT Structure Set.
    MixedSeriesError : its regions lie in several frames of reference.
    NotDicomError, TruncatedError, MissingAttributeError : see `audit.errors`.
    """
    instance = as_instance(source)
    notes = set(check_series([instance], "RTSTRUCT", REQUIRED))
    dataset = instance.dataset
    series, images = _references(dataset)
    contours = _contours_by_number(dataset, images, notes)
    types = _interpreted_types(dataset)
    rois = []
    for item in dataset.get("StructureSetROISequence") or ():
        number = int(item.get("ROINumber") or 0)
        if number not in types:
            notes.add("ROI_WITHOUT_OBSERVATION")
        if not contours.get(number):
            notes.add("ROI_WITHOUT_CONTOURS")
        rois.append(
            RegionOfInterest(
                number=number,
                name=str(item.get("ROIName") or ""),
                interpreted_type=types.get(number, ""),
                contours=contours.pop(number, ()),
            )
        )
    if any(contours.values()):
        notes.add("ROI_CONTOUR_WITHOUT_ROI")
    frame = _frame_of_reference(dataset)
    if not frame:
        notes.add("FRAME_OF_REFERENCE_MISSING")
    structures = StructureSet(
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        frame_of_reference_uid=frame,
        referenced_series_instance_uids=series,
        approval_status=str(dataset.get("ApprovalStatus") or ""),
        rois=tuple(rois),
        notes=tuple(sorted(notes)),
    )
    return structures, SourceSeries(structures.series_instance_uid, (dataset,))


def _references(dataset: Dataset) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the series and the images that the set says it was drawn on."""
    return of_sequence(dataset, "ReferencedFrameOfReferenceSequence", _referenced)


def _referenced(frames: Sequence[Item]) -> tuple[tuple[str, ...], frozenset[str]]:
    series: list[str] = []
    images: set[str] = set()
    for frame in frames:
        for study in frame.items("RTReferencedStudySequence"):
            for item in study.items("RTReferencedSeriesSequence"):
                uid = item.text("SeriesInstanceUID")
                if uid and uid not in series:
                    series.append(uid)
                for image in item.items("ContourImageSequence"):
                    images.add(image.text("ReferencedSOPInstanceUID"))
    return tuple(series), frozenset(images - {""})


def _frame_of_reference(dataset: Dataset) -> str:
    """Return the one frame of reference of the regions, or an empty string.

    A region's own statement decides; the header's is the fallback (C.8.8.5.1).
    """
    rois = dataset.get("StructureSetROISequence") or ()
    stated = {str(item.get("ReferencedFrameOfReferenceUID") or "") for item in rois} - {""}
    if not stated:
        frames = dataset.get("ReferencedFrameOfReferenceSequence") or ()
        stated = {str(item.get("FrameOfReferenceUID") or "") for item in frames} - {""}
    if not stated:
        stated = {str(dataset.get("FrameOfReferenceUID") or "")}
    if len(stated) > 1:
        raise MixedSeriesError(
            f"expected regions in one frame of reference, found {len(stated)} frames"
        )
    return stated.pop()


def _interpreted_types(dataset: Dataset) -> dict[int, str]:
    return {
        int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType") or "")
        for item in dataset.get("RTROIObservationsSequence") or ()
        if item.get("ReferencedROINumber") is not None
    }


def _contours_by_number(
    dataset: Dataset, images: frozenset[str], notes: set[str]
) -> dict[int, tuple[Contour, ...]]:
    drawn, noticed = of_sequence(dataset, "ROIContourSequence", lambda i: _drawn(i, images))
    notes.update(noticed)
    return drawn


def _drawn(
    regions: Sequence[Item], images: frozenset[str]
) -> tuple[dict[int, tuple[Contour, ...]], set[str]]:
    found: dict[int, tuple[Contour, ...]] = {}
    notes: set[str] = set()
    for item in regions:
        number = int(item.text("ReferencedROINumber") or 0)
        contours = tuple(_contours(item, images, notes))
        found[number] = (*found.get(number, ()), *contours)
    return found, notes


def _contours(item: Item, images: frozenset[str], notes: set[str]) -> Iterator[Contour]:
    for contour in item.items("ContourSequence"):
        points = _points(contour.numbers("ContourData"))
        if points is None:
            notes.add("CONTOUR_DAMAGED")
            continue
        count = contour.text("NumberOfContourPoints")
        if count and int(count) != len(points):
            notes.add("CONTOUR_POINT_COUNT")
        uid = _image_of(contour)
        if uid is None:
            notes.add("CONTOUR_IMAGE_MISSING")
        elif uid not in images:
            notes.add("REFERENCE_NOT_IN_SET")
        yield Contour(points, contour.text("ContourGeometricType") or "CLOSED_PLANAR", uid)


def _image_of(contour: Item) -> str | None:
    for image in contour.items("ContourImageSequence"):
        uid = image.text("ReferencedSOPInstanceUID")
        if uid:
            return uid
    return None


def _points(text: bytes | None) -> NDArray[np.float64] | None:
    """Return (points, 3) LPS mm, or None where the data cannot be points."""
    if text is None:
        return None
    text = text.strip(b" \0")
    flat = parse_decimals(text)
    if flat is None:
        try:
            numbers = text.decode("ascii", "replace").split("\\")
            flat = np.array(numbers, dtype=np.float64)
        except ValueError:
            return None
    if flat.size == 0 or flat.size % 3 or not np.isfinite(flat).all():
        return None
    return flat.reshape(-1, 3)
