"""Replay: what is compared, with what, and what a person has to give."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.cli.progress import wait_for_runs
from adapters.compose import open_site
from adapters.database.runs import FOLDER
from adapters.delivery.folder import FolderTarget
from adapters.engine.serving import serving
from adapters.hand import queue_by_hand
from adapters.home import Home
from adapters.published import sign_bundle
from adapters.release_builder import build_release
from adapters.replay_comparison import compare, contours_of
from adapters.rt.read_folder import scan_folder
from adapters.run_record import inference_body
from audit.errors import ConfigurationError, InputError
from plugins.host.findings import Segmentation
from plugins.host.ports import Answer, Document
from tests.simulators.example_site import small_phantom
from tests.simulators.released_plugins import bundle

EXPLAINED = """
def predict(self, case, parameters):
    found = answer(case, mask=case.images["ct"].array > 300.0)
    return Prediction((), found.uncertainty)

def explain(self, case, prediction):
    return Explanation("trial", "volume in ml", (("ct", 1.0),), None, None, {}, 0.5)
"""
ABSTAINS = """
def predict(self, case, parameters):
    found = answer(case)
    unsure = Uncertainty("trial", 0.5, (0.4, 0.6), abstain=True, reasons=("NOT_SURE",))
    return Prediction(found.findings, unsure)
"""


def osteon(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(item) for item in arguments])


def run_on_files(root: Path, release: Path) -> str:
    """Run a release on the folder of files, as `osteon run` does, and return the run id."""
    scan = scan_folder(root / "files")
    targets = (FolderTarget("output", root / f"out-{release.stem}"),)
    with (
        open_site(Home(root / "home"), scans={FOLDER: scan}, targets=targets) as site,
        serving(site) as turn,
    ):
        digest = site.registry.add(sign_bundle(site.keys, release, site.now())).digest
        asked = queue_by_hand(site, scan, digest)
        (run_id,) = wait_for_runs(site, turn, lambda: asked.run_ids, say=lambda _: None)
    return run_id


def replayed(root: Path, run_id: str, *more: object) -> dict[str, Any]:
    """Replay a run on the folder of files and return what was found."""
    arguments = ("--input", root / "files", "--home", root / "home", "--json", *more)
    result = osteon("replay", run_id, *arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files, and an empty home."""
    folder = tmp_path_factory.mktemp("replay")
    (folder / "files").mkdir()
    for number, data in enumerate(small_phantom()[1]):
        (folder / "files" / f"{number}.dcm").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def example_run(root: Path) -> str:
    """The id of a run of the example plugin on the files."""
    return run_on_files(root, build_release("example", root))


class Recorded(NamedTuple):
    """What the log says of a run, its documents, and the answer of a replay."""

    body: dict[str, Any]
    documents: tuple[Document, ...]
    answer: Answer


@pytest.fixture
def recorded(root: Path, example_run: str) -> Iterator[Recorded]:
    """The example run, recorded as if on another machine class, and its answer again."""
    scans = {FOLDER: scan_folder(root / "files")}
    with open_site(Home(root / "home"), scans=scans) as site:
        with site.database.reading() as transaction:
            row = transaction.run(example_run)
            body = inference_body(transaction, example_run)
            documents = transaction.documents(example_run)
        assert row is not None
        case = site.house.cases.fetch(
            row.request, site.registry.manifest(row.request.release_digest)
        )
        answer = site.house.workers.run(row.request, case)
        elsewhere = body | {"runtime": body["runtime"] | {"processor": "another"}}
        yield Recorded(elsewhere, documents, answer)


def with_mask(answer: Answer, mask: np.ndarray[Any, Any]) -> Answer:
    """Return the answer with another mask of its one region."""
    (region,) = answer.prediction.findings
    assert isinstance(region, Segmentation)
    return replace(
        answer, prediction=replace(answer.prediction, findings=(replace(region, mask=mask),))
    )


def mask_of(answer: Answer, without: int) -> np.ndarray[Any, Any]:
    """Return the mask of an answer without its last voxels."""
    (region,) = answer.prediction.findings
    assert isinstance(region, Segmentation)
    mask = region.mask.copy()
    if without:
        mask.reshape(-1)[np.flatnonzero(mask)[-without:]] = False
    return mask


def test_run_on_files_needs_them_again(root: Path, example_run: str, tmp_path: Path) -> None:
    """Without the files the error names --input; with others it says what is missing."""
    result = osteon("replay", example_run, "--home", root / "home")
    assert isinstance(result.exception, ConfigurationError)
    assert "--input" in result.exception.advice
    other = osteon("replay", example_run, "--home", root / "home", "--input", tmp_path)
    assert isinstance(other.exception, InputError)
    absent = osteon("replay", example_run, "--home", root / "home", "--input", tmp_path / "no")
    assert isinstance(absent.exception, ConfigurationError)


