"""Answers that are no result: a refusal and an abstention leave as objects like any other."""

import io
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.compose import Site
from adapters.governance.acts import waive
from adapters.governance.persons import DEMONSTRATOR
from adapters.hand import act
from adapters.home import Home
from adapters.published import sign_bundle
from audit.record import decode
from tests.simulators.answers import PROMPT, drive, objects_beside, only_run
from tests.simulators.example_site import prepare, served, small_phantom
from tests.simulators.released_plugins import bundle

GAP = slice(5, 7)
ABSTAINS = """
def predict(self, case, parameters):
    found = answer(case)
    unsure = Uncertainty("trial", 0.1, (0.0, 0.3), None, None, True, ("UNSURE 0.10",))
    return Prediction(found.findings, unsure)
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared home, copied by every test."""
    root = tmp_path_factory.mktemp("template")
    prepare(root)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A copy of the prepared home."""
    shutil.copytree(template / "home", tmp_path / "home")
    return tmp_path


def with_a_gap() -> tuple[str, tuple[bytes, ...]]:
    """Return a study in which slices are missing."""
    study, files = small_phantom()
    return study, files[: GAP.start] + files[GAP.stop :]


def report_of(site: Site, study: str) -> Any:
    """Return the only SR of a study."""
    archive = site.archives["pacs"]
    (series,) = [item for item in archive.search_series(study) if item.modality == "SR"]
    (data,) = archive.retrieve_series(study, series.series_instance_uid)
    return pydicom.dcmread(io.BytesIO(data))


def test_a_refused_study_gets_its_answer(root: Path) -> None:
    """A report and a bundle say why; both are recorded, verified, and trigger nothing."""
    study, files = with_a_gap()
    with served(Home(root / "home"), root, trigger=PROMPT) as (site, turn):
        site.archives["pacs"].store(study, files)
        assert drive(site, turn, 1) == ["refused"]
        report = report_of(site, study)
        assert report.SeriesDescription.startswith("RESEARCH example")
        assert objects_beside(site, study, files) == 1
        row = only_run(site)
        with site.database.reading() as transaction:
            states = {item.state for item in transaction.deliveries(row.run_id)}
            documents = transaction.documents(row.run_id)
            records = [decode(leaf.leaf) for leaf in transaction.records_of(row.run_id)]
        assert states == {"verified"}
        assert [record.kind for record in records] == [
            *("run_opened", "refusal", "delivery", "run_closed")
        ]
        recorded = {item["content_sha256"] for item in records[1].body["documents"]}
        assert recorded == {item.content_digest for item in documents}
        (path,) = (root / "fhir").rglob("*.json")
        (told,) = [
            item["resource"]
            for item in json.loads(path.read_text())["entry"]
            if item["resource"]["resourceType"] == "DiagnosticReport"
        ]
        assert told["status"] == "cancelled"
        assert told["conclusionCode"][1]["coding"][0]["code"] == "INPUT_GEOMETRY"
        site.archives["pacs"].store(study, files)
        assert drive(site, turn, 1) == ["refused"]
        site.verify_log()


def test_a_refusal_run_again_by_hand_adds_nothing(root: Path) -> None:
    """The same refusal twice is one object; the second round is on record."""
    study, files = with_a_gap()
    with served(Home(root / "home"), root, trigger=PROMPT) as (site, turn):
        site.archives["pacs"].store(study, files)
        drive(site, turn, 1)
        act(site, "force", only_run(site).run_id, "account:local")
        assert drive(site, turn, 1) == ["refused"]
        assert objects_beside(site, study, files) == 1
        with site.database.reading() as transaction:
            records = transaction.records_of(only_run(site).run_id)
        assert [leaf.kind for leaf in records].count("refusal") == 2


def test_a_site_may_want_no_refusals(root: Path) -> None:
    """Switched off, nothing leaves; the record says that nothing was written and why."""
    study, files = with_a_gap()
    with served(Home(root / "home"), root, trigger=PROMPT, answers={"refusals": False}) as (
        site,
        turn,
    ):
        site.archives["pacs"].store(study, files)
        assert drive(site, turn, 1) == ["refused"]
        assert objects_beside(site, study, files) == 0
        assert not list((root / "fhir").rglob("*.json"))
        with site.database.reading() as transaction:
            records = transaction.records_of(only_run(site).run_id)
        (refusal,) = [decode(leaf.leaf) for leaf in records if leaf.kind == "refusal"]
        assert (refusal.body["documents"], refusal.body["unwritten"]) == ([], "SWITCHED_OFF")


def test_a_refusal_without_any_readable_header_closes(root: Path) -> None:
    """Where no object says whose study it is, none is written, and the run is closed."""
    study, files = small_phantom()
    with served(Home(root / "home"), root, trigger=PROMPT) as (site, turn):
        site.archives["pacs"].store(study, files)
        for path in (root / "pacs" / "objects").rglob("*.dcm"):
            path.write_bytes(b"\0" * 200)
        assert drive(site, turn, 1) == ["refused"]
        assert objects_beside(site, study, files) == 0
        with site.database.reading() as transaction:
            records = transaction.records_of(only_run(site).run_id)
        (refusal,) = [decode(leaf.leaf) for leaf in records if leaf.kind == "refusal"]
        assert refusal.body["unwritten"] == "INPUT_MISSING_ATTRIBUTE"


def _activate_trial(site: Site, methods: str, root: Path) -> None:
    path = root / "trial.osteon"
    path.write_bytes(bundle(methods))
    digest = site.registry.add(sign_bundle(site.keys, path, site.now())).digest
    waive(site, digest, DEMONSTRATOR, "test", timedelta(days=1))


def test_an_abstention_leaves_as_report_and_bundle(tmp_path: Path) -> None:
    """A plugin that withholds leaves a report and a bundle with its reasons, and no contour."""
    study, files = small_phantom()
    home = Home(tmp_path / "home").create()
    with served(home, tmp_path) as (site, turn):
        _activate_trial(site, ABSTAINS, tmp_path)
        site.archives["pacs"].store(study, files)
        assert drive(site, turn, 1) == ["abstained"]
        assert objects_beside(site, study, files) == 1
        report_of(site, study)
        row = only_run(site)
        assert row.reason == "UNSURE 0.10"
        with site.database.reading() as transaction:
            states = {item.state for item in transaction.deliveries(row.run_id)}
            kinds = [item.kind for item in transaction.documents(row.run_id)]
        assert states == {"verified"}
        assert kinds == ["SR", "FHIR"]


@pytest.mark.server
def test_a_refusal_reaches_a_fhir_server_that_we_did_not_write(root: Path, fhir: Any) -> None:
    """The server takes the refusal's bundle once, as a cancelled report."""
    study, files = with_a_gap()
    targets = [{"name": "fhir", "kind": "fhir", "url": fhir.url}]
    with served(Home(root / "home"), root, trigger=PROMPT, targets=targets) as (site, turn):
        site.archives["pacs"].store(study, files)
        assert drive(site, turn, 1) == ["refused"]
        act(site, "force", only_run(site).run_id, "account:local")
        assert drive(site, turn, 1) == ["refused"]
        with site.database.reading() as transaction:
            states = [item.state for item in transaction.deliveries(only_run(site).run_id)]
    assert states == ["verified"]
    (report,) = fhir.all("DiagnosticReport")
    assert report["status"] == "cancelled"
    assert fhir.counts()["Provenance"] == 1


def test_run_on_files_tells_a_refusal(root: Path, tmp_path: Path) -> None:
    """`osteon run` leaves with 3 and the report lies in the output folder, also the second time."""
    study, files = with_a_gap()
    del study
    source = tmp_path / "files"
    source.mkdir()
    for number, data in enumerate(files):
        (source / f"{number}.dcm").write_bytes(data)
    for _ in range(2):
        result = CliRunner().invoke(
            app,
            [
                *("run", "--plugin", "example", "--input", str(source), "--json"),
                *("--output", str(tmp_path / "out"), "--home", str(root / "home")),
            ],
        )
        assert result.exit_code == 3, result.output
        (run,) = json.loads(result.stdout)["runs"]
        assert (run["status"], run["reason"]) == ("refused", "INPUT_GEOMETRY")
        assert [(item["kind"], item["verified"]) for item in run["outputs"]] == [
            ("SR", True),
            ("FHIR", True),
        ]
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1
