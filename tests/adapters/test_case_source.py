"""Cases come from a PACS or a folder, whole and checked against the request."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from adapters.case_source import FolderCaseSource, PacsCaseSource
from adapters.folder.pacs import FolderPacs
from adapters.pacs import InstanceReference
from adapters.rt.read_folder import scan_folder
from audit.errors import (
    DiskFullError,
    InputError,
    MixedSeriesError,
    TooLargeError,
    TruncatedError,
    UnitsError,
)
from plugins.host.manifest import Input, Manifest
from plugins.host.ports import RunRequest
from tests.simulators import dicom_objects as objects

STUDY = objects.uid("study")
MANIFEST = Manifest(
    plugin="contouring",
    version="1.0.0",
    title="t",
    intended_purpose="p",
    evidence="simulated",
    inputs=(
        Input("pet", "PT", required=False, same_frame_as="ct"),
        Input("ct", "CT"),
        Input("structures", "RTSTRUCT", required=False),
    ),
    outputs=(),
)


def _study() -> dict[str, list[Dataset]]:
    ct = objects.image_series("CT", series="ct", BodyPartExamined="LEG")
    square = np.array([[0.0, 22, 30], [-5, 22, 30], [-5, 25, 30]])
    structures = objects.structure_set([square], images=ct)
    for dataset in ct:
        del dataset.PatientBirthDate
    pet = objects.image_series("PT", series="pet", shape=(6, 3, 4), spacing_mm=(3.0, 4.0, 4.0))
    return {"ct": ct, "pet": pet, "structures": [structures]}


def _request(study: dict[str, list[Dataset]], run_id: str = "a" * 32) -> RunRequest:
    instances = [item for datasets in study.values() for item in datasets]
    return RunRequest(
        run_id=run_id,
        study_instance_uid=STUDY,
        plugin="contouring",
        plugin_version="1.0.0",
        release_digest="sha256:00",
        mode="research",
        series={role: items[0].SeriesInstanceUID for role, items in study.items()},
        sop_instance_uids=tuple(sorted({str(item.SOPInstanceUID) for item in instances})),
        opened_at=datetime(2026, 1, 1, tzinfo=UTC),
        seed_point_mm=(1.0, 2.0, 3.0),
    )


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[FolderPacs]:
    """Return an empty embedded PACS."""
    with FolderPacs("test", tmp_path / "pacs") as archive:
        yield archive


def _put(archive: FolderPacs, study: dict[str, list[Dataset]]) -> None:
    for datasets in study.values():
        archive.store(STUDY, objects.encode_all(datasets))


def _source(archive: FolderPacs, tmp_path: Path, **settings: int) -> PacsCaseSource:
    return PacsCaseSource(archive, tmp_path / "staging", **{"reserve_bytes": 0, **settings})


def test_a_case_holds_every_role_and_the_facts_of_the_patient(
    pacs: FolderPacs, tmp_path: Path
) -> None:
    """CT, PET and structures arrive decoded; the age comes from the PET alone."""
    study = _study()
    _put(pacs, study)
    source = _source(pacs, tmp_path)
    request = _request(study)
    case = source.fetch(request, MANIFEST)
    assert set(case.images) == {"ct", "pet"}
    assert case.images["ct"].geometry.shape == (6, 5, 7)
    assert case.structure_sets["structures"].rois[0].name == "GTVp"
    assert case.subject.age_years == 63.0
    assert case.subject.sex == "F"
    assert case.body_part == "LEG"
    assert case.seed_point_mm == (1.0, 2.0, 3.0)
    assert case.sop_instance_uids() == request.sop_instance_uids
    headers = source.sources(request)
    assert headers["ct"].frame(2).sop_instance_uid == case.images["ct"].sop_instance_uids[2]
    assert "PixelData" not in headers["ct"].first


def test_nothing_stays_in_the_staging_folder(pacs: FolderPacs, tmp_path: Path) -> None:
    """Retrieved files are gone after decoding, also when it fails."""
    study = _study()
    _put(pacs, study)
    source = _source(pacs, tmp_path)
    source.fetch(_request(study), MANIFEST)
    with pytest.raises(InputError):
        source.fetch(_request({"ct": study["ct"][:-1]}, "b" * 32), MANIFEST)
    assert not [path for path in (tmp_path / "staging").rglob("*") if path.is_file()]


def test_a_fact_may_come_from_a_series_that_the_run_does_not_use(
    pacs: FolderPacs, tmp_path: Path
) -> None:
    """A CT-only run still learns the age that the PET states."""
    study = _study()
    _put(pacs, study)
    case = _source(pacs, tmp_path).fetch(_request({"ct": study["ct"]}), MANIFEST)
    assert set(case.images) == {"ct"}
    assert case.subject.age_years == 63.0


def test_a_case_is_read_once_for_all_steps_of_a_run(pacs: FolderPacs, tmp_path: Path) -> None:
    """Explaining and composing after inference do not ask the PACS again."""
    study = _study()
    _put(pacs, study)
    source = _source(pacs, tmp_path)
    request = _request(study)
    case = source.fetch(request, MANIFEST)
    pacs.delete_study(STUDY)
    assert source.fetch(request, MANIFEST) is case
    assert set(source.sources(request)) == {"ct", "pet", "structures"}
    source.forget(request.run_id)
    with pytest.raises(InputError):
        source.fetch(request, MANIFEST)


def test_headers_of_a_case_that_is_not_kept_are_read_again(
    pacs: FolderPacs, tmp_path: Path
) -> None:
    """After a restart the writers still get the headers, in the order of the frames."""
    study = _study()
    study["ct"].reverse()
    _put(pacs, study)
    request = _request(study)
    headers = _source(pacs, tmp_path).sources(request)
    case = _source(pacs, tmp_path).fetch(request, MANIFEST)
    assert set(headers) == {"ct", "pet", "structures"}
    for role in ("ct", "pet"):
        uids = tuple(str(item.SOPInstanceUID) for item in headers[role].datasets)
        assert uids == case.images[role].sop_instance_uids
    assert not [path for path in (tmp_path / "staging").rglob("*") if path.is_file()]


def test_only_the_last_cases_are_kept(pacs: FolderPacs, tmp_path: Path) -> None:
    """Memory is bounded by the number of cases."""
    study = _study()
    _put(pacs, study)
    source = _source(pacs, tmp_path, capacity=1)
    first = source.fetch(_request(study, "a" * 32), MANIFEST)
    second = source.fetch(_request(study, "b" * 32), MANIFEST)
    assert source.fetch(_request(study, "b" * 32), MANIFEST) is second
    assert source.fetch(_request(study, "a" * 32), MANIFEST) is not first


@pytest.mark.parametrize("change", ["late", "gone"])
def test_a_series_that_changed_since_routing_is_refused(
    pacs: FolderPacs, tmp_path: Path, change: str
) -> None:
    """The run id names exact instances; more or fewer make another run."""
    study = _study()
    request = _request(study)
    _put(pacs, study)
    if change == "late":
        late = objects.image_series("CT", series="ct", shape=(7, 5, 7))[-1]
        pacs.store(STUDY, [objects.encode(late)])
    else:
        last = study["ct"][-1]
        pacs.delete_instance(InstanceReference(STUDY, last.SeriesInstanceUID, last.SOPInstanceUID))
    with pytest.raises(InputError, match="series changed since routing") as caught:
        _source(pacs, tmp_path).fetch(request, MANIFEST)
    assert caught.value.code == "INPUT_SERIES_CHANGED"


def test_an_optional_series_in_another_frame_of_reference_is_left_out(
    pacs: FolderPacs, tmp_path: Path
) -> None:
    """The CT runs alone, and the note says why."""
    study = _study()
    for dataset in study["pet"]:
        dataset.FrameOfReferenceUID = "2.25.77"
    _put(pacs, study)
    case = _source(pacs, tmp_path).fetch(_request(study), MANIFEST)
    assert set(case.images) == {"ct"}
    assert "pet:LEFT_OUT_OTHER_FRAME_OF_REFERENCE" in case.notes


def test_a_required_series_in_another_frame_of_reference_is_refused(
    pacs: FolderPacs, tmp_path: Path
) -> None:
    """Series of two frames of reference are never mixed."""
    study = _study()
    for dataset in study["pet"]:
        dataset.FrameOfReferenceUID = "2.25.77"
    _put(pacs, study)
    with pytest.raises(MixedSeriesError):
        _source(pacs, tmp_path).fetch(_request(study), _with_required_pet())


def _with_required_pet() -> Manifest:
    inputs = (Input("ct", "CT"), Input("pet", "PT", same_frame_as="ct"), MANIFEST.inputs[2])
    return dataclasses.replace(MANIFEST, inputs=inputs)


def test_an_optional_pet_without_suv_is_left_out_and_a_required_one_refused(
    pacs: FolderPacs, tmp_path: Path
) -> None:
    """Values without a unit never reach a model."""
    study = _study()
    for dataset in study["pet"]:
        del dataset.PatientWeight
    _put(pacs, study)
    source = _source(pacs, tmp_path)
    case = source.fetch(_request(study), MANIFEST)
    assert "pet:LEFT_OUT_WITHOUT_UNITS" in case.notes
    assert set(source.sources(_request(study))) == {"ct", "structures"}
    with pytest.raises(UnitsError):
        source.fetch(_request(study, "b" * 32), _with_required_pet())


def test_a_truncated_optional_series_fails_the_run(tmp_path: Path) -> None:
    """Sending it again helps, so nothing is computed without it."""
    study = _study()
    files = {role: objects.encode_all(items) for role, items in study.items()}
    files["pet"][0] = files["pet"][0][:-10]
    for role, contents in files.items():
        (tmp_path / role).mkdir()
        for index, content in enumerate(contents):
            (tmp_path / role / str(index)).write_bytes(content)
    source = FolderCaseSource(scan_folder(tmp_path))
    with pytest.raises(TruncatedError):
        source.fetch(_request(study), MANIFEST)


def test_two_patients_in_one_study_are_refused(pacs: FolderPacs, tmp_path: Path) -> None:
    """A series filed under the wrong study must not meet another patient's."""
    study = _study()
    for dataset in study["pet"]:
        dataset.PatientID = "PID-OTHER"
    _put(pacs, study)
    with pytest.raises(MixedSeriesError) as caught:
        _source(pacs, tmp_path).fetch(_request(study), MANIFEST)
    assert "PID" not in str(caught.value)


