"""A digest over what an object says, for comparing it after it was in an archive.

An archive may change the transfer syntax, pad or reorder headers, and add attributes of
its own; none of that changes the digest.  What enters: UIDs and SOP class, the decoded
pixels with the position of each frame and its segment, contours with names and types, and
the content tree of a report.

Contour coordinates enter in steps of 0.0001 mm (the precision they are written with) and
image positions likewise.

Source: PS3.3 C.8.8.6 (contours), C.17.3 (SR content tree), C.7.6.16 (functional groups).
Read next: `adapters/documents/composer.py`, which stores it with each document.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

_STEPS_PER_MM = 10_000
_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_SIMPLE_VALUES = {
    "TEXT": "TextValue",
    "UIDREF": "UID",
    "PNAME": "PersonName",
    "DATE": "Date",
    "TIME": "Time",
    "DATETIME": "DateTime",
}


def content_digest_of(part10: bytes) -> str:
    """Return `content_digest` of an object given as Part 10 bytes."""
    return content_digest(dcmread(io.BytesIO(part10)))


def content_digest(dataset: Dataset) -> str:
    """Return ``sha256:<hex>`` over the decoded content of an object.

    Parameters
    ----------
    dataset : a SEG, parametric map, RT structure set, SR or secondary capture, with its
        file meta information.
    """
    sink = hashlib.sha256(b"osteon.content/1\0")
    _feed(sink, *(str(dataset.get(keyword, "")) for keyword in _UIDS))
    if any(keyword in dataset for keyword in _PIXELS):
        _feed_array(sink, dataset.pixel_array)
        _feed_frames(sink, dataset)
    if "ROIContourSequence" in dataset:
        _feed_structures(sink, dataset)
    if "ContentSequence" in dataset:
        _feed_content(sink, dataset)
    return f"sha256:{sink.hexdigest()}"


def _feed(sink: Any, *texts: str) -> None:
    """Add texts, each with its length, so that no two lists give the same bytes."""
    for text in texts:
        encoded = text.encode()
        sink.update(len(encoded).to_bytes(8, "big") + encoded)


def _feed_array(sink: Any, array: NDArray[Any]) -> None:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    _feed(sink, little.dtype.str, str(little.shape))
    sink.update(little.data)


def _feed_numbers(sink: Any, numbers: Iterable[Any]) -> None:
    """Add millimetres in steps of the written precision."""
    steps = np.rint(np.asarray(list(numbers), dtype=np.float64) * _STEPS_PER_MM)
    _feed_array(sink, steps.astype(np.int64))


def _feed_frames(sink: Any, dataset: Dataset) -> None:
    """Add position and segment of every frame."""
    for group in dataset.get("PerFrameFunctionalGroupsSequence") or []:
        for plane in group.get("PlanePositionSequence") or []:
            _feed_numbers(sink, plane.ImagePositionPatient)
        for segment in group.get("SegmentIdentificationSequence") or []:
            _feed(sink, str(segment.ReferencedSegmentNumber))


def _feed_structures(sink: Any, dataset: Dataset) -> None:
    """Add name, type, approval and contours of every region."""
    _feed(sink, str(dataset.get("ApprovalStatus", "")))
    types = {
        int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType") or "")
        for item in dataset.get("RTROIObservationsSequence") or []
    }
    for item in dataset.StructureSetROISequence:
        number = int(item.ROINumber)
        _feed(sink, str(number), str(item.ROIName), types.get(number, ""))
    for item in dataset.ROIContourSequence:
        _feed(sink, str(item.ReferencedROINumber))
        for contour in item.get("ContourSequence") or []:
            _feed(sink, str(contour.ContourGeometricType))
            _feed_numbers(sink, _coordinates(contour))


def _coordinates(contour: Dataset) -> list[Any]:
    """Return the contour's numbers; those not parsed yet are split here, which is faster."""
    element = contour.get_item("ContourData")
    if isinstance(element.value, bytes):
        return element.value.decode("ascii").strip(" \0").split("\\")
    return list(contour.ContourData)


def _feed_content(sink: Any, item: Dataset) -> None:
    """Add a content item and, below it, its children."""
    kind = str(item.get("ValueType", ""))
    _feed(sink, str(item.get("RelationshipType", "")), kind)
    _feed_codes(sink, item.get("ConceptNameCodeSequence"))
    if kind == "CODE":
        _feed_codes(sink, item.get("ConceptCodeSequence"))
    elif kind == "NUM":
        for value in item.get("MeasuredValueSequence") or []:
            _feed(sink, repr(float(value.NumericValue)))
            _feed_codes(sink, value.get("MeasurementUnitsCodeSequence"))
    elif kind in ("IMAGE", "COMPOSITE"):
        for reference in item.get("ReferencedSOPSequence") or []:
            _feed(sink, str(reference.ReferencedSOPInstanceUID))
            _feed(sink, str(reference.get("ReferencedSegmentNumber", "")))
    elif kind in _SIMPLE_VALUES:
        _feed(sink, str(item.get(_SIMPLE_VALUES[kind], "")))
    for child in item.get("ContentSequence") or []:
        _feed_content(sink, child)
    _feed(sink, "end")


def _feed_codes(sink: Any, codes: Any) -> None:
    for code in codes or []:
        value = code.get("CodeValue") or code.get("LongCodeValue") or code.get("URNCodeValue")
        _feed(sink, str(value), str(code.get("CodingSchemeDesignator", "")))
