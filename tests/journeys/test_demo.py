"""`osteon demo`: the README's first command, on the embedded PACS and through an Orthanc."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

OSTEON = Path(sys.executable).with_name("osteon")


def _demo(home: Path, *options: str) -> dict[str, Any]:
    result = subprocess.run(
        [OSTEON, "demo", "--json", "--home", home, *options],
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def _check(document: dict[str, Any], home: Path) -> None:
    (run,) = document["runs"]
    assert run["plugin"] == "contouring"
    assert run["status"] == "done"
    kinds = [output["kind"] for output in run["outputs"]]
    assert {"RTSTRUCT", "SEG", "SR", "PMAP", "SC", "FHIR"} <= set(kinds)
    assert all(output["verified"] for output in run["outputs"])
    assert all(Path(output["path"]).exists() for output in run["outputs"])
    assert Path(run["fhir_bundle"]).exists()
    assert run["overviews"]
    (finding,) = run["findings"]
    assert finding["name"] == "GTVp"
    assert 90 < finding["volume_ml"] < 280  # the ellipsoid has 186.9 ml
    assert document["audit"]["verified"]
    assert document["audit"]["size"] >= 8


@pytest.mark.slow
def test_demo_on_the_embedded_pacs(tmp_path: Path) -> None:
    """The demo exits 0, every output is verified, and a second call adds nothing."""
    home = tmp_path / "home"
    first = _demo(home)
    _check(first, home)
    objects = sorted(path.name for path in (home / "pacs").rglob("*.dcm"))
    again = _demo(home)
    assert again["runs"][0]["run_id"] == first["runs"][0]["run_id"]
    assert sorted(path.name for path in (home / "pacs").rglob("*.dcm")) == objects


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Orthanc is not installed")
def test_demo_through_orthanc(tmp_path: Path) -> None:
    """The same through an Orthanc that the demo starts on loopback."""
    _check(_demo(tmp_path / "home", "--pacs", "orthanc"), tmp_path / "home")
