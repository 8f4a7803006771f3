"""Crash anywhere: the run resumes, nothing is lost and nothing is written twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "simulators" / "killable_site.py"
KINDS = ["delivery", "inference", "input_read", "run_closed", "run_opened"]


def _matrix(root: Path, first: int, step: int) -> None:
    """Every life that was cut short is followed by one that leaves the same as an uncut one."""
    result = subprocess.run(
        [sys.executable, PROGRAM, str(root), str(first), str(step)],
        capture_output=True, text=True, check=False, timeout=3600,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) > 2
    for line in lines:
        # A life that ends between sending and its record delivers in two rounds, and each
        # round puts the states that it found on record; every other record stands once.
        rounds = line["kinds"].count("delivery")
        assert rounds in (1, 2)
        line["kinds"] = line["kinds"][rounds - 1 :]
    whole = lines[-1]
    assert whole["died"] == 0
    for line in lines[:-1]:
        assert line["died"] == -9
        for key in ("statuses", "instances", "bundles", "kinds", "delivery_states", "staged"):
            assert line[key] == whole[key], (line["point"], key)
    assert whole["statuses"] == ["done"]
    assert whole["kinds"] == KINDS
    assert whole["delivery_states"] == ["verified"]
    assert whole["instances"] == 4
    assert whole["bundles"] == 1
    assert whole["staged"] == 0


@pytest.mark.slow
def test_killed_at_some_points(tmp_path: Path) -> None:
    """A sample of the matrix: one point in thirteen, before and after commits."""
    _matrix(tmp_path, 5, 13)


@pytest.mark.acceptance
def test_killed_at_every_point(tmp_path: Path) -> None:
    """The whole matrix: before and after every commit of the path."""
    _matrix(tmp_path, 1, 1)
