"""Read one image series (CT, PET, MR) into a `Volume` in modality units.

The order, cheapest first, so that a series that cannot be used is refused before its
pixels are touched:

1. parse the headers;
2. check that they are one series of the wanted modality;
3. estimate the size;
4. order the frames and prove the grid;
5. find the scale to modality units;
6. decode.

Standard: PS3.3 A.3 (CT), A.4 (MR), A.21 (PET), A.36, A.38, A.56 (enhanced), C.8.2, C.8.3,
C.8.9, C.11.1.

Read next: `read_structures.py`, `read_dose.py`, `read_plan.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset

from adapters.rt.read_facts import acquisition_facts
from adapters.rt.read_frames import Frame, frames_of
from adapters.rt.read_geometry import Stack, stack
from adapters.rt.read_part10 import Instance, Source, as_instance
from adapters.rt.read_pixels import decode, pixel_format, same_pixels
from adapters.rt.read_suv import suv_scale
from adapters.rt.sources import SourceSeries
from audit.errors import (
    GeometryError,
    MissingAttributeError,
    MixedSeriesError,
    ModalityError,
    NotDicomError,
    TooLargeError,
    TruncatedError,
    UnitsError,
)
from audit.pseudonym import short
from plugins.host.images import Volume

DEFAULT_LIMIT_BYTES = 1 << 30
"""Stored pixel bytes of a series; decoded values take twice as much."""

SOP_CLASSES = {
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

PIXEL_MODALITIES = frozenset({"CT", "MR", "PT", "RTDOSE"})
UNITS = {"CT": "[hnsf'U]", "PT": "g/ml", "MR": "1"}
REQUIRED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
)


def read_series(
    sources: Sequence[Source | Instance], modality: str, *, limit_bytes: int = DEFAULT_LIMIT_BYTES
) -> tuple[Volume, SourceSeries]:
    """Return a decoded series and its headers in frame order.

    Raises
    ------
    InputError : and its kinds, as the modules named above say; nothing is kept.
    """
    # 1, 2
    instances = read_all(sources)
    modality_notes = check_series(instances, modality)
    instances, notes = _without_localizers(instances)
    # 3
    check_size(instances, limit_bytes)
    # 4
    instances, copies = _without_copies(instances)
    frames = [frame for index, item in enumerate(instances) for frame in frames_of(item, index)]
    layout = pixel_format(instances[0])
    first = instances[0].dataset
    found = stack(frames, layout.rows, layout.columns, str(first.FrameOfReferenceUID))
    _check_repeats(instances, found)
    # 5
    scales, facts, scale_notes = _scales(instances, found.frames, modality)
    # 6
    array = decode(instances, found.frames, scales, turn_monochrome1=modality == "MR")
    headers = source_series(instances, found)
    all_notes = {*modality_notes, *notes, *copies, *found.notes, *scale_notes}
    if layout.monochrome1:
        all_notes.add("MONOCHROME1_TURNED" if modality == "MR" else "MONOCHROME1_KEPT")
    if str(first.get("LossyImageCompression") or "") == "01":
        all_notes.add("LOSSY_COMPRESSED")
    volume = Volume(
        array=array,
        geometry=found.geometry,
        modality=modality,
        units=UNITS[modality],
        study_instance_uid=str(first.StudyInstanceUID),
        series_instance_uid=str(first.SeriesInstanceUID),
        sop_class_uid=str(first.SOPClassUID),
        sop_instance_uids=_sop_uids(headers),
        acquisition={**acquisition_facts(headers.first), **facts},
        notes=tuple(sorted(all_notes)),
    )
    return volume, headers


def read_all(sources: Sequence[Source | Instance]) -> list[Instance]:
    """Return the parsed headers; an error says which of the objects it is about."""
    instances = []
    for number, source in enumerate(sources, 1):
        try:
            instances.append(as_instance(source))
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
    for number, item in enumerate(instances, 1):
        stated = str(item.dataset.get("SOPClassUID") or "")
        kind = SOP_CLASSES.get(stated, str(item.dataset.get("Modality") or "nothing stated"))
        if kind != modality:
            raise ModalityError(
                f"expected {modality}, found {kind[:16]} in object {number} of {len(instances)}"
            )
        if str(item.dataset.get("Modality") or "") != modality:
            # The SOP Class decides: PS3.3 ties the modality to it, exporters forget.
            notes.add("MODALITY_DISAGREES_WITH_SOP_CLASS")
        if modality in PIXEL_MODALITIES and item.pixels is None:
            raise TruncatedError(
                f"expected pixel data in object {number} of {len(instances)}, found its end"
            )
        for keyword in required:
            if not item.dataset.get(keyword):
                raise MissingAttributeError(
                    f"expected {keyword} in object {number} of {len(instances)}, found none"
                )
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID"):
        values = {str(item.dataset.get(keyword)) for item in instances}
        if keyword in required and len(values) > 1:
            raise MixedSeriesError(f"expected one {keyword} in the series, found {len(values)}")
    return tuple(notes)


def check_size(instances: Sequence[Instance], limit_bytes: int) -> int:
    """Return the stored pixel bytes that the headers announce.

    Raises
    ------
    TooLargeError : they are more than ``limit_bytes``; no pixel was read.
    """
    total = 0
    for item in instances:
        dataset = item.dataset
        pixels = int(dataset.get("Rows") or 0) * int(dataset.get("Columns") or 0)
        frames = int(dataset.get("NumberOfFrames") or 1)
        total += pixels * frames * int(dataset.get("BitsAllocated") or 16) // 8
    if total > limit_bytes:
        raise TooLargeError(
            f"expected at most {limit_bytes / 2**20:.0f} MiB of pixel data, headers announce "
            f"{total / 2**20:.0f} MiB in {len(instances)} object(s)"
        )
    return total


def source_series(instances: Sequence[Instance], found: Stack) -> SourceSeries:
    """Return the headers in the order of the volume's frames."""
    uid = str(instances[0].dataset.SeriesInstanceUID)
    multi = [item for item in instances if "PerFrameFunctionalGroupsSequence" in item.dataset]
    if not multi:
        ordered = tuple(instances[frame.instance_index].dataset for frame in found.frames)
        return SourceSeries(uid, ordered, notes=found.notes)
    if len(instances) > 1:
        raise MixedSeriesError(
            f"expected one multi-frame object in the series, found {len(instances)} objects"
        )
    numbers = tuple(frame.frame_index + 1 for frame in found.frames)
    return SourceSeries(uid, (instances[0].dataset,), numbers, found.notes)