def test_run_on_files_replays_identical(root: Path, example_run: str) -> None:
    """With its files a run gives the same masks and the same answer digest."""
    result = replayed(root, example_run)
    assert result["verdict"] == "identical"
    assert result["comparison"] == "mask-digest"
    assert result["answer_digest"] == "same"
    assert result["same_machine_class"]
    assert not result["abstained"]


def test_abstained_run_replays_identical(root: Path) -> None:
    """A run that abstained replays as identical: its withheld findings are not compared."""
    path = root / "abstains.osteon"
    path.write_bytes(bundle(ABSTAINS, version="2.0.0", training=[]))
    result = replayed(root, run_on_files(root, path))
    assert result["verdict"] == "identical"
    assert result["comparison"] == "abstention"
    assert result["abstained"]
    assert result["findings"] == 0
    assert result["answer_digest"] == "same"


def test_answer_with_explanation_is_compared_when_asked(root: Path) -> None:
    """The digest of an explained answer is compared only when it is explained again."""
    path = root / "explained.osteon"
    path.write_bytes(bundle(EXPLAINED, version="3.0.0", training=[]))
    run_id = run_on_files(root, path)
    assert replayed(root, run_id)["answer_digest"] == "not-compared"
    assert replayed(root, run_id, "--explain")["answer_digest"] == "same"


def test_masks_decide_elsewhere(recorded: Recorded) -> None:
    """On another machine the mask itself is compared with the structure set in the outbox."""
    body, documents, answer = recorded
    contours = contours_of(body, documents)
    assert set(contours) == {"Bone"}
    near = compare(body, with_mask(answer, mask_of(answer, 2)), contours)
    assert near["verdict"] == "within-tolerance"
    assert near["comparison"] == "dsc"
    assert 0.995 <= near["lowest_dsc"] < 1.0
    half = int(mask_of(answer, 0).sum()) // 2
    far = compare(body, with_mask(answer, mask_of(answer, half)), contours)
    assert far["verdict"] == "different"
    assert far["lowest_dsc"] < 0.9


def test_same_volume_elsewhere_is_different(recorded: Recorded) -> None:
    """A mask of the same volume in another place does not count as the same."""
    body, documents, answer = recorded
    moved = np.roll(mask_of(answer, 0), 3, axis=2)
    contours = contours_of(body, documents)
    assert compare(body, with_mask(answer, moved), contours)["verdict"] == "different"


def test_measurements_decide_without_the_outbox(recorded: Recorded) -> None:
    """Where the structure set is gone, volume and diameter decide, and the result says so."""
    body, _, answer = recorded
    near = with_mask(answer, mask_of(answer, 1))
    result = compare(body, near, {})
    assert (result["verdict"], result["comparison"]) == ("within-tolerance", "volume-and-diameter")
    (roi,) = body["output"]["rois"]
    larger = roi | {"volume_ml": roi["volume_ml"] * 1.02}
    other = body | {"output": body["output"] | {"rois": [larger]}}
    assert compare(other, near, {})["verdict"] == "different"
    longer = roi | {"max_diameter_mm": roi["max_diameter_mm"] + 20.0}
    other = body | {"output": body["output"] | {"rois": [longer]}}
    assert compare(other, near, {})["verdict"] == "different"


def test_nothing_may_differ_on_the_same_machine(recorded: Recorded) -> None:
    """On the machine class on record one voxel less is different, however small that is."""
    body, documents, answer = recorded
    here = body | {"runtime": dict(answer.runtime)}
    result = compare(here, with_mask(answer, mask_of(answer, 1)), contours_of(body, documents))
    assert result["same_machine_class"]
    assert result["verdict"] == "different"
    assert result["answer_digest"] == "different"


def test_altered_outbox_is_not_compared_with(recorded: Recorded, tmp_path: Path) -> None:
    """A structure set that is not the one on record, or is damaged, decides nothing."""
    body, documents, _ = recorded
    (document,) = [item for item in documents if item.kind == "RTSTRUCT"]
    for content in (b"", b"DICM", document.path.read_bytes().replace(b"Bone", b"Gone")):
        (tmp_path / "altered.dcm").write_bytes(content)
        altered = replace(document, path=tmp_path / "altered.dcm")
        assert contours_of(body, [altered]) == {}
    assert contours_of(body, [replace(document, content_digest="sha256:0")]) == {}
    assert contours_of(body, [replace(document, path=tmp_path / "gone.dcm")]) == {}
