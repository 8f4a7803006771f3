"""Canonical JSON: one spelling for each value, the one that RFC 8785 gives."""

import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import SAFE_INTEGER, decode, encode
from audit.errors import RecordError

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_NUMBERS = st.one_of(
    st.integers(-SAFE_INTEGER, SAFE_INTEGER),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, 1e-7, 1e-6, 5e-5, 1e16, 1e21, 0.1 + 0.2, 2.0**60]),
)
_LEAVES = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXT)
VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXT, inner, max_size=4)),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_is_written_as_the_reference_writes_it(value: Any) -> None:
    """The faster way gives the very bytes of the RFC's implementation."""
    assert encode(value) == rfc8785.dumps(value)


@given(VALUES)
def test_what_was_written_is_read_and_written_again_alike(value: Any) -> None:
    """Reading and writing once more changes no byte."""
    data = encode(value)
    assert encode(decode(data)) == data


def test_the_example_of_the_standard() -> None:
    """Appendix-like example: keys by UTF-16 units, numbers and escapes of ECMAScript."""
    value = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }  # RFC 8785, 3.2.3
    keys = [line.split(":")[0] for line in encode(value).decode()[1:-1].split(",")]
    assert keys == [
        '"\\r"', '"1"', '"\u0080"', '"\u00f6"', '"\u20ac"', '"\U0001f600"', '"\ufb33"',
    ]  # fmt: skip
    numbers = [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001]
    assert encode(numbers) == b"[333333333.3333333,1e+30,4.5,0.002,1e-27]"  # RFC 8785, 3.2.2


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 2**53, {1: "a"}, {"a": {2}}, b"a", "\ud800", {"\ud800": 1}]
)
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    """A value that other machines would read otherwise, or not at all, is not written."""
    with pytest.raises(RecordError):
        encode(value)
