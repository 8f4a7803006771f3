"""A predicted dose leaves as RT Dose, capture, map, report and Observations that agree."""

import io
import json

import highdicom
import numpy as np
import pydicom
import pytest

from adapters.governance.findings import agreement, load, save
from adapters.rt.read_dose import read_dose
from adapters.rt.write_dose import MARK
from tests.simulators.dicom_validators import dciodvfy_errors
from tests.simulators.dose_case import STRUCTURE_SET_UID, dose_run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    """A run with a dose and the documents that were composed of it."""
    run = dose_run()
    outbox = tmp_path_factory.mktemp("outbox")
    documents = run.composer(outbox).compose(run.request, run.case, run.answer)
    return run, {item.path.name: item.path for item in documents}


def test_every_object_is_written_and_valid(composed):
    """Map, RT Dose, capture, report and bundle, none with an error of dciodvfy."""
    _, paths = composed
    assert set(paths) == {
        *("PMAP-1.dcm", "RTDOSE-1.dcm", "SC-1.dcm", "SR-1.dcm", "bundle.json"),
    }
    for name, path in paths.items():
        if name.endswith(".dcm"):
            assert dciodvfy_errors(path) == [], name


def test_the_rt_dose_is_the_answer_and_names_its_structure_set(composed):
    """Dose and grid come back, with the mark, no plan, and a histogram of each region."""
    run, paths = composed
    volume, _ = read_dose(paths["RTDOSE-1.dcm"].read_bytes())
    finding = run.answer.prediction.findings[0]
    assert np.abs(volume.array - finding.dose_gy).max() < 1e-3
    assert np.allclose(volume.geometry.affine(), finding.geometry.affine(), atol=1e-4)
    dataset = pydicom.dcmread(paths["RTDOSE-1.dcm"])
    assert MARK in dataset.DoseComment
    assert "ReferencedRTPlanSequence" not in dataset
    named = dataset.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID
    assert named == STRUCTURE_SET_UID
    numbers = [item.DVHReferencedROISequence[0].ReferencedROINumber for item in dataset.DVHSequence]
    assert numbers == [1, 2]


def test_points_and_goals_stand_in_the_report(composed):
    """A group for each structure, with its points in Gy and what is told of each goal."""
    _, paths = composed
    found = [str(item.value) for item in pydicom.dcmread(paths["SR-1.dcm"]).iterall()]
    for words in ("Mean dose", "Gy", "Goal: Dmean at most 26 Gy", "Goal met as predicted"):
        assert words in found, words
    assert any(text.startswith("dose-PTV_7000") for text in found)
    evidence = pydicom.dcmread(paths["SR-1.dcm"]).CurrentRequestedProcedureEvidenceSequence
    classes = {
        item.ReferencedSOPClassUID
        for study in evidence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert "1.2.840.10008.5.1.4.1.1.481.2" in classes


def test_the_interval_of_each_point_is_the_same_in_report_and_observation(composed):
    """TID 310 tells the reach above and below in Gy, the group that it is of 90 %."""
    run, paths = composed
    report = highdicom.sr.srread(paths["SR-1.dcm"])
    groups = {
        group.tracking_identifier.split()[0]: group
        for group in report.content.get_image_measurement_groups()
    }
    point = run.answer.prediction.findings[0].regions[0].measurements[0]
    group = groups["dose-PTV_7000"]
    (item,) = group.get_measurements()
    reaches = {
        child.ConceptNameCodeSequence[0].CodeValue: child.MeasuredValueSequence[0]
        for child in item[0].ContentSequence
        if child.ValueType == "NUM"
    }
    above, below = reaches["371886008"], reaches["371885007"]
    found = (item.value - float(below.NumericValue), item.value + float(above.NumericValue))
    assert found == pytest.approx(point.interval)
    assert {one.MeasurementUnitsCodeSequence[0].CodeValue for one in (above, below)} == {"Gy"}
    stated = {one.name.value: one.value.value for one in group.get_qualitative_evaluations()}
    assert stated["uncertainty-bounds"] == "interval-90"
    told = [
        item["valueRange"]
        for entry in json.loads(paths["bundle.json"].read_text())["entry"]
        if "PTV_7000, predicted" in entry["resource"].get("code", {}).get("text", "")
        for item in entry["resource"].get("component", ())
        if "valueRange" in item
    ]
    assert (told[0]["low"]["value"], told[0]["high"]["value"]) == pytest.approx(found)
    without = groups["dose-Parotid_L"].get_qualitative_evaluations()
    assert "uncertainty-bounds" not in {one.name.value for one in without}


def test_points_and_goals_are_observations(composed):
    """Value, interval and structure of each point; the limit of each goal as reference range."""
    _, paths = composed
    bundle = json.loads(paths["bundle.json"].read_text())
    found = [
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "Observation"
    ]
    texts = {item["code"].get("text", ""): item for item in found}
    point = next(item for text, item in texts.items() if "PTV_7000, predicted" in text)
    assert point["valueQuantity"] == {
        **{"value": 66.2, "unit": "Gy"},
        **{"system": "http://unitsofmeasure.org", "code": "Gy"},
    }
    assert point["component"][0]["valueString"] == "PTV_7000"
    goal = texts["Goal for Mean dose of Parotid_L, predicted"]
    assert goal["referenceRange"][0]["high"]["value"] == 26.0
    assert goal["valueCodeableConcept"]["coding"][0]["code"] == "met"
    assert all("not for treatment" in item["note"][0]["text"] for item in (point, goal))


def test_the_same_answer_gives_the_same_bytes(composed, tmp_path):
    """Composing again changes no byte, pictures included."""
    run, paths = composed
    run.composer(tmp_path).compose(run.request, run.case, run.answer)
    folder = next(iter(paths.values())).parent
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / folder.name / path.name).read_bytes(), path.name


def test_two_releases_are_compared_by_their_points(tmp_path):
    """What is kept of a dose are its points; the same answer agrees wholly."""
    run = dose_run()
    save(tmp_path, "0f" * 16, run.answer)
    kept = load(tmp_path, "0f" * 16)
    assert agreement(kept, kept) == {"PTV_7000 D95": 1.0, "Parotid_L Dmean": 1.0}


def test_the_picture_shows_the_dose(composed):
    """The capture has as many pixels as the picture, and colours of a dose in it."""
    _, paths = composed
    dataset = pydicom.dcmread(io.BytesIO(paths["SC-1.dcm"].read_bytes()))
    pixels = dataset.pixel_array
    assert pixels.shape[1] == 768
    assert (pixels.max(axis=2).astype(int) - pixels.min(axis=2) > 100).any()
