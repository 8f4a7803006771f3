"""Typed values as bytes: across the border of a worker process, and into staging.

A value becomes a JSON header and the raw bytes of its arrays, each on a 64-byte border.
Decoding is driven by the annotations of our own dataclasses and runs their validation, so
that nothing but these values can come out of it: no code, no other class, no missing
field.  (Pickle would let a plugin run code in the host.)  `encode` and `decode` are
inverses.

Read next: `array_box.py` (arrays), `channel.py` (how a message crosses a process border),
`staging.py` (how one is kept).
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.errors import SuiteError
from plugins.host.array_box import ArrayError, decode_array, encode_array

ALIGNMENT = 64
Buffer = bytes | bytearray | memoryview


class WireError(Exception):
    """The bytes or the value are not one of our typed values; the text names the field."""


@dataclass(frozen=True, slots=True)
class Message:
    """A value in transit: the header, and where each buffer belongs in the block.

    ``buffers`` are (offset, bytes) in ascending order; ``size`` is the block's length.
    """

    header: bytes
    buffers: tuple[tuple[int, memoryview], ...]
    size: int

    def block(self) -> bytearray:
        """Return the whole block in memory; for small values and tests."""
        joined = bytearray(self.size)
        for offset, buffer in self.buffers:
            joined[offset : offset + buffer.nbytes] = buffer
        return joined


def encode(value: Any, kind: Any) -> Message:
    """Return ``value``, which must be of the annotated type ``kind``, as a message.

    Raises
    ------
    WireError : a field has another type than its annotation says.
    """
    packer = _Packer()
    tree = packer.tree(value, kind, kind_name(kind))
    header = {"tree": tree, "arrays": packer.table, "size": packer.size}
    return Message(
        json.dumps(header, separators=(",", ":")).encode(), packer.buffers(), packer.size
    )


def decode(header: Buffer, block: Buffer, kind: Any, *, finite: bool = False) -> Any:
    """Return the value of type ``kind``; inverse of `encode`.

    Arrays are read-only; one that fills its whole box shares memory with ``block``.

    Parameters
    ----------
    finite : refuse NaN and infinity anywhere in the value.

    Raises
    ------
    WireError : the bytes are not a value of this type; nothing was built.
    """
    try:
        document = json.loads(bytes(header))
        tables = document["arrays"]
        arrays = [decode_array(entry, memoryview(block), finite=finite) for entry in tables]
        return _Unpacker(arrays, finite).value(document["tree"], kind, kind_name(kind))
    except (SuiteError, ArrayError) as error:  # a dataclass refused its own content
        raise WireError(str(error)) from error
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, AttributeError) as error:
        raise WireError(f"malformed message: {type(error).__name__}") from error


def kind_name(kind: Any) -> str:
    """Return the short name of an annotation, for messages."""
    return getattr(kind, "__name__", str(kind))


class _Packer:
    """Collects the arrays of one value while its tree is built."""

    def __init__(self) -> None:
        self.table: list[dict[str, Any]] = []
        self.size = 0
        self._parts: list[tuple[int, memoryview]] = []

    def buffers(self) -> tuple[tuple[int, memoryview], ...]:
        return tuple(self._parts)

    def tree(self, value: Any, kind: Any, where: str) -> Any:
        """Return JSON for ``value``; the annotation decides what is allowed."""
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (types.UnionType, typing.Union):
            return self._union(value, arguments, where)
        if origin is np.ndarray:
            return self._array(value, _dtype(kind), where)
        if is_dataclass(kind):
            if type(value) is not kind:
                raise _wrong(kind, value, where)
            hints = _hints(typing.cast(Hashable, kind))
            return {
                name: self.tree(getattr(value, name), hint, f"{where}.{name}")
                for name, hint in hints.items()
            }
        if origin is tuple:
            inner = _items(value, arguments, where)
            return [self.tree(item, hint, f"{where}[]") for item, hint in inner]
        if origin is not None and issubclass(origin, Mapping):
            if not isinstance(value, Mapping) or not all(type(key) is str for key in value):
                raise _wrong(kind, value, where)
            return {key: self.tree(item, arguments[1], where) for key, item in value.items()}
        return _scalar(value, kind, where)

    def _union(self, value: Any, arguments: tuple[Any, ...], where: str) -> Any:
        for option in arguments:
            if is_dataclass(option) and type(value) is option:
                return {"$": kind_name(option), "value": self.tree(value, option, where)}
        if value is None and type(None) in arguments:
            return None
        return _first(arguments, value, where, lambda kind: self.tree(value, kind, where))

    def _array(self, value: Any, dtype: np.dtype[Any], where: str) -> int:
        if not isinstance(value, np.ndarray) or value.dtype != dtype:
            raise _wrong(f"{dtype} array", getattr(value, "dtype", value), where)
        self.size += -self.size % ALIGNMENT
        entry, content = encode_array(value)
        self.table.append({**entry, "offset": self.size})
        self._parts.append((self.size, content))
        self.size += content.nbytes
        return len(self.table) - 1


class _Unpacker:
    """Builds values from a tree; every step checks against the annotation."""

    def __init__(self, arrays: Sequence[NDArray[Any]], finite: bool) -> None:
        self._arrays = arrays
        self._finite = finite

    def value(self, tree: Any, kind: Any, where: str) -> Any:
        """Return the value that ``tree`` describes."""
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (types.UnionType, typing.Union):
            return self._union(tree, arguments, where)
        if origin is np.ndarray:
            return self._array(tree, _dtype(kind), where)
        if is_dataclass(kind):
            hints = _hints(typing.cast(Hashable, kind))
            if not isinstance(tree, dict) or set(tree) != set(hints):
                raise _wrong(kind, tree, where)
            values = {
                name: self.value(tree[name], hints[name], f"{where}.{name}") for name in hints
            }
            return typing.cast(Any, kind)(**values)
        if origin is tuple:
            inner = _items(tree, arguments, where)
            return tuple(self.value(item, hint, f"{where}[]") for item, hint in inner)
        if origin is not None and issubclass(origin, Mapping):
            if not isinstance(tree, dict):
                raise _wrong(kind, tree, where)
            return {key: self.value(item, arguments[1], where) for key, item in tree.items()}
        result = _scalar(tree, kind, where)
        if self._finite and isinstance(result, float) and not np.isfinite(result):
            raise WireError(f"expected a finite {where}, found NaN or infinity")
        return result

    def _union(self, tree: Any, arguments: tuple[Any, ...], where: str) -> Any:
        if tree is None and type(None) in arguments:
            return None
        if isinstance(tree, dict) and set(tree) == {"$", "value"}:
            for option in arguments:
                if is_dataclass(option) and kind_name(option) == tree["$"]:
                    return self.value(tree["value"], option, where)
        return _first(arguments, tree, where, lambda kind: self.value(tree, kind, where))

    def _array(self, tree: Any, dtype: np.dtype[Any], where: str) -> NDArray[Any]:
        if type(tree) is not int or not 0 <= tree < len(self._arrays):
            raise _wrong("array", tree, where)
        found = self._arrays[tree]
        if found.dtype != dtype:
            raise _wrong(f"{dtype} array", found.dtype, where)
        return found


def _first(
    arguments: tuple[Any, ...], value: Any, where: str, attempt: Callable[[Any], Any]
) -> Any:
    """Return the first attempt that succeeds with a plain type of a union."""
    plain = [kind for kind in arguments if not is_dataclass(kind) and kind is not type(None)]
    for kind in plain:
        try:
            return attempt(kind)
        except WireError:
            if len(plain) == 1:
                raise
    raise _wrong(" | ".join(kind_name(option) for option in arguments), value, where)


def _scalar(value: Any, kind: Any, where: str) -> Any:
    """Return a JSON scalar; a NumPy scalar counts as the Python number that it holds."""
    if isinstance(value, np.generic):
        value = value.item()
    allowed = {float: (float, int), int: (int,), str: (str,), bool: (bool,)}.get(kind)
    if allowed is None or not isinstance(value, allowed):
        raise _wrong(kind, value, where)
    if isinstance(value, bool) and kind is not bool:
        raise _wrong(kind, value, where)
    return value


def _items(value: Any, arguments: tuple[Any, ...], where: str) -> list[tuple[Any, Any]]:
    """Return (item, annotation) pairs of a tuple; lists are JSON's tuples."""
    if not isinstance(value, (tuple, list)):
        raise _wrong("tuple", value, where)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return [(item, arguments[0]) for item in value]
    if len(value) != len(arguments):
        raise WireError(f"expected {len(arguments)} items in {where}, found {len(value)}")
    return list(zip(value, arguments, strict=True))


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {item.name: hints[item.name] for item in fields(typing.cast(Any, kind))}


@cache
def _dtype(kind: Hashable) -> np.dtype[Any]:
    scalar: type[Any] = typing.get_args(typing.get_args(kind)[1])[0]
    return np.dtype(scalar)


def _wrong(expected: Any, found: Any, where: str) -> WireError:
    """Name types only: a value may hold patient data."""
    name = str(found) if isinstance(found, np.dtype) else type(found).__name__
    return WireError(f"expected {kind_name(expected)} in {where}, found {name}")
