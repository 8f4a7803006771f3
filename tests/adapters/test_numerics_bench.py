"""The benchmark's table: turns, ratios, and a peer that is not there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from adapters.benchmarks.numerics import numerics_table, subjects
from adapters.benchmarks.subjects import SHAPE, SPACING_MM, regions, volume_mm3
from validation.benchmarks.table import Row, lines, measure


def test_sides_take_turns_and_the_ratio_is_of_medians() -> None:
    """Each side runs once to warm up, then in turn; agreement is asked for at the end."""
    order: list[str] = []
    times = {"ours": iter([9.0, 1.0, 2.0, 3.0]), "theirs": iter([9.0, 20.0, 10.0, 30.0])}

    def side(name: str) -> float:
        order.append(name)
        return next(times[name])

    row = Row("f", "p", 10, lambda: side("ours"), lambda: side("theirs"), lambda: "same")
    found = measure(row, 3)
    assert order == ["ours", "theirs"] + ["theirs", "ours"] * 3
    assert (found.ours_median_s, found.theirs_median_s, found.ratio) == (2.0, 20.0, 10.0)
    assert (found.ours_minimum_s, found.theirs_minimum_s) == (1.0, 10.0)
    assert found.reached
    assert lines([found])[0][-1] == "same"


def test_a_peer_that_is_not_installed_is_named(tmp_path: Path) -> None:
    """A row without its peer says how to get it, and gives no figure."""
    (row,) = numerics_table(1, tmp_path, "DVH")
    assert "make peers" in row.missing
    assert math.isnan(row.ratio)
    assert not row.reached


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
