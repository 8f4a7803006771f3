"""Canonical JSON (RFC 8785): the same value gives the same bytes on every machine.

Read next: `record.py`.
"""

from __future__ import annotations

import json
from typing import Any

import rfc8785

from audit.errors import RecordError

SAFE_INTEGER = 2**53 - 1
"""RFC 8785, 3.2.2.3: numbers are IEEE 754 doubles, exact up to here."""


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a JSON value; inverse of `decode`.

    Raises
    ------
    RecordError : a number is not finite or not exact as a double, a key is no string, or
        a value has no JSON form.
    """
    try:
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
