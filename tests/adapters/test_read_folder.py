"""Any folder of files becomes studies and series; what is no DICOM is listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.rt.read_folder import scan_folder
from adapters.rt.read_series import read_series
from audit.errors import NotFoundError, TruncatedError
from tests.simulators import dicom_objects as objects


def _write(folder: Path, files: list[bytes], name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, content in enumerate(files):
        (folder / f"{name}{index}").write_bytes(content)


def test_mixed_studies_and_series_are_told_apart(tmp_path: Path) -> None:
    """Two studies in one heap come out as two, with their series and files."""
    heap = [
        *objects.encode_all(objects.image_series("CT", series="ct")),
        *objects.encode_all(objects.image_series("PT", series="pet")),
        *objects.encode_all(objects.image_series("MR", study="other")),
    ]
    _write(tmp_path / "a" / "b", heap, "x")
    scan = scan_folder(tmp_path)
    assert scan.skipped == ()
    assert [len(study.series) for study in scan.studies] in ([1, 2], [2, 1])
    for study in scan.studies:
        for series in study.series:
            assert len(scan.files[series.series_instance_uid]) == 6
            assert len(series.sop_instance_uids) == 6
            assert series.frame_of_reference_uid is not None
    uid = objects.uid("study", "pet")
    volume, _ = read_series(scan.files[uid], "PT")
    assert volume.array.shape == (6, 5, 7)


def test_what_is_not_dicom_is_skipped_and_named(tmp_path: Path) -> None:
    """Texts, pictures and empty files do not stop the scan."""
    _write(tmp_path, objects.encode_all(objects.image_series()), "ct")
    (tmp_path / "readme.txt").write_text("Bring the images of Zzyzx, please.")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    (tmp_path / "empty").write_bytes(b"")
    scan = scan_folder(tmp_path)
    assert {item.path.name: item.code for item in scan.skipped} == {
        "readme.txt": "INPUT_NOT_DICOM",
        "picture.png": "INPUT_NOT_DICOM",
        "empty": "INPUT_NOT_DICOM",
    }
    assert len(scan.studies) == 1


def test_a_damaged_slice_stays_with_its_series(tmp_path: Path) -> None:
    """Dropping it would shorten the volume without a word; reading refuses instead."""
    files = objects.encode_all(objects.image_series())
    cut = files[-1].index(objects.image_series()[0].SeriesInstanceUID.encode()) + 120
    _write(tmp_path, [*files[:-1], files[-1][:cut]], "ct")
    scan = scan_folder(tmp_path)
    assert scan.skipped == ()
    paths = scan.files[objects.uid("study", "series")]
    assert len(paths) == 6
    with pytest.raises(TruncatedError):
        read_series(paths, "CT")


def test_a_copy_of_a_file_counts_once(tmp_path: Path) -> None:
    """The same object in two folders is one instance."""
    files = objects.encode_all(objects.image_series())
    _write(tmp_path / "a", files, "ct")
    _write(tmp_path / "b", files[:2], "again")
    scan = scan_folder(tmp_path)
    assert [item.code for item in scan.skipped] == ["DUPLICATE_INSTANCE"] * 2
    assert len(scan.files[objects.uid("study", "series")]) == 6


def test_routing_tags_hold_no_identity(tmp_path: Path) -> None:
    """Rules may ask for age and sex, never for a name, number or date."""
    _write(tmp_path, objects.encode_all(objects.image_series("PT")), "pt")
    series = scan_folder(tmp_path).studies[0].series[0]
    assert series.tags["PatientSex"] == "F"
    assert series.tags["ImageType"] == "ORIGINAL\\PRIMARY\\AXIAL"
    text = repr(dict(series.tags))
    assert not [word for word in (*objects.PATIENT_WORDS, "20240305") if word in text]


def test_a_folder_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    """The message does not repeat the path, which may hold a name."""
    with pytest.raises(NotFoundError) as caught:
        scan_folder(tmp_path / "Quillfeather")
    assert "Quillfeather" not in str(caught.value)
