"""Check that objects are one series of the wanted kind, before any pixel is touched.

Standard: PS3.3 A.1.4 (one modality, study and frame of reference in a series), C.7.4.1
(Frame of Reference), C.7.6.1.1.2 (Image Type); PS3.6 Annex A (SOP Class UIDs).

Read next: `read_frames.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.uid import UID

from adapters.rt.read_alike import HeaderReader, distinct, each
from adapters.rt.read_frames import frames_of
from adapters.rt.read_part10 import Instance, Source
from adapters.rt.read_pixels import pixel_format, same_pixels
from audit.errors import (
    GeometryError,
    MissingAttributeError,
    MixedSeriesError,
    ModalityError,
    NotDicomError,
    TooLargeError,
    TruncatedError,
)
from audit.pseudonym import short

DEFAULT_LIMIT_BYTES = 1 << 30
"""Stored pixel bytes of a series; decoded values take twice as much."""

SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.481.5": "RTPLAN",
    "1.2.840.10008.5.1.4.1.1.481.8": "RTPLAN",
}
"""SOP Class UID -> modality that this package reads (PS3.6 Annex A)."""

_SIZE_KEYWORDS = ("Rows", "Columns", "NumberOfFrames", "BitsAllocated")
PIXEL_MODALITIES = frozenset({"CR", "CT", "DX", "MR", "PT", "RTDOSE"})
REQUIRED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
)


def read_all(sources: Sequence[Source | Instance]) -> list[Instance]:
    """Return the parsed headers; an error says which of the objects it is about."""
    instances = []
    reader = HeaderReader()
    for number, source in enumerate(sources, 1):
        try:
            instances.append(source if isinstance(source, Instance) else reader.read(source))
        except (NotDicomError, TruncatedError) as error:
            raise type(error)(f"{error} (object {number} of {len(sources)})") from error
    return instances


def check_series(
    instances: Sequence[Instance], modality: str, required: Sequence[str] = REQUIRED
) -> tuple[str, ...]:
    """Check that headers are one series of ``modality`` and return notes.

    Raises
    ------
    ModalityError, TruncatedError, MissingAttributeError, MixedSeriesError : see `audit.errors`.
    """
    if not instances:
        raise ModalityError(f"expected a {modality} series, found no object")
    notes: set[str] = set()
    for index, item in distinct(instances, ("SOPClassUID", "Modality")):
        number = index + 1
        stated = str(item.dataset.get("SOPClassUID") or "")
        kind = SOP_CLASSES.get(stated)
        if stated and kind != modality:
            raise ModalityError(
                f"expected {modality}, found {kind or UID(stated).name[:64]} in object {number} of "
                f"{len(instances)}"
            )
        if str(item.dataset.get("Modality") or "") != modality:
            # The SOP Class decides: PS3.3 ties the modality to it, exporters forget.
            notes.add("MODALITY_DISAGREES_WITH_SOP_CLASS")
        if modality in PIXEL_MODALITIES and item.pixels is None:
            raise TruncatedError(
                f"expected pixel data in object {number} of {len(instances)}, found its end"
            )
    for keyword in required:
        for index, item in distinct(instances, (keyword,)):
            if not item.dataset.get(keyword):
                raise MissingAttributeError(
                    f"expected {keyword} in object {index + 1} of {len(instances)}, found none"
                )
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID"):
        values = {str(item.dataset.get(keyword)) for _, item in distinct(instances, (keyword,))}
        if keyword in required and len(values) > 1:
            raise MixedSeriesError(f"expected one {keyword} in the series, found {len(values)}")
    return tuple(notes)


def check_size(instances: Sequence[Instance], limit_bytes: int) -> int:
    """Return the stored pixel bytes that the headers announce.

    Raises
    ------
    TooLargeError : they are more than ``limit_bytes``; no pixel was read.
    """
    total = sum(each(instances, _SIZE_KEYWORDS, _announced_bytes))
    if total > limit_bytes:
        raise TooLargeError(
            f"expected at most {limit_bytes / 2**20:.0f} MiB of pixel data, headers announce "
            f"{total / 2**20:.0f} MiB in {len(instances)} object(s)"
        )
    return total


def _announced_bytes(instance: Instance) -> int:
    dataset = instance.dataset
    pixels = int(dataset.get("Rows") or 0) * int(dataset.get("Columns") or 0)
    frames = int(dataset.get("NumberOfFrames") or 1)
    return pixels * frames * int(dataset.get("BitsAllocated") or 16) // 8


def without_localizers(instances: Sequence[Instance], notes: set[str]) -> list[Instance]:
    """Return the cross-sectional images; localizers are left out with a note.

    Raises
    ------
    ModalityError : there is no other image.
    """
    localizers = each(instances, ("ImageType",), lambda item: _is_localizer(item.dataset))
    kept = [item for item, aside in zip(instances, localizers, strict=True) if not aside]
    if instances and not kept:
        raise ModalityError("expected cross-sectional images, found localizers only")
    if len(kept) < len(instances):
        notes.add("LOCALIZER_EXCLUDED")
    return kept


def _is_localizer(dataset: Dataset) -> bool:
    value = dataset.get("ImageType") or ()
    return not isinstance(value, str) and "LOCALIZER" in [str(item).upper() for item in value]


def without_copies(instances: Sequence[Instance], notes: set[str]) -> list[Instance]:
    """Return each object once; a second copy is dropped with a note.

    Raises
    ------
    GeometryError : two objects under one UID differ, so they are no copies.
    """
    by_uid: dict[str, Instance] = {}
    for item in instances:
        uid = str(item.dataset.SOPInstanceUID)
        first = by_uid.setdefault(uid, item)
        if first is not item and not _same_object(first, item):
            raise GeometryError(
                f"expected one object under SOP Instance UID {short(uid)}, found two that differ"
            )
    if len(by_uid) < len(instances):
        notes.add("DUPLICATE_INSTANCE")
    return list(by_uid.values())


def _same_object(first: Instance, second: Instance) -> bool:
    left, right = frames_of(first, 0), frames_of(second, 1)
    if len(left) != len(right) or pixel_format(first) != pixel_format(second):
        return False
    return all(
        a.position_mm == b.position_mm
        and (a.slope, a.intercept) == (b.slope, b.intercept)
        and same_pixels((first, second), a, b)
        for a, b in zip(left, right, strict=True)
    )
