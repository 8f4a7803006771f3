"""The map from requirement to test is read from marks, wherever they stand."""

from governance.requirement_map import requirement_map, without_test

SOURCE = """
import pytest
pytestmark = [pytest.mark.slow, pytest.mark.reg("ALL")]

@pytest.mark.reg("ONE")
@pytest.mark.reg("TWO", "THREE")
def test_a(): ...

@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.reg("FOUR"))])
async def test_b(x): ...

@pytest.mark.reg("FIVE")
class TestC:
    @pytest.mark.reg("SIX")
    def test_d(self): ...
    def helper(self): ...

@pytest.mark.reg("NEVER")
def helper(): ...
"""


def test_every_mark_is_found_at_its_test() -> None:
    """Marks of function, parameter, class and module count for the tests below them."""
    found = requirement_map({"tests/t.py": SOURCE, "tests/broken.py": "def ("})
    assert found == {
        "ALL": ("tests/t.py::TestC::test_d", "tests/t.py::test_a", "tests/t.py::test_b"),
        "FIVE": ("tests/t.py::TestC::test_d",),
        "FOUR": ("tests/t.py::test_b",),
        "ONE": ("tests/t.py::test_a",),
        "SIX": ("tests/t.py::TestC::test_d",),
        "THREE": ("tests/t.py::test_a",),
        "TWO": ("tests/t.py::test_a",),
    }


def test_rows_without_a_test_keep_their_order() -> None:
    """What no test names is listed as the matrix lists it."""
    assert without_test(["B", "A", "C"], {"A": ("t",)}) == ("B", "C")
