"""Reports as values: what is stated is printed, with its interval, in either language."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import canonical
from audit.errors import RecordError
from governance.report import (
    Bullets,
    Code,
    Column,
    Facts,
    Forest,
    Interval,
    Number,
    Report,
    Section,
    Status,
    Table,
    encode,
    every_section,
    number_text,
    numbers,
)

DSC = Number(0.8167, 3, 0.7904, 0.8395)


def report(*sections: Section) -> Report:
    """Return a report with these sections."""
    return Report("contouring 0.1.0", "Report", "en", (("digest", Code("sha256:1")),), sections)


def test_a_number_keeps_value_interval_and_n() -> None:
    """The printed number is rounded, the value is not; German has a decimal comma."""
    assert number_text(DSC, "en") == "0.817 (0.790 to 0.840)"
    assert number_text(DSC, "de") == "0,817 (0,790 bis 0,840)"
    assert number_text(Number(34.0, 0), "en") == "34"
    assert number_text(Number(-4.6, 1, n=7), "en") == "\N{MINUS SIGN}4.6 (n = 7)"
    assert number_text(Number(3.0, 1, signed=True), "de") == "+3,0"
    assert DSC.value == 0.8167


def test_zero_has_no_direction() -> None:
    """A value that rounds to zero is printed without a sign that its digits do not have."""
    assert number_text(Number(-0.0004, 2, signed=True), "en") == "0.00"
    assert number_text(Number(0.0004, 2, signed=True), "en") == "0.00"


@given(st.floats(-1e6, 1e6), st.integers(0, 4), st.booleans())
def test_a_printed_number_reads_back(value: float, digits: int, signed: bool) -> None:
    """What is printed differs from the value by at most half a unit of the last digit."""
    text = number_text(Number(value, digits, signed=signed), "en")
    found = float(text.replace("\N{MINUS SIGN}", "-"))
    assert math.isclose(found, value, abs_tol=0.5 * 10**-digits * (1 + 1e-9))


@pytest.mark.parametrize("ends", [(0.1, None), (None, 0.2), (0.1, math.nan), (math.inf, 0.2)])
def test_half_an_interval_is_refused(ends: tuple[float | None, float | None]) -> None:
    """An interval has two finite ends or is not there."""
    with pytest.raises(RecordError):
        Number(0.1, 2, *ends)


def test_a_table_has_a_cell_for_each_column() -> None:
    """A row that is too short cannot shift numbers under another title."""
    with pytest.raises(RecordError):
        Table("", (Column("a"), Column("b")), (("1", "2"), ("1",)))


def test_every_number_is_found() -> None:
    """Numbers of tables, facts and forests are given in order, also from inner sections."""
    inner = Section("inner", (Forest("f", "DSC", (Interval("all", Number(3, 0)),)),))
    found = report(
        Section("a", (Table("", (Column("x"),), ((Number(1, 0),), ("-",))),), (inner,)),
        Section("b", (Facts((("n", Number(4, 0)), ("s", Status("x")))), Bullets(("5",)))),
    )
    assert [number.value for number in numbers(found)] == [1, 3, 4]
    assert [section.title for section in every_section(found)] == ["a", "inner", "b"]


def test_a_report_has_a_digest() -> None:
    """The JSON values of a report are canonical, and another number is another digest."""
    one = report(Section("a", (Facts((("n", DSC),)),)))
    other = report(Section("a", (Facts((("n", Number(0.8168, 3, 0.7904, 0.8395)),)),)))
    assert canonical.encode(encode(one)) == canonical.encode(encode(one))
    assert canonical.encode(encode(one)) != canonical.encode(encode(other))
