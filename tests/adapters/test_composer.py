"""The composer writes all objects of a run, the same bytes each time, and they agree."""

import copy
import errno
import hashlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.uid import LegacyConvertedEnhancedCTImageStorage

from adapters.documents.agreement import check_agreement, maximum_diameter_mm, volume_ml
from adapters.documents.outbox import open_outbox
from adapters.rt.digest import content_digest_of
from adapters.rt.raster import mask_from_contours
from adapters.rt.read_series import read_series
from adapters.rt.read_structures import read_structures
from adapters.rt.sources import SourceSeries
from audit.errors import (
    AnswerChangedError,
    DiskFullError,
    MissingAttributeError,
    PluginOutputError,
)
from plugins.host.case import Case, Subject
from plugins.host.findings import Measurement
from tests.simulators.dicom_validators import dciodvfy_errors, dsc, plastimatch_mask
from tests.simulators.limb_case import (
    SMALL,
    VOLUME,
    answer_for,
    limb_run,
    oblique,
    segmentation_of,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
DATA = Path(os.environ.get("OSTEON_TEST_DATA", Path(__file__).parents[2] / "../shared/data"))


def contents(documents):
    """Return the bytes of every file of the outbox by name."""
    folder = documents[0].path.parent
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    """A run and the documents that were composed of it, for tests that only look."""
    run = limb_run()
    outbox = tmp_path_factory.mktemp("outbox")
    return run, run.composer(outbox).compose(run.request, run.case, run.answer)


def test_every_object_is_written_and_named(composed):
    """A run with maps and one segmentation leaves these files and no others."""
    run, documents = composed
    tmp_path = documents[0].path.parents[1]
    assert [item.kind for item in documents] == [
        *("RTSTRUCT", "SEG", "SC", "PMAP", "PMAP", "SR", "FHIR")
    ]
    assert set(contents(documents)) == {
        *("RTSTRUCT-1.dcm", "SEG-1.dcm", "SC-1.dcm", "PMAP-1.dcm", "PMAP-2.dcm", "SR-1.dcm"),
        *("bundle.json", "overview-1.png"),
    }
    assert [path.name for path in tmp_path.iterdir()] == [run.request.run_id]


def test_the_same_answer_gives_the_same_bytes(composed, tmp_path):
    """Composing again, also by another composer elsewhere, changes no byte."""
    _, first = composed
    run = limb_run()
    again = run.composer(tmp_path).compose(run.request, run.case, run.answer)
    assert contents(first) == contents(again)
    assert [item.content_digest for item in first] == [item.content_digest for item in again]


def test_the_file_digest_is_that_of_the_file(composed):
    """Every document names the bytes that lie in the outbox."""
    for document in composed[1]:
        digest = hashlib.sha256(document.path.read_bytes()).hexdigest()
        assert document.file_digest == f"sha256:{digest}"


def test_another_run_writes_other_uids(composed, tmp_path):
    """Two runs never share an instance or series UID."""
    run, documents = composed
    request = replace(run.request, run_id="12" * 16)
    uids = set()
    for document in (*documents, *run.composer(tmp_path).compose(request, run.case, run.answer)):
        if document.kind != "FHIR":
            uids |= {document.sop_instance_uid, document.series_instance_uid}
    assert len(uids) == 2 * 2 * 6


def test_every_object_passes_dciodvfy_and_names_run_and_release(composed):
    """No errors in any object; equipment, run id, mode and dates stand in each."""
    run, documents = composed
    for document in documents:
        if document.kind == "FHIR":
            continue
        assert dciodvfy_errors(document.path) == [], document.kind
        dataset = pydicom.dcmread(document.path)
        (equipment,) = dataset.ContributingEquipmentSequence
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert equipment.DeviceSerialNumber == "ab" * 32
        assert run.request.run_id in equipment.ContributionDescription
        assert run.request.release_digest in equipment.ContributionDescription
        assert equipment.ContributionDateTime == "20260301123015.250000+0000"
        assert dataset.SeriesDescription.startswith("RESEARCH contouring 0.1.0")
        assert dataset.StudyInstanceUID == run.case.study_instance_uid
        assert dataset.PatientName == "SYNTHETIC^LIMB"
        assert dataset.InstanceCreationDate == "20260301"
        assert content_digest_of(document.path.read_bytes()) == document.content_digest


def test_dates_are_written_in_the_zone_of_the_source(tmp_path):
    """A source that states its offset from UTC gets local dates and times."""

    def zone(dataset):
        dataset.TimezoneOffsetFromUTC = "-0530"

    run = limb_run(edit=zone)
    documents = run.composer(tmp_path).compose(run.request, run.case, run.answer)
    dataset = pydicom.dcmread(documents[0].path)
    assert (dataset.StructureSetDate, dataset.StructureSetTime) == ("20260301", "070015.250000")
    assert dataset.TimezoneOffsetFromUTC == "-0530"


def test_clinical_objects_say_unapproved(tmp_path):
    """In clinical mode nothing says research, everything says unapproved."""
    run = limb_run(mode="clinical")
    documents = run.composer(tmp_path).compose(run.request, run.case, run.answer)
    for document in documents:
        if document.kind != "FHIR":
            description = pydicom.dcmread(document.path).SeriesDescription
            assert description.startswith("UNAPPROVED contouring")


def test_volumes_and_diameters_agree_across_objects(composed):
    """RTSTRUCT, SEG, SR and FHIR state the same volume (0.1 %) and diameter (one voxel)."""
    run, documents = composed
    paths = {item.kind: item.path for item in documents}
    geometry = run.segmentation.geometry
    structures, _ = read_structures(paths["RTSTRUCT"])
    from_contours = mask_from_contours(structures.rois[0].contours, geometry)
    segments = highdicom.seg.segread(paths["SEG"])
    from_segments = float(segments.pixel_array.sum()) * geometry.voxel_volume_ml()
    report = highdicom.sr.srread(paths["SR"])
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    stated = {item.name.value: item.value for item in group.get_measurements()}
    bundle = json.loads(paths["FHIR"].read_text())
    quantities = {
        resource["code"]["coding"][0]["code"]: resource["valueQuantity"]["value"]
        for resource in (entry["resource"] for entry in bundle["entry"])
        if "valueQuantity" in resource
    }
    volume = volume_ml(segmentation_of(from_contours, geometry))
    diameter = maximum_diameter_mm(segmentation_of(from_contours, geometry))
    voxel = float(np.linalg.norm(geometry.spacing_mm))
    for found in (from_segments, stated["118565006"], quantities["118565006"]):
        assert found == pytest.approx(volume, rel=1e-3)
    for found in (stated["L0JK"], quantities["L0JK"]):
        assert found == pytest.approx(diameter, abs=voxel)


def test_a_measurement_that_contradicts_its_mask_is_not_written(tmp_path):
    """A volume that is off by one percent stops the run before anything is written."""
    run = limb_run()
    volume = run.segmentation.measurements[0].value
    wrong = replace(run.segmentation, measurements=(Measurement(VOLUME, volume * 1.01, "mL"),))
    with pytest.raises(PluginOutputError, match="Volume"):
        run.composer(tmp_path).compose(run.request, run.case, answer_for(wrong))
    assert not (tmp_path / run.request.run_id).exists()


def test_a_mask_on_another_grid_is_not_written(tmp_path):
    """A segmentation whose grid is not that of its image is refused."""
    run = limb_run()
    elsewhere = oblique(run.segmentation.geometry.shape)
    moved = segmentation_of(run.segmentation.mask, elsewhere)
    with pytest.raises(PluginOutputError, match="grid"):
        run.composer(tmp_path).compose(run.request, run.case, answer_for(moved))


def test_flat_masks_have_a_diameter():
    """The diameter of a plane, a line and a point of voxels is right, not an error."""
    geometry = oblique((3, 9, 9))
    for filled, expected in (((1, 4, 4), 0.0), ((1, slice(2, 6), 4), 3 * 1.1)):
        mask = np.zeros(geometry.shape, dtype=bool)
        mask[filled] = True
        segmentation = segmentation_of(mask, geometry)
        assert maximum_diameter_mm(segmentation) == pytest.approx(expected, abs=1e-6)
        check_agreement(segmentation)
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[1, 1:8, 1:6] = True
    diagonal = np.hypot(6 * 1.1, 4 * 0.9)
    assert maximum_diameter_mm(segmentation_of(mask, geometry)) == pytest.approx(diagonal, rel=1e-3)


@pytest.fixture(scope="module")
def superseding(composed, tmp_path_factory):
    """A run that replaces the composed one, and what it writes."""
    run, old = composed
    request = replace(
        run.request, run_id="12" * 16, supersedes=run.request.run_id, trigger="late-series"
    )
    composer = replace(
        run.composer(tmp_path_factory.mktemp("later")),
        written_by=lambda run_id: old if run_id == run.request.run_id else (),
    )
    return composer, replace(run, request=request), old


def test_objects_name_what_they_replace_and_stay_valid(superseding):
    """Report and structure set point to their predecessors; every object names the old run."""
    composer, run, old = superseding
    documents = composer.compose(run.request, run.case, run.answer)
    uids = {item.kind: item.sop_instance_uid for item in old}
    for item in documents:
        if item.kind == "FHIR":
            continue
        assert dciodvfy_errors(item.path) == [], item.kind
        dataset = pydicom.dcmread(item.path)
        said = dataset.ContributingEquipmentSequence[0].ContributionDescription
        assert said.endswith(f"replaces run {run.request.supersedes}")
        if item.kind == "SR":
            (study,) = dataset.PredecessorDocumentsSequence
            (series,) = study.ReferencedSeriesSequence
            (reference,) = series.ReferencedSOPSequence
            assert study.StudyInstanceUID == dataset.StudyInstanceUID
            assert reference.ReferencedSOPInstanceUID == uids["SR"]
        if item.kind == "RTSTRUCT":
            (reference,) = dataset.PredecessorStructureSetSequence
            assert reference.ReferencedSOPInstanceUID == uids["RTSTRUCT"]
            assert reference.ReferencedSOPClassUID == dataset.SOPClassUID
            assert f"Replaces run {run.request.supersedes}" in dataset.StructureSetDescription


def test_a_superseding_run_marks_the_old_bundle(superseding):
    """A second bundle, recorded like the first, marks what the replaced run reported."""
    composer, run, old = superseding
    documents = composer.compose(run.request, run.case, run.answer)
    new, marking = [item for item in documents if item.kind == "FHIR"]
    assert (new.path.name, marking.path.name) == ("bundle.json", "superseded.json")
    bundle = json.loads(marking.path.read_text())
    before = json.loads(old[-1].path.read_text())
    assert len(bundle["entry"]) == len(before["entry"])
    statuses = {
        entry["resource"]["resourceType"]: entry["resource"]["status"]
        for entry in bundle["entry"]
        if entry["request"]["method"] == "PUT"
    }
    assert statuses == {"DiagnosticReport": "cancelled", "Observation": "cancelled"}
    report = next(
        entry["resource"]
        for entry in json.loads(new.path.read_text())["entry"]
        if entry["resource"]["resourceType"] == "DiagnosticReport"
    )
    assert report["extension"][0]["valueReference"]["identifier"]["value"] == run.request.supersedes
    again = composer.compose(run.request, run.case, run.answer)
    assert [item.content_digest for item in again] == [item.content_digest for item in documents]


def test_a_refusal_may_supersede_too(superseding):
    """A refusal that replaces a result points to its report and marks its bundle."""
    composer, run, old = superseding
    documents = composer.compose_refusal(run.request, ("BODY_PART",))
    assert [item.path.name for item in documents] == [
        *("SR-1.dcm", "bundle.json", "superseded.json")
    ]
    dataset = pydicom.dcmread(documents[0].path)
    (study,) = dataset.PredecessorDocumentsSequence
    reference = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == old[-2].sop_instance_uid
    assert dciodvfy_errors(documents[0].path) == []


def test_a_predecessor_that_is_gone_from_the_outbox_is_noted(superseding, tmp_path):
    """Without the old bundle nothing is marked, the result leaves, and its note says so."""
    composer, run, old = superseding
    gone = tuple(replace(item, path=tmp_path / "gone" / item.path.name) for item in old)

    def written_by(run_id):
        return gone if run_id == run.request.supersedes else ()

    composer = replace(composer, outbox=tmp_path / "outbox", written_by=written_by)
    documents = composer.compose(run.request, run.case, run.answer)
    (fhir,) = [item for item in documents if item.kind == "FHIR"]
    assert fhir.notes == ("unmarked:PREDECESSOR_GONE",)


def test_an_answer_that_was_given_is_not_overwritten(composed, tmp_path):
    """Composing another answer of the same run is an error, and the outbox stays as it was."""
    run, given = composed
    composer = replace(run.composer(given[0].path.parents[1]), written_by=lambda _: given)
    before = contents(given)
    assert composer.compose(run.request, run.case, run.answer) == given
    with pytest.raises(AnswerChangedError):
        composer.compose_refusal(run.request, ("BODY_PART",))
    score = replace(run.answer.prediction.uncertainty, score=0.123)
    other = replace(run.answer, prediction=replace(run.answer.prediction, uncertainty=score))
    with pytest.raises(AnswerChangedError):
        composer.compose(run.request, run.case, other)
    assert contents(given) == before


def test_an_abstention_writes_a_report_and_a_bundle_only(tmp_path):
    """No contour, no map and no picture leave when the plugin abstains."""
    run = limb_run()
    uncertain = replace(run.answer.prediction.uncertainty, abstain=True, reasons=("UNCERTAIN",))
    answer = replace(run.answer, prediction=replace(run.answer.prediction, uncertainty=uncertain))
    documents = run.composer(tmp_path).compose(run.request, run.case, answer)
    assert [item.kind for item in documents] == ["SR", "FHIR"]
    assert set(contents(documents)) == {"SR-1.dcm", "bundle.json"}


def test_a_refusal_writes_a_report_and_a_bundle_only(tmp_path):
    """A refusal is told in SR and FHIR, with its reasons."""
    run = limb_run()
    documents = run.composer(tmp_path).compose_refusal(run.request, ("BODY_PART",))
    assert [item.kind for item in documents] == ["SR", "FHIR"]
    assert dciodvfy_errors(documents[0].path) == []
    assert "BODY_PART" in documents[1].path.read_text()
    assert documents[0].sop_instance_uid in documents[1].path.read_text()


def test_a_site_that_wants_no_refusals_gets_no_file(tmp_path):
    """Switched off, a refusal leaves the outbox empty."""
    composer = replace(limb_run().composer(tmp_path), tells_refusals=False)
    assert composer.compose_refusal(limb_run().request, ("BODY_PART",)) == ()
    assert not list(tmp_path.iterdir())


def test_a_refusal_with_long_reasons_is_valid(tmp_path):
    """Reasons of any length and number fit report and bundle, each under its stable code."""
    run = limb_run()
    reasons = (
        "SEED_REQUIRED 1024 x 512 x 512 mm, trained 250 x 250 x 250 mm, and more than fits",
        "IN_PLANE_SPACING 2.5 mm, allowed 0.5 to 1.5 mm",
        "IN_PLANE_SPACING 3.5 mm, allowed 0.5 to 1.5 mm",
        "QUALITY metal",
    )
    documents = run.composer(tmp_path).compose_refusal(run.request, reasons)
    assert dciodvfy_errors(documents[0].path) == []
    bundle = json.loads(documents[1].path.read_text())
    (report,) = [
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "DiagnosticReport"
    ]
    codes = [item["coding"][0]["code"] for item in report["conclusionCode"]]
    assert codes == [
        *("refused", "SEED_REQUIRED", "IN_PLANE_SPACING", "IN_PLANE_SPACING", "QUALITY")
    ]
    assert [item.get("text") for item in report["conclusionCode"][1:]] == list(reasons)


def test_without_a_source_there_is_nothing_to_write_into(tmp_path):
    """No headers, no study: refused by name."""
    run = replace(limb_run(), sources={})
    with pytest.raises(MissingAttributeError):
        run.composer(tmp_path).compose_refusal(run.request, ("BODY_PART",))


def test_repairs_are_told_with_the_documents(tmp_path):
    """Each DICOM document carries the codes of what was repaired."""

    def spoil(dataset):
        dataset.StudyID = "A-STUDY-ID-TOO-LONG"

    run = limb_run(edit=spoil)
    documents = run.composer(tmp_path).compose(run.request, run.case, run.answer)
    for item in documents:
        if item.kind != "FHIR":
            assert item.notes == ("repaired:StudyID:length",)
            assert pydicom.dcmread(item.path).StudyID == "A-STUDY-ID-TOO-L"


def test_texts_that_the_source_cannot_encode_are_written_in_utf_8(tmp_path):
    """A site or description in another script than the source's does not become question marks."""
    run = limb_run()
    described = replace(run.segmentation, description="腫瘍, Größe geprüft")
    composer = replace(run.composer(tmp_path), site="Klinik für Strahlentherapie")
    documents = composer.compose(run.request, run.case, answer_for(described))
    structures = pydicom.dcmread(documents[0].path)
    assert structures.SpecificCharacterSet == "ISO_IR 192"
    assert structures.InstitutionName == "Klinik für Strahlentherapie"
    assert structures.StructureSetROISequence[0].ROIDescription == "腫瘍, Größe geprüft"


def test_a_map_with_nan_is_not_written(tmp_path):
    """An attribution that is not a number everywhere stops the run before anything is written."""
    run = limb_run()
    explanation = run.answer.explanation
    broken = explanation.attribution.copy()
    broken[1, 2, 3] = np.nan
    answer = replace(run.answer, explanation=replace(explanation, attribution=broken))
    with pytest.raises(PluginOutputError, match="NaN"):
        run.composer(tmp_path).compose(run.request, run.case, answer)
    assert not (tmp_path / run.request.run_id).exists()


def test_an_enhanced_source_is_referred_to_by_frame(tmp_path):
    """All objects can be written for a multi-frame source and name its class and frames."""
    run = limb_run(replace(SMALL, has_pet=False))
    source = run.sources["ct"]
    count = len(source.datasets)
    numbers = tuple(range(count, 0, -1))
    whole = copy.deepcopy(source.datasets[0])
    whole.SOPClassUID = LegacyConvertedEnhancedCTImageStorage
    run.sources["ct"] = SourceSeries(source.series_instance_uid, (whole,), numbers)
    documents = run.composer(tmp_path).compose(run.request, run.case, run.answer)
    for document in documents:
        if document.kind == "FHIR":
            continue
        written = pydicom.dcmread(document.path)
        references = [
            item.ReferencedSOPClassUID
            for item in _items(written)
            if item.get("ReferencedSOPInstanceUID") == whole.SOPInstanceUID
        ]
        assert set(references) <= {LegacyConvertedEnhancedCTImageStorage}, document.kind
        assert references or document.kind == "SC"
        assert dciodvfy_errors(document.path) == [], document.kind
    segments = pydicom.dcmread(next(d.path for d in documents if d.kind == "SEG"))
    group = segments.PerFrameFunctionalGroupsSequence[0]
    corner = np.asarray(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
    index = round(run.segmentation.geometry.to_index(corner)[0])
    image = group.DerivationImageSequence[0].SourceImageSequence[0]
    assert int(image.ReferencedFrameNumber) == numbers[index]


def _items(dataset):
    """Yield every item of every sequence, at any depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _items(item)


def fill(outbox, files):
    """Write the outbox of a run."""
    with open_outbox(outbox, "run") as folder:
        for name, content in files.items():
            folder.put(name, content)


def test_the_outbox_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """When the disk is full the earlier files stay and nothing half-written is left."""
    fill(tmp_path, {"a": b"old", "b": b"old"})
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError):
        fill(tmp_path, {"a": b"new", "b": b"new"})
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == {
        "a": b"old",
        "b": b"old",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_fails_while_the_outbox_is_filled_leaves_the_earlier_files(tmp_path):
    """A file that cannot be made ends the writing: the earlier files stay, alone, and the
    error is the one that was raised."""
    fill(tmp_path, {"a": b"old"})

    def fail():
        raise ValueError("no such object")

    with pytest.raises(ValueError, match="no such object"):
        fill(tmp_path, {"a": b"new", "b": fail})
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "a").read_bytes() == b"old"


def test_an_outbox_left_by_a_crash_is_replaced(tmp_path):
    """Remains of an interrupted writing do not stand in the way, nor survive."""
    for name in ("run.new", "run.old", "run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stale").write_bytes(b"stale")
    fill(tmp_path, {"a": b"fresh"})
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["a"]


@pytest.mark.parametrize("patient", ["STS_006", "STS_042"])
def test_a_real_patient_gives_valid_objects(tmp_path, patient):
    """Real, untidy headers (Study ID of 17 characters) give objects without an error, which
    plastimatch reads back to the mask."""
    archive = DATA / "sts_dicom" / f"{patient}.zip"
    if not archive.exists():
        pytest.skip(f"{patient} is not there (OSTEON_TEST_DATA)")
    ct, structures = unpack(archive, patient, tmp_path)
    volume, headers = read_series(ct, "CT")
    contoured, _ = read_structures(structures)
    mask = mask_from_contours(contoured.rois[0].contours, volume.geometry)
    run = limb_run(replace(SMALL, has_pet=False))
    case = Case(volume.study_instance_uid, Subject(), {"ct": volume})
    request = replace(run.request, study_instance_uid=case.study_instance_uid)
    run = replace(run, case=case, request=request, sources={"ct": headers})
    answer = answer_for(segmentation_of(mask, volume.geometry))
    documents = run.composer(tmp_path / "outbox").compose(request, case, answer)
    assert documents[0].notes == ("repaired:StudyID:length",)
    for document in documents:
        if document.kind != "FHIR":
            assert dciodvfy_errors(document.path) == [], document.kind
    found = plastimatch_mask(
        documents[0].path, ct[0].parent, tmp_path / "out", "GTVp", volume.geometry
    )
    assert dsc(found, mask) >= 0.99


def unpack(archive, patient, folder):
    """Return the CT files and the CT's structure set of a patient."""
    import zipfile

    with zipfile.ZipFile(archive) as opened:
        members = [name for name in opened.namelist() if name.startswith(f"{patient}/CT/")]
        opened.extractall(folder, members)
    root = folder / patient / "CT"
    return sorted((root / "image").glob("*.dcm")), next((root / "mask").iterdir())


def test_digests_follow_from_the_files_alone(composed):
    """The digest of each document can be computed again from its file."""
    for item in composed[1]:
        if item.kind != "FHIR":
            content = item.path.read_bytes()
            assert content_digest_of(content) == item.content_digest
            assert pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID == item.sop_instance_uid
