"""Say where each frame lies and how its values scale, for single and multi-frame objects.

Single-frame objects state it at the top (PS3.3 C.7.6.2 Image Plane, C.11.1 Modality
LUT); enhanced ones in the Shared and Per-Frame Functional Groups (PS3.3 C.7.6.16:
C.7.6.16.2.1 Pixel Measures, .2.3 Plane Position, .2.4 Plane Orientation, .2.9 Pixel
Value Transformation).

Read next: `read_geometry.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from adapters.rt.read_alike import each
from adapters.rt.read_part10 import Instance
from adapters.rt.read_suv_enhanced import ENHANCED_PET
from audit.errors import GeometryError, MissingAttributeError, UnitsError
from audit.pseudonym import short

TEMPORAL_KEYS = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "FrameReferenceTime",
    "TriggerTime",
    "EchoNumbers",
    "EchoTime",
    "DiffusionBValue",
    "StackID",
)
"""Attributes that tell two frames at one position apart (PS3.3 C.7.6.16.2.2, C.8.3.1)."""

_FRAME_KEYWORDS = (
    "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "NumberOfFrames",
    "PlanePositionSequence", "PlaneOrientationSequence", "ImageOrientationPatient",
    "PixelMeasuresSequence", "PixelSpacing", "SpacingBetweenSlices", "SliceThickness",
    "PixelValueTransformationSequence", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "RealWorldValueMappingSequence", "RealWorldValueSlope", "RealWorldValueIntercept",
    "FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber", "SOPClassUID",
    *TEMPORAL_KEYS,
)  # fmt: skip
"""What a frame is made of, beside its UID and Image Position."""
_POSITION = Tag("ImagePositionPatient")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a series before its pixels are decoded.

    Parameters
    ----------
    instance_index, frame_index : where the pixels are; both from 0.
    position_mm : LPS of the centre of the first pixel; None where not stated.
    orientation : direction cosines along increasing column, then row index.
    pixel_spacing_mm : between rows, between columns.
    slope, intercept : Modality LUT; None where the object states none.
    acquisition : Acquisition Number, empty where not stated.
    temporal : values of `TEMPORAL_KEYS`, empty strings where not stated.
    rescale_type : what the Modality LUT scales to, empty where not stated.
    """

    instance_index: int
    frame_index: int
    sop_instance_uid: str
    position_mm: tuple[float, float, float]
    orientation: tuple[float, ...]
    pixel_spacing_mm: tuple[float, float]
    slice_step_mm: float | None
    slope: float | None
    intercept: float | None
    acquisition: str
    temporal: tuple[str, ...]
    rescale_type: str = ""


def frames_of(instance: Instance, instance_index: int) -> tuple[Frame, ...]:
    """Return the frames of one image object.

    Raises
    ------
    MissingAttributeError : a position, orientation or spacing is absent.
    GeometryError : one of them is not a number.
    """
    dataset = instance.dataset
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if not groups and int(dataset.get("NumberOfFrames") or 1) > 1:
        raise MissingAttributeError(
            f"expected PerFrameFunctionalGroupsSequence in multi-frame instance "
            f"{short(str(dataset.get('SOPInstanceUID', '')))}, found none"
        )
    if not groups:
        return (_frame((dataset,), dataset, instance_index, 0),)
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    count = int(dataset.get("NumberOfFrames") or len(groups))
    if count != len(groups):
        raise GeometryError(
            f"expected functional groups for {count} frames of instance "
            f"{short(str(dataset.SOPInstanceUID))}, found {len(groups)}"
        )
    return tuple(
        _frame((group, shared[0], dataset), dataset, instance_index, index)
        for index, group in enumerate(groups)
    )


def frames_of_all(instances: Sequence[Instance]) -> list[Frame]:
    """Return the frames of image objects, one object after another.

    Raises
    ------
    SuiteError : as `frames_of`.
    """
    likes = each(instances, _FRAME_KEYWORDS, lambda item: frames_of(item, 0))
    frames: list[Frame] = []
    for index, (item, like) in enumerate(zip(instances, likes, strict=True)):
        if len(like) == 1 and "PerFrameFunctionalGroupsSequence" not in item.dataset:
            frames.append(_placed(item, index, like[0]))
        else:
            frames.extend(replace(frame, instance_index=index) for frame in like)
    return frames


def _placed(instance: Instance, instance_index: int, like: Frame) -> Frame:
    """Return the frame of an object that differs from another in its UID and place alone."""
    dataset = instance.dataset
    uid = str(dataset.get("SOPInstanceUID", ""))
    place = _plain_position(dataset)
    if place is None:
        stated = _look((dataset,), "PlanePositionSequence", "ImagePositionPatient")
        x, y, z = numbers(stated, "ImagePositionPatient", uid, 3)
        place = (x, y, z)
    return replace(like, instance_index=instance_index, sop_instance_uid=uid, position_mm=place)


