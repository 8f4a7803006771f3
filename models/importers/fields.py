"""Read values of a foreign document, each by its name, or say which field is at fault.

A document is JSON or YAML that somebody else wrote.  Every function takes the document, the
key and the place where a person finds it, and raises `ModelImportError` that names place,
what was expected and what was found; the content of a model is never repeated.

Read next: `description.py`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from audit.errors import ModelImportError

NOTHING = "nothing"
Triple = tuple[float, float, float]
_LONGEST = 60


def mapping(document: Any, place: str) -> Mapping[str, Any]:
    """Return a mapping with text keys."""
    if not isinstance(document, Mapping) or not all(isinstance(key, str) for key in document):
        raise ModelImportError(place, "a mapping with named keys", kind_of(document))
    return document


def section(document: Mapping[str, Any], key: str, place: str) -> Mapping[str, Any]:
    """Return the mapping under a key."""
    return mapping(present(document, key, place, "a section"), join(place, key))


def present(document: Mapping[str, Any], key: str, place: str, expected: str) -> Any:
    """Return the value under a key that must be there."""
    if document.get(key) is None:
        raise ModelImportError(join(place, key), expected, NOTHING)
    return document[key]


def text(document: Mapping[str, Any], key: str, place: str, default: str | None = None) -> str:
    """Return a text that is not empty."""
    if document.get(key) is None and default is not None:
        return default
    value = present(document, key, place, "a text")
    if not isinstance(value, str) or not value.strip():
        raise ModelImportError(join(place, key), "a text", kind_of(value))
    return value.strip()


def choice(
    document: Mapping[str, Any],
    key: str,
    place: str,
    choices: Collection[str],
    default: str | None = None,
) -> str:
    """Return one of several words."""
    value = document.get(key) if document.get(key) is not None else default
    if not isinstance(value, str) or value not in choices:
        raise ModelImportError(join(place, key), "one of " + ", ".join(choices), shown(value))
    return value


def number(value: Any, place: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number within limits, both included."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or not low <= value <= high:
        raise ModelImportError(place, f"a number{_limits(low, high)}", shown(value))
    return float(value)


def integer(value: Any, place: str, low: float = -math.inf, high: float = math.inf) -> int:
    """Return a whole number within limits, both included."""
    found = number(value, place, low, high)
    if found != int(found):
        raise ModelImportError(place, "a whole number", shown(value))
    return int(found)


def numbers(value: Any, place: str, count: int, low: float = -math.inf) -> tuple[float, ...]:
    """Return a list of so many numbers."""
    items = listed(value, place)
    if len(items) != count:
        raise ModelImportError(place, f"{count} numbers", f"{len(items)}")
    return tuple(number(item, f"{place}[{index}]", low) for index, item in enumerate(items))


def integers(value: Any, place: str, low: float = -math.inf) -> tuple[int, ...]:
    """Return a list of whole numbers."""
    return tuple(
        integer(item, f"{place}[{index}]", low) for index, item in enumerate(listed(value, place))
    )


def triple(value: Any, place: str, low: float = -math.inf) -> Triple:
    """Return three numbers."""
    first, second, third = numbers(value, place, 3, low)
    return first, second, third


def listed(value: Any, place: str) -> Sequence[Any]:
    """Return a list."""
    if not isinstance(value, (list, tuple)):
        raise ModelImportError(place, "a list", kind_of(value))
    return value


def flag(document: Mapping[str, Any], key: str, place: str, default: bool) -> bool:
    """Return true or false."""
    value = document.get(key, default)
    if not isinstance(value, bool):
        raise ModelImportError(join(place, key), "true or false", shown(value))
    return value


def only(document: Mapping[str, Any], allowed: Collection[str], place: str) -> None:
    """Refuse a key that nobody would read."""
    for key in document:
        if key not in allowed:
            raise ModelImportError(
                join(place, key), f"one of {', '.join(sorted(allowed))}", "an unknown field"
            )


def join(place: str, key: str) -> str:
    """Return the place of a key."""
    return f"{place}.{key}" if place and not place.endswith(":") else f"{place} {key}".strip()


def shown(value: Any) -> str:
    """Return a short value as it stands, or the kind of a long one."""
    if value is None:
        return NOTHING
    if isinstance(value, (str, int, float, bool)) and len(str(value)) <= _LONGEST:
        return str(value)
    return kind_of(value)


def kind_of(value: Any) -> str:
    """Return what kind of value it is, in words."""
    kinds = {Mapping: "a mapping", (list, tuple): "a list", str: "a text", bool: "a flag"}
    for kind, word in kinds.items():
        if isinstance(value, kind):  # type: ignore[arg-type]
            return word
    return NOTHING if value is None else f"a {type(value).__name__}"


def _limits(low: float, high: float) -> str:
    if low == -math.inf and high == math.inf:
        return ""
    if high == math.inf:
        return f" of at least {low:g}"
    return f" from {low:g} to {high:g}"
