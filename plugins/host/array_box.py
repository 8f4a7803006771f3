"""One array as bytes: the box around its non-zero elements, in little-endian order.

Contours and attributions are mostly zeros, so the box of a tumour is a hundredth of its
volume.  Bit patterns decide what is zero, so that -0.0 survives.  `encode_array` and
`decode_array` are inverses for the types in `DTYPES`.

Read next: `wire.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ELEMENT_LIMIT = 2**31
DTYPES = frozenset({"bool", "uint8", "int16", "int32", "int64", "float32", "float64"})


class ArrayError(Exception):
    """The bytes are not an array that may be decoded."""


def encode_array(array: NDArray[Any]) -> tuple[dict[str, Any], memoryview]:
    """Return the entry {dtype, shape, box} of an array and the bytes inside its box."""
    if array.dtype.name not in DTYPES or not array.dtype.isnative:
        raise ArrayError(f"expected a native array of {sorted(DTYPES)}, found {array.dtype}")
    box = _box(array)
    inside = np.ascontiguousarray(array[_slices(box)])
    entry = {"dtype": array.dtype.name, "shape": list(array.shape), "box": box}
    return entry, memoryview(inside.reshape(-1).view(np.uint8).data)


def decode_array(entry: Mapping[str, Any], block: memoryview, *, finite: bool) -> NDArray[Any]:
    """Return the read-only array whose box lies in ``block`` at ``entry["offset"]``.

    It shares memory with ``block`` where its box is the whole array.

    Raises
    ------
    ArrayError : the entry is malformed, the array larger than `ELEMENT_LIMIT`, or, where
        ``finite`` is asked for, an element is NaN or infinite.
    """
    shape, box, offset = entry["shape"], entry["box"], entry["offset"]
    numbers = [*shape, offset, *(edge for pair in box for edge in pair)]
    if entry["dtype"] not in DTYPES or not all(type(n) is int and n >= 0 for n in numbers):
        raise ArrayError("malformed array entry")
    if len(shape) > 8 or _product(shape) > ELEMENT_LIMIT:
        raise ArrayError(f"expected an array of at most {ELEMENT_LIMIT} elements, found {shape}")
    if any(not start <= stop <= n for (start, stop), n in zip(box, shape, strict=True)):
        raise ArrayError("malformed array box")
    dtype = np.dtype(entry["dtype"])
    extent = [stop - start for start, stop in box]
    content = block[offset : offset + _product(extent) * dtype.itemsize]
    inside: NDArray[Any] = np.frombuffer(content, np.uint8).view(dtype).reshape(extent)
    if dtype.kind == "b" and inside.size and inside.view(np.uint8).max() > 1:
        raise ArrayError("expected a bool array, found other bytes")
    if finite and dtype.kind == "f" and not np.isfinite(inside).all():
        raise ArrayError("expected finite arrays, found NaN or infinity")
    if extent != shape:
        whole = np.zeros(shape, dtype)
        whole[_slices(box)] = inside
        inside = whole
    inside.flags.writeable = False
    return inside


def _box(array: NDArray[Any]) -> list[list[int]]:
    """Return [start, stop] along each axis of the smallest box that holds all non-zero bits."""
    whole = [[0, n] for n in array.shape]
    if array.ndim != 3 or array.size == 0:
        return whole
    bits = array.view(f"u{array.dtype.itemsize}")
    faces = (face for axis in range(3) for face in (bits.take(0, axis), bits.take(-1, axis)))
    if all(face.any() for face in faces):
        return whole
    occupied = [index for index, frame in enumerate(bits) if frame.any()]
    if not occupied:
        return [[0, 0], [0, 0], [0, 0]]
    frames = [occupied[0], occupied[-1] + 1]
    plane = np.bitwise_or.reduce(bits[slice(*frames)], axis=0)
    return [frames, _span(plane.any(axis=1)), _span(plane.any(axis=0))]


def _span(occupied: NDArray[np.bool_]) -> list[int]:
    found = np.flatnonzero(occupied)
    return [int(found[0]), int(found[-1]) + 1]


def _slices(box: Sequence[Sequence[int]]) -> tuple[slice, ...]:
    return tuple(slice(start, stop) for start, stop in box)


def _product(numbers: Sequence[int]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result
