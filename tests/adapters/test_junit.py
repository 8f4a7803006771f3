"""JUnit files: outcomes by node id, the worst of all parameters, and nothing hostile."""

import subprocess
import sys
from pathlib import Path

import pytest

from adapters.technical_file import junit
from audit.errors import ConfigurationError

CASE = '<testcase classname="tests.a.test_b" name="{name}">{inside}</testcase>'


def _file(*cases: tuple[str, str]) -> bytes:
    inside = "".join(CASE.format(name=name, inside=text) for name, text in cases)
    return f"<testsuites><testsuite>{inside}</testsuite></testsuites>".encode()


def test_the_worst_parameter_counts() -> None:
    """One failed parameter fails the test, and one skipped keeps it from having passed."""
    raw = _file(
        ("test_one[a]", ""),
        ("test_one[b]", "<failure/>"),
        ("test_one[c]", "<skipped/>"),
        ("test_two[a]", "<skipped/>"),
        ("test_two[b]", ""),
        ("test_three", ""),
        ("test_four", "<error/>"),
    )
    assert junit.outcomes(raw) == {
        "tests/a/test_b.py::test_four": "failed",
        "tests/a/test_b.py::test_one": "failed",
        "tests/a/test_b.py::test_three": "passed",
        "tests/a/test_b.py::test_two": "skipped",
    }


def test_a_file_of_pytest_itself_is_read(tmp_path: Path) -> None:
    """What the installed pytest writes gives the node ids that pytest takes."""
    folder = tmp_path / "tests" / "room"
    folder.mkdir(parents=True)
    (folder / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_good(n): pass\n"
        "def test_bad(): assert False\n"
        "class TestGroup:\n"
        "    def test_inside(self): pass\n"
    )
    report = tmp_path / "junit.xml"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "--import-mode=importlib",
         "--rootdir", tmp_path, f"--junit-xml={report}", "tests"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert junit.outcomes(report.read_bytes()) == {
        "tests/room/test_it.py::TestGroup::test_inside": "passed",
        "tests/room/test_it.py::test_bad": "failed",
        "tests/room/test_it.py::test_good": "passed",
    }


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not xml",
        b"<testsuites/>",
        b"<testsuites><testcase classname='' name='x'/></testsuites>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><testsuites>&b;</testsuites>",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_junit_file_is_refused(raw: bytes) -> None:
    """Empty, foreign and hostile files are refused in our own words."""
    with pytest.raises(ConfigurationError):
        junit.outcomes(raw)


def test_a_file_that_is_too_large_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is held before parsing."""
    monkeypatch.setattr(junit, "SIZE_LIMIT", 10)
    with pytest.raises(ConfigurationError):
        junit.outcomes(_file(("test_a", "")))
