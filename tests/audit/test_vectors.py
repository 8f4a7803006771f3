"""Foreign proof vectors, good and bad, and vectors that are none."""

import base64
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from audit.merkle import leaf_hash
from audit.vectors import judge

VECTORS = Path(__file__).parents[1] / "vectors" / "merkle" / "vectors.zip"


def _vectors() -> dict[str, bytes]:
    with zipfile.ZipFile(VECTORS) as archive:
        return {name: archive.read(name) for name in sorted(archive.namelist())}


@pytest.mark.parametrize(("name", "content"), _vectors().items(), ids=_vectors().keys())
def test_foreign_vector_is_judged_as_its_makers_say(name: str, content: bytes) -> None:
    """Every good proof of transparency-dev/merkle holds and every bad one is refused."""
    found = judge(name, content)
    assert found.passed, found.reason


def _single(**changes: Any) -> bytes:
    """A tree of one leaf, whose proof is empty."""
    root = base64.b64encode(leaf_hash(b"a")).decode()
    good = {"leafIdx": 0, "treeSize": 1, "root": root, "leafHash": root, "proof": None}
    return json.dumps({**good, "wantErr": False, **changes}).encode()


def test_a_good_proof_that_should_fail_is_named() -> None:
    """`wantErr` is honoured in both directions."""
    assert judge("x", _single()).passed
    assert "accepted" in judge("x", _single(wantErr=True)).reason
    assert "refused" in judge("x", _single(treeSize=2)).reason
    assert judge("x", _single(treeSize=2, wantErr=True)).passed


@pytest.mark.parametrize(
    "content",
    [
        b"no json",
        b"[]",
        b"{}",
        _single(proof="a"),
        _single(root="%%%"),
        _single(leafIdx="0"),
        _single(leafIdx=True),
        _single(wantErr="yes", treeSize=2),
        json.dumps({"size1": 1, "proof": []}).encode(),
    ],
)
def test_what_is_no_good_vector_does_not_pass(content: bytes) -> None:
    """Neither broken JSON, nor missing keys, nor wrong types count as a proof that holds."""
    assert not judge("x", content).passed


def test_the_command_counts_and_names_what_failed(tmp_path: Path) -> None:
    """`osteon audit vectors` ends with the two counts, and with 1 where one failed."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "good.json").write_bytes(_single())
    command = [sys.executable, "-m", "adapters.cli.main", "audit", "vectors", str(tmp_path)]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed")
    (tmp_path / "bad.json").write_bytes(_single(wantErr=True))
    bad = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout.splitlines()[-1]) == (1, "1 passed, 1 failed")
    assert bad.stdout.startswith("bad.json: ")
