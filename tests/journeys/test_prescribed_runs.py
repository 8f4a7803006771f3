"""A release that asks for a prescription runs with what is stated, or says what is wrong."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest

from adapters.compose import Site, open_site
from adapters.database.runs import FOLDER, RunRow
from adapters.engine.notices import Notices
from adapters.engine.serving import serving
from adapters.folder.pacs import FolderPacs
from adapters.governance.acts import waive
from adapters.governance.persons import DEMONSTRATOR
from adapters.hand import queue_by_hand
from adapters.home import Home
from adapters.orthanc.pacs import OrthancPacs
from adapters.part10 import read_part10
from adapters.published import sign_bundle
from adapters.rt.read_folder import scan_folder
from audit.errors import ConfigurationError
from audit.record import Record, decode
from plugins.host.manifest import Envelope, Input, Manifest, encode
from plugins.host.ports import RunRequest
from tests.simulators.answers import PROMPT, drive, wait_for_mark
from tests.simulators.example_site import configuration, served, small_phantom
from tests.simulators.prescription_objects import LEVELS, intent, order, plan
from tests.simulators.released_plugins import bundle
from tests.simulators.seed_objects import ct_headers

ASKS = """
def predict(self, case, parameters):
    return answer(case, factor=case.prescription.highest_gy)
"""
DOES_NOT_ASK = """
def predict(self, case, parameters):
    assert case.prescription is None
    return answer(case)
"""
STUDY, FILES = small_phantom()
HEADER = ct_headers(FILES)[0]
EXAMPLE = Path(__file__).parents[2] / "docs/examples/protocols/head-neck-70-63-56.toml"
SOON = {"poll_interval_s": 0.1}
OTHERS = {"PTV_6600": 66.0, "PTV_5400": 54.0}
Turn = Callable[[], None]


def activated(site: Site, root: Path, methods: str, *, asks: bool) -> str:
    """Add and waive a release of the trial plugin; return its digest."""
    path = root / "trial.osteon"
    manifest = Manifest(
        *("trial", "1.0.0", "Trial", "Test", "analytic"),
        inputs=(Input("ct", "CT"),), outputs=(), envelope=Envelope(prescription_required=asks),
    )  # fmt: skip
    path.write_bytes(bundle(methods, envelope=encode(manifest)["envelope"]))
    digest = site.registry.add(sign_bundle(site.keys, path, site.now())).digest
    waive(site, digest, DEMONSTRATOR, "test", timedelta(days=1))
    return digest


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an active release that asks for a prescription."""
    root = tmp_path_factory.mktemp("template")
    with open_site(Home(root / "home").create(), configuration=configuration(root)) as site:
        activated(site, root, ASKS, asks=True)
    return root


@contextmanager
def site_with(
    template: Path, root: Path, *objects: bytes, **changes: Any
) -> Iterator[tuple[Site, Turn, FolderPacs]]:
    """Serve a site whose archive holds the study, with these objects from the start."""
    shutil.copytree(template / "home", root / "home")
    given = {"trigger": PROMPT, "prescriptions": SOON} | changes
    with served(Home(root / "home"), root, **given) as (site, turn):
        archive = site.archives["pacs"]
        assert isinstance(archive, FolderPacs)
        archive.store(STUDY, [*FILES, *objects])
        yield site, turn, archive


def rows(site: Site) -> list[RunRow]:
    """Return the runs, oldest first."""
    with site.database.reading() as transaction:
        return list(reversed(transaction.runs()))


def on_record(site: Site) -> list[Record]:
    """Return the records about prescriptions."""
    site.seal()
    with site.database.reading() as transaction:
        leaves = transaction.leaves(0, transaction.tree_size())
        return [decode(leaf.leaf) for leaf in leaves if leaf.kind == "prescription"]


def delete(archive: FolderPacs, modality: str) -> None:
    """Take the one object of a modality out of the archive."""
    (series,) = [item for item in archive.search_series(STUDY) if item.modality == modality]
    (reference,) = archive.search_instances(STUDY, series.series_instance_uid)
    archive.delete_instance(reference)


