"""Which weights of two releases differ, by tensor, without loading a network.

A safetensors file is a length, a JSON header and the bytes of the tensors
(huggingface.co/docs/safetensors, "Format"), so NumPy alone can compare two of them.  Other
files (ONNX, TorchScript) are compared by digest, and say so.  Files are paired by name,
then by role and fold of the training statement, then by their order where as many are left
on either side.

Read next: `difference_statements.py`.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from governance.difference_values import listed
from governance.release import Release

WEIGHTS = "weights/"
_HEADER_LIMIT = 100_000_000  # the format's own limit
_TYPES: Mapping[str, str] = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "|u1", "U8": "|u1"},
    **{"I8": "|i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8"},
    **{"I64": "<i8", "F8_E4M3": "|u1", "F8_E5M2": "|u1"},
}
_BYTES_ONLY = ("F8_E4M3", "F8_E5M2")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class TensorChange:
    """One tensor that was added, removed or changed.

    Parameters
    ----------
    code : TENSOR_ADDED, TENSOR_REMOVED, TENSOR_RESHAPED, TENSOR_RETYPED, TENSOR_CHANGED.
    max_difference, mean_difference : of absolute values, where the shapes are equal; None
        where they are not, or where a difference is not finite.
    """

    code: str
    name: str
    old_shape: tuple[int, ...] | None = None
    new_shape: tuple[int, ...] | None = None
    old_type: str = ""
    new_type: str = ""
    max_difference: float | None = None
    mean_difference: float | None = None


@dataclass(frozen=True, slots=True)
class WeightChange:
    """One weight file that was added, removed, renamed or changed.

    Parameters
    ----------
    code : WEIGHTS_ADDED, WEIGHTS_REMOVED, WEIGHTS_RENAMED (the bytes are the same),
        WEIGHTS_CHANGED, WEIGHTS_HEADER_CHANGED (all tensors are the same, the header's
        statements are not).
    old_name, new_name : below ``weights/``; empty where there is none.
    comparable : False where one of the files has no tensors that can be read.
    tensor_count : tensors in the two files together.
    tensors : those that differ, by name.
    max_difference, mean_difference : over all tensors of equal shape; None where one is.
    """

    code: str
    old_name: str
    new_name: str
    comparable: bool
    tensor_count: int
    tensors: tuple[TensorChange, ...]
    max_difference: float | None = None
    mean_difference: float | None = None


def weight_changes(old: Release, new: Release) -> tuple[WeightChange, ...]:
    """Return every weight file that differs, in the order of the new release's statement."""
    return tuple(
        change for before, after in _pairs(old, new) if (change := _change(old, new, before, after))
    )


def _pairs(old: Release, new: Release) -> Iterator[tuple[str, str]]:
    """Yield (old name, new name); an empty name where a file has no partner."""
    before, after = _names(old), _names(new)
    left = {name: name for name in after if name in before}
    roles = {place: name for name, place in _places(old.manifest).items() if name in before}
    for name, place in _places(new.manifest).items():
        partner = roles.get(place)
        if name in after and name not in left and partner and partner not in left.values():
            left[name] = partner
    rest_before = [name for name in before if name not in left.values()]
    rest_after = [name for name in after if name not in left]
    if len(rest_before) == len(rest_after):
        left |= dict(zip(rest_after, rest_before, strict=True))
        rest_before = []
    for name in after:
        yield left.get(name, ""), name
    for name in rest_before:
        yield name, ""


def _names(release: Release) -> list[str]:
    """Return the weight files, as ordered by the manifest; further ones sorted behind."""
    there = [name.removeprefix(WEIGHTS) for name in release.members if name.startswith(WEIGHTS)]
    stated = [name for name in listed(release.manifest.get("weights")) if name in there]
    return [*dict.fromkeys(stated), *(name for name in there if name not in stated)]


