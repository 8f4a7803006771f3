"""Items of sequences, straight from their bytes or from pydicom, asked in one way.

pydicom makes a data set of every item and an object of every value, which for the contours
of a structure set takes longer than everything else.  Here the bytes of a sequence are walked;
what is not plain (another VR than the standard knows, a length that leaves its item, text that
is no ASCII) raises `UnusualEncodingError`, and the caller asks pydicom's items instead.

Source: PS3.5 Section 7.1 (data elements), 7.5 (nesting of data sets), Table 7.5-1 to 7.5-3.
Read next: `read_structures.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.valuerep import VR

from adapters.rt.read_part10 import LONG_VRS, UNDEFINED

Value = TypeVar("Value")
_VRS = {kind.value.encode("ascii") for kind in VR if len(kind.value) == 2}
_LONG = {kind.encode("ascii") for kind in LONG_VRS}
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_TAG = struct.Struct("<HH")
_LENGTH_16, _LENGTH_32 = struct.Struct("<H"), struct.Struct("<I")


class UnusualEncodingError(Exception):
    """A sequence that this module leaves to pydicom; it does not leave `adapters.rt`."""


class Item(Protocol):
    """One item of a sequence."""

    def text(self, keyword: str) -> str:
        """Return a value without the padding around it, empty where it is not stated."""

    def numbers(self, keyword: str) -> bytes | None:
        """Return numbers as encoded text, None where the element is absent."""

    def items(self, keyword: str) -> Sequence[Item]:
        """Return the items of a sequence, none where it is not stated."""


def of_sequence(dataset: Dataset, keyword: str, read: Callable[[Sequence[Item]], Value]) -> Value:
    """Return what ``read`` makes of the items of a sequence at the top of a data set."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    element = dataset.get_item(tag) if tag in dataset else None
    if isinstance(element, RawDataElement) and element.value and element.is_little_endian:
        try:
            return read(_items(element.value, element.is_implicit_VR))
        except UnusualEncodingError:
            pass
    return read([_ParsedItem(item) for item in dataset.get(keyword) or ()])


class _PlainItem:
    """An item as its bytes."""

    def __init__(self, content: bytes, implicit: bool) -> None:
        self._implicit = implicit
        self._values = dict(_elements(content, implicit))

    def text(self, keyword: str) -> str:
        value = self._values.get(_tag(keyword), b"")
        if not value.isascii() or b"\\" in value or b"\x1b" in value:
            raise UnusualEncodingError
        return value.decode("ascii").strip(" \0")

    def numbers(self, keyword: str) -> bytes | None:
        return self._values.get(_tag(keyword))

    def items(self, keyword: str) -> Sequence[Item]:
        value = self._values.get(_tag(keyword))
        return _items(value, self._implicit) if value else ()


class _ParsedItem:
    """An item as pydicom parsed it."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def text(self, keyword: str) -> str:
        value = self._dataset.get(keyword)
        return "" if value is None else str(value)

    def numbers(self, keyword: str) -> bytes | None:
        if keyword not in self._dataset:
            return None
        raw = self._dataset.get_item(keyword)
        if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
            return bytes(raw.value)
        return "\\".join(str(value) for value in self._dataset.get(keyword) or ()).encode()

    def items(self, keyword: str) -> Sequence[Item]:
        return [_ParsedItem(item) for item in self._dataset.get(keyword) or ()]


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return int(tag)


def _items(value: bytes, implicit: bool) -> list[Item]:
    """Return the items of a sequence's value."""
    items: list[Item] = []
    place = 0
    while place < len(value):
        tag, length = _delimiter(value, place)
        if tag == _SEQUENCE_END and place + 8 == len(value):
            break
        if tag != _ITEM:
            raise UnusualEncodingError
        place += 8
        end = _end_of_item(value, place, implicit) if length == UNDEFINED else place + length
        if end > len(value):
            raise UnusualEncodingError
        items.append(_PlainItem(value[place:end], implicit))
        place = end + 8 if length == UNDEFINED else end
    return items


def _elements(content: bytes, implicit: bool) -> Iterator[tuple[int, bytes]]:
    """Yield tag and value of each element of an item."""
    place = 0
    while place < len(content):
        tag, begin, length = _element(content, place, implicit)
        if length == UNDEFINED:
            end = _end_of_sequence(content, begin, implicit)
            place = end + 8
        else:
            place = end = begin + length
        if place > len(content):
            raise UnusualEncodingError
        yield tag, content[begin:end]


def _element(content: bytes, place: int, implicit: bool) -> tuple[int, int, int]:
    """Return tag, place of the value and length of the element at a place."""
    try:
        group, number = _TAG.unpack_from(content, place)
        tag = group << 16 | number
        if implicit:
            return tag, place + 8, int(_LENGTH_32.unpack_from(content, place + 4)[0])
        vr = content[place + 4 : place + 6]
        if vr not in _VRS:
            raise UnusualEncodingError
        if vr not in _LONG:
            return tag, place + 8, int(_LENGTH_16.unpack_from(content, place + 6)[0])
        length = int(_LENGTH_32.unpack_from(content, place + 8)[0])
        if length == UNDEFINED and vr != b"SQ":
            raise UnusualEncodingError
        return tag, place + 12, length
    except struct.error:
        raise UnusualEncodingError from None


def _delimiter(content: bytes, place: int) -> tuple[int, int]:
    """Return tag and length of an item or a delimitation, which have no VR."""
    tag, _, length = _element(content, place, True)
    return tag, length


def _end_of_item(content: bytes, place: int, implicit: bool) -> int:
    """Return where the delimitation of an item of undefined length begins."""
    while True:
        if _delimiter(content, place)[0] == _ITEM_END:
            return place
        _, begin, length = _element(content, place, implicit)
        if length == UNDEFINED:
            place = _end_of_sequence(content, begin, implicit) + 8
        else:
            place = begin + length


def _end_of_sequence(content: bytes, place: int, implicit: bool) -> int:
    """Return where the delimitation of a sequence of undefined length begins."""
    while True:
        tag, length = _delimiter(content, place)
        if tag == _SEQUENCE_END:
            return place
        if tag != _ITEM:
            raise UnusualEncodingError
        place += 8
        if length == UNDEFINED:
            place = _end_of_item(content, place, implicit) + 8
        else:
            place += length
