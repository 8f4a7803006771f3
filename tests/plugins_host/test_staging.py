"""Answers between two steps: durable, whole or absent, within the disk's limits."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from audit.errors import DiskFullError, NotFoundError, StorageError
from plugins.host.findings import Explanation, Prediction, Segmentation, Uncertainty
from plugins.host.images import Code
from plugins.host.ports import Answer, Staging
from plugins.host.staging import FolderStaging, answer_digest
from tests.simulators.released_plugins import small_case

RUN = "a" * 32


def _answer(seed: int = 0, shape: tuple[int, int, int] = (6, 16, 20)) -> Answer:
    geometry = small_case(shape).images["ct"].geometry
    numbers = np.random.default_rng(seed)
    code = Code("1", "2", "3")
    mask = numbers.random(shape) > 0.5
    found = Segmentation("GTVp", mask, geometry, "ct", code, code, "GTV")
    voxels = numbers.random(shape, dtype=np.float32)
    prediction = Prediction((found,), Uncertainty("dsc", 0.8, (0.7, 0.9), voxels, geometry))
    explanation = Explanation("m", "t", (("ct", 1.0),), voxels * 2, geometry, {"auc": 0.5}, 3.0)
    return Answer(prediction, explanation, {"python": "3.11"}, 1.25)


def _statvfs(free: int) -> Any:
    return lambda _: SimpleNamespace(f_bavail=free, f_frsize=1)


def test_answer_comes_back(tmp_path: Path) -> None:
    """What was saved is loaded with the same digest, runtime and bits; wiping removes it."""
    staging: Staging = FolderStaging(tmp_path, free_space_mb=0)
    answer = _answer()
    digest = staging.save(RUN, answer)
    found = FolderStaging(tmp_path).load(RUN)
    assert answer_digest(found) == digest
    assert (found.runtime, found.seconds) == (answer.runtime, answer.seconds)
    assert found.explanation is not None
    assert found.explanation.seconds == 3.0
    staging.wipe(RUN)
    staging.wipe(RUN)
    with pytest.raises(NotFoundError):
        staging.load(RUN)
    assert not list(tmp_path.iterdir())


def test_digest_is_about_the_numbers_alone(tmp_path: Path) -> None:
    """Times and runtime do not change the digest; one voxel or one number does."""
    answer = _answer()
    assert answer.explanation is not None
    slower = replace(
        answer, seconds=9.0, runtime={}, explanation=replace(answer.explanation, seconds=7.0)
    )
    assert answer_digest(slower) == answer_digest(answer)
    sure = replace(answer.prediction.uncertainty, score=0.81)
    other = replace(answer, prediction=replace(answer.prediction, uncertainty=sure))
    assert len({answer_digest(a) for a in (answer, other, _answer(1))}) == 3
    assert answer_digest(replace(answer, explanation=None)) != answer_digest(answer)


def test_saving_twice_keeps_the_last(tmp_path: Path) -> None:
    """A step that runs again after a crash replaces what it had kept."""
    staging = FolderStaging(tmp_path, free_space_mb=0)
    staging.save(RUN, _answer())
    digest = staging.save(RUN, _answer(1))
    assert answer_digest(staging.load(RUN)) == digest


def test_damaged_or_cut_file_is_refused(tmp_path: Path) -> None:
    """One flipped byte or a missing end is an error, never another answer."""
    staging = FolderStaging(tmp_path, free_space_mb=0)
    staging.save(RUN, _answer())
    path = tmp_path / RUN / "answer.bin"
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:10], b"", whole[:100] + b"X" + whole[101:], b"x" * 200):
        path.write_bytes(damaged)
        with pytest.raises(StorageError):
            staging.load(RUN)


def test_half_written_file_does_not_count(tmp_path: Path) -> None:
    """What a crash left before the rename is not an answer, and is wiped with the run."""
    staging = FolderStaging(tmp_path, free_space_mb=0)
    (tmp_path / RUN).mkdir()
    (tmp_path / RUN / "answer.new").write_bytes(b"half")
    with pytest.raises(NotFoundError):
        staging.load(RUN)
    staging.wipe(RUN)
    assert not (tmp_path / RUN).exists()


def test_size_limit_and_free_space_are_guarded(tmp_path: Path) -> None:
    """Too many staged answers, or too little free space, is said before anything is written."""
    shape = (40, 100, 100)
    small = FolderStaging(tmp_path, limit_mb=6, free_space_mb=0)
    small.save(RUN, _answer(0, shape))
    with pytest.raises(DiskFullError, match="at most 6 MB"):
        small.save("b" * 32, _answer(1, shape))
    small.wipe(RUN)
    small.save("b" * 32, _answer(1, shape))
    tight = FolderStaging(tmp_path, free_space_mb=10, statvfs=_statvfs(12_000_000))
    with pytest.raises(DiskFullError, match="found 12 MB") as caught:
        tight.save(RUN, _answer(2, shape))
    assert caught.value.retryable
    assert not (tmp_path / RUN / "answer.bin").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_full_disk_leaves_the_old_answer(tmp_path: Path) -> None:
    """On a disk that is really full the save fails by name, and what was there stays."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this system does not let us mount a tmpfs")
    try:
        staging = FolderStaging(tmp_path, free_space_mb=0, statvfs=_statvfs(10**12))
        digest = staging.save(RUN, _answer())
        with pytest.raises(DiskFullError):
            staging.save(RUN, _answer(1, (80, 100, 100)))
        assert answer_digest(staging.load(RUN)) == digest
        assert [path.name for path in (tmp_path / RUN).iterdir()] == ["answer.bin"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_run_id_cannot_leave_the_folder(tmp_path: Path) -> None:
    """A name with a path in it is not a run id."""
    with pytest.raises(NotFoundError):
        FolderStaging(tmp_path).wipe("../keys")
