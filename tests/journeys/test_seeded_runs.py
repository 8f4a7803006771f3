"""A study that was refused for want of a seed point runs when somebody leaves one."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.compose import Site
from adapters.engine.notices import Notices
from adapters.folder.pacs import FolderPacs
from adapters.governance.acts import waive
from adapters.governance.persons import DEMONSTRATOR
from adapters.hand import act
from adapters.home import Home
from adapters.part10 import read_part10
from adapters.published import sign_bundle
from adapters.successors import seeded
from audit.record import Record, decode
from plugins.host.manifest import Envelope, Input, Manifest, encode
from plugins.host.ports import RunRequest
from tests.simulators.answers import PROMPT, drive, wait_for_mark
from tests.simulators.example_site import configuration, served, small_phantom
from tests.simulators.released_plugins import bundle
from tests.simulators.seed_objects import (
    ct_headers,
    point_report,
    point_structures,
    seed_observation,
)

METHODS = """
def predict(self, case, parameters):
    return answer(case)
"""
FIELD = Envelope(trained_field_mm=(20.0, 20.0, 20.0))
STUDY, FILES = small_phantom()
IMAGES = ct_headers(FILES)
TRIGGER = {"trigger": PROMPT, "seeds": {"poll_interval_s": 0.1}}
INSIDE = tuple(float(value) for value in IMAGES[len(IMAGES) // 2].ImagePositionPatient)
POINT = (INSIDE[0] + 9.0, INSIDE[1] + 9.0, INSIDE[2])
OTHER = (POINT[0] + 12.0, POINT[1], POINT[2])
Turn = Callable[[], None]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an active release that wants a seed for whatever is larger than a box."""
    from adapters.compose import open_site

    root = tmp_path_factory.mktemp("template")
    with open_site(Home(root / "home").create(), configuration=configuration(root)) as site:
        path = root / "trial.osteon"
        manifest = Manifest(
            *("trial", "1.0.0", "Trial", "Test", "analytic"),
            inputs=(Input("ct", "CT"),), outputs=(), envelope=FIELD,
        )  # fmt: skip
        path.write_bytes(bundle(METHODS, envelope=encode(manifest)["envelope"]))
        digest = site.registry.add(sign_bundle(site.keys, path, site.now())).digest
        waive(site, digest, DEMONSTRATOR, "test", timedelta(days=1))
    return root


@contextmanager
def refused(template: Path, root: Path, **changes: Any) -> Iterator[tuple[Site, Turn, FolderPacs]]:
    """Serve a site whose only study was refused with SEED_REQUIRED."""
    shutil.copytree(template / "home", root / "home")
    with served(Home(root / "home"), root, **(TRIGGER | changes)) as (site, turn):
        archive = site.archives["pacs"]
        assert isinstance(archive, FolderPacs)
        archive.store(STUDY, FILES)
        assert drive(site, turn, 1) == ["refused"]
        with site.database.reading() as transaction:
            (row,) = transaction.runs()
        assert row.reason.startswith("SEED_REQUIRED")
        yield site, turn, archive


def seeds_on_record(site: Site) -> list[Record]:
    """Return the records about seed points."""
    site.seal()
    with site.database.reading() as transaction:
        leaves = transaction.leaves(0, transaction.tree_size())
        return [decode(leaf.leaf) for leaf in leaves if leaf.kind == "seed"]


