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

from adapters.rt.read_alike import distinct
from adapters.rt.read_checks import (
    DEFAULT_LIMIT_BYTES,
    SOP_CLASSES,
    check_series,
    check_size,
    read_all,
    without_copies,
    without_localizers,
)
from adapters.rt.read_facts import acquisition_facts
from adapters.rt.read_flat import flat_header
from adapters.rt.read_frames import Frame, frames_of_all
from adapters.rt.read_geometry import Stack, stack
from adapters.rt.read_part10 import Instance, Source, readable_values
from adapters.rt.read_pixels import PixelFormat, decode, pixel_formats, same_pixels
from adapters.rt.read_suv import suv_scale
from adapters.rt.sources import SourceSeries
from audit.errors import (
    GeometryError,
    MixedSeriesError,
    ModalityError,
    UnitsError,
)
from audit.pseudonym import short
from plugins.host.images import Volume

UNITS = {"CT": "[hnsf'U]", "PT": "g/ml", "MR": "1"}


def read_series(
    sources: Sequence[Source | Instance], modality: str, *, limit_bytes: int = DEFAULT_LIMIT_BYTES
) -> tuple[Volume, SourceSeries]:
    """Return a decoded series and its headers in frame order.

    Raises
    ------
    InputError : and its kinds, as the modules named above say; nothing is kept.
    """
    with readable_values(f"the {modality} series"):
        notes: set[str] = set()
        # 1 to 4
        kept, found, layout = _arranged(sources, modality, limit_bytes, notes)
        first = kept[0].dataset
        # 5
        scales, facts = _scales(kept, found.frames, modality, notes)
        # 6
        array = decode(kept, found.frames, scales, turn_monochrome1=modality == "MR")
        headers = source_series(kept, found)
        notes.update(found.notes, _picture_notes(first, layout, modality))
        volume = Volume(
            array=array,
            geometry=found.geometry,
            modality=modality,
            units=UNITS[modality],
            study_instance_uid=str(first.StudyInstanceUID),
            series_instance_uid=str(first.SeriesInstanceUID),
            sop_class_uid=str(first.SOPClassUID),
            sop_instance_uids=_sop_uids(headers),
            acquisition={**acquisition_facts(flat_header(headers.first)), **facts},
            notes=tuple(sorted(notes)),
        )
    return volume, headers


def read_headers(
    sources: Sequence[Source | Instance], *, limit_bytes: int = DEFAULT_LIMIT_BYTES
) -> SourceSeries:
    """Return the headers of a series as `read_series` does, without decoding pixels.

    Radiotherapy objects are returned as they are.

    Raises
    ------
    InputError : and its kinds, as `read_series`.
    """
    instances = read_all(sources)
    with readable_values("the series"):
        kinds = {
            SOP_CLASSES.get(str(item.dataset.get("SOPClassUID")))
            for _, item in distinct(instances, ("SOPClassUID",))
        }
        kind = kinds.pop() if len(kinds) == 1 else None
        if kind in UNITS:
            kept, found, _ = _arranged(instances, str(kind), limit_bytes, set())
            return source_series(kept, found)
        if kind is None:
            raise ModalityError("expected one readable kind of object in the series, found others")
        uid = str(instances[0].dataset.get("SeriesInstanceUID") or "")
        return SourceSeries(uid, tuple(item.dataset for item in instances))


def _arranged(
    sources: Sequence[Source | Instance], modality: str, limit_bytes: int, notes: set[str]
) -> tuple[list[Instance], Stack, PixelFormat]:
    """Return the objects to use, their frames in order, and how they store pixels."""
    # 1, 2
    instances = read_all(sources)
    kept = without_localizers(instances, notes)
    notes.update(check_series(kept, modality))
    # 3
    check_size(kept, limit_bytes)
    # 4
    kept = without_copies(kept, notes)
    frames = frames_of_all(kept)
    layout = _one_size(kept)
    frame_uid = str(kept[0].dataset.FrameOfReferenceUID)
    found = stack(frames, layout.rows, layout.columns, frame_uid)
    _check_repeats(kept, found)
    return kept, found, layout


