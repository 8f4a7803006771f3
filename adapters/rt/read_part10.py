"""Parse DICOM Part 10 files into headers, without touching pixel data.

A header is parsed from a growing window at the start of the object, so that a series of
thousands of slices costs its headers only.  The place of the pixel data is remembered;
`read_pixels.py` goes there later.  Files without preamble or meta information (bare data
sets, as some planning systems export them) are read as their first elements say.

Standard: PS3.10 Section 7 (file format), PS3.5 Section 7 and Annex A (encodings).

Read next: `read_alike.py` (many objects at once), `read_frames.py`.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import Dataset, config
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from audit.errors import InputError, NotDicomError, SuiteError, TruncatedError

Source = Path | bytes
"""One DICOM object: a file, or its bytes."""

WINDOW_BYTES = 1 << 16
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN", "UC", "UR", "UT", "SV", "UV", "SQ"})

# pydicom's warnings about unusual values print the value, which may be patient data;
# this reader checks what it uses itself.
config.settings.reading_validation_mode = config.IGNORE


@dataclass(frozen=True, slots=True)
class PixelPlace:
    """Where the value of the pixel data element lies in its object.

    ``length`` is None for encapsulated (compressed) pixel data of undefined length.
    """

    tag: int
    offset: int
    length: int | None


@dataclass(frozen=True, slots=True)
class Instance:
    """One parsed object: its header, where it came from and where its pixels lie.

    Parameters
    ----------
    dataset : all elements before the pixel data.
    pixels : None when the object has no pixel data.
    size : bytes of the whole object.
    transfer_syntax_uid : as stated, or as found in a bare data set.
    varying : of an object that was read beside others, the tags in which it may differ from
        all others that hold this same set (`read_alike.py`); None of one that stands alone.
    """

    dataset: Dataset
    source: Source
    pixels: PixelPlace | None
    size: int
    transfer_syntax_uid: str
    varying: set[int] | None = None


def read_instance(source: Source) -> Instance:
    """Return the parsed header of one DICOM object.

    Raises
    ------
    NotDicomError : the bytes are neither a Part 10 file nor a bare data set.
    TruncatedError : the object ends inside an element.
    """
    return read_with_head(source)[0]


def read_with_head(source: Source) -> tuple[Instance, bytes]:
    """Return the parsed header of one object, and the bytes that it was parsed from.

    Raises
    ------
    NotDicomError, TruncatedError : as `read_instance`.
    """
    size = len(source) if isinstance(source, bytes) else os.stat(source).st_size
    window = WINDOW_BYTES
    while True:
        head = _head(source, min(window, size))
        whole = len(head) >= size
        try:
            found = _parse(head)
        except (NotDicomError, TruncatedError):
            if whole or _is_foreign(head):
                raise
            found = None
        if found is not None and (found[1] is not None or whole):
            dataset, pixels = found
            if pixels is None:
                _check_complete(dataset, head)
            return Instance(dataset, source, pixels, size, _transfer_syntax(dataset)), head
        window *= 16


@contextmanager
def readable_values(what: str) -> Iterator[None]:
    """Translate pydicom's failures to convert a damaged value, which come on access.

    Raises
    ------
    InputError : a value inside the block could not be converted.
    """
    try:
        yield
    except SuiteError:
        raise
    except Exception as error:
        # Broad: pydicom converts values on access and raises many types, some its own.
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's failure, not the object's
        raise InputError(
            f"expected readable attributes in {what}, found a damaged one ({type(error).__name__})"
        ) from None


def as_instance(source: Source | Instance) -> Instance:
    """Return a parsed object, parsing it where that was not done yet."""
    return source if isinstance(source, Instance) else read_instance(source)


def read_identity(source: Source) -> Dataset:
    """Return what identifies an object, also of one that is damaged further on.

    Only elements up to Series Instance UID are read; the data set is empty where even
    those cannot be.
    """
    head = _head(source, WINDOW_BYTES)
    if _is_foreign(head):
        return Dataset()
    try:
        return read_partial(
            io.BytesIO(head), stop_when=lambda tag, _vr, _length: tag > 0x0020000E, force=True
        )
    except Exception:
        # Broad: the object is known to be damaged, and the caller reports it.
        return Dataset()


def read_whole(source: Source) -> Dataset:
    """Return the data set with its pixel data, for encodings that cannot be read in place.

    Raises
    ------
    NotDicomError, TruncatedError : as `read_instance`.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    return _translate(lambda: pydicom.dcmread(io.BytesIO(content), force=True))


