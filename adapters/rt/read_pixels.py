"""Decode pixel data into native float32, one frame at a time.

Uncompressed frames are read straight from their place in the file into the volume;
compressed ones go through pydicom's decoders (gdcm, pylibjpeg).  Memory use is the volume
plus one frame, or plus one object where it is compressed or deflated.

MONOCHROME1 (PS3.3 C.7.6.3.1.2: the smallest value is shown white) says how to show
values, not what they mean.  Where values have a unit (CT, PET, dose) they are left alone;
where they have none (MR, radiographs) they are turned round within the stored range,
``lowest + highest - value``, so that larger is brighter.

Standard: PS3.5 Section 8 and Annex A; PS3.3 C.7.6.3 (Image Pixel), C.11.1 (Modality LUT).

Read next: `read_series.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels import iter_pixels
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from adapters.rt.read_alike import each
from adapters.rt.read_frames import Frame
from adapters.rt.read_part10 import Instance, read_whole
from audit.errors import (
    MissingAttributeError,
    ModalityError,
    TransferSyntaxError,
    TruncatedError,
)
from audit.pseudonym import short

JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
DECODED = frozenset(
    {"1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1.99"}
    | {f"1.2.840.10008.1.2.4.{part}" for part in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)}
)
_COMPILED = (np.dtype("<i2"), np.dtype("<u2"))
FLOAT_TAGS = {0x7FE00008: 32, 0x7FE00009: 64}


_FORMAT_KEYWORDS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation",
    "PhotometricInterpretation", "SamplesPerPixel",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How one object stores its pixels (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    floating: bool
    monochrome1: bool

    def frame_bytes(self) -> int:
        """Return the size of one uncompressed frame."""
        return self.rows * self.columns * self.bits_allocated // 8

    def limits(self) -> tuple[float, float]:
        """Return the lowest and highest value that can be stored."""
        if self.signed:
            return -(2.0 ** (self.bits_stored - 1)), 2.0 ** (self.bits_stored - 1) - 1
        return 0.0, 2.0**self.bits_stored - 1


def pixel_format(instance: Instance) -> PixelFormat:
    """Return how an object stores its pixels.

    Raises
    ------
    MissingAttributeError : an attribute of the Image Pixel module is absent.
    ModalityError : the image is in colour.
    TransferSyntaxError : it is stored in a way that cannot be decoded here.
    TruncatedError : it has no pixel data.
    """
    dataset, name = instance.dataset, _name(instance)
    if instance.pixels is None:
        raise TruncatedError(f"expected pixel data in {name}, found the end of the object")
    floating = instance.pixels.tag in FLOAT_TAGS
    keywords = ["Rows", "Columns", "BitsAllocated", "PhotometricInterpretation"]
    keywords += [] if floating else ["BitsStored", "PixelRepresentation"]
    for keyword in keywords:
        if dataset.get(keyword) in (None, ""):
            raise MissingAttributeError(f"expected {keyword} in {name}, found none")
    photometric = str(dataset.PhotometricInterpretation)
    if not photometric.startswith("MONOCHROME") or int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise ModalityError(f"expected a grey-scale image in {name}, found {photometric[:16]}")
    allocated = int(dataset.BitsAllocated)
    _check_encoding(instance, allocated, int(dataset.get("BitsStored") or allocated))
    return PixelFormat(
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        bits_allocated=allocated,
        bits_stored=int(dataset.get("BitsStored") or allocated),
        signed=int(dataset.get("PixelRepresentation") or 0) == 1,
        floating=floating,
        monochrome1=photometric == "MONOCHROME1",
    )


def pixel_formats(instances: Sequence[Instance]) -> list[PixelFormat]:
    """Return `pixel_format` of each object.

    Raises
    ------
    SuiteError : as `pixel_format`.
    """
    return each(instances, _FORMAT_KEYWORDS, pixel_format)


def decode(
    instances: Sequence[Instance],
    frames: Sequence[Frame],
    scales: Sequence[tuple[float, float]],
    *,
    turn_monochrome1: bool = False,
) -> NDArray[np.float32]:
    """Return (frames, rows, columns) float32 of ``stored * slope + intercept``.

    Parameters
    ----------
    frames : in the order of the volume.
    scales : slope and intercept of each frame.
    turn_monochrome1 : see the module docstring.

    Raises
    ------
    TruncatedError : pixel data are shorter than rows, columns and frames ask for.
    TransferSyntaxError : a compressed frame cannot be decoded.
    """
    layouts = pixel_formats(instances)
    shape = layouts[frames[0].instance_index]
    volume = np.empty((len(frames), shape.rows, shape.columns), dtype=np.float32)
    numbered = enumerate(frames)
    for index, group in groupby(numbered, key=lambda item: item[1].instance_index):
        places = list(group)
        source, layout = instances[index], layouts[index]
        wanted = [frame.frame_index for _, frame in places]
        for (place, _), stored in zip(places, _stored(source, layout, wanted), strict=True):
            _convert(stored, layout, scales[place], volume[place], turn_monochrome1)
    return volume


def same_pixels(instances: Sequence[Instance], first: Frame, second: Frame) -> bool:
    """Say whether two frames store the same values."""
    values = []
    for frame in (first, second):
        source = instances[frame.instance_index]
        values.append(next(_stored(source, pixel_format(source), [frame.frame_index])).copy())
    return bool(np.array_equal(values[0], values[1]))


def _check_encoding(instance: Instance, allocated: int, stored: int) -> None:
    syntax = instance.transfer_syntax_uid
    if syntax == JPEG_EXTENDED and stored > 8:
        raise TransferSyntaxError(
            "expected a transfer syntax that can be decoded, found JPEG Extended (Process 2 and "
            f"4) with {stored} bits in {_name(instance)}"
        )
    if syntax not in NATIVE | DECODED:
        raise TransferSyntaxError(
            f"expected a transfer syntax that can be decoded, found {UID(syntax).name[:64]} in "
            f"{_name(instance)}"
        )
    if allocated not in (8, 16, 32, 64) or not 0 < stored <= allocated:
        raise TransferSyntaxError(
            f"expected 8, 16, 32 or 64 bits allocated in {_name(instance)}, found {allocated} "
            f"with {stored} stored"
        )


def _stored(
    instance: Instance, layout: PixelFormat, wanted: Sequence[int]
) -> Iterator[NDArray[Any]]:
    """Yield stored values (rows, columns) of frames of one object; buffers are reused."""
    syntax = instance.transfer_syntax_uid
    swapped_bytes = syntax == ExplicitVRBigEndian and layout.bits_allocated == 8
    if syntax in NATIVE and not swapped_bytes:
        yield from _in_place(instance, layout, wanted)
    else:
        yield from _decoded(instance, wanted)


def _in_place(
    instance: Instance, layout: PixelFormat, wanted: Sequence[int]
) -> Iterator[NDArray[Any]]:
    pixels = instance.pixels
    assert pixels is not None  # pixel_format has refused the other case
    size = layout.frame_bytes()
    needed = size * (max(wanted) + 1)
    there = instance.size - pixels.offset
    if pixels.length is not None:
        there = min(there, pixels.length)
    if there < needed:
        raise TruncatedError(
            f"expected {needed} bytes of pixel data in {_name(instance)}, found {there}"
        )
    order = ">" if instance.transfer_syntax_uid == ExplicitVRBigEndian else "<"
    kind = "f" if layout.floating else "i" if layout.signed else "u"
    dtype = np.dtype(f"{order}{kind}{layout.bits_allocated // 8}")
    if isinstance(instance.source, bytes):
        for index in wanted:
            offset = pixels.offset + index * size
            flat = np.frombuffer(instance.source, dtype, layout.rows * layout.columns, offset)
            yield flat.reshape(layout.rows, layout.columns)
        return
    buffer = np.empty((layout.rows, layout.columns), dtype=dtype)
    file = os.open(instance.source, os.O_RDONLY)
    try:
        for index in wanted:
            _fill(file, pixels.offset + index * size, buffer, instance)
            yield buffer
    finally:
        os.close(file)


def _fill(file: int, offset: int, buffer: NDArray[Any], instance: Instance) -> None:
    view = buffer.data.cast("B")
    while view:
        count = os.preadv(file, [view], offset)
        if not count:
            raise TruncatedError(f"expected more pixel data in {_name(instance)}, found the end")
        view, offset = view[count:], offset + count


def _decoded(instance: Instance, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    dataset = read_whole(instance.source)
    if not any(
        keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    ):
        raise TruncatedError(f"expected pixel data in {_name(instance)}, found a part of them")
    dataset.file_meta.TransferSyntaxUID = UID(instance.transfer_syntax_uid)
    try:
        for array in iter_pixels(dataset, raw=True, indices=list(wanted)):
            yield np.asarray(array)
    except Exception as error:
        # Broad: the decoders raise many types; the object is unusable in every case.
        if instance.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            raise TruncatedError(
                f"expected pixel data of the stated size in {_name(instance)}"
            ) from None
        raise TransferSyntaxError(
            f"expected {UID(instance.transfer_syntax_uid).name} frames that decode in "
            f"{_name(instance)}, found damaged ones ({type(error).__name__})",
            advice="Send the object again from its source, uncompressed if it fails again.",
        ) from None


def _convert(
    stored: NDArray[Any],
    layout: PixelFormat,
    scale: tuple[float, float],
    target: NDArray[np.float32],
    turn: bool,
) -> None:
    """Write ``stored * slope + intercept`` into ``target``."""
    slope, intercept = scale
    spare = 0 if layout.floating else stored.dtype.itemsize * 8 - layout.bits_stored
    if spare > 0 and layout.bits_stored < layout.bits_allocated:
        # Bits above Bits Stored may hold overlays (PS3.5 8.1.1): shift them out and back.
        stored = np.right_shift(np.left_shift(stored, spare), spare)
    if turn and layout.monochrome1 and not layout.floating:
        lowest, highest = layout.limits()
        slope, intercept = -slope, intercept + slope * (lowest + highest)
    if stored.dtype in _COMPILED and stored.flags.c_contiguous:
        from models.physics.rescale import rescale

        rescale(stored, np.float32(slope), np.float32(intercept), target)
        return
    # 32-bit values (dose) are computed in double precision and rounded once.
    single = stored.dtype.itemsize <= 2
    kind = np.float32 if single else np.float64
    if slope == 1.0:
        np.add(stored, kind(intercept), out=target, casting="same_kind")
        return
    np.multiply(stored, kind(slope), out=target, casting="same_kind")
    if intercept != 0.0:
        target += np.float32(intercept)


def _name(instance: Instance) -> str:
    return f"instance {short(str(instance.dataset.get('SOPInstanceUID', '')))}"
