"""Parse the headers of one series for the price of one: the others by what differs.

The objects of a series state the same elements in the same order, and most of them with the
same bytes.  The first is parsed in full and becomes a `Pattern`: its bytes, cut at the
elements that differ between objects.  Another object is compared with the pattern byte for
byte; where everything between those elements is equal, and each of them has the same tag and
VR, its header is the first one's with the values that it states itself.  Nothing is taken
from the pattern that does not stand in the object.

Which elements differ is learnt: an object that differs in another element is cut again, and
that element is read from every object from then on.  Whatever has other elements, another
order, another transfer syntax or character set, or differs inside a sequence of undefined
length is parsed by pydicom as before, and becomes a pattern of its own.

`distinct` and `each` let a check look once at what the objects of a pattern share.

Source: PS3.5 Section 7.1 (data elements), PS3.10 Section 7.1 (file meta information).
Read next: `read_checks.py`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement, empty_value_for_VR
from pydicom.dataset import FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from adapters.rt.read_part10 import (
    LONG_VRS,
    UNDEFINED,
    Instance,
    PixelPlace,
    Source,
    read_with_head,
)

Value = TypeVar("Value")
Varying = tuple[list[bytes], int]
"""Values of the varying elements, and where the pixel data begin."""

PREAMBLE_BYTES = 132
MOST_PATTERNS = 4
SLACK_BYTES = 2048
"""By so much may a header be longer than the first one's to be of its pattern."""
_AFTER_META = 0x0003_0000
_ENCODING_TAGS = frozenset({0x00020010, 0x00080005})
"""Transfer Syntax and Specific Character Set: they say how everything else is read."""
_DELIMITER = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


class HeaderReader:
    """Reads objects one after another; those of one series share a pattern."""

    def __init__(self) -> None:
        self._patterns: list[Pattern] = []

    def read(self, source: Source) -> Instance:
        """Return the parsed header of one object, as `read_instance` does.

        Raises
        ------
        NotDicomError, TruncatedError : as `read_instance`.
        """
        for pattern in self._patterns:
            instance = pattern.read(source)
            if instance is not None:
                return instance
        instance, head = read_with_head(source)
        made = pattern_of(instance, head)
        if made is None:
            return instance
        self._patterns = [made, *self._patterns[: MOST_PATTERNS - 1]]
        return replace(instance, varying=made.varying)


def distinct(
    instances: Sequence[Instance], keywords: Sequence[str]
) -> Iterator[tuple[int, Instance]]:
    """Yield index and instance, one for all that are known to state the keywords alike."""
    tags = _tags(keywords)
    seen: set[int] = set()
    for index, item in enumerate(instances):
        if item.varying is not None and tags.isdisjoint(item.varying):
            if id(item.varying) in seen:
                continue
            seen.add(id(item.varying))
        yield index, item


def each(
    instances: Sequence[Instance], keywords: Sequence[str], function: Callable[[Instance], Value]
) -> list[Value]:
    """Return the function of every instance, worked out once for all that are known to state
    alike the keywords that it depends on."""
    values: list[Value] = []
    known: dict[int, Value] = {}
    firsts = {index for index, _ in distinct(instances, keywords)}
    for index, item in enumerate(instances):
        if index in firsts:
            values.append(function(item))
            known.setdefault(id(item.varying), values[-1])
        else:
            values.append(known[id(item.varying)])
    return values