def source_series(instances: Sequence[Instance], found: Stack) -> SourceSeries:
    """Return the headers in the order of the volume's frames."""
    uid = str(instances[0].dataset.SeriesInstanceUID)
    keyword = "PerFrameFunctionalGroupsSequence"
    if not any(keyword in item.dataset for _, item in distinct(instances, (keyword,))):
        ordered = tuple(instances[frame.instance_index].dataset for frame in found.frames)
        return SourceSeries(uid, ordered, notes=found.notes)
    if len(instances) > 1:
        raise MixedSeriesError(
            f"expected one multi-frame object in the series, found {len(instances)} objects"
        )
    numbers = tuple(frame.frame_index + 1 for frame in found.frames)
    return SourceSeries(uid, (instances[0].dataset,), numbers, found.notes)


def _one_size(instances: Sequence[Instance]) -> PixelFormat:
    """Return how the series stores pixels; every object is looked at before any is decoded."""
    layouts = pixel_formats(instances)
    sizes = {(layout.rows, layout.columns) for layout in layouts}
    if len(sizes) > 1:
        raise MixedSeriesError(f"expected one image size in the series, found {len(sizes)}")
    if 0 in sizes.pop():
        raise GeometryError("expected rows and columns in the series, found none")
    return layouts[0]


def _picture_notes(dataset: Dataset, layout: PixelFormat, modality: str) -> set[str]:
    notes = set()
    if layout.monochrome1:
        notes.add("MONOCHROME1_TURNED" if modality == "MR" else "MONOCHROME1_KEPT")
    if str(dataset.get("LossyImageCompression") or "") == "01":
        notes.add("LOSSY_COMPRESSED")
    return notes


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
    instances: Sequence[Instance], frames: Sequence[Frame], modality: str, notes: set[str]
) -> tuple[list[tuple[float, float]], dict[str, str | float]]:
    """Return slope and intercept to modality units for each frame, and facts."""
    for _, item in distinct(instances, ("ModalityLUTSequence",)):
        if "ModalityLUTSequence" in item.dataset:
            raise UnitsError("expected Rescale Slope and Intercept, found a Modality LUT Sequence")
    stated = [(frame.slope, frame.intercept) for frame in frames]
    if modality != "MR" and any(slope is None for slope, _ in stated):
        raise UnitsError(f"expected RescaleSlope in every {modality} frame, found none in some")
    scales = [(1.0 if slope is None else slope, intercept or 0.0) for slope, intercept in stated]
    if modality == "CT":
        _check_rescale_type(frames, notes)
    if modality != "PT":
        return scales, {}
    suv = suv_scale(
        [flat_header(instances[item.instance_index].dataset, item.frame_index) for item in frames]
    )
    notes.update(suv.notes)
    scaled = [
        (slope * factor, intercept * factor)
        for (slope, intercept), factor in zip(scales, suv.factors, strict=True)
    ]
    if suv.uptake_minutes is None:
        return scaled, {}
    return scaled, {"uptake_minutes": round(suv.uptake_minutes, 1)}


def _check_rescale_type(frames: Sequence[Frame], notes: set[str]) -> None:
    """Check that CT values are HU; unspecified (US) is what some converters write for HU."""
    kinds = {frame.rescale_type or "HU" for frame in frames}
    strange = kinds - {"HU", "HU_MOD", "US"}
    if strange:
        raise UnitsError(f"expected RescaleType HU, found {min(strange)[:16]}")
    if "US" in kinds:
        notes.add("RESCALE_TYPE_UNSPECIFIED")


def _sop_uids(headers: SourceSeries) -> tuple[str, ...]:
    if headers.frame_numbers:
        return (str(headers.first.SOPInstanceUID),)
    return tuple(str(item.SOPInstanceUID) for item in headers.datasets)
