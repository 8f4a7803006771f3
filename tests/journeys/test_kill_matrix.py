"""Crash anywhere: the run resumes, nothing is lost and nothing is written twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "simulators" / "killable_site.py"
RUN_KINDS = {
    "done": ["inference", "input_read", "run_closed", "run_opened"],
    "refused": ["refusal", "run_closed", "run_opened"],
    "superseding": ["inference", "input_read", "run_closed", "run_opened"] * 2
    + ["route_decision", "study_event"],
    "corrected": ["inference", "input_read", "run_closed", "run_opened"] * 2,
}
SITE_KINDS = ["lifecycle", "release", "route_decision", "study_event"]
STATUSES = {
    "done": ["done"],
    "refused": ["refused"],
    "superseding": ["done", "done"],
    "corrected": ["done", "done"],
}
RESULTS = {"done": 4, "refused": 1, "superseding": 8, "corrected": 8}
BUNDLES = {"done": 1, "refused": 1, "superseding": 3, "corrected": 3}
TIMEOUT_S = 7200


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest) -> str:
    """No URL for SQLite files, or that of an empty PostgreSQL database."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    return ""


def _matrix(root: Path, answer: str, url: str, first: int, step: int) -> None:
    """Every life that was cut short is followed by one that leaves the same as an uncut one."""
    result = subprocess.run(
        [sys.executable, PROGRAM, str(root), str(first), str(step), answer, url],
        capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) > 2
    assert [line["died"] for line in lines] == [-9] * (len(lines) - 1) + [0]
    for line in lines:
        _check(line, answer)


def _check(line: dict, answer: str) -> None:  # type: ignore[type-arg]
    """A survivor finds one run, each result once, each record once, nothing left behind."""
    point = line["point"]
    assert (line["again"], line["checked"]) == (0, 0), point
    assert line["statuses"] == STATUSES[answer], point
    assert sum(line["superseded"]) == len(STATUSES[answer]) - 1, point
    assert line["delivery_states"] == ["verified"], point
    left = (line["instances"], line["bundles"], line["staged"])
    assert left == (RESULTS[answer], BUNDLES[answer], 0), point
    # What was acknowledged before the crash is looked for, not sent again.
    assert line["stored"] <= RESULTS[answer], point
    # A life that ends between sending and its record delivers in two rounds, and each
    # round puts the states that it found on record; every other record stands once.
    # What is noticed at a start (configuration, trusted keys) is the site's, not the run's.
    varied = {"delivery", "governed", "configuration_change"}
    if answer == "corrected":  # each instance that leaves the archive is told, in each life
        varied.add("study_event")
    kinds = [kind for kind in line["kinds"] if kind not in varied]
    expected = [kind for kind in RUN_KINDS[answer] + SITE_KINDS if kind not in varied]
    assert kinds == sorted(expected), point
    runs = len(STATUSES[answer])
    assert runs <= line["kinds"].count("delivery") <= runs + 1, point


@pytest.mark.slow
def test_killed_at_some_points(url: str, tmp_path: Path) -> None:
    """A sample of the matrix on each database: before and after commits."""
    _matrix(tmp_path, "done", url, 8, 29)


@pytest.mark.slow
def test_a_refusal_is_told_once_whenever_it_is_killed(tmp_path: Path) -> None:
    """A sample of the matrix of a refused study: its report and bundle leave once."""
    _matrix(tmp_path, "refused", "", 11, 17)


@pytest.mark.slow
def test_an_old_result_is_replaced_once_whenever_it_is_killed(tmp_path: Path) -> None:
    """A sample of the matrix of a late series: one new result, one mark on the old one."""
    _matrix(tmp_path, "superseding", "", 14, 31)


@pytest.mark.slow
def test_a_corrected_study_is_run_once_more_whenever_it_is_killed(tmp_path: Path) -> None:
    """A sample of the matrix of other pixels under the same UIDs: one new run, one mark."""
    _matrix(tmp_path, "corrected", "", 16, 37)


@pytest.mark.acceptance
@pytest.mark.parametrize("answer", STATUSES)
def test_killed_at_every_point(answer: str, url: str, tmp_path: Path) -> None:
    """The whole matrix on each database: before and after every commit of the path."""
    _matrix(tmp_path, answer, url, 1, 1)