def test_the_limit_holds_before_the_disk_fills(pacs: FolderPacs, tmp_path: Path) -> None:
    """Retrieval stops at the limit, and nothing is left behind."""
    study = _study()
    _put(pacs, study)
    with pytest.raises(TooLargeError):
        _source(pacs, tmp_path, limit_bytes=3000).fetch(_request(study), MANIFEST)
    assert not [path for path in (tmp_path / "staging").rglob("*") if path.is_file()]


def test_free_space_is_kept(pacs: FolderPacs, tmp_path: Path) -> None:
    """The staging folder never takes the last of the disk."""
    study = _study()
    _put(pacs, study)
    with pytest.raises(DiskFullError):
        _source(pacs, tmp_path, reserve_bytes=1 << 60).fetch(_request(study), MANIFEST)


def test_a_folder_gives_the_same_case_as_a_pacs(pacs: FolderPacs, tmp_path: Path) -> None:
    """Where the files lie changes nothing in the case."""
    study = _study()
    _put(pacs, study)
    folder = tmp_path / "folder"
    folder.mkdir()
    contents = [item for datasets in study.values() for item in objects.encode_all(datasets)]
    for index, content in enumerate(contents):
        (folder / f"{len(contents) - index:03d}").write_bytes(content)
    request = _request(study)
    from_folder = FolderCaseSource(scan_folder(folder)).fetch(request, MANIFEST)
    from_pacs = _source(pacs, tmp_path).fetch(request, MANIFEST)
    assert from_folder.subject == from_pacs.subject
    for role in ("ct", "pet"):
        np.testing.assert_array_equal(from_folder.images[role].array, from_pacs.images[role].array)
        assert from_folder.images[role].geometry == from_pacs.images[role].geometry


