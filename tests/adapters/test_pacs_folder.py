"""The embedded PACS: what it keeps when the machine fails, and what it takes up."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from adapters.folder import FolderPacs
from adapters.folder.importing import PATIENCE_S
from adapters.part10 import complete_part10, read_part10
from audit.errors import (
    DiskFullError,
    MissingAttributeError,
    NotDicomError,
    RejectedError,
    StorageError,
    TruncatedError,
)
from tests.simulators.tiny_studies import dataset_of, file_of, tiny_study


def test_file_names_tell_nothing_of_the_patient(tmp_path: Path) -> None:
    """No path below the archive holds a patient number, a name or a UID."""
    study = tiny_study("CT")
    with FolderPacs("f", tmp_path) as pacs:
        pacs.store(study.study_instance_uid, study.files)
    names = " ".join(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert study.patient_id not in names
    assert "Nobody" not in names
    assert study.study_instance_uid not in names


def test_a_crash_before_the_row_is_repaired_by_the_repetition(tmp_path: Path) -> None:
    """A file whose row was never committed is not announced; the same store completes it."""
    study = tiny_study(slices=1)
    with FolderPacs("f", tmp_path) as pacs:
        pacs.store(study.study_instance_uid, study.files)
        path = next((tmp_path / "objects").rglob("*.dcm"))
    (tmp_path / "index.db").unlink()
    path.write_bytes(b"half")
    with FolderPacs("f", tmp_path) as pacs:
        assert pacs.changes(None).changes == ()
        outcomes = pacs.store(study.study_instance_uid, study.files)
        assert [item.status for item in outcomes] == ["stored"]
        assert pacs.retrieve_instance(study.references[0]) == study.files[0]


def test_a_full_disk_stores_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room raises a retryable DiskFullError; nothing is announced and no part is left."""
    study = tiny_study(slices=2)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with FolderPacs("f", tmp_path) as pacs:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(DiskFullError) as raised:
            pacs.store(study.study_instance_uid, study.files)
        assert raised.value.retryable
        monkeypatch.undo()
        assert pacs.changes(None).changes == ()
        assert list((tmp_path / "incoming").iterdir()) == []
        outcomes = pacs.store(study.study_instance_uid, study.files)
        assert [item.status for item in outcomes] == ["stored", "stored"]


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    """An index that is no database raises StorageError, not a traceback of the library."""
    (tmp_path / "index.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(StorageError):
        FolderPacs("f", tmp_path)


def test_another_object_under_a_known_uid_is_refused(tmp_path: Path) -> None:
    """The first object under a UID is kept; another content under it fails with 0111."""
    study = tiny_study(slices=1)
    other = dataset_of(study.files[0])
    other.SeriesDescription = "something else"
    with FolderPacs("f", tmp_path) as pacs:
        pacs.store(study.study_instance_uid, study.files)
        outcome = pacs.store(study.study_instance_uid, [file_of(other)])[0]
        assert (outcome.status, outcome.code) == ("failed", 0x0111)
        assert pacs.retrieve_instance(study.references[0]) == study.files[0]


def test_the_same_instance_twice_in_one_store_is_stored_once(tmp_path: Path) -> None:
    """A sender that repeats itself within one call leaves one instance and one change."""
    study = tiny_study(slices=1)
    with FolderPacs("f", tmp_path) as pacs:
        outcomes = pacs.store(study.study_instance_uid, [*study.files, *study.files])
        assert [item.status for item in outcomes] == ["stored", "duplicate"]
        assert len(pacs.changes(None).changes) == 1


def test_many_threads_lose_and_double_nothing(tmp_path: Path) -> None:
    """Threads that store the same and different instances at once leave each one once."""
    studies = [tiny_study(slices=5) for _ in range(3)]
    with FolderPacs("f", tmp_path) as pacs:
        threads = [
            threading.Thread(target=pacs.store, args=(study.study_instance_uid, study.files))
            for study in studies
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        uids = [item.sop_instance_uid for item in pacs.changes(None).changes]
        assert len(uids) == 15
        assert len(set(uids)) == 15


def test_an_import_takes_dicom_and_counts_the_rest(tmp_path: Path) -> None:
    """A folder of anything: DICOM is taken up once, the rest is counted by number and code."""
    study = tiny_study("CT", "MR", slices=2)
    source = tmp_path / "source" / "deep"
    source.mkdir(parents=True)
    for number, data in enumerate(study.files):
        (source / f"{number}").write_bytes(data)
    (source / "readme.txt").write_text("no dicom")
    (source / "short.dcm").write_bytes(study.files[0][:-40])
    with FolderPacs("f", tmp_path / "archive") as pacs:
        result = pacs.import_folder(tmp_path / "source", sender="disc")
        assert (result.stored, result.duplicate) == (4, 0)
        assert result.study_instance_uids == (study.study_instance_uid,)
        assert result.refused == ((4, "INPUT_NOT_DICOM"), (5, "INPUT_TRUNCATED"))
        assert pacs.import_folder(tmp_path / "source").duplicate == 4
        assert {item.sender for item in pacs.changes(None).changes} == {"disc"}
        assert pacs.last_arrival(study.study_instance_uid) is not None


def test_what_is_dropped_into_the_inbox_is_taken_up(tmp_path: Path) -> None:
    """A file dropped in is news at the next poll; half a file waits, an old wreck is put by."""
    study = tiny_study(slices=2)
    with FolderPacs("f", tmp_path) as pacs:
        (tmp_path / "inbox" / "one").write_bytes(study.files[0])
        (tmp_path / "inbox" / "two").write_bytes(study.files[1][:-40])
        wreck = tmp_path / "inbox" / "wreck"
        wreck.write_bytes(b"no dicom")
        os.utime(wreck, (time.time() - 2 * PATIENCE_S,) * 2)
        batch = pacs.changes(None)
        assert len(batch.changes) == 1
        assert sorted(path.name for path in (tmp_path / "inbox").iterdir()) == ["two"]
        assert len(list((tmp_path / "refused").iterdir())) == 1
        (tmp_path / "inbox" / "two").write_bytes(study.files[1])
        assert len(pacs.changes(batch.cursor).changes) == 1


def test_a_deleted_study_is_gone_and_reported(tmp_path: Path) -> None:
    """After a deletion no search finds the study, its files are gone, and it is news."""
    study = tiny_study(slices=2)
    with FolderPacs("f", tmp_path) as pacs:
        pacs.store(study.study_instance_uid, study.files)
        cursor = pacs.changes(None).cursor
        pacs.delete_study(study.study_instance_uid)
        assert [item.kind for item in pacs.changes(cursor).changes] == ["deleted"]
        assert pacs.search_studies(StudyInstanceUID=study.study_instance_uid) == ()
        assert list((tmp_path / "objects").rglob("*.dcm")) == []


def test_more_than_announced_is_no_announcement(tmp_path: Path) -> None:
    """A series that holds more than it announced (several acquisitions) announces nothing."""
    study = tiny_study("CT", slices=4, announce=True)
    more = [dataset_of(data) for data in tiny_study("CT", slices=1).files]
    more[0].StudyInstanceUID = study.study_instance_uid
    more[0].SeriesInstanceUID = study.series_instance_uids[0]
    with FolderPacs("f", tmp_path) as pacs:
        pacs.store(study.study_instance_uid, study.files[:3])
        assert pacs.search_series(study.study_instance_uid)[0].expected_count == 4
        pacs.store(study.study_instance_uid, [study.files[3], file_of(more[0])])
        assert pacs.search_series(study.study_instance_uid)[0].expected_count is None


def test_keys_and_cursors_that_mean_nothing_here_are_refused(tmp_path: Path) -> None:
    """A key that is not kept, or a cursor of another door, raises RejectedError."""
    with FolderPacs("f", tmp_path) as pacs:
        with pytest.raises(RejectedError):
            pacs.search_studies(PatientName="Nobody")
        with pytest.raises(RejectedError):
            pacs.changes("q1:abc")


@pytest.mark.parametrize("data", [b"", b"x" * 500, b"\x00" * 132, b"\x00" * 128 + b"DICM"])
def test_bytes_that_are_no_dicom_are_named_so(data: bytes) -> None:
    """Other bytes, empty files and a bare prefix raise a named error, never another one."""
    with pytest.raises((NotDicomError, MissingAttributeError)):
        read_part10(data)


def test_every_cut_of_a_file_is_noticed() -> None:
    """Wherever a file is cut, it is refused as truncated or as no DICOM: never accepted."""
    data = tiny_study(slices=1).files[0]
    for length in range(1, len(data), 13):
        with pytest.raises((TruncatedError, NotDicomError, MissingAttributeError)):
            complete_part10(data[:length])