def _without_localizers(
    instances: Sequence[Instance],
) -> tuple[list[Instance], tuple[str, ...]]:
    kept = [item for item in instances if not _is_localizer(item.dataset)]
    if not kept:
        raise ModalityError("expected cross-sectional images, found localizers only")
    return kept, ("LOCALIZER_EXCLUDED",) if len(kept) < len(instances) else ()


def _is_localizer(dataset: Dataset) -> bool:
    value = dataset.get("ImageType") or ()
    return not isinstance(value, str) and "LOCALIZER" in [str(item).upper() for item in value]


def _without_copies(instances: Sequence[Instance]) -> tuple[list[Instance], tuple[str, ...]]:
    """Drop second copies of one object; two objects under one UID are not copies."""
    by_uid: dict[str, Instance] = {}
    for item in instances:
        uid = str(item.dataset.SOPInstanceUID)
        first = by_uid.setdefault(uid, item)
        if first is not item and not _same_object(first, item):
            raise GeometryError(
                f"expected one object under SOP Instance UID {short(uid)}, found two that differ"
            )
    copies = len(by_uid) < len(instances)
    return list(by_uid.values()), ("DUPLICATE_INSTANCE",) if copies else ()


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


def _check_repeats(instances: Sequence[Instance], found: Stack) -> None:
    """Raise for every frame that shares its position with another one.

    Copies under one UID are gone by now, so these are two objects (or two frames) that
    claim one place: which of them a result would belong to cannot be known.
    """
    for first, second in found.repeats:
        alike = same_pixels(instances, first, second)
        raise GeometryError(
            f"expected one frame at each position, found instances {short(first.sop_instance_uid)} "
            f"and {short(second.sop_instance_uid)} at one with "
            f"{'the same' if alike else 'other'} pixels"
        )


def _scales(
    instances: Sequence[Instance], frames: Sequence[Frame], modality: str
) -> tuple[list[tuple[float, float]], dict[str, str | float], tuple[str, ...]]:
    """Return slope and intercept to modality units for each frame, facts and notes."""
    for item in instances:
        if "ModalityLUTSequence" in item.dataset:
            raise UnitsError("expected Rescale Slope and Intercept, found a Modality LUT Sequence")
    stated = [(frame.slope, frame.intercept) for frame in frames]
    if modality != "MR" and any(slope is None for slope, _ in stated):
        raise UnitsError(f"expected RescaleSlope in every {modality} frame, found none in some")
    scales = [(1.0 if slope is None else slope, intercept or 0.0) for slope, intercept in stated]
    if modality == "CT":
        return scales, {}, _check_rescale_type(instances)
    if modality == "MR":
        return scales, {}, ()
    suv = suv_scale([instances[frame.instance_index].dataset for frame in frames])
    scaled = [
        (slope * factor, intercept * factor)
        for (slope, intercept), factor in zip(scales, suv.factors, strict=True)
    ]
    facts: dict[str, str | float] = {}
    if suv.uptake_minutes is not None:
        facts["uptake_minutes"] = round(suv.uptake_minutes, 1)
    return scaled, facts, suv.notes


def _check_rescale_type(instances: Sequence[Instance]) -> tuple[str, ...]:
    """Check that CT values are HU; unspecified (US) is what some converters write for HU."""
    kinds = {str(item.dataset.get("RescaleType") or "HU") for item in instances}
    strange = kinds - {"HU", "HU_MOD", "US"}
    if strange:
        raise UnitsError(f"expected RescaleType HU, found {sorted(strange)[0][:16]}")
    return ("RESCALE_TYPE_UNSPECIFIED",) if "US" in kinds else ()


def _sop_uids(headers: SourceSeries) -> tuple[str, ...]:
    if headers.frame_numbers:
        return (str(headers.first.SOPInstanceUID),)
    return tuple(str(item.SOPInstanceUID) for item in headers.datasets)