@pytest.mark.parametrize("make", [plan, intent], ids=["plan", "intent"])
def test_what_lies_beside_the_images_is_used_at_once(
    template: Path, tmp_path: Path, make: Callable[..., bytes]
) -> None:
    """No refusal comes first; doses, source and author are on record, the object as a pseudonym."""
    data = make(HEADER)
    with site_with(template, tmp_path, data) as (site, turn, _):
        assert drive(site, turn, 1, quiet_turns=20) == ["done"]
        (row,) = rows(site)
        assert row.prescription is not None
        assert {t.roi_name: t.dose_gy for t in row.prescription.targets} == LEVELS
        (record,) = on_record(site)
        source = "plan" if make is plan else "physician_intent"
        assert (record.run_id, record.body["action"]) == (row.run_id, "taken")
        assert (record.body["source"], record.body["fractions"]) == (source, 35)
        assert record.body["doses_gy"] == list(LEVELS.values())
        uid = str(pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID)
        assert uid not in str(record.body)
        assert "Planner" not in str(record.body)
        site.verify_log()


def test_a_plan_that_comes_later_lifts_the_refusal(template: Path, tmp_path: Path) -> None:
    """Refused by name without one; run once, in the refusal's place, when the plan is there."""
    with site_with(template, tmp_path) as (site, turn, archive):
        assert drive(site, turn, 1) == ["refused"]
        assert rows(site)[0].reason == "PRESCRIPTION_REQUIRED"
        assert on_record(site) == []
        archive.store(STUDY, [plan(HEADER)])
        assert drive(site, turn, 2, quiet_turns=30) == ["refused", "done"]
        before, done = rows(site)
        assert (done.supersedes, before.superseded_by) == (before.run_id, done.run_id)
        assert [item.run_id for item in on_record(site)] == [done.run_id]