def test_every_plan_of_a_study_is_read(pacs: FolderPacs, tmp_path: Path) -> None:
    """Two series of which one holds two plans: three, by their UIDs."""
    study = _study()
    for role, labels in (("plan", ("b", "a")), ("plan-2", ("c",))):
        study[role] = [objects.header("RTPLAN", series=role) for _ in labels]
        for label, dataset in zip(labels, study[role], strict=True):
            dataset.SOPInstanceUID = objects.uid("plan", label)
    _put(pacs, study)
    every = Input("plan", "RTPLAN", required=False, every=True)
    manifest = dataclasses.replace(MANIFEST, inputs=(*MANIFEST.inputs, every))
    found = _source(pacs, tmp_path).fetch(_request(study), manifest)
    assert list(found.plans) == ["plan", "plan-2", "plan-3"]
    series = [item.series_instance_uid for item in found.plans.values()]
    assert series == sorted(series)
    uids = {item.sop_instance_uid for item in found.plans.values()}
    assert uids == {str(item.SOPInstanceUID) for role in ("plan", "plan-2") for item in study[role]}
    alone = dataclasses.replace(every, every=False)
    read = dataclasses.replace(manifest, inputs=(*MANIFEST.inputs, alone))
    with pytest.raises(MixedSeriesError, match="expected one RTPLAN object"):
        _source(pacs, tmp_path).fetch(_request(study, "b" * 32), read)
