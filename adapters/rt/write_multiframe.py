"""Many frames for the price of two: what differs between frames, written as bytes.

highdicom makes an object of two frames, with everything that such an object has to say.
Its constructor and pydicom's writer take about a millisecond for each further frame, so
what grows with the frames is put into the object here, as encoded sequences: the frames'
functional groups and the source instances.  A test compares the object byte by byte with
the one that highdicom makes of all frames.

Source: PS3.5 Section 7.1.2 (elements with explicit VR), 7.5 (sequences of items); PS3.3
C.7.6.16 (functional groups), C.7.6.17 (dimensions), C.12.4 (common instance reference).
Read next: `write_segmentation.py`, `write_parametric_map.py`, which use it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from adapters.rt.sources import FrameReference
from adapters.rt.write_frames import ReferenceGrid, position
from plugins.host.images import Geometry

TEMPLATE_FRAMES = 2
"""So many frames are given to highdicom: two tell whether frames follow each other evenly."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: the source plane (from 0) that it lies on, and its place in the object.

    Parameters
    ----------
    dimensions : Dimension Index Values, from 1.
    segment_number : from 1 where the object has several segments, else 0.
    """

    plane: int
    dimensions: tuple[int, ...]
    segment_number: int = 0


def in_frame_order(geometry: Geometry, planes: Iterable[int]) -> list[int]:
    """Return planes in the order in which highdicom stores them: along the cross product of
    the directions down a column and right along a row."""
    down, right = np.asarray(geometry.axes[1]), np.asarray(geometry.axes[2])
    ascending = float(np.dot(geometry.axes[0], np.cross(down, right))) > 0
    return sorted(planes, reverse=not ascending)


def template_planes(planes: Sequence[int]) -> list[int]:
    """Return the planes, in ascending order, that highdicom is given for all of them."""
    return sorted(planes)[:TEMPLATE_FRAMES]


def with_frames(
    dataset: Dataset, reference: ReferenceGrid, named: range, frames: Sequence[Frame]
) -> Dataset:
    """Return an object of few frames as one of ``frames``, still without their pixels.

    Parameters
    ----------
    dataset : as highdicom made it of the headers of `template_planes`.
    named : planes of the source whose instances the object names.
    """
    grown = Dataset(dataset)
    grown.NumberOfFrames = len(frames)
    planes = np.unique([frame.plane for frame in frames])
    if "DimensionOrganizationType" in grown and np.ptp(np.diff(planes)) > 0:
        del grown.DimensionOrganizationType  # 3D: only for planes at equal distances
    template = dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    derivation = _Derivation(template)
    sources = {plane: reference.source.frame(plane) for plane in named}
    groups = [
        _group(reference.geometry, frame, derivation.of(sources[frame.plane])) for frame in frames
    ]
    _put(grown, "PerFrameFunctionalGroupsSequence", groups)
    instances = [_instance(source) for source in sources.values()]
    _put(grown, "SourceImageSequence", instances)
    each_once = list(dict.fromkeys(instances))  # an enhanced source is one instance
    series = _sequence("ReferencedInstanceSequence", each_once)
    series += _element("SeriesInstanceUID", "UI", _uid(reference.source.series_instance_uid))
    _put(grown, "ReferencedSeriesSequence", [series])
    return grown


class _Derivation:
    """What the derivation of every frame says alike, encoded once."""

    def __init__(self, template: Dataset) -> None:
        source = Dataset(template.SourceImageSequence[0])
        del source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID
        self.source = _encoded(source)
        rest = Dataset(template)
        del rest.SourceImageSequence
        self.rest = _encoded(rest)

    def of(self, reference: FrameReference) -> bytes:
        """Return the Derivation Image Sequence of a frame made from one source frame."""
        named = _instance(reference)
        if reference.frame_number is not None:
            number = str(reference.frame_number).encode("ascii")
            named += _element("ReferencedFrameNumber", "IS", number)
        source = _sequence("SourceImageSequence", [named + self.source])
        return _sequence("DerivationImageSequence", [source + self.rest])


def _group(geometry: Geometry, frame: Frame, derivation: bytes) -> bytes:
    """Return the functional groups of one frame (PS3.3 C.7.6.16.1.2)."""
    indices = struct.pack(f"<{len(frame.dimensions)}I", *frame.dimensions)
    corner = "\\".join(position(geometry, frame.plane)).encode("ascii")
    group = (
        derivation
        + _sequence("FrameContentSequence", [_element("DimensionIndexValues", "UL", indices)])
        + _sequence("PlanePositionSequence", [_element("ImagePositionPatient", "DS", corner)])
    )
    if frame.segment_number:
        number = struct.pack("<H", frame.segment_number)
        item = _element("ReferencedSegmentNumber", "US", number)
        group += _sequence("SegmentIdentificationSequence", [item])
    return group


def _instance(reference: FrameReference) -> bytes:
    """Return the reference to the instance of a source frame (PS3.3 Table 10-11)."""
    return _element("ReferencedSOPClassUID", "UI", _uid(reference.sop_class_uid)) + _element(
        "ReferencedSOPInstanceUID", "UI", _uid(reference.sop_instance_uid)
    )


def _put(dataset: Dataset, keyword: str, items: Sequence[bytes]) -> None:
    """Put a sequence into a data set as it will stand in the file; reading it decodes it."""
    tag, value = Tag(keyword), _items(items)
    dataset[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)


def _sequence(keyword: str, items: Sequence[bytes]) -> bytes:
    """Return a sequence of encoded items, all lengths explicit (PS3.5 Table 7.5-1)."""
    value = _items(items)
    return _head(keyword, "SQ") + struct.pack("<HI", 0, len(value)) + value


def _items(items: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)


def _element(keyword: str, vr: str, value: bytes) -> bytes:
    """Return an element with a length of 16 bits; text is padded with a space to an even
    length (PS3.5 Section 6.2), UIDs come padded."""
    value += b" " * (len(value) % 2)
    return _head(keyword, vr) + struct.pack("<H", len(value)) + value


@cache
def _head(keyword: str, vr: str) -> bytes:
    tag = Tag(keyword)
    return struct.pack("<HH2s", tag.group, tag.element, vr.encode("ascii"))


def _uid(uid: str) -> bytes:
    return uid.encode("ascii") + b"\0" * (len(uid) % 2)


def _encoded(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())
