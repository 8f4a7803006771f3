"""What every door to a picture archive must do, the same for all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adapters.dicomweb import DicomwebPacs
from adapters.dimse import DimsePacs, Peer
from adapters.dimse.scu import Outgoing, ServiceUser
from adapters.folder import FolderPacs
from adapters.orthanc import OrthancPacs
from adapters.orthanc.local import LocalOrthanc
from adapters.pacs import Change, ChangeBatch, InstanceReference, Pacs
from audit.errors import NotFoundError, RejectedError
from tests.simulators.orthanc import register_modality
from tests.simulators.tiny_pacs import TinyPacs
from tests.simulators.tiny_studies import TinyStudy, dataset_of, file_of, new_uid, tiny_study

DOORS = ("folder", "orthanc", "dicomweb-orthanc", "dicomweb-tiny-pacs", "dimse-orthanc")
pytestmark = pytest.mark.server


@dataclass
class Door:
    """One door and how studies reach the archive behind it.

    ``open`` makes the door as after a restart; ``arrive`` is None where a store is how
    studies arrive; ``tells_duplicates`` is False where the archive answers the same twice.
    """

    open: Callable[[], Pacs]
    arrive: Callable[[TinyStudy], None] | None = None
    tells_instances: bool = True
    tells_duplicates: bool = True
    stack: ExitStack = field(default_factory=ExitStack)

    def send(self, pacs: Pacs, study: TinyStudy) -> None:
        """Have a study arrive from outside."""
        if self.arrive is not None:
            self.arrive(study)
            return
        outcomes = pacs.store(study.study_instance_uid, study.files)
        assert {item.status for item in outcomes} <= {"stored", "duplicate"}


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    """Yield each door in turn; a door whose server is not installed is skipped by name."""
    made = _make(request, request.param, tmp_path)
    with made.stack:
        yield made


def _make(request: pytest.FixtureRequest, name: str, folder: Path) -> Door:
    stack = ExitStack()
    if name == "folder":
        return Door(lambda: stack.enter_context(FolderPacs("a", folder)), stack=stack)
    if name == "dicomweb-tiny-pacs":
        tiny: TinyPacs = request.getfixturevalue("tiny_pacs_server")
        return Door(
            lambda: stack.enter_context(
                DicomwebPacs("tiny", tiny.dicomweb_url, token=tiny.token, timeout_s=30)
            ),
            tells_instances=False,
            stack=stack,
        )
    local: LocalOrthanc = request.getfixturevalue("orthanc_server")
    if name == "orthanc":
        return Door(
            lambda: stack.enter_context(
                OrthancPacs("o", local.url, local.username, local.password, timeout_s=30)
            ),
            stack=stack,
        )
    if name == "dicomweb-orthanc":
        return Door(
            lambda: stack.enter_context(
                DicomwebPacs(
                    "ow",
                    local.dicomweb_url,
                    username=local.username,
                    password=local.password,
                    timeout_s=30,
                )
            ),
            tells_instances=False,
            tells_duplicates=False,
            stack=stack,
        )
    return _dimse(stack, local, folder)


def _dimse(stack: ExitStack, local: LocalOrthanc, folder: Path) -> Door:
    peer = Peer(local.aet, "127.0.0.1", local.dicom_port)
    opened: list[DimsePacs] = []

    def open_door() -> Pacs:
        for earlier in opened:
            earlier.close()
        pacs = stack.enter_context(
            DimsePacs("d", folder, aet="CONTRACT", port=0, peer=peer, timeout_s=30)
        )
        register_modality(local, "CONTRACT", pacs.port)
        opened.append(pacs)
        return pacs

    def push(study: TinyStudy) -> None:
        sender = ServiceUser("SCANNER", Peer("CONTRACT", "127.0.0.1", opened[-1].port), 30)
        pairs = zip(study.references, study.files, strict=True)
        outcomes = sender.store([Outgoing(*pair) for pair in pairs])
        assert {item.status for item in outcomes} == {"stored"}

    return Door(open_door, push, tells_duplicates=False, stack=stack)


def _to_the_end(pacs: Pacs, cursor: str | None, limit: int = 1000) -> tuple[list[Change], str]:
    """Read changes until there are no more."""
    found: list[Change] = []
    while True:
        batch: ChangeBatch = pacs.changes(cursor, limit)
        assert len(batch.changes) <= limit
        found.extend(batch.changes)
        cursor = batch.cursor
        if not batch.more:
            return found, cursor


def test_what_is_stored_is_found_and_comes_back_unchanged(door: Door) -> None:
    """A stored study is found at every level, and each instance comes back equal."""
    pacs, study = door.open(), tiny_study("CT", "PT")
    outcomes = pacs.store(study.study_instance_uid, study.files)
    assert [item.status for item in outcomes] == ["stored"] * 8
    assert [item.sop_instance_uid for item in outcomes] == [
        item.sop_instance_uid for item in study.references
    ]
    assert pacs.search_studies(StudyInstanceUID=study.study_instance_uid) == (
        study.study_instance_uid,
    )
    series = pacs.search_series(study.study_instance_uid)
    assert [item.series_instance_uid for item in series] == sorted(study.series_instance_uids)
    assert sorted(item.modality for item in series) == ["CT", "PT"]
    assert [item.instance_count for item in series] == [4, 4]
    for uid in study.series_instance_uids:
        sent = study.of_series(uid)
        references = pacs.search_instances(study.study_instance_uid, uid)
        assert [item.sop_instance_uid for item in references] == sorted(sent)
        for data in pacs.retrieve_series(study.study_instance_uid, uid):
            assert data[128:132] == b"DICM"
            dataset = dataset_of(data)
            assert dataset == dataset_of(sent.pop(dataset.SOPInstanceUID))
        assert not sent
    first = study.references[0]
    assert dataset_of(pacs.retrieve_instance(first)) == dataset_of(study.files[0])


def test_the_study_is_found_by_the_numbers_that_a_person_has(door: Door) -> None:
    """Patient number and accession number find the study; another number finds nothing."""
    pacs, study = door.open(), tiny_study()
    pacs.store(study.study_instance_uid, study.files)
    accession = dataset_of(study.files[0]).AccessionNumber
    assert pacs.search_studies(PatientID=study.patient_id) == (study.study_instance_uid,)
    assert pacs.search_studies(AccessionNumber=accession) == (study.study_instance_uid,)
    assert pacs.search_studies(PatientID="nobody-has-this") == ()


def test_each_arrival_is_reported_exactly_once_across_restarts(door: Door) -> None:
    """A cursor that was kept resumes in another process: nothing lost, nothing twice."""
    pacs = door.open()
    _, cursor = _to_the_end(pacs, None)
    first, second = tiny_study("CT"), tiny_study("MR")
    door.send(pacs, first)
    door.send(pacs, second)
    batch = pacs.changes(cursor, 1)
    while not batch.changes and batch.more:  # an archive may report what is no arrival
        batch = pacs.changes(batch.cursor, 1)
    assert len(batch.changes) == 1
    assert batch.more
    pacs = door.open()
    rest, cursor = _to_the_end(pacs, batch.cursor, 3)
    seen = [*batch.changes, *rest]
    assert {item.study_instance_uid for item in seen} == {
        first.study_instance_uid,
        second.study_instance_uid,
    }
    if door.tells_instances:
        assert {item.kind for item in seen} == {"new_instance"}
        uids = [item.sop_instance_uid or "" for item in seen]
        sent = [*first.references, *second.references]
        assert sorted(uids) == sorted(item.sop_instance_uid for item in sent)
    else:
        assert [item.kind for item in seen] == ["changed", "changed"]
    assert all(item.arrived_at.tzinfo is not None for item in seen)
    assert pacs.changes(cursor).changes == ()


def test_a_series_that_comes_late_is_reported(door: Door) -> None:
    """Something added to a study that was already reported is news again."""
    pacs = door.open()
    early = tiny_study("CT")
    late = tiny_study("PT", added_to=early)
    door.send(pacs, early)
    _, cursor = _to_the_end(pacs, None)
    door.send(pacs, late)
    changes, _ = _to_the_end(pacs, cursor)
    assert {item.study_instance_uid for item in changes} == {early.study_instance_uid}
    if door.tells_instances:
        assert {item.series_instance_uid for item in changes} == set(late.series_instance_uids)


def test_the_same_instances_again_change_nothing(door: Door) -> None:
    """A second store of the same files succeeds and leaves the count unchanged."""
    pacs, study = door.open(), tiny_study()
    pacs.store(study.study_instance_uid, study.files)
    outcomes = pacs.store(study.study_instance_uid, study.files)
    statuses = {item.status for item in outcomes}
    assert statuses == {"duplicate"} if door.tells_duplicates else statuses <= {"stored"}
    assert pacs.search_series(study.study_instance_uid)[0].instance_count == 4


def test_what_is_not_there_is_said_to_be_missing(door: Door) -> None:
    """Searches for something unknown are empty; a retrieve of it raises NotFoundError."""
    pacs, study = door.open(), tiny_study()
    pacs.store(study.study_instance_uid, study.files)
    series = study.series_instance_uids[0]
    assert pacs.search_studies(StudyInstanceUID=new_uid()) == ()
    assert pacs.search_series(new_uid()) == ()
    assert pacs.search_instances(study.study_instance_uid, new_uid()) == ()
    assert list(pacs.retrieve_series(study.study_instance_uid, new_uid())) == []
    absent = InstanceReference(study.study_instance_uid, series, new_uid())
    with pytest.raises(NotFoundError) as raised:
        pacs.retrieve_instance(absent)
    assert absent.sop_instance_uid not in str(raised.value)


def test_each_file_has_its_own_outcome(door: Door) -> None:
    """Bytes that are not DICOM and an object of another study fail; the others are stored."""
    pacs, study, other = door.open(), tiny_study(), tiny_study()
    files = [study.files[0], b"no dicom at all", other.files[0], study.files[1]]
    outcomes = pacs.store(study.study_instance_uid, files)
    assert [item.status for item in outcomes] == ["stored", "failed", "failed", "stored"]
    assert [item.code for item in outcomes] == [0, 0xC000, 0xA900, 0]
    assert pacs.search_series(study.study_instance_uid)[0].instance_count == 2


def test_an_object_without_preamble_can_be_read_again(door: Door) -> None:
    """A data set sent without preamble and file meta is stored so that it comes back."""
    pacs, study = door.open(), tiny_study(slices=1)
    dataset = dataset_of(study.files[0])
    bare = file_of(dataset)
    start = 132 + 12 + int.from_bytes(bare[140:144], "little")
    outcomes = pacs.store(study.study_instance_uid, [bare[start:]])
    assert [item.status for item in outcomes] == ["stored"]
    assert dataset_of(pacs.retrieve_instance(study.references[0])) == dataset


def test_wildcards_never_reach_the_archive(door: Door) -> None:
    """A search matches exactly: a value with a wildcard finds no other patient's study."""
    pacs, study = door.open(), tiny_study()
    pacs.store(study.study_instance_uid, study.files)
    with suppress(RejectedError):
        assert pacs.search_studies(PatientID="T*") == ()


