"""Decimal text to numbers, each the double that is nearest to the text.

A number of at most 15 digits and a power of ten of at most 22 are both exact in a double, so
that one division or product of them is the nearest double (Clinger, How to read floating
point numbers accurately, 1990).  Text that asks for more, or holds anything else than a
number, is left to the caller.

Source: PS3.5 Section 6.2 (DS: digits, sign, point, exponent, spaces around).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled

_MOST = 10**15
_POWERS = np.array([10.0**power for power in range(23)])
_BACKSLASH, _SPACE, _PLUS, _MINUS, _POINT, _ZERO, _NINE = (ord(sign) for sign in "\\ +-.09")
_EXPONENTS = (ord("e"), ord("E"))


def parse_decimals(text: bytes) -> NDArray[np.float64] | None:
    """Return the numbers of a text with backslashes between them; None of any other text.

    Examples
    --------
    >>> parse_decimals(b"1.5\\\\-2 ").tolist()
    [1.5, -2.0]
    """
    signs = np.frombuffer(text, dtype=np.uint8)
    values = np.empty(text.count(b"\\") + 1)
    return values if _parse(signs, _POWERS, values) else None


@compiled
def _parse(
    signs: NDArray[np.uint8], powers: NDArray[np.float64], values: NDArray[np.float64]
) -> bool:
    place, count = 0, len(signs)
    for index in range(len(values)):
        while place < count and signs[place] == _SPACE:
            place += 1
        negative = place < count and signs[place] == _MINUS
        if place < count and (signs[place] == _MINUS or signs[place] == _PLUS):
            place += 1
        number, digits, power, pointed = np.int64(0), 0, 0, False
        while place < count:
            sign = signs[place]
            if _ZERO <= sign <= _NINE:
                number = number * 10 + np.int64(sign - _ZERO)
                digits += 1
                power -= pointed
                if number >= _MOST:
                    return False
            elif sign == _POINT and not pointed:
                pointed = True
            else:
                break
            place += 1
        if digits == 0:
            return False
        if place < count and (signs[place] == _EXPONENTS[0] or signs[place] == _EXPONENTS[1]):
            place, stated = _exponent(signs, place + 1)
            if place < 0:
                return False
            power += stated
        if not -23 < power < 23:
            return False
        while place < count and signs[place] == _SPACE:
            place += 1
        if place < count and signs[place] != _BACKSLASH:
            return False
        place += 1
        value = number / powers[-power] if power < 0 else number * powers[power]
        values[index] = -value if negative else value
    return True


@compiled
def _exponent(signs: NDArray[np.uint8], place: int) -> tuple[int, int]:
    """Return the place after a signed whole number of at most three digits, and the number."""
    negative = place < len(signs) and signs[place] == _MINUS
    if place < len(signs) and (signs[place] == _MINUS or signs[place] == _PLUS):
        place += 1
    begin, number = place, 0
    while place < len(signs) and _ZERO <= signs[place] <= _NINE and place < begin + 4:
        number = number * 10 + int(signs[place]) - _ZERO
        place += 1
    if place == begin or place == begin + 4:
        return -1, 0
    return place, -number if negative else number


def format_decimals(values: NDArray[np.float64], decimals: int) -> bytes:
    """Return numbers with a fixed count of decimals and backslashes between them, each as
    Python's ``format(value, ".4f")`` writes it.

    Examples
    --------
    >>> format_decimals(np.array([1.5, -2.00005]), 4).decode()
    '1.5000\\\\-2.0001'
    """
    text = np.empty(len(values) * _WIDEST, dtype=np.uint8)
    count = _format(values, 10.0**decimals, decimals, text)
    if count >= 0:
        return text[:count].tobytes()
    return "\\".join([f"{value:.{decimals}f}" for value in values.tolist()]).encode("ascii")


_WIDEST, _LARGEST = 20, 2.0**52
_SPLIT = 2.0**27 + 1
"""Veltkamp's constant: it cuts a double into two halves of 26 bits."""


@compiled
def _format(
    values: NDArray[np.float64], power: float, decimals: int, text: NDArray[np.uint8]
) -> int:
    """Write the numbers and return the count of bytes, -1 where one is too large.

    Source: Dekker, A floating-point technique for extending the available precision, 1971:
    the error of a product of two doubles is a double, so that a tie can be told exactly.
    """
    place = 0
    for index in range(len(values)):
        value = abs(values[index])
        scaled = value * power
        if not scaled < _LARGEST:
            return -1
        whole = np.floor(scaled)
        rest = scaled - whole
        number = np.int64(whole)
        if rest == 0.5:
            high, other = value * _SPLIT, power * _SPLIT
            high, other = high - (high - value), other - (other - power)
            low, less = value - high, power - other
            error = ((high * other - scaled) + high * less + low * other) + low * less
            number += np.int64(error > 0 or (error == 0 and number % 2 == 1))
        elif rest > 0.5:
            number += 1
        if index:
            text[place] = _BACKSLASH
            place += 1
        if np.signbit(values[index]):
            text[place] = _MINUS
            place += 1
        digits = decimals + 1
        while digits < 16 and number >= 10**digits:
            digits += 1
        place += digits + 1
        for digit in range(digits):
            at = place - 1 - digit - (digit >= decimals)
            text[at] = _ZERO + number % 10
            number //= 10
        text[place - 1 - decimals] = _POINT
    return place