def _plain_position(dataset: Dataset) -> tuple[float, float, float] | None:
    """Return three finite numbers of an unparsed Image Position; None where it is not that."""
    if _POSITION not in dataset or "PlanePositionSequence" in dataset:
        return None
    raw = dataset.get_item(_POSITION)
    if not isinstance(raw, RawDataElement) or not raw.value:
        return None
    try:
        x, y, z = map(float, raw.value.split(b"\\"))
    except ValueError:
        return None
    return (x, y, z) if math.isfinite(x + y + z) else None


def numbers(value: Any, keyword: str, uid: str, count: int) -> tuple[float, ...]:
    """Return ``count`` finite numbers of a multi-valued attribute.

    Raises
    ------
    MissingAttributeError : the attribute is absent or has fewer values.
    GeometryError : a value is not a finite number.
    """
    items = () if value is None or value == "" else value
    if isinstance(items, (str, int, float)):
        items = (items,)
    if len(items) < count:
        raise MissingAttributeError(
            f"expected {count} values of {keyword} in instance {short(uid)}, found {len(items)}"
        )
    try:
        result = tuple(float(item) for item in items[:count])
    except (TypeError, ValueError):
        raise GeometryError(
            f"expected numbers in {keyword} of instance {short(uid)}, found text"
        ) from None
    if not all(map(math.isfinite, result)):
        raise GeometryError(f"expected finite {keyword} in instance {short(uid)}, found NaN")
    return result


def scale_of(value: Any, keyword: str, uid: str) -> float | None:
    """Return a slope or intercept; None where it is not stated.

    Raises
    ------
    UnitsError : it is not a number, or a slope of zero.
    """
    if value in (None, ""):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (keyword.endswith("Slope") and number == 0):
        raise UnitsError(f"expected a usable {keyword} in instance {short(uid)}, found {number}")
    return number


def _frame(
    places: Sequence[Dataset], dataset: Dataset, instance_index: int, frame_index: int
) -> Frame:
    uid = str(dataset.get("SOPInstanceUID", ""))

    def look(macro: str, keyword: str) -> Any:
        return _look(places, macro, keyword)

    position = numbers(
        look("PlanePositionSequence", "ImagePositionPatient"), "ImagePositionPatient", uid, 3
    )
    orientation = numbers(
        look("PlaneOrientationSequence", "ImageOrientationPatient"),
        "ImageOrientationPatient",
        uid,
        6,
    )
    spacing = numbers(look("PixelMeasuresSequence", "PixelSpacing"), "PixelSpacing", uid, 2)
    step = look("PixelMeasuresSequence", "SpacingBetweenSlices")
    step = look("PixelMeasuresSequence", "SliceThickness") if step in (None, "") else step
    slope, intercept = _rescale(look, dataset, uid)
    acquisition = look("FrameContentSequence", "FrameAcquisitionNumber")
    if acquisition in (None, ""):
        acquisition = dataset.get("AcquisitionNumber")
    return Frame(
        instance_index=instance_index,
        frame_index=frame_index,
        sop_instance_uid=uid,
        position_mm=(position[0], position[1], position[2]),
        orientation=orientation,
        pixel_spacing_mm=(spacing[0], spacing[1]),
        slice_step_mm=_optional_number(step),
        slope=slope,
        intercept=intercept,
        acquisition="" if acquisition is None else str(acquisition),
        temporal=tuple(_temporal(places, dataset)),
        rescale_type=str(look("PixelValueTransformationSequence", "RescaleType") or ""),
    )


def _rescale(
    look: Callable[[str, str], Any], dataset: Dataset, uid: str
) -> tuple[float | None, float | None]:
    """Return slope and intercept of one frame.

    The unit of enhanced PET belongs to its Real World Value Mapping, not to the Modality
    LUT.
    """
    macro, words = "PixelValueTransformationSequence", ("RescaleSlope", "RescaleIntercept")
    if str(dataset.get("SOPClassUID")) == ENHANCED_PET:
        mapping = "RealWorldValueMappingSequence"
        if look(mapping, "RealWorldValueSlope") is not None:
            macro, words = mapping, ("RealWorldValueSlope", "RealWorldValueIntercept")
    slope, intercept = (scale_of(look(macro, word), word, uid) for word in words)
    return slope, intercept


def _look(places: Iterable[Dataset], macro: str, keyword: str) -> Any:
    """Return an attribute from the nearest functional group, else from the top."""
    for place in places:
        items = place.get(macro)
        if items and keyword in items[0]:
            return items[0].get(keyword)
        if keyword in place:
            return place.get(keyword)
    return None


def _temporal(places: Sequence[Dataset], dataset: Dataset) -> Iterable[str]:
    for keyword in TEMPORAL_KEYS:
        value = dataset.get(keyword)
        if len(places) > 1:
            for macro in ("FrameContentSequence", "MRDiffusionSequence", "MREchoSequence"):
                found = _look(places[:-1], macro, keyword)
                value = value if found is None else found
        yield "" if value is None else str(value)


def _optional_number(value: Any) -> float | None:
    try:
        return None if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return None
