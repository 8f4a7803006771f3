"""Canonical JSON (RFC 8785): the same value gives the same bytes on every machine.

`rfc8785` writes every value; where a value consists only of what the standard library's
encoder writes in the same way, that encoder is used, because it is many times faster and
every record of the log passes through here.  A property test holds the two together.

Read next: `record.py`.
"""

from __future__ import annotations

import json
from typing import Any

import rfc8785

from audit.errors import RecordError

SAFE_INTEGER = 2**53 - 1
"""RFC 8785, 3.2.2.3: numbers are IEEE 754 doubles, exact up to here."""

_SMALLEST, _LARGEST = 1e-4, 1e16
"""Between these `repr` writes a double without an exponent."""
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a JSON value; inverse of `decode`.

    Raises
    ------
    RecordError : a number is not finite or not exact as a double, a key is no string, or
        a value has no JSON form.
    """
    try:
        if _is_simple(value):
            return _ENCODER.encode(value).encode()
        return bytes(rfc8785.dumps(value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise RecordError(
            f"expected a JSON value, found a fault: {type(error).__name__}"
        ) from error


def decode(data: bytes) -> Any:
    """Return the JSON value of canonical bytes; other spellings of it are refused.

    Raises
    ------
    RecordError : the bytes are not the canonical form of what they say.
    """
    try:
        value = json.loads(data, parse_int=_number)
    except ValueError as error:
        raise RecordError("expected canonical JSON, found other bytes") from error
    if encode(value) != data:
        raise RecordError("expected canonical JSON, found another spelling of the value")
    return value


def _number(text: str) -> int | float:
    """Return an integer that a double holds exactly as itself, a larger one as the double."""
    number = int(text)
    return number if abs(number) <= SAFE_INTEGER else float(text)


def _is_simple(value: Any) -> bool:
    """Tell whether the standard library writes a value as RFC 8785 does.

    3.2.2.3: numbers as ECMAScript writes them, which `repr` does but for whole doubles and
    exponents.  3.2.3: keys in the order of their UTF-16 units, which for ASCII is that of
    their code points.  Strings (3.2.2.2) are escaped alike.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return bool(-SAFE_INTEGER <= value <= SAFE_INTEGER)
    if kind is float:
        return bool(_SMALLEST <= abs(value) < _LARGEST and not value.is_integer())
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or not _is_simple(item):
                return False
        return True
    if kind is list or kind is tuple:
        return all(map(_is_simple, value))
    return False
