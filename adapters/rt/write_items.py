"""Sequences as they will stand in a file of implicit VR, put into a data set as bytes.

What grows with the contours is written here; pydicom makes an object of every item and of
every element in it, and its writer looks at each again.  Reading the sequence decodes it.

Source: PS3.5 Section 7.1.3 (elements with implicit VR), 7.5 (sequences of items).
Read next: `write_structure_set.py`; `write_multiframe.py` does the same with explicit VR.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache

from pydicom import Dataset
from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag


def element(keyword: str, value: bytes, padding: bytes = b" ") -> bytes:
    """Return an element, its value padded to an even length (PS3.5 Section 6.2)."""
    value += padding * (len(value) % 2)
    return _tag(keyword) + struct.pack("<I", len(value)) + value


def uid_element(keyword: str, uid: str) -> bytes:
    """Return an element that holds a UID."""
    return element(keyword, uid.encode("ascii"), b"\0")


def sequence(keyword: str, items: Sequence[bytes]) -> bytes:
    """Return a sequence of encoded items, all lengths explicit (PS3.5 Table 7.5-1)."""
    return element(keyword, _items(items))


def put(dataset: Dataset, keyword: str, items: Sequence[bytes]) -> None:
    """Put a sequence of encoded items into a data set that states nothing of its encoding."""
    tag, value = Tag(keyword), _items(items)
    dataset[tag] = RawDataElement(tag, "SQ", len(value), value, 0, True, True)
    dataset.set_original_encoding(True, True, default_encoding)  # so that it stays as it is


def _items(items: Sequence[bytes]) -> bytes:
    return b"".join(
        part for item in items for part in (struct.pack("<HHI", 0xFFFE, 0xE000, len(item)), item)
    )


@cache
def _tag(keyword: str) -> bytes:
    tag = Tag(keyword)
    return struct.pack("<HH", tag.group, tag.element)