def test_tags_tell_what_routing_needs_and_nothing_of_the_person(door: Door) -> None:
    """Series carry modality and description, but no name, number or birth date."""
    pacs, study = door.open(), tiny_study("CT", announce=True)
    door.send(pacs, study)
    series = pacs.search_series(study.study_instance_uid)[0]
    assert series.tags["Modality"] == "CT"
    assert series.tags["SeriesDescription"] == "tiny CT"
    assert series.tags["BodyPartExamined"] == "LEG"
    frame = dataset_of(study.files[0]).FrameOfReferenceUID
    assert series.tags["FrameOfReferenceUID"] == frame
    assert series.expected_count == 4
    assert not {"PatientName", "PatientID", "PatientBirthDate"} & set(series.tags)


def test_a_door_says_what_is_behind_it(door: Door) -> None:
    """The check answers with one line, and the capabilities are words of the port."""
    pacs = door.open()
    assert pacs.check()
    assert "\n" not in pacs.check()
    words = {"search", "retrieve", "store", "changes", "instance_changes", "read_back"}
    words.add("commitment")
    assert {"search", "retrieve", "store", "changes", "read_back"} <= pacs.capabilities <= words


def test_no_log_line_names_a_patient_or_a_uid(
    door: Door, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Program logs of the doors and of their libraries hold no identifier of the study."""
    study, other = tiny_study(), tiny_study()
    with caplog.at_level(logging.INFO):
        pacs = door.open()
        door.send(pacs, study)
        pacs.store(study.study_instance_uid, [*study.files, other.files[0], b"no dicom"])
        pacs.changes(None)
        pacs.search_studies(PatientID=study.patient_id)
        pacs.search_series(study.study_instance_uid)
        list(pacs.retrieve_series(study.study_instance_uid, study.series_instance_uids[0]))
        with pytest.raises(NotFoundError):
            pacs.retrieve_instance(other.references[1])
    written = caplog.text + "".join(capsys.readouterr())
    secrets = [study.patient_id, "Nobody", study.study_instance_uid, other.study_instance_uid]
    secrets += [item.sop_instance_uid for item in (*study.references, *other.references)]
    assert not [secret for secret in secrets if secret in written]
