"""Two sites judge a release from the wheel by the script of the page; the reports are pooled."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from audit import canonical
from tests.simulators.validation_kit import write_kit

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docs" / "examples" / "peer-evaluation.sh"
PATIENTS = 7


def wheel_of(folder: Path) -> Path:
    """Build the wheel from the files that git knows, away from the working tree."""
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("osteon-*.whl")
    return wheel


def place_of(folder: Path) -> Path:
    """Make the script's place with an environment that sees the libraries of this one."""
    venv.create(folder / "venv", with_pip=True)
    libraries = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
    (libraries / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder


def run_script(
    place: Path, arguments: list[str | Path], site: str
) -> subprocess.CompletedProcess[str]:
    """Run the script as a site does, without network and without our working tree."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OST"))
    } | {
        "PEER_SITE": site, "PEER_PLACE": str(place), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1",
        "PEER_RUN": "--sweeps none --phantoms 0 --explain",
    }  # fmt: skip
    return subprocess.run(
        ["sh", str(SCRIPT), *map(str, arguments)], cwd=place, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.acceptance
@pytest.mark.reg("VAL-1")
def test_two_sites_evaluate_from_the_wheel(tmp_path: Path) -> None:
    """Script and wheel alone: two signed reports leave, are pooled, and name no patient."""
    wheel = wheel_of(tmp_path)
    reports = []
    for seed, site in ((1, "north"), (2, "south")):
        kit = write_kit(tmp_path / f"kit-{site}", seed=seed, patients=PATIENTS)
        raw = zipfile.ZipFile(kit / "trial.osteon").read("manifest.json")
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        place, out = place_of(tmp_path / site), tmp_path / f"out-{site}"
        files = [kit / "arrays", kit / "criteria.json", out]
        wrong = run_script(place, [wheel, kit / "trial.osteon", "sha256:0", *files], site)
        assert wrong.returncode == 3, wrong.stderr
        sent = (kit / "trial.osteon").read_bytes()
        arguments = [wheel, kit / "trial.osteon", digest, *files]
        done = run_script(place, arguments, site)
        assert done.returncode == 0, done.stderr
        assert {path.name for path in out.iterdir()} == {"site-report.json", "trust.json"}
        assert (kit / "trial.osteon").read_bytes() == sent, "what the coordinator sent was changed"
        raw = (out / "site-report.json").read_bytes()
        assert not [word for word in ("P_0", "case-001", "p-", "png") if word in raw.decode()]
        assert canonical.decode(raw)["site"] == site
        reports.append((place, out, arguments))
    place, out, arguments = reports[0]
    assert run_script(place, arguments, "north").returncode == 0  # called again
    osteon = place / "venv" / "bin" / "osteon"
    command = [str(osteon), "validate", "pool", "--json", "--html", str(tmp_path / "pooled.html")]
    for _, folder, _ in reports:
        command += [str(folder / "site-report.json"), "--trust", str(folder / "trust.json")]
    pooled = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert pooled.returncode == 0, pooled.stderr
    row = next(r for r in json.loads(pooled.stdout)["pooled"]
               if (r["stratum"], r["metric"]) == ("all", "dsc"))  # fmt: skip
    assert row["n"] == 2 * PATIENTS
    assert row["low"] < row["value"] < row["high"]
    assert "north" in (tmp_path / "pooled.html").read_text("utf-8")
    alone = [*command[:3], str(out / "site-report.json"), "--trust", str(out / "trust.json")]
    refused = subprocess.run(alone, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert refused.returncode == 3
    assert "ONE_SITE" in refused.stderr
