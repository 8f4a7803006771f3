"""A study that was answered and whose images become others: noticed, run again, marked outside."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from adapters.cli.progress import wait_for_runs
from adapters.cli.results import results_document
from adapters.compose import Site, open_site
from adapters.database.runs import FOLDER, RunRow
from adapters.delivery.folder import FolderTarget
from adapters.engine.serving import serving
from adapters.folder.pacs import FolderPacs
from adapters.hand import queue_by_hand
from adapters.home import Home
from adapters.orthanc.local import LocalOrthanc, find_orthanc, start_local_orthanc
from adapters.orthanc.pacs import OrthancPacs
from adapters.part10 import read_part10
from adapters.rt.read_folder import scan_folder
from audit.record import decode
from governance.ports import Deployment
from tests.simulators.answers import drive
from tests.simulators.example_site import configuration, prepare, served, small_phantom
from tests.simulators.hard_cases import changed

Turn = Callable[[], None]
SOON = {
    "quiet_time_s": 0.1, "poll_interval_s": 0.05, "reread_after_h": [0.0001],
    "first_look": "now",  # the server is shared: what lies there is of other tests
}  # fmt: skip
MOVED = {"PatientID": "ANOTHER-7", "PatientName": "Another^One"}
RESULTS = 4


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


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalOrthanc]:
    """An Orthanc that overwrites what comes again."""
    if find_orthanc() is None:
        pytest.skip("Orthanc is not installed")
    options = {"OverwriteInstances": True}
    with start_local_orthanc(tmp_path_factory.mktemp("orthanc"), options=options) as local:
        yield local


def changes_on_record(site: Site) -> list[str]:
    """Return what study events say."""
    site.seal()
    with site.database.reading() as transaction:
        leaves = transaction.leaves(0, transaction.tree_size())
        return [decode(i.leaf).body["change"] for i in leaves if i.kind == "study_event"]


def releases_of(site: Site) -> tuple[Deployment, ...]:
    """Return the releases of the site."""
    with site.database.reading() as transaction:
        return tuple(transaction.deployments())


def runs(site: Site) -> tuple[RunRow, ...]:
    """Return the runs, newest first."""
    with site.database.reading() as transaction:
        return transaction.runs()


def is_replaced(site: Site, trigger: str) -> None:
    """The newest run replaces the one before, here and outside, on other input."""
    new, old = runs(site)[:2]
    assert (new.trigger, new.supersedes, old.superseded_by) == (trigger, old.run_id, new.run_id)
    assert new.sop_instance_uids == old.sop_instance_uids
    assert new.revision == old.revision + 1
    with site.database.reading() as transaction:
        kinds = {item.path.name for item in transaction.documents(new.run_id)}
        states = {item.state for item in transaction.deliveries(new.run_id)}
    assert "superseded.json" in kinds
    assert states == {"verified"}


def count(site: Site, name: str, study: str) -> int:
    """Return how many instances of a study the archive holds."""
    return sum(item.instance_count for item in site.archives[name].search_series(study))


def replace_in_folder(archive: FolderPacs, study: str, files: Sequence[bytes]) -> None:
    """Put other content under the same UIDs, as an archive does that overwrites."""
    for data in files:
        archive.delete_instance(read_part10(data).reference)
    archive.store(study, files)


@contextmanager
def answered(root: Path, **changes: Any) -> Iterator[tuple[Site, Turn, FolderPacs, str, Any]]:
    """Serve a site on the folder archive that has answered a study."""
    study, files = small_phantom()
    with served(Home(root / "home"), root, **changes) as (site, turn):
        archive = site.archives["pacs"]
        assert isinstance(archive, FolderPacs)
        archive.store(study, files)
        assert drive(site, turn, 1) == ["done"]
        yield site, turn, archive, study, files


def test_other_pixels_under_the_same_uids_lead_to_one_new_run(root: Path) -> None:
    """One superseding run, whose objects lie beside the old ones; the old run says so."""
    with answered(root) as (site, turn, archive, study, files):
        replace_in_folder(archive, study, changed(files))
        assert drive(site, turn, 2, quiet_turns=20) == ["done", "done"]
        is_replaced(site, "corrected")
        new, old = runs(site)
        assert new.input_digest != old.input_digest
        assert count(site, "pacs", study) == len(files) + 2 * RESULTS
        assert changes_on_record(site).count("input-corrected") == 1
        with site.database.reading() as transaction:
            assert transaction.marks(old.run_id) == ("INPUT_CORRECTED",)
            assert transaction.marks(new.run_id) == ()
        replace_in_folder(archive, study, files)  # and back again
        assert drive(site, turn, 3, quiet_turns=20) == ["done", "done", "done"]
        is_replaced(site, "corrected")
        assert runs(site)[0].input_digest == old.input_digest
        assert not list(site.home.staging.iterdir())
        site.verify_log()


def test_the_same_content_again_changes_nothing(root: Path) -> None:
    """Instances that come again as they were are read once more, and that is all."""
    with answered(root) as (site, turn, archive, study, files):
        replace_in_folder(archive, study, files)
        while "resent-unchanged" not in changes_on_record(site):
            turn()
        assert drive(site, turn, 1, quiet_turns=20) == ["done"]
        (row,) = runs(site)
        with site.database.reading() as transaction:
            assert transaction.marks(row.run_id) == ()
        assert count(site, "pacs", study) == len(files) + RESULTS


def test_files_that_became_others_are_run_again(root: Path, tmp_path: Path) -> None:
    """`osteon run` on the same files answers from what it has; on corrected ones it runs again."""
    _, files = small_phantom(seed=7)
    with open_site(Home(root / "home"), configuration=configuration(root)) as site:
        (digest,) = {item.release_digest for item in releases_of(site)}
    source = tmp_path / "files"

    def run(content: Sequence[bytes]) -> dict[str, Any]:
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir()
        for number, data in enumerate(content):
            (source / str(number)).write_bytes(data)
        scan = scan_folder(source)
        targets = (FolderTarget("output", tmp_path / "out"),)
        with (
            open_site(Home(root / "home"), scans={FOLDER: scan}, targets=targets) as site,
            serving(site) as turn,
        ):
            asked = queue_by_hand(site, scan, digest)
            ids = wait_for_runs(site, turn, lambda: asked.run_ids, say=lambda _: None)
            (found,) = results_document(site, ids, 0.0)["runs"]
        assert found["status"] == "done"
        assert all(item["verified"] for item in found["outputs"] if item["kind"] != "FHIR")
        return dict(found)

    first = run(files)
    assert run(files)["run_id"] == first["run_id"]
    second = run(changed(files))
    assert second["run_id"] != first["run_id"]
    assert second["findings"] != first["findings"]
    assert run(changed(files)) == second
    third = run(changed(changed(files), **MOVED))
    assert third["run_id"] not in (first["run_id"], second["run_id"])
    (report,) = [item["path"] for item in third["outputs"] if item["kind"] == "SR"]
    assert pydicom.dcmread(report).PatientID == MOVED["PatientID"]
    with open_site(Home(root / "home"), configuration=configuration(root)) as site:
        rows = {row.run_id: row for row in runs(site)}
    assert rows[first["run_id"]].superseded_by == second["run_id"]
    assert rows[second["run_id"]].superseded_by == third["run_id"]


def test_a_refusal_is_lifted_by_a_corrected_series(root: Path) -> None:
    """A slice of absurd spacing is refused; sent again as it should be, the study runs."""
    study, files = small_phantom()
    broken = (*changed(files[:1], PixelSpacing="0.0\\0.0"), *files[1:])
    with served(Home(root / "home"), root) as (site, turn):
        archive = site.archives["pacs"]
        assert isinstance(archive, FolderPacs)
        archive.store(study, broken)
        assert drive(site, turn, 1) == ["refused"]
        replace_in_folder(archive, study, files[:1])
        assert drive(site, turn, 2, quiet_turns=20) == ["refused", "done"]
        is_replaced(site, "corrected")


def test_other_pixels_that_cannot_be_read_replace_the_result(root: Path) -> None:
    """A correction that is no volume is refused, and the refusal stands in place of the result."""
    with answered(root) as (site, turn, archive, study, files):
        replace_in_folder(archive, study, changed(files[:1], PixelSpacing="0.0\\0.0"))
        assert drive(site, turn, 2, quiet_turns=20) == ["done", "refused"]
        is_replaced(site, "corrected")


@pytest.mark.server
def test_images_of_another_patient_withdraw_the_result(root: Path, fhir: Any) -> None:
    """The study is given to another patient: the old report should never have existed there."""
    targets = [
        {"name": "pacs", "kind": "pacs", "pacs": "pacs"},
        {"name": "ehr", "kind": "fhir", "url": fhir.url},
    ]
    with answered(root, targets=targets) as (site, turn, archive, study, files):
        replace_in_folder(archive, study, changed(files, **MOVED))
        assert drive(site, turn, 2, quiet_turns=20) == ["done", "done"]
        is_replaced(site, "patient-changed")
        new, old = runs(site)
        assert new.input_digest == old.input_digest
        assert "patient-changed" in changes_on_record(site)
    reports = {item["identifier"][0]["value"]: item for item in fhir.all("DiagnosticReport")}
    assert reports[old.run_id]["status"] == "entered-in-error"
    assert reports[new.run_id]["status"] == "preliminary"
    assert "ANOTHER-7" in str(reports[new.run_id]["subject"])
    assert "ANOTHER-7" not in str(reports[old.run_id]["subject"])


def _at_orthanc(local: LocalOrthanc, root: Path, kind: str) -> dict[str, Any]:
    url = local.url if kind == "orthanc" else local.dicomweb_url
    if not url:
        pytest.skip("the DICOMweb plugin of Orthanc is not installed")
    archive = {
        "name": "archive", "kind": kind, "url": url,
        "username": local.username, "password": local.password,
    }  # fmt: skip
    return {
        "trigger": SOON,
        "pacs": [archive],
        "targets": [
            {"name": "archive", "kind": "pacs", "pacs": "archive"},
            {"name": "fhir", "kind": "fhir-folder", "path": str(root / "fhir")},
        ],
    }


@pytest.mark.server
@pytest.mark.parametrize(("kind", "seed"), [("orthanc", 301), ("dicomweb", 302)])
def test_an_orthanc_that_overwrites(
    root: Path, orthanc: LocalOrthanc, kind: str, seed: int
) -> None:
    """The same study again is nothing new; other pixels are, by its own interface and DICOMweb."""
    study, files = small_phantom(seed)
    with (
        OrthancPacs("sender", orthanc.url, orthanc.username, orthanc.password) as sender,
        served(Home(root / "home"), root, **_at_orthanc(orthanc, root, kind)) as (site, turn),
    ):
        turn()
        sender.store(study, files)
        assert drive(site, turn, 1) == ["done"]
        sender.store(study, files)
        assert drive(site, turn, 1, quiet_turns=100) == ["done"]
        sender.store(study, changed(files))
        if kind == "dicomweb":  # nothing tells of it: the next time that inputs are read again
            object.__setattr__(site.corrections.trigger, "reread_after_h", [0.0001, 0.0002])
        assert drive(site, turn, 2, quiet_turns=20) == ["done", "done"]
        is_replaced(site, "corrected")
        assert count(site, "archive", study) == len(files) + 2 * RESULTS
        site.verify_log()


@pytest.mark.server
@pytest.mark.parametrize(("kind", "seed"), [("orthanc", 311), ("dicomweb", 312)])
def test_an_orthanc_that_gives_a_study_to_another_patient(
    root: Path, orthanc: LocalOrthanc, kind: str, seed: int
) -> None:
    """Orthanc moves the study with all its objects; the result is made again for the patient."""
    study, files = small_phantom(seed)
    files = changed(files, PatientID=f"LIMB-{seed}")  # of no other study on this server
    with (
        OrthancPacs("sender", orthanc.url, orthanc.username, orthanc.password) as sender,
        served(Home(root / "home"), root, **_at_orthanc(orthanc, root, kind)) as (site, turn),
    ):
        turn()
        sender.store(study, files)
        assert drive(site, turn, 1) == ["done"]
        _reconcile(orthanc, study)
        assert drive(site, turn, 2, quiet_turns=20) == ["done", "done"]
        is_replaced(site, "patient-changed")
        (row,) = [item for item in runs(site) if item.superseded_by is None]
        with site.database.reading() as transaction:
            documents = transaction.documents(row.run_id)
    reports = [item for item in documents if item.kind == "SR"]
    assert pydicom.dcmread(reports[0].path).PatientID == MOVED["PatientID"]


def _reconcile(local: LocalOrthanc, study: str) -> None:
    """Give all objects of a patient to another one and keep every UID."""
    with httpx.Client(
        base_url=local.url, auth=(local.username, local.password), timeout=60
    ) as client:
        (name,) = client.post(
            "/tools/find", json={"Level": "Study", "Query": {"StudyInstanceUID": study}}
        ).json()
        patient = client.get(f"/studies/{name}").json()["ParentPatient"]
        keep = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
        order = {"Replace": MOVED, "Keep": keep, "Force": True, "KeepSource": False}
        client.post(f"/patients/{patient}/modify", json=order).raise_for_status()