def _tags(keywords: Sequence[str]) -> frozenset[int]:
    return frozenset(tag for word in keywords if (tag := tag_for_keyword(word)) is not None)


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the first object, and where it begins, its value begins and ends."""

    raw: RawDataElement
    begin: int
    value: int
    end: int
    fixed: bool

    @property
    def width(self) -> int:
        """Return the bytes of its length (PS3.5 Section 7.1.2, 7.1.3)."""
        return 4 if self.raw.is_implicit_VR or self.value - self.begin == 12 else 2


class Pattern:
    """What the headers of a series have in common.

    ``varying`` are the tags of elements in which an object was seen to differ; the set grows,
    and it is the pattern's mark on the instances that are read with it.
    """

    def __init__(self, instance: Instance, head: bytes, elements: Sequence[Element]) -> None:
        assert instance.pixels is not None
        self.varying: set[int] = set()
        self._first = instance
        self._encoding = (
            *instance.dataset.original_encoding,
            instance.dataset.original_character_set,
        )
        self._elements, self._head = elements, head[: instance.pixels.offset]
        self._pixel_lead = self._head[elements[-1].end : -4]
        self._meta = {e.raw.tag: e.raw for e in elements if e.raw.tag < _AFTER_META}
        self._rest = {e.raw.tag: e.raw for e in elements if e.raw.tag >= _AFTER_META}
        self._cut()

    def read(self, source: Source) -> Instance | None:
        """Return the parsed object, None where it is not of this pattern."""
        head, size = _head(source, len(self._head) + SLACK_BYTES)
        found = self._match(head)
        if found is None and self._learn(head):
            found = self._match(head)
        if found is None:
            return None
        values, offset = found
        meta, rest = dict(self._meta), dict(self._rest)
        for element, value in zip(self._slots, values, strict=True):
            tag = element.raw.tag
            (meta if tag < _AFTER_META else rest)[tag] = _raw(element.raw, value)
        dataset = Dataset(rest)
        dataset.set_original_encoding(*self._encoding)
        dataset.file_meta = FileMetaDataset(meta)
        (length,) = struct.unpack_from("<I", head, offset - 4)
        assert self._first.pixels is not None
        place = PixelPlace(self._first.pixels.tag, offset, None if length == UNDEFINED else length)
        syntax = self._first.transfer_syntax_uid
        return Instance(dataset, source, place, size, syntax, self.varying)

    def _cut(self) -> None:
        """Cut the first header into pieces that are equal, each with the bytes of the length
        that follows it, and a last one."""
        self._slots = [item for item in self._elements if item.raw.tag in self.varying]
        self._pieces: list[tuple[bytes, int]] = []
        begin = 0
        for item in self._slots:
            self._pieces.append((self._head[begin : item.value - item.width], item.width))
            begin = item.end
        self._last = self._head[begin:-4]

    def _match(self, head: bytes) -> Varying | None:
        """Return what varies in a header, None where anything else differs."""
        place = 0
        values: list[bytes] = []
        for piece, width in self._pieces:
            if not head.startswith(piece, place):
                return None
            place += len(piece) + width
            length = int.from_bytes(head[place - width : place], "little")
            values.append(head[place : place + length])
            place += length
        end = place + len(self._last) + 4
        return (values, end) if head.startswith(self._last, place) and end <= len(head) else None

    def _learn(self, head: bytes) -> bool:
        """Say whether an object has the same elements, and note in which ones it differs."""
        place = PREAMBLE_BYTES
        if head[:place] != self._head[:place]:
            return False
        found = set()
        for item in self._elements:
            if head.startswith(self._head[item.begin : item.end], place):
                place += item.end - item.begin
                continue
            lead = self._head[item.begin : item.value - item.width]
            if item.fixed or not head.startswith(lead, place):
                return False
            place += len(lead) + item.width
            length = int.from_bytes(head[place - item.width : place], "little")
            place += length
            if length == UNDEFINED or place > len(head):
                return False
            found.add(int(item.raw.tag))
        if not found or not head.startswith(self._pixel_lead, place):
            return False
        self.varying |= found
        self._cut()
        return True


def pattern_of(instance: Instance, head: bytes) -> Pattern | None:
    """Return the pattern of an object, None of one that cannot be compared byte by byte."""
    dataset, pixels = instance.dataset, instance.pixels
    if pixels is None or pixels.offset < 0 or head[128:PREAMBLE_BYTES] != b"DICM":
        return None
    implicit, little = dataset.original_encoding
    if not little or instance.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return None
    places = sorted((*_places(dataset.file_meta, False), *_places(dataset, bool(implicit))))
    ends = [*(begin for begin, *_ in places[1:]), pixels.offset - (8 if implicit else 12)]
    elements = [_element(head, *place, end) for place, end in zip(places, ends, strict=True)]
    known = [item for item in elements if item is not None]
    if not known or len(known) < len(elements) or known[0].begin != PREAMBLE_BYTES:
        return None
    return Pattern(instance, head, known)


def _places(dataset: Dataset, implicit: bool) -> Iterator[tuple[int, int, BaseTag, bool, bool]]:
    """Yield begin, place of the value, tag, encoding of each element, and whether it says
    how others are read: the first one of an implicit data set is what the encoding is told by."""
    for number, tag in enumerate(dataset.keys()):
        item = dataset.get_item(tag)
        tell = item.value_tell if isinstance(item, RawDataElement) else item.file_tell
        begin = tell - (12 if not implicit and item.VR in LONG_VRS else 8)
        yield begin, tell, tag, implicit, tag in _ENCODING_TAGS or (implicit and number == 0)


def _element(
    head: bytes, begin: int, tell: int, tag: BaseTag, implicit: bool, fixed: bool, end: int
) -> Element | None:
    """Return an element as it stands in the bytes, None where it does not stand there."""
    if head[begin : begin + 4] != struct.pack("<HH", tag.group, tag.element):
        return None
    vr = None if implicit else head[begin + 4 : begin + 6].decode("ascii", "replace")
    short = not implicit and tell - begin == 8
    (length,) = struct.unpack_from("<H" if short else "<I", head, tell - (2 if short else 4))
    if length == UNDEFINED:
        # Of a sequence the items are kept as bytes, to be parsed when somebody asks for them.
        if vr not in (None, "SQ") or head[end - 8 : end] != _DELIMITER:
            return None
        vr, value, fixed = "SQ", head[tell : end - 8], True
    elif tell + length != end:
        return None
    else:
        value = head[tell:end]
    raw = RawDataElement(tag, vr, length, value, tell, implicit, True)
    return Element(raw if value else _raw(raw, value), begin, tell, end, fixed)


def _raw(raw: RawDataElement, value: bytes) -> RawDataElement:
    """Return an element with another value."""
    kept = value or empty_value_for_VR(raw.VR, raw=True)
    return RawDataElement(
        raw.tag, raw.VR, len(value), kept, raw.value_tell, raw.is_implicit_VR, True
    )


def _head(source: Source, count: int) -> tuple[bytes, int]:
    """Return the first bytes of an object and its size."""
    if isinstance(source, bytes):
        return source[:count], len(source)
    file = os.open(source, os.O_RDONLY)
    try:
        return os.read(file, count), os.fstat(file).st_size
    finally:
        os.close(file)
