"""The benchmark's table: turns, ratios, and a peer that is not there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.benchmarks import numerics
from adapters.benchmarks.kept_rows import keep_row, kept_rows
from adapters.benchmarks.numerics import numerics_table, subjects, wanted
from adapters.benchmarks.subjects import SHAPE, SPACING_MM, regions, volume_mm3
from adapters.cli.main import app
from audit.errors import ConfigurationError
from validation.benchmarks.table import Measured, Row, Spent, Turns, lines, measure, sentence


def test_sides_take_turns_and_the_ratio_is_of_medians() -> None:
    """Each side runs once to warm up, then in turn; agreement is asked for at the end."""
    order: list[str] = []
    times = {"ours": iter([9.0, 1.0, 2.0, 3.0]), "theirs": iter([9.0, 20.0, 10.0, 30.0])}

    def side(name: str) -> Spent:
        order.append(name)
        seconds = next(times[name])
        return Spent(seconds, 2 * seconds if name == "ours" else seconds)

    row = Row("f", "p", 10, lambda: side("ours"), lambda: side("theirs"), lambda: "same")
    found = measure(row, Turns(3))
    assert order == ["ours", "theirs"] + ["theirs", "ours"] * 3
    assert (found.ours_median_s, found.theirs_median_s, found.ratio) == (2.0, 20.0, 10.0)
    assert (found.ours_minimum_s, found.theirs_minimum_s) == (1.0, 10.0)
    assert (found.ours_cpu_s, found.theirs_cpu_s, found.cpu_ratio) == (4.0, 20.0, 5.0)
    assert (found.reached, found.turns) == (True, 3)
    assert lines([found])[0][-1] == "same"
    assert "10.0 times, processor time 5.0 times, goal 10 reached; 3 turns" in sentence(found)


def test_a_row_that_takes_long_gets_one_turn() -> None:
    """When the time of a row is over no further turn begins, but one there always is."""
    row = Row("f", "p", 1, lambda: Spent(1, 1), lambda: Spent(3, 3), lambda: "same")
    assert measure(row, Turns(9, seconds=0.0)).turns == 1


def test_a_peer_that_is_not_installed_is_named(tmp_path: Path) -> None:
    """A row without its peer says how to get it, and gives no figure."""
    (row,) = numerics_table(wanted("DVH", ()), Turns(1), tmp_path)
    assert "make peers" in row.missing
    assert math.isnan(row.ratio)
    assert not row.reached


def test_measured_rows_are_kept_and_not_measured_again(tmp_path: Path) -> None:
    """A row comes back from the file as it was; one without its peer is not kept."""
    row = Measured("DVH, 10 ROIs, 3 mm", "p", 50, 1, 1, 60, 59, 2, 60, 5, "alike", 0.5)
    keep_row(tmp_path / "a" / "rows.jsonl", row)
    keep_row(tmp_path / "a" / "rows.jsonl", Measured("f", "q", 1, missing="not installed"))
    assert kept_rows(tmp_path / "a" / "rows.jsonl") == {("DVH, 10 ROIs, 3 mm", "p"): row}
    assert kept_rows(tmp_path / "none") == {}


@pytest.mark.parametrize("line", ["{", "[]", '{"function": "f"}', "3"])
def test_a_broken_file_of_rows_is_refused(tmp_path: Path, line: str) -> None:
    """A line that is no row stops the run by its number and leaves the file."""
    (tmp_path / "rows").write_text(line)
    with pytest.raises(ConfigurationError, match="line 1"):
        kept_rows(tmp_path / "rows")
    assert (tmp_path / "rows").read_text() == line


def test_the_command_shows_kept_rows_and_the_document_last(tmp_path: Path) -> None:
    """With every wanted row in the file nothing runs; rows go to the error stream with --json."""
    (subject,) = wanted("SEG write", ())
    row = Measured(subject.function, subject.peer, 10, 1, 1, 22, 21, 1, 30, 5, "same", 0.5)
    keep_row(tmp_path / "rows", row)
    command = ["bench", "--only", "numerics", "--function", "SEG", "--keep", str(tmp_path / "rows")]
    found = CliRunner().invoke(app, [*command, "--json"])
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)["numerics"]
    assert [(item["function"], item["ratio"], item["cpu_ratio"]) for item in document] == [
        ("SEG write, 10 segments", 22, 30)
    ]
    assert found.stderr.startswith("kept: SEG write")
    assert "kept: SEG write" in CliRunner().invoke(app, command).stdout


def test_rows_are_skipped_by_function_or_peer() -> None:
    """--skip leaves out what it names and nothing else."""
    everything, left = wanted("", ()), wanted("", ("nnU-Net", "CT load"))
    assert {item.peer for item in everything} - {item.peer for item in left} == {
        "nnU-Net",
        "pydicom",
        "SimpleITK",
    }
    assert len(everything) - len(left) == 3


def test_what_is_worked_on_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is kept is made for the first row and used by the next run."""
    made: list[Path] = []
    monkeypatch.setattr(numerics, "make", lambda folder: made.append(folder))
    for _ in range(2):
        (row,) = numerics_table(wanted("DVH", ()), Turns(1), tmp_path, tmp_path / "kept")
        assert row.missing
    assert made == [tmp_path / "kept"]


def test_every_subject_has_its_script() -> None:
    """No row names a script that is not there."""
    import adapters.benchmarks.peer as peer

    assert {(peer.SCRIPTS / f"{item.script[1]}.py").is_file() for item in subjects()} == {True}


@pytest.mark.parametrize("number", [2, 8, 9])
def test_regions_are_what_their_formula_says(number: int) -> None:
    """A solid, a shell and a pair: voxels fill their exact volume within 1 %."""
    from adapters.benchmarks.subjects import _mask

    mask = _mask(regions()[number])
    assert mask.shape == SHAPE
    volume = np.count_nonzero(mask) * math.prod(SPACING_MM)
    assert volume == pytest.approx(volume_mm3(regions()[number]), rel=0.01)
