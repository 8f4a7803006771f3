"""What was not run is said by name at the end of a session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest

@pytest.fixture
def server():
    pytest.skip("the server is not installed")

def test_one(server): pass
def test_two(server): pass
@pytest.mark.skipif(True, reason="no data here")
def test_three(): pass
def test_runs(): pass
"""


def _run(folder: Path, *options: str) -> str:
    (folder / "test_made.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.simulators.skipped"]
    command += ["-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder), *options]
    done = subprocess.run(
        [*command, str(folder)], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_skipped_tests_are_counted_by_name(tmp_path: Path) -> None:
    """Each reason stands with its number and the names, in one process and in several."""
    for options in (("-n", "0"), ("-n", "2")):
        text = _run(tmp_path, *options)
        assert "3 skipped, so not proved here" in text
        assert "2: the server is not installed" in text
        assert "1: no data here" in text
        for name in ("test_one", "test_two", "test_three"):
            assert f"    test_made.py::{name}" in text
        assert "test_runs" not in text


def test_nothing_is_said_where_nothing_was_skipped(tmp_path: Path) -> None:
    """A session that ran everything ends without the block."""
    assert "not proved here" not in _run(tmp_path, "-n", "0", "-k", "test_runs")