def _places(manifest: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return file -> (role, fold) of the training statement."""
    return {
        str(row.get("file")): (str(row["role"]), str(row["fold"]))
        for row in listed(manifest.get("training"))
        if isinstance(row, Mapping) and "role" in row and "fold" in row
    }


def _change(old: Release, new: Release, before: str, after: str) -> WeightChange | None:
    if not before or not after:
        word = "REMOVED" if before else "ADDED"
        content = (old if before else new).member(WEIGHTS + (before or after))
        tensors = read_tensors(content)
        count = len(tensors or {})
        return WeightChange(f"WEIGHTS_{word}", before, after, tensors is not None, count, ())
    members = old.manifest["members"], new.manifest["members"]
    if members[0][WEIGHTS + before] == members[1][WEIGHTS + after]:
        renamed = WeightChange("WEIGHTS_RENAMED", before, after, True, 0, ())
        return None if before == after else renamed
    first = read_tensors(old.member(WEIGHTS + before))
    second = read_tensors(new.member(WEIGHTS + after))
    if first is None or second is None:
        return WeightChange("WEIGHTS_CHANGED", before, after, False, 0, ())
    return _compared(before, after, first, second)


def _compared(
    before: str, after: str, first: Mapping[str, Tensor], second: Mapping[str, Tensor]
) -> WeightChange:
    names = sorted({*first, *second})
    found = tuple(
        change
        for name in names
        if (change := _tensor_change(name, first.get(name), second.get(name)))
    )
    both = [second[name] for name in names if name in first and name in second]
    measured = {c.name: c for c in found if c.max_difference is not None}
    changed = {change.name for change in found}
    numbers = sum(t.size for t in both if t.name in measured or t.name not in changed)
    total = sum(
        (change.mean_difference or 0.0) * second[name].size for name, change in measured.items()
    )
    return WeightChange(
        "WEIGHTS_CHANGED" if found else "WEIGHTS_HEADER_CHANGED",
        *(before, after, True, len(names), found),
        max((c.max_difference or 0.0 for c in measured.values()), default=None),
        total / numbers if measured and numbers else None,
    )


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a safetensors file: its type, shape and raw little-endian bytes."""

    name: str
    type: str
    shape: tuple[int, ...]
    content: memoryview

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)

    def values(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return some elements, counted in memory order, as float64."""
        raw = np.frombuffer(self.content, dtype=_TYPES[self.type])[start:stop]
        if self.type == "BF16":  # the upper half of a float32
            return (raw.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        return raw.astype(np.float64)


def read_tensors(content: bytes) -> dict[str, Tensor] | None:
    """Return the tensors of a safetensors file by name, or None where it is none.

    Nothing in the header is trusted: a type that is unknown, or bytes that do not fit the
    shape, make it none.
    """
    try:
        (length,) = struct.unpack_from("<Q", content)
        if length > min(_HEADER_LIMIT, len(content) - 8):
            return None
        header = json.loads(content[8 : 8 + length])
        data = memoryview(content)[8 + length :]
        rows = {name: row for name, row in header.items() if name != "__metadata__"}
        return {name: _tensor(name, row, data) for name, row in rows.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _tensor(name: str, row: Mapping[str, Any], data: memoryview) -> Tensor:
    start, end = (int(value) for value in row["data_offsets"])
    shape = tuple(int(value) for value in row["shape"])
    expected = math.prod(shape) * np.dtype(_TYPES[row["dtype"]]).itemsize
    if min((*shape, start), default=0) < 0 or end > len(data) or end - start != expected:
        raise ValueError(f"expected {expected} bytes of tensor {name}")
    return Tensor(name, str(row["dtype"]), shape, data[start:end])


def _tensor_change(name: str, first: Tensor | None, second: Tensor | None) -> TensorChange | None:
    if first is None or second is None:
        one = first or second
        word = "TENSOR_ADDED" if first is None else "TENSOR_REMOVED"
        shape, kind = (one.shape, one.type) if one else ((), "")
        if first is None:
            return TensorChange(word, name, new_shape=shape, new_type=kind)
        return TensorChange(word, name, old_shape=shape, old_type=kind)
    stated = (first.shape, second.shape, first.type, second.type)
    if first.shape != second.shape:
        return TensorChange("TENSOR_RESHAPED", name, *stated)
    if first.type == second.type and first.content == second.content:
        return None
    code = "TENSOR_CHANGED" if first.type == second.type else "TENSOR_RETYPED"
    return TensorChange(code, name, *stated, *_distance(first, second))


def _distance(first: Tensor, second: Tensor) -> tuple[float | None, float | None]:
    """Return the largest and the mean absolute difference; None where one is not finite."""
    if first.type in _BYTES_ONLY or second.type in _BYTES_ONLY:
        return None, None
    largest, total = 0.0, 0.0
    for start in range(0, first.size, _CHUNK):
        one, other = first.values(start, start + _CHUNK), second.values(start, start + _CHUNK)
        equal = (one == other) | (np.isnan(one) & np.isnan(other))
        with np.errstate(invalid="ignore"):
            apart = np.where(equal, 0.0, np.abs(one - other))
        if not np.isfinite(apart).all():
            return None, None
        largest, total = max(largest, float(apart.max())), total + float(apart.sum())
    return largest, total / max(first.size, 1)
