"""DICOM files as bytes: who an instance is, and bytes that every archive can read again.

Follows PS3.10 Section 7 (preamble, prefix, file meta information).  An object that
arrives without a preamble gets one here, because at least one archive accepts such an
object and can never read it back.

Read next: `folder/pacs.py`.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom import dcmread, dcmwrite
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from adapters.pacs import ROUTING_KEYWORDS, InstanceReference
from audit.errors import MissingAttributeError, NotDicomError, TruncatedError

# pydicom quotes a value that breaks its rules, and the value may be the patient's
logging.getLogger("pydicom").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module=r"pydicom\..*")

SEARCH_KEYWORDS = ("AccessionNumber", "PatientID", "StudyDate", "StudyID")
_COUNT_KEYWORDS = (
    "ImagesInAcquisition",
    "NumberOfFrames",
    "NumberOfSlices",
    "NumberOfTemporalPositions",
    "NumberOfTimeSlices",
)
_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_READ = (
    *_IDENTITY,
    *ROUTING_KEYWORDS,
    *SEARCH_KEYWORDS,
    *(keyword for keyword in _COUNT_KEYWORDS if keyword not in ROUTING_KEYWORDS),
    "ReferencedFrameOfReferenceSequence",
)
_UID = re.compile(r"[0-9.]{1,64}\Z")
_UNDEFINED_LENGTH = 0xFFFFFFFF  # PS3.5 Section 7.1.1
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL")


@dataclass(frozen=True, slots=True)
class Part10:
    """What an archive keeps of one instance beside its bytes.

    Parameters
    ----------
    tags : ROUTING_KEYWORDS that the object has, as text.
    keys : SEARCH_KEYWORDS that the object has, as text.
    expected_count : how many instances its series announces, None if it does not.
    """

    reference: InstanceReference
    modality: str
    tags: Mapping[str, str]
    keys: Mapping[str, str]
    expected_count: int | None


def read_part10(data: bytes) -> Part10:
    """Return the identity of an instance without decoding its pixels.

    Raises
    ------
    NotDicomError : the bytes are no DICOM object.
    MissingAttributeError : a UID is absent or is not a UID.
    """
    return facts_of(_read(data, specific_tags=list(_READ), stop_before_pixels=True))


def facts_of(dataset: Dataset) -> Part10:
    """Return the same of a data set; MissingAttributeError as `read_part10`."""
    uids = []
    for keyword in _IDENTITY:
        uid = text_of(dataset, keyword)
        if not _UID.match(uid):
            raise MissingAttributeError(f"expected a UID in {keyword}, found {len(uid)} characters")
        uids.append(uid)
    tags = {key: value for key in ROUTING_KEYWORDS if (value := text_of(dataset, key))}
    if "FrameOfReferenceUID" not in tags and (frame := _referenced_frame(dataset)):
        tags["FrameOfReferenceUID"] = frame
    counts = {key: text_of(dataset, key) for key in _COUNT_KEYWORDS}
    modality = tags.get("Modality", "")
    return Part10(
        InstanceReference(*uids),
        modality,
        tags,
        {key: value for key in SEARCH_KEYWORDS if (value := text_of(dataset, key))},
        announced_count(modality, counts),
    )


def complete_part10(data: bytes) -> tuple[bytes, Part10]:
    """Return the same object as a complete Part 10 file, with preamble and file meta, and
    what an archive keeps of it.

    Bytes that already have both are returned unchanged.

    Raises
    ------
    NotDicomError : the bytes are no DICOM object.
    TruncatedError : the object ends before its last element does.
    MissingAttributeError : a UID is absent or is not a UID.
    """
    dataset = _read(data)
    _check_end(dataset)
    facts = facts_of(dataset)
    if data[128:132] == b"DICM" and "TransferSyntaxUID" in dataset.file_meta:
        return data, facts
    meta = dataset.file_meta
    if "TransferSyntaxUID" not in meta:
        meta.TransferSyntaxUID = _transfer_syntax(dataset)
    meta.MediaStorageSOPClassUID = text_of(dataset, "SOPClassUID")
    meta.MediaStorageSOPInstanceUID = text_of(dataset, "SOPInstanceUID")
    sink = BytesIO()
    try:
        dcmwrite(sink, dataset, enforce_file_format=True)
    except (AttributeError, ValueError) as error:
        raise MissingAttributeError("expected SOP Class and Instance UID, found none") from error
    return sink.getvalue(), facts


def same_content(first: bytes, second: bytes) -> bool:
    """Say whether two files hold equal data sets; file meta information does not count."""
    if first == second:
        return True
    return bool(_read(first) == _read(second))


def announced_count(modality: str, counts: Mapping[str, str]) -> int | None:
    """Return how many instances a series announces, None when it does not say.

    Source: PS3.3 C.7.6.1 (Images in Acquisition), C.8.9.1 (PET: Number of Slices and of
    Time Slices); multi-frame objects (C.7.6.6) stand for themselves.
    """

    def number(keyword: str) -> int:
        value = counts.get(keyword, "").split("\\")[0].strip()
        return int(value) if value.isdigit() else 0

    if number("NumberOfFrames") > 1:
        return None
    if modality == "PT" and number("NumberOfSlices"):
        return number("NumberOfSlices") * max(1, number("NumberOfTimeSlices"))
    announced = number("ImagesInAcquisition") * max(1, number("NumberOfTemporalPositions"))
    return announced or None


def text_of(dataset: Any, keyword: str) -> str:
    """Return an attribute as text, several values joined by a backslash; "" if absent."""
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError):
        return ""  # foreign headers hold values that do not parse; they route nothing
    if value is None:
        return ""
    if isinstance(value, (MultiValue, list, tuple)):
        return "\\".join(str(item) for item in value)
    return str(value).strip()


def _read(data: bytes, **options: Any) -> Any:
    has_prefix = data[128:132] == b"DICM"
    if not has_prefix and data[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        raise NotDicomError("expected a DICOM object, found other bytes")
    try:
        return dcmread(BytesIO(data), force=not has_prefix, **options)
    except (InvalidDicomError, EOFError) as error:
        raise NotDicomError("expected a DICOM object, found other bytes") from error
    except Exception as error:
        # Broad: pydicom raises many kinds on damaged bytes; all mean the same here.
        raise TruncatedError("expected a complete DICOM object, found damaged bytes") from error


def _check_end(dataset: Any) -> None:
    """Raise TruncatedError when the last element is cut, or an image has lost its pixels."""
    elements = list(dataset.elements())
    last = elements[-1] if elements else None
    if isinstance(last, RawDataElement) and last.length != _UNDEFINED_LENGTH:
        found = len(last.value or b"")
        if found != last.length:
            raise TruncatedError(f"expected {last.length} bytes in the last element, found {found}")
    is_image = "Image Storage" in UID(text_of(dataset, "SOPClassUID")).name or "Rows" in dataset
    if is_image and not any(keyword in dataset for keyword in _PIXELS):
        raise TruncatedError("expected pixel data in an image, found none")


def _transfer_syntax(dataset: Any) -> str:
    implicit, little = dataset.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _referenced_frame(dataset: Any) -> str:
    items = dataset.get("ReferencedFrameOfReferenceSequence") or ()
    frames = {text_of(item, "FrameOfReferenceUID") for item in items} - {""}
    return frames.pop() if len(frames) == 1 else ""
