"""A refusal finds the header it inherits from, in archives and folders, or says that it cannot."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from adapters.documents.composer import DocumentComposer
from adapters.folder.pacs import FolderPacs
from adapters.rt.sources import Sources
from adapters.single_headers import headers_in_archive, headers_in_folder
from audit.errors import MissingAttributeError
from plugins.host.ports import RunRequest
from tests.simulators import dicom_objects as objects
from tests.simulators.dicom_validators import dciodvfy_errors
from tests.simulators.limb_case import MANIFEST, limb_run

REQUEST = limb_run().request
CORPUS: dict[str, Callable[[], list[bytes]]] = {
    "missing slice": objects.missing_slice,
    "duplicate position": objects.duplicate_position,
    "two acquisitions": objects.two_acquisitions,
    "interleaved acquisitions": objects.interleaved_acquisitions,
    "gantry tilt": objects.gantry_tilt,
    "truncated pixels": objects.truncated_pixels,
    "truncated header": objects.truncated_header,
    "absurd spacing": objects.absurd_spacing,
    "absurd slice spacing": objects.absurd_slice_spacing,
    "no frame of reference": lambda: objects.without("FrameOfReferenceUID"),
    "wrong modality": objects.wrong_modality,
    "PET without dose": objects.pet_without_dose,
    "two gigabytes": objects.two_gigabytes,
}


def _request(files: list[bytes]) -> RunRequest:
    headers = (pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True) for data in files)
    header = next(item for item in headers if item.get("StudyInstanceUID"))
    return replace(
        REQUEST,
        study_instance_uid=str(header.StudyInstanceUID),
        series={"ct": str(header.SeriesInstanceUID)},
    )


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FolderPacs]:
    """An empty embedded archive."""
    with FolderPacs("test", tmp_path / "pacs") as made:
        yield made


def _written(folder: Path, files: list[bytes]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(files):
        (folder / f"{number:04d}").write_bytes(data)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("name", CORPUS)
def test_every_kind_of_broken_series_gives_a_refusal_object(name: str, tmp_path: Path) -> None:
    """What cannot be read as a volume still says whose study it is; its report is valid."""
    files = CORPUS[name]()
    request = _request(files)
    paths = {request.series["ct"]: _written(tmp_path / "files", files)}

    def headers(_: object) -> Sources:
        return headers_in_folder(paths, request)

    composer = DocumentComposer(
        tmp_path / "outbox", headers, lambda _: MANIFEST, "SITE-1", headers=headers
    )
    documents = composer.compose_refusal(request, ("INPUT_GEOMETRY",))
    assert [item.kind for item in documents] == ["SR", "FHIR"]
    assert documents[0].study_instance_uid == request.study_instance_uid
    assert dciodvfy_errors(documents[0].path) == []


def test_a_damaged_first_object_is_passed_over(archive: FolderPacs, tmp_path: Path) -> None:
    """The header comes from an object that is whole; all instances are named as evidence."""
    files = objects.encode_all(objects.image_series("CT"))
    request = _request(files)
    archive.store(request.study_instance_uid, files)
    found = headers_in_archive(archive, request)
    assert len(found["ct"].datasets) == len(files)
    first = archive.search_instances(request.study_instance_uid, request.series["ct"])[0]
    path = next(archive.root.rglob(f"*{_file_name(archive, first.sop_instance_uid)}"))
    path.write_bytes(b"damaged")
    again = headers_in_archive(archive, request)
    uids = {str(item.SOPInstanceUID) for item in again["ct"].datasets}
    assert uids == {str(item.SOPInstanceUID) for item in found["ct"].datasets}
    assert str(again["ct"].first.SOPInstanceUID) != first.sop_instance_uid
    assert again["ct"].first.PatientID == found["ct"].first.PatientID


def _file_name(archive: FolderPacs, sop_instance_uid: str) -> str:
    row = archive._index.instance(sop_instance_uid)
    assert row is not None
    return str(row["path"]).rsplit("/", 1)[-1]


def test_an_archive_without_the_study_gives_nothing(archive: FolderPacs) -> None:
    """A study that is gone leaves nothing to write into."""
    with pytest.raises(MissingAttributeError):
        headers_in_archive(archive, REQUEST)


def test_a_header_of_another_study_is_not_used(tmp_path: Path) -> None:
    """An object that names another study never lends its patient to a refusal."""
    files = objects.encode_all(objects.image_series("CT"))
    request = replace(_request(files), study_instance_uid="1.2.3.4.5")
    paths = {request.series["ct"]: _written(tmp_path, files)}
    with pytest.raises(MissingAttributeError):
        headers_in_folder(paths, request)


def test_bytes_that_are_not_dicom_give_nothing(tmp_path: Path) -> None:
    """Text in place of images is no header."""
    paths = {REQUEST.series["ct"]: _written(tmp_path, [b"not DICOM", b""])}
    with pytest.raises(MissingAttributeError):
        headers_in_folder(paths, REQUEST)