def _head(source: Source, count: int) -> bytes:
    if isinstance(source, bytes):
        return source[:count]
    with source.open("rb") as file:
        return file.read(count)


def _parse(head: bytes) -> tuple[Dataset, PixelPlace | None]:
    if _is_foreign(head):
        raise NotDicomError(
            "expected a DICOM Part 10 file or data set, found neither prefix nor elements"
        )
    seen: list[tuple[int, str | None, int]] = []

    def stop(tag: int, vr: str | None, length: int) -> bool:
        if tag not in PIXEL_TAGS:
            return False
        seen.append((int(tag), vr, length))
        return True

    stream = io.BytesIO(head)
    dataset = _translate(lambda: read_partial(stream, stop_when=stop, force=True))
    # The data set keeps its elements; the window that it was read from is let go.
    dataset.buffer = None
    if not seen:
        return dataset, None
    tag, vr, length = seen[0]
    if _transfer_syntax(dataset) == DeflatedExplicitVRLittleEndian:
        return dataset, PixelPlace(tag, -1, None)
    offset = stream.tell() + (12 if vr in LONG_VRS else 8)
    return dataset, PixelPlace(tag, offset, None if length == UNDEFINED else length)


def _translate(parse: Callable[[], Dataset]) -> Dataset:
    """Run a pydicom parser and give its failures our names.

    The cause is not kept, here and in `readable_values`: pydicom's messages quote the bytes
    that they are about, which may be a patient's name.
    """
    try:
        return parse()
    except InvalidDicomError:
        raise NotDicomError("expected a DICOM object, found an unreadable one") from None
    except (EOFError, OSError, struct.error, zlib.error):
        # pydicom reports an object that ends inside a sequence as OSError.
        raise TruncatedError("expected complete elements, found the end of the object") from None
    except Exception as error:
        # Broad: pydicom raises many types on damaged bytes; none of them is ours to fix.
        raise NotDicomError(
            f"expected a DICOM object, found damaged elements ({type(error).__name__})"
        ) from None


def _is_foreign(head: bytes) -> bool:
    """Say whether the bytes are neither a Part 10 file nor start like a data set."""
    if head[128:132] == b"DICM":
        return False
    if len(head) < 8:
        return True
    group, element, length = struct.unpack("<HHL", head[:8])
    if (group, element) in {(0x0002, 0x0000), (0x0002, 0x0001), (0x0002, 0x0010)}:
        return False
    vr = head[4:6]
    explicit = vr.isalpha() and vr.isupper()
    if group == 0x0008 and element <= 0x0060:
        return not explicit and length > 1024
    big = struct.unpack(">HH", head[:4])
    return not (explicit and big[0] == 0x0008 and big[1] <= 0x0060)


def _transfer_syntax(dataset: Dataset) -> str:
    stated = dataset.file_meta.get("TransferSyntaxUID")
    if stated:
        return str(stated)
    implicit, little = dataset.original_encoding
    if not little:
        return str(ExplicitVRBigEndian)
    return "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"


def _check_complete(dataset: Dataset, content: bytes) -> None:
    """Raise TruncatedError when the last element is shorter than it says.

    pydicom returns what it could read; only the last element can be short.
    """
    tags = list(dataset.keys())
    if not tags:
        raise TruncatedError("expected a data set, found no element after the meta information")
    if _transfer_syntax(dataset) == DeflatedExplicitVRLittleEndian:
        return
    last = dataset.get_item(tags[-1])
    if not isinstance(last, RawDataElement) or last.length == UNDEFINED:
        return
    held = len(last.value) if last.value is not None else 0
    rest = content[last.value_tell + last.length :]
    if held < last.length or (0 < len(rest) < 8 and any(rest)):
        raise TruncatedError(
            f"expected {last.length} bytes in element {last.tag}, found the end of the object"
        )
