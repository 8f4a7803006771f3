"""The structured report tells measurements, uncertainty and outcome, and nothing else."""

import io
from dataclasses import replace

import highdicom
import pytest
from pydicom.sr.codedict import codes

from adapters.documents.objects import objects_of, refusal_objects
from adapters.rt.equipment import encode
from plugins.host.findings import Classification, Measurement
from plugins.host.identity import uid_for
from plugins.host.images import Code
from tests.simulators.dicom_validators import dciodvfy_errors
from tests.simulators.limb_case import limb_run


def report_of(run):
    """Return SEG and report of a run as they are read back."""
    written = objects_of(run.context(), run.sources, "ct", run.case, run.answer)
    objects = {item.kind: item.dataset for item in written}
    back = highdicom.sr.srread(io.BytesIO(encode(objects["SR"])))
    return objects.get("SEG"), back


def evaluations(group):
    """Return question -> answers of a group, as coded values."""
    found = {}
    for item in group.get_qualitative_evaluations():
        found.setdefault(item.name.value, []).append(item.value.value)
    return found


def case_group(report):
    """Return the group of the case."""
    groups = report.content.get_image_measurement_groups()
    return next(g for g in groups if g.tracking_identifier.startswith("case "))


def test_measurements_are_those_of_the_finding():
    """Volume and diameter come back with value, unit and interval, and name the segment."""
    run = limb_run()
    segments, report = report_of(run)
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    found = {item.name.value: item for item in group.get_measurements()}
    volume, diameter = run.segmentation.measurements
    assert found["118565006"].value == pytest.approx(volume.value, rel=1e-8)
    assert found["118565006"].unit.value == "mL"
    assert found["L0JK"].value == pytest.approx(diameter.value, rel=1e-8)
    assert group.referenced_segment.referenced_sop_instance_uid == segments.SOPInstanceUID
    assert group.tracking_uid == segments.SegmentSequence[0].TrackingUID


def test_the_interval_is_the_reach_of_uncertainty_in_the_same_unit():
    """The 90 % interval stands as the reach above and below, in the measurement's unit."""
    run = limb_run()
    _, report = report_of(run)
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    item = next(m for m in group.get_measurements() if m.name.value == "118565006")
    reaches = {
        child.ConceptNameCodeSequence[0].CodeValue: child.MeasuredValueSequence[0]
        for child in item[0].ContentSequence
        if child.ValueType == "NUM"
    }
    volume = run.segmentation.measurements[0]
    for code, reach in (
        ("371886008", volume.interval[1] - volume.value),
        ("371885007", volume.value - volume.interval[0]),
    ):
        assert float(reaches[code].NumericValue) == pytest.approx(reach, rel=1e-6)
        assert reaches[code].MeasurementUnitsCodeSequence[0].CodeValue == "mL"


def test_mode_approval_and_uncertainty_of_the_case_are_stated():
    """The case group says research, UNAPPROVED and the uncertainty score."""
    _, report = report_of(limb_run())
    group = case_group(report)
    assert evaluations(group) == {
        "outcome": ["done"],
        "mode": ["research"],
        "approval": ["UNAPPROVED"],
    }
    (score,) = group.get_measurements()
    assert score.value == pytest.approx(0.87)
    assert score.name.meaning == "Uncertainty of the result: predicted-dsc"


def test_the_observer_is_the_release():
    """The observing device is named by plugin, version and release digest."""
    run = limb_run()
    _, report = report_of(run)
    (observer,) = report.content.get_observer_contexts(observer_type=codes.DCM.Device)
    attributes = observer.observer_identifying_attributes
    assert attributes.name == "contouring 0.1.0"
    assert attributes.serial_number == "ab" * 32
    assert attributes.uid == uid_for("release", run.request.release_digest)


def test_explanation_numbers_are_measurements():
    """Shares of the inputs and measured faithfulness stand in a group of their own."""
    _, report = report_of(limb_run())
    groups = report.content.get_image_measurement_groups()
    group = next(g for g in groups if g.tracking_identifier.startswith("explanation "))
    found = {item.name.meaning: item.value for item in group.get_measurements()}
    assert found["Contribution of pet"] == pytest.approx(0.6)
    assert found["Faithfulness: deletion_auc"] == pytest.approx(0.31)


def test_other_findings_stand_in_the_case_group():
    """Class probabilities and plain measurements are reported without a segmentation."""
    run = limb_run()
    grade = Classification(
        Code("1", "99TEST", "Grade"),
        ((Code("high", "99TEST", "High grade"), 0.8), (Code("low", "99TEST", "Low"), 0.2)),
    )
    suv = Measurement(Code("126401", "DCM", "SUVbw"), 9.25, "g/ml")
    prediction = replace(run.answer.prediction, findings=(grade, suv))
    _, report = report_of(replace(run, answer=replace(run.answer, prediction=prediction)))
    found = {item.name.meaning: item.value for item in case_group(report).get_measurements()}
    assert found["High grade"] == pytest.approx(0.8)
    assert found["SUVbw"] == pytest.approx(9.25)


def test_an_abstention_tells_its_reasons_and_no_finding(tmp_path):
    """A plugin that withholds gives a report with reasons, without any measurement of it."""
    run = limb_run()
    uncertain = replace(
        run.answer.prediction.uncertainty,
        abstain=True,
        reasons=("UNCERTAIN", "a reason that is longer than sixteen characters"),
    )
    prediction = replace(run.answer.prediction, uncertainty=uncertain)
    run = replace(run, answer=replace(run.answer, prediction=prediction))
    segments, report = report_of(run)
    assert segments is None
    assert report.content.get_volumetric_roi_measurement_groups() == []
    found = evaluations(case_group(report))
    assert found["outcome"] == ["abstained"]
    assert found["reason"][0] == "UNCERTAIN"
    (tmp_path / "sr.dcm").write_bytes(encode(report))
    assert dciodvfy_errors(tmp_path / "sr.dcm") == []


def test_a_refusal_is_a_valid_report(tmp_path):
    """A refused study gets a report that says so and names the source series."""
    run = limb_run()
    (written,) = refusal_objects(run.context(), run.sources["ct"], ("BODY_PART", "AGE"))
    (tmp_path / "sr.dcm").write_bytes(encode(written.dataset))
    assert dciodvfy_errors(tmp_path / "sr.dcm") == []
    report = highdicom.sr.srread(tmp_path / "sr.dcm")
    found = evaluations(case_group(report))
    assert (found["outcome"], found["reason"]) == (["refused"], ["BODY_PART", "AGE"])
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert len(evidence.ReferencedSOPSequence) == len(run.sources["ct"].datasets)


def test_a_report_without_a_written_predecessor_names_none():
    """A run that replaces one which wrote nothing points nowhere."""
    run = limb_run()
    run = replace(run, request=replace(run.request, supersedes="77" * 16))
    _, report = report_of(run)
    assert "PredecessorDocumentsSequence" not in report
