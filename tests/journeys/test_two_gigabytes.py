"""A series of more than two gigabytes, really there: refused in words, in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adapters.compose import open_site
from adapters.folder.pacs import FolderPacs
from adapters.home import Home
from adapters.published import sign_bundle
from adapters.release_builder import build_release
from tests.simulators import dicom_objects as objects
from tests.simulators.example_site import prepare

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]
ROWS, SLICES = 512, 4200
GIBIBYTE = 2**30
MEMORY_LIMIT = GIBIBYTE
"""Far below the series: whoever held its pixels would exceed it."""
ROOT = Path(__file__).resolve().parents[2]
SERVE = """
import sys
from pathlib import Path
from adapters.home import Home
from tests.simulators.answers import PROMPT, drive
from tests.simulators.example_site import served
root = Path(sys.argv[1])
with served(Home(root / "home"), root, trigger=PROMPT) as (site, turn):
    print(drive(site, turn, 1))
    with site.database.reading() as transaction:
        print(transaction.runs()[0].reason)
    print(len(list(site.home.staging.iterdir())))
"""


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CT of 4,200 slices of 512 x 512: 2.05 GiB of pixels."""
    folder = tmp_path_factory.mktemp("large")
    (template,) = objects.image_series(shape=(1, 4, 4), origin_mm=(0, 0, 0))
    template.Rows = template.Columns = ROWS
    rng = np.random.default_rng(7)
    values = rng.integers(-1000, 1500, (ROWS, ROWS), dtype=np.int16)
    for number in range(SLICES):
        template.SOPInstanceUID = objects.uid("large", number)
        template.InstanceNumber = number + 1
        template.ImagePositionPatient = [0, 0, 0.5 * number]
        objects.set_pixels(template, values)
        (folder / f"{number:05d}").write_bytes(objects.encode(template))
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size > 2 * GIBIBYTE
    return folder


def _measured(command: list[str]) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run a program in a process of its own; return what it said and its largest memory."""
    program = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024\n"
        "print(json.dumps([done.returncode, done.stdout, done.stderr, peak]))\n"
    )
    outer = subprocess.run(
        [sys.executable, "-c", program, *command],
        capture_output=True, text=True, check=True, timeout=1800, cwd=ROOT,
    )  # fmt: skip
    code, out, error, peak = json.loads(outer.stdout)
    return subprocess.CompletedProcess(command, code, out, error), int(peak)


def test_run_on_files(series: Path, tmp_path: Path) -> None:
    """`osteon run` refuses it with its code and a report; it never holds the pixels."""
    home = tmp_path / "home"
    release = build_release("example", tmp_path)
    with open_site(Home(home).create()) as site:
        sign_bundle(site.keys, release, site.now())
    result, peak = _measured(
        [
            str(Path(sys.executable).with_name("osteon")), "run", "--plugin", "example",
            "--release", str(release), "--input", str(series), "--output", str(tmp_path / "out"),
            "--home", str(home), "--json",
        ]
    )  # fmt: skip
    assert result.returncode == 3, result.stderr[-2000:]
    (run,) = json.loads(result.stdout)["runs"]
    assert (run["status"], run["reason"]) == ("refused", "INPUT_TOO_LARGE")
    assert {item["kind"] for item in run["outputs"]} == {"SR", "FHIR"}
    assert peak < MEMORY_LIMIT, f"{peak / GIBIBYTE:.2f} GiB"


def test_from_an_archive(series: Path, tmp_path: Path) -> None:
    """A serving site refuses it, too, and nothing of it stays in staging."""
    prepare(tmp_path)
    with FolderPacs("pacs", tmp_path / "pacs") as archive:
        found = archive.import_folder(series)
        assert found is not None
    result, peak = _measured([sys.executable, "-c", SERVE, str(tmp_path)])
    assert result.returncode == 0, result.stderr[-2000:]
    *_, states, reason, staged = result.stdout.splitlines()
    assert (states, reason, staged) == ("['refused']", "INPUT_TOO_LARGE", "0")
    assert peak < MEMORY_LIMIT, f"{peak / GIBIBYTE:.2f} GiB"
