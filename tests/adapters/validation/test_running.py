"""The harness on the work engine: same question, same digest; killed, it goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.validation.running import (
    MEASURED,
    RESULTS,
    Place,
    Question,
    UnfixedCriteriaError,
    read_results,
    run_harness,
)
from tests.simulators.validation_cohort import LINKAGE, contouring_under_test, phantom_cohort
from validation.cohort.cases import FolderFiles
from validation.cohort.manifest import CohortError
from validation.cohort.reading import digest
from validation.harness.plan import RunPlan, sweeps_of
from validation.harness.results import content_digest

FIXED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 2, 1, tzinfo=UTC)


def question(
    folder: Path, *, sweeps: str = "noise=20", count: int = 2, recorded: datetime | None = FIXED
) -> Question:
    """Return a question about phantoms, asked of the published contouring release."""
    cohort = phantom_cohort(folder / "cohort", count)
    under_test = contouring_under_test(folder)
    plan = RunPlan(
        under_test.digest,
        digest(cohort),
        "sha256:" + "c" * 64,
        "osteon-metrics/test",
        "held-out",
        sweeps=sweeps_of(sweeps.split(",")),
        repeat_cases=1,
        explained=(),
        phantoms=2,
    )
    files = FolderFiles(folder / "cohort")
    return Question(plan, cohort, files, LINKAGE, under_test, recorded)


@pytest.mark.reg("VAL-1", "AIA-15.1")
def test_the_same_question_gives_the_same_digest(tmp_path: Path) -> None:
    """Two runs in two places, on two days, have one content digest; repeats answer alike."""
    asked = question(tmp_path)
    first = run_harness(asked, Place(tmp_path / "one"), now=lambda: NOW)
    second = run_harness(asked, Place(tmp_path / "two"), now=lambda: NOW + timedelta(days=1))
    assert content_digest(first) == content_digest(second)
    assert first.evaluated_at != second.evaluated_at
    by_repeat = {
        item.condition.repeat: item.output_digest
        for item in first.cases
        if item.condition.name == "baseline"
        and item.condition.given == "ct+pet"
        and item.case_id in {r.case_id for r in first.cases if r.condition.repeat}
    }
    assert by_repeat[0] == by_repeat[1] != ""
    done = [item for item in first.cases if item.outcome == "done"]
    assert len(done) == len(first.cases) == 2 * 3 + 1 + 2
    placed = [item for item in done if item.condition.name == "phantom"]
    assert all(abs(item.metrics["centroid_error_frame_voxels"]) < 1 for item in placed)
    done = [item for item in done if item not in placed]
    assert all(item.metrics["dsc"] > 0.6 for item in done if "pet" in item.condition.given)
    folder = tmp_path / "one" / asked.plan.run_id
    assert read_results(folder) == first
    assert {RESULTS, MEASURED, "request.json"} <= {item.name for item in folder.iterdir()}
    assert len(list((folder / "cases").iterdir())) == 3
    assert {path.name for path in (folder / "pictures").iterdir()} == {
        f"case-{number}--{given}.png" for number in (0, 1) for given in ("ct", "ct+pet")
    }
    for path in (folder / "pictures").iterdir():
        other = tmp_path / "two" / asked.plan.run_id / "pictures" / path.name
        assert path.read_bytes() == other.read_bytes()


def test_criteria_come_before_the_first_result(tmp_path: Path) -> None:
    """Criteria on no record, or younger than the first result, stop the run by name."""
    asked = question(tmp_path)
    for recorded in (None, NOW + timedelta(seconds=1)):
        late = replace(asked, criteria_recorded_at=recorded)
        with pytest.raises(UnfixedCriteriaError) as caught:
            run_harness(late, Place(tmp_path / "late"), now=lambda: NOW)
        assert caught.value.code == "UNFIXED_CRITERIA"
    assert not list(tmp_path.glob("late/*/results.json"))


def test_a_changed_file_stops_the_run_and_the_right_one_lets_it_go_on(tmp_path: Path) -> None:
    """One flipped byte of one image is refused by name; with the byte back the run ends well."""
    asked = question(tmp_path, sweeps="none", count=1)
    image = tmp_path / "cohort" / "case-0" / "ct.npz"
    good = image.read_bytes()
    image.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    with pytest.raises(CohortError, match=r"."):
        run_harness(asked, Place(tmp_path / "runs"), now=lambda: NOW)
    image.write_bytes(good)
    assert len(run_harness(asked, Place(tmp_path / "runs"), now=lambda: NOW).cases) == 5


@pytest.mark.acceptance
@pytest.mark.reg("AIA-15.4")
def test_a_killed_run_goes_on_behind_its_last_step(tmp_path: Path) -> None:
    """SIGKILL in the middle: the second process takes only what was not done, and agrees."""
    script = Path(__file__).with_name("run_for_kill.py")
    sweeps = "noise,intensity-shift,rotation"
    command = [sys.executable, str(script), str(tmp_path), sweeps]
    child = subprocess.Popen(command, env={**os.environ})
    log = tmp_path / "judged.log"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and _count(log) < 4:
            time.sleep(0.02)
        assert child.poll() is None, "the child ended before it was killed"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    before = _count(log)
    subprocess.run(command, check=True, timeout=120)
    total = 2 * 8 + 1 + 2
    after = _count(log) - before
    assert 4 <= before < total
    assert total - before <= after <= total - before + 1  # the one that was in progress
    killed = read_results(next((tmp_path / "runs").iterdir()))
    asked = question(tmp_path, sweeps=sweeps)
    whole = run_harness(asked, Place(tmp_path / "whole"), now=lambda: NOW)
    assert content_digest(killed) == content_digest(whole)


def _count(log: Path) -> int:
    return len([json.loads(x) for x in log.read_text().splitlines()]) if log.exists() else 0