def test_a_contradiction_is_refused_and_names_both(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither counts: reason, record and one notice name the two; one left alone is used."""
    told: list[tuple[str, str]] = []

    def tell(_: Notices, event: str, request: RunRequest, code: str, advice: str) -> None:
        told.append((code, advice))

    monkeypatch.setattr(Notices, "tell", tell)
    with site_with(template, tmp_path, plan(HEADER), intent(HEADER, OTHERS)) as (
        site, turn, archive,
    ):  # fmt: skip
        run_id = wait_for_mark(site, turn, "PRESCRIPTION_CONTRADICTION")
        assert drive(site, turn, 1, quiet_turns=40) == ["refused"]
        (row,) = rows(site)
        assert row.reason == "PRESCRIPTION_CONTRADICTION plan and physician_intent"
        ((code, advice),) = told
        assert code == "PRESCRIPTION_CONTRADICTION"
        assert "plan and physician_intent" in advice
        (record,) = on_record(site)
        assert record.body["action"] == "PRESCRIPTION_CONTRADICTION"
        assert [item["source"] for item in record.body["between"]] == ["plan", "physician_intent"]
        delete(archive, "RTINTENT")
        assert drive(site, turn, 2, quiet_turns=20) == ["refused", "done"]
        with site.database.reading() as transaction:
            assert transaction.marks(run_id) == ()
        done = rows(site)[-1]
        assert done.prescription is not None
        assert (done.prescription.source, done.trigger) == ("plan", "prescription")


def test_what_cannot_be_used_is_said_until_it_is_replaced(template: Path, tmp_path: Path) -> None:
    """A plan of two fraction groups is no total: record and mark say why, once."""
    broken = plan(HEADER, fractions=(16, 4))
    with site_with(template, tmp_path, broken) as (site, turn, archive):
        wait_for_mark(site, turn, "PRESCRIPTION_UNUSABLE")
        assert drive(site, turn, 1, quiet_turns=40) == ["refused"]
        (record,) = on_record(site)
        assert record.body["action"] == "PRESCRIPTION_SEVERAL_GROUPS"
        assert (record.outcome.code, record.outcome.reason) == (4, "PRESCRIPTION_UNUSABLE")
        uid = str(pydicom.dcmread(io.BytesIO(broken)).SOPInstanceUID)
        archive.store(STUDY, [plan(HEADER, replaces=uid)])
        assert drive(site, turn, 2, quiet_turns=20) == ["refused", "done"]


def test_the_suites_own_objects_prescribe_nothing(template: Path, tmp_path: Path) -> None:
    """A plan that a plugin of ours wrote is no statement of a person."""
    data = plan(HEADER)
    with site_with(template, tmp_path) as (site, turn, archive):
        reference = read_part10(data).reference
        with site.database.transaction() as transaction:
            own = (
                reference.sop_instance_uid, reference.series_instance_uid,
                reference.study_instance_uid,
            )  # fmt: skip
            transaction.add_own_uids("f" * 32, [own])
        archive.store(STUDY, [data])
        assert drive(site, turn, 1, quiet_turns=60) == ["refused"]
        assert on_record(site) == []


def test_a_release_that_does_not_ask_is_given_none(tmp_path: Path) -> None:
    """Whatever is stated, and however it contradicts: it runs as ever, without a prescription."""
    with open_site(
        Home(tmp_path / "made" / "home").create(), configuration=configuration(tmp_path)
    ) as site:
        activated(site, tmp_path, DOES_NOT_ASK, asks=False)
    stated = (plan(HEADER), intent(HEADER, OTHERS))
    with site_with(tmp_path / "made", tmp_path, *stated) as (site, turn, _):
        assert drive(site, turn, 1, quiet_turns=20) == ["done"]
        assert rows(site)[0].prescription is None
        assert on_record(site) == []


def _protocol(root: Path, **changes: str) -> str:
    """Write the example as a protocol that applies to every CT; return its path."""
    text = EXAMPLE.read_text("utf-8")
    text = text.replace('keyword = "BodyPartExamined"', 'keyword = "Modality"')
    text = text.replace('value = ["HEADNECK", "HEAD_NECK", "NECK"]', 'value = ["CT"]')
    for before, after in changes.items():
        text = text.replace(before, after)
    (root / "site.toml").write_text(text, "utf-8")
    return str(root / "site.toml")


def test_the_sites_protocol_is_used_where_nobody_else_says_so(
    template: Path, tmp_path: Path
) -> None:
    """Doses and goals come from the file; what the plan says later counts before it."""
    section = {"prescriptions": SOON | {"protocols": [_protocol(tmp_path)]}}
    with site_with(template, tmp_path, **section) as (site, turn, archive):
        assert drive(site, turn, 1, quiet_turns=10) == ["done"]
        (row,) = rows(site)
        assert row.prescription is not None
        assert (row.prescription.source, row.prescription.protocol) == (
            "protocol", "head-neck-70-63-56",
        )  # fmt: skip
        assert len(row.prescription.goals) == 11
        archive.store(STUDY, [plan(HEADER, OTHERS)])
        assert drive(site, turn, 2, quiet_turns=20) == ["done", "done"]
        planned = rows(site)[-1]
        assert planned.prescription is not None
        assert (planned.prescription.source, planned.prescription.goals) == ("plan", ())
        assert planned.supersedes == row.run_id


def test_a_clinical_site_takes_no_example_for_a_protocol(tmp_path: Path) -> None:
    """The example that is shipped shows a shape; it treats nobody."""
    changes = {
        "site": {"name": "test-site", "node": "node-a", "mode": "clinical"},
        "prescriptions": {"protocols": [_protocol(tmp_path)]},
    }
    home = Home(tmp_path / "home").create()
    with (
        pytest.raises(ConfigurationError, match="head-neck-70-63-56"),
        open_site(home, configuration=configuration(tmp_path, **changes)),
    ):
        pass


@pytest.mark.server
def test_an_order_on_the_fhir_server_lifts_the_refusal(
    template: Path, tmp_path: Path, fhir: Any
) -> None:
    """An order that cannot be used is told once; a right one runs the study, result verified."""
    changes = {
        "targets": [{"name": "ehr", "kind": "fhir", "url": fhir.url}],
        "prescriptions": SOON | {"fhir": "ehr"},
    }
    patient = fhir.post("Patient", {"resourceType": "Patient"})
    subject = {"reference": f"Patient/{patient['id']}"}
    with site_with(template, tmp_path, **changes) as (site, turn, _):
        assert drive(site, turn, 1) == ["refused"]
        phase = {"coding": [{"system": "http://snomed.info/sct", "code": "1222565005"}]}
        made = fhir.post("ServiceRequest", order(STUDY, subject=subject, code=phase))
        wait_for_mark(site, turn, "PRESCRIPTION_UNUSABLE")
        assert on_record(site)[0].body["action"] == "PRESCRIPTION_PART_OF_COURSE"
        fhir.put(order(STUDY, subject=subject) | {"id": made["id"]})
        assert drive(site, turn, 2, quiet_turns=20) == ["refused", "done"]
        record = on_record(site)[-1]
        assert (record.body["source"], record.body["given_by"]) == (
            "service_request", "Practitioner/4",
        )  # fmt: skip
        done = rows(site)[-1]
        assert done.trigger == "prescription"
        with site.database.reading() as transaction:
            states = {item.state for item in transaction.deliveries(done.run_id)}
    assert states == {"verified"}


@pytest.mark.server
@pytest.mark.slow
def test_an_intent_in_orthanc_is_found(template: Path, tmp_path: Path, orthanc_server: Any) -> None:
    """Images, then a physician's intent, uploaded to Orthanc: the study runs with its doses."""
    study, files = small_phantom(seed=481)
    changes = {
        "trigger": PROMPT,
        "prescriptions": SOON,
        "pacs": [{
            "name": "orthanc", "kind": "orthanc", "url": orthanc_server.url,
            "username": orthanc_server.username, "password": orthanc_server.password,
        }],
        "targets": [{"name": "orthanc", "kind": "pacs", "pacs": "orthanc"}],
    }  # fmt: skip
    sender = OrthancPacs(
        "sender", orthanc_server.url, orthanc_server.username, orthanc_server.password
    )
    shutil.copytree(template / "home", tmp_path / "home")
    with served(Home(tmp_path / "home"), tmp_path, **changes) as (site, turn):
        for objects, expected in (
            (files, ["refused"]),
            ([intent(ct_headers(files)[0])], ["refused", "done"]),
        ):
            sender.store(study, objects)
            ends = time.monotonic() + 120.0
            states: list[str] = []
            while states != expected and time.monotonic() < ends:
                turn()
                time.sleep(0.02)
                with site.database.reading() as transaction:
                    states = [row.status for row in reversed(transaction.runs(study=study))]
            assert states == expected
        with site.database.reading() as transaction:
            done = transaction.runs(study=study)[0]
    assert done.prescription is not None
    assert (done.prescription.source, done.prescription.highest_gy) == ("physician_intent", 70.0)


@pytest.mark.parametrize(
    ("objects", "ended"),
    [
        ([plan(HEADER, PlanIntent="RESEARCH")], "done"),
        ([plan(HEADER), intent(HEADER, OTHERS)], "refused"),
        ([], "refused"),
    ],
    ids=["plan", "contradiction", "nothing"],
)
def test_a_run_on_files_takes_what_lies_in_the_folder(
    template: Path, tmp_path: Path, objects: list[bytes], ended: str
) -> None:
    """`osteon run` on a folder needs no site that watches: plan and intent lie beside the CT."""
    shutil.copytree(template / "home", tmp_path / "home")
    folder = tmp_path / "files"
    folder.mkdir()
    for number, data in enumerate([*FILES, *objects]):
        (folder / f"{number}.dcm").write_bytes(data)
    scan = scan_folder(folder)
    with (
        open_site(
            Home(tmp_path / "home"), configuration=configuration(tmp_path), scans={FOLDER: scan}
        ) as site,
        serving(site) as turn,
    ):
        with site.database.reading() as transaction:
            (release,) = [row.digest for row in transaction.releases()]
        queue_by_hand(site, scan, release)
        assert drive(site, turn, 1) == [ended]
        assert len(on_record(site)) == (ended == "done")