@pytest.mark.parametrize("make", [point_report, point_structures], ids=["SR", "RTSTRUCT"])
def test_a_point_in_the_archive_lifts_the_refusal(
    template: Path, tmp_path: Path, make: Callable[..., bytes]
) -> None:
    """Run again with that point, once, in place of the refusal; who gave it is on record."""
    with refused(template, tmp_path) as (site, turn, archive):
        archive.store(STUDY, [make(IMAGES, [POINT])])
        assert drive(site, turn, 2) == ["refused", "done"]
        with site.database.reading() as transaction:
            done, before = transaction.runs()
            kinds = [item.path.name for item in transaction.documents(done.run_id)]
        assert done.seed_point_mm == pytest.approx(POINT)
        assert done.seed_frame_of_reference_uid == IMAGES[0].FrameOfReferenceUID
        assert (done.trigger, done.supersedes) == ("seed", before.run_id)
        assert before.superseded_by == done.run_id
        assert "superseded.json" in kinds
        (record,) = seeds_on_record(site)
        assert record.run_id == done.run_id
        assert (record.body["action"], record.body["source"]) == (
            "taken", "sr" if make is point_report else "rtstruct",
        )  # fmt: skip
        assert re.fullmatch(r"text:[0-9a-f]{12}", record.body["given_by"])
        assert record.body["position_mm"] == pytest.approx(POINT, abs=0.01)
        archive.store(STUDY, [point_structures(IMAGES, [POINT])])
        assert drive(site, turn, 2, quiet_turns=30) == ["refused", "done"]
        site.verify_log()


def test_several_points_are_a_question(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two different points: nobody guesses, one notice is sent; a person's point decides."""
    told: list[tuple[str, str]] = []

    def tell(_: Notices, event: str, request: RunRequest, code: str, advice: str) -> None:
        told.append((request.run_id, code))

    with refused(template, tmp_path) as (site, turn, archive):
        monkeypatch.setattr(type(site.seeds.notices), "tell", tell)
        archive.store(STUDY, [point_report(IMAGES, [POINT]), point_structures(IMAGES, [OTHER])])
        run_id = wait_for_mark(site, turn, "SEED_AMBIGUOUS")
        for _ in range(60):
            turn()
        assert drive(site, turn, 1) == ["refused"]
        assert told == [(run_id, "SEED_AMBIGUOUS")]
        assert [item.body["action"] for item in seeds_on_record(site)] == ["SEED_AMBIGUOUS"]
        act(site, "seed", run_id, "account:local", ",".join(map(str, POINT)))
        assert drive(site, turn, 2) == ["refused", "done"]


def test_one_point_left_of_several_is_taken(template: Path, tmp_path: Path) -> None:
    """When one of two objects is deleted, the other decides and the mark goes."""
    with refused(template, tmp_path) as (site, turn, archive):
        archive.store(STUDY, [point_report(IMAGES, [POINT]), point_structures(IMAGES, [OTHER])])
        run_id = wait_for_mark(site, turn, "SEED_AMBIGUOUS")
        (series,) = [item for item in archive.search_series(STUDY) if item.modality == "RTSTRUCT"]
        (structures,) = archive.search_instances(STUDY, series.series_instance_uid)
        archive.delete_instance(structures)
        assert drive(site, turn, 2, quiet_turns=20) == ["refused", "done"]
        with site.database.reading() as transaction:
            assert transaction.marks(run_id) == ()
            assert transaction.runs()[0].seed_point_mm == pytest.approx(POINT)


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ((point_structures(IMAGES, [POINT], frame="1.2.3.4.5"),), "SEED_OTHER_FRAME"),
        ((point_report(IMAGES, [POINT], graphic_type="MULTIPOINT"),), "SEED_SHAPE"),
    ],
    ids=["another frame", "no single point"],
)
def test_a_point_that_cannot_be_used_is_refused_on_record(
    template: Path, tmp_path: Path, objects: tuple[bytes, ...], reason: str
) -> None:
    """It never becomes a seed; record and mark say why, once, until it is put right."""
    with refused(template, tmp_path) as (site, turn, archive):
        archive.store(STUDY, objects)
        run_id = wait_for_mark(site, turn, "SEED_UNUSABLE")
        assert drive(site, turn, 1, quiet_turns=60) == ["refused"]
        (record,) = seeds_on_record(site)
        assert (record.run_id, record.body["action"]) == (run_id, reason)
        assert (record.outcome.code, record.outcome.reason) == (4, reason)
        archive.store(STUDY, [point_report(IMAGES, [POINT])])
        assert drive(site, turn, 2) == ["refused", "done"]
        with site.database.reading() as transaction:
            assert transaction.marks(run_id) == ()


