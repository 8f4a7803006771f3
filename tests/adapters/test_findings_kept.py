"""Findings are kept until they are compared, and compared voxel by voxel on the same grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.governance.findings import NAME, agreement, load, remove, save
from audit.errors import StorageError
from plugins.host.findings import Classification, Measurement, Segmentation
from plugins.host.images import Code, Geometry
from plugins.host.ports import Answer
from tests.simulators.run_values import answer_for

AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
GRID = Geometry((2, 3, 5), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), AXES, "1.2.3.4")
CODE = Code("91723000", "SCT", "Anatomical Structure")


def with_findings(*findings: Segmentation | Measurement | Classification) -> Answer:
    """Return an answer with these findings."""
    answer = answer_for()
    return replace(answer, prediction=replace(answer.prediction, findings=findings))


def region(name: str, voxels: set[int], grid: Geometry = GRID) -> Segmentation:
    """Return a region of these voxels, by number."""
    mask = np.zeros(grid.shape, np.bool_)
    mask.ravel()[sorted(voxels)] = True
    return Segmentation(name, mask, grid, "ct", CODE, CODE, "GTV")


def compared(folder: Path, first: Answer, second: Answer) -> dict[str, float]:
    """Return the agreement of two answers after both were kept and read again."""
    save(folder, "a", first)
    save(folder, "b", second)
    left, right = load(folder, "a"), load(folder, "b")
    assert left is not None
    assert right is not None
    return agreement(left, right)


@given(
    first=st.sets(st.integers(0, 29), max_size=30), second=st.sets(st.integers(0, 29), max_size=30)
)
def test_masks_are_compared_voxel_by_voxel(
    tmp_path_factory: pytest.TempPathFactory, first: set[int], second: set[int]
) -> None:
    """The agreement is the Dice coefficient of the two sets of voxels."""
    folder = tmp_path_factory.mktemp("kept")
    found = compared(
        folder, with_findings(region("GTVp", first)), with_findings(region("GTVp", second))
    )
    total = len(first) + len(second)
    expected = 2 * len(first & second) / total if total else 1.0
    assert found == {"GTVp": pytest.approx(expected, abs=1e-6)}


def test_what_only_one_side_has_is_no_agreement(tmp_path: Path) -> None:
    """A region that one release did not give, or gave on another grid, counts 0."""
    moved = replace(GRID, origin_mm=(0.0, 0.0, 3.0))
    found = compared(
        tmp_path,
        with_findings(region("GTVp", {1, 2}), region("Bone", {3})),
        with_findings(region("GTVp", {1, 2}, moved)),
    )
    assert found == {"GTVp": 0.0, "Bone": 0.0}


def test_numbers_and_classes(tmp_path: Path) -> None:
    """Measurements by relative difference, classes by the largest difference of probability."""
    volume, question = Code("118565006", "SCT", "Volume"), Code("q", "99", "Question")
    yes, no = Code("y", "99", "Yes"), Code("n", "99", "No")
    first = with_findings(
        Measurement(volume, 8.0, "ml"), Classification(question, ((yes, 0.9), (no, 0.1)))
    )
    second = with_findings(
        Measurement(volume, 10.0, "ml"), Classification(question, ((yes, 0.7), (no, 0.3)))
    )
    assert compared(tmp_path, first, second) == {
        "118565006": pytest.approx(0.8),
        "q": pytest.approx(0.8),
    }


def test_what_is_not_there_and_what_is_damaged(tmp_path: Path) -> None:
    """Nothing kept is None; a damaged or hostile file is a fault and never code."""
    assert load(tmp_path, "a") is None
    save(tmp_path, "a", with_findings(region("GTVp", {1})))
    path = tmp_path / "a" / NAME
    whole = path.read_bytes()
    hostile = tmp_path / "hostile.npy"
    np.save(hostile, np.array([object()], dtype=object), allow_pickle=True)
    for content in (whole[:-30], b"", b"PK", hostile.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(StorageError):
            load(tmp_path, "a")
    remove(tmp_path, "a")
    remove(tmp_path, "a")
    assert load(tmp_path, "a") is None
