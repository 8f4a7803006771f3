"""Tests name rows of the regulatory matrix that exist; the summary prints the rows without."""

from pathlib import Path

from governance.applicability import shipped
from governance.requirement_map import requirement_map, without_test

TESTS = Path(__file__).resolve().parents[1]


def test_marked_rows_exist() -> None:
    """A mark with a slip of the pen would prove a requirement that nobody has."""
    sources = {str(path): path.read_text("utf-8") for path in TESTS.rglob("test_*.py")}
    mapped = requirement_map(sources)
    known = {duty.duty_id for duty in shipped().duties}
    assert set(mapped) <= known, sorted(set(mapped) - known)
    assert len(without_test(sorted(known), mapped)) < len(known)