def test_the_suites_own_objects_never_give_a_seed(template: Path, tmp_path: Path) -> None:
    """A structure set that a plugin of ours wrote is no mark of a person."""
    data = point_structures(IMAGES, [POINT])
    with refused(template, tmp_path) as (site, turn, archive):
        reference = read_part10(data).reference
        with site.database.transaction() as transaction:
            own = (
                reference.sop_instance_uid, reference.series_instance_uid,
                reference.study_instance_uid,
            )  # fmt: skip
            transaction.add_own_uids("f" * 32, [own])
        archive.store(STUDY, [data])
        assert drive(site, turn, 1, quiet_turns=60) == ["refused"]
        assert seeds_on_record(site) == []


def test_a_wrong_point_can_be_followed_by_a_right_one(template: Path, tmp_path: Path) -> None:
    """A seed outside the image is refused; the next one is tried, the wrong one never again."""
    far = (POINT[0] + 5000.0, POINT[1], POINT[2])
    with refused(template, tmp_path) as (site, turn, archive):
        archive.store(STUDY, [point_structures(IMAGES, [far])])
        assert drive(site, turn, 2) == ["refused", "refused"]
        archive.store(STUDY, [point_report(IMAGES, [POINT])])
        assert drive(site, turn, 3, quiet_turns=20) == ["refused", "refused", "done"]


@pytest.mark.server
def test_a_seed_on_the_fhir_server_lifts_the_refusal(
    template: Path, tmp_path: Path, fhir: Any
) -> None:
    """An Observation that cannot be used is told once; a right one runs the study."""
    changes = {
        "targets": [{"name": "ehr", "kind": "fhir", "url": fhir.url}],
        "seeds": {"fhir": "ehr", "poll_interval_s": 0.1},
    }
    frame = str(IMAGES[0].FrameOfReferenceUID)
    with refused(template, tmp_path, **changes) as (site, turn, _):
        made = fhir.post("Observation", seed_observation(STUDY, POINT, "1.2.3.4.5"))
        run_id = wait_for_mark(site, turn, "SEED_UNUSABLE")
        assert [item.body["action"] for item in seeds_on_record(site)] == ["SEED_OTHER_FRAME"]
        fhir.put(seed_observation(STUDY, POINT, frame) | {"id": made["id"]})
        assert drive(site, turn, 2, quiet_turns=20) == ["refused", "done"]
        record = seeds_on_record(site)[-1]
        assert (record.body["source"], record.body["given_by"]) == ("fhir", "Practitioner/4")
        with site.database.reading() as transaction:
            assert transaction.marks(run_id) == ()
            states = {
                item.state
                for row in transaction.runs()
                for item in transaction.deliveries(row.run_id)
            }
    assert states == {"verified"}
    statuses = sorted(item["status"] for item in fhir.all("DiagnosticReport"))
    assert statuses == ["cancelled", "preliminary"]


def test_a_seed_given_in_another_frame_is_refused_at_the_image(
    template: Path, tmp_path: Path
) -> None:
    """What decides is the frame of the image that was read, whatever was believed before."""
    with refused(template, tmp_path) as (site, turn, _):
        with site.database.transaction() as transaction:
            (row,) = transaction.runs()
            request = seeded(
                row.request, POINT, "service:test", site.now(), frame_of_reference_uid="1.2.3.4"
            )
            transaction.add_run(request, "pacs")
        assert drive(site, turn, 2) == ["refused", "refused"]
        with site.database.reading() as transaction:
            newest = transaction.runs()[0]
        assert newest.reason.startswith("SEED_FRAME_OF_REFERENCE")
