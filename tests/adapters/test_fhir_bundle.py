"""The FHIR bundle of a run: complete, valid, deterministic, and about nobody by name."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from adapters.fhir.bundle import bundle_digest, encode
from adapters.fhir.identity import FhirIdentity
from adapters.fhir.terminology import number
from audit.errors import MissingAttributeError, PluginOutputError
from plugins.host.findings import Classification, Measurement, Prediction, Uncertainty
from plugins.host.images import Code


def _of(bundle, kind):
    return [
        entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind
    ]


def _observation(bundle, code):
    return next(
        item for item in _of(bundle, "Observation") if item["code"]["coding"][0]["code"] == code
    )


def test_a_run_gives_one_report_with_all_results(made_run):
    """The report refers to every Observation, the study and nothing outside the bundle."""
    bundle = made_run.bundle()
    urls = {entry["fullUrl"] for entry in bundle["entry"]}
    report = _of(bundle, "DiagnosticReport")[0]
    results = {item["reference"] for item in report["result"]}
    assert len(results) == len(_of(bundle, "Observation")) == 3
    assert results | {item["reference"] for item in report["imagingStudy"]} <= urls
    assert report["status"] == "preliminary"
    assert report["category"][0]["coding"][0]["code"] == "RAD"


def test_numbers_are_the_plugins_numbers_in_ucum(made_run):
    """Volume and diameter are the measured values to nine digits, with UCUM codes."""
    bundle = made_run.bundle()
    volume = _observation(bundle, "118565006")
    assert volume["valueQuantity"]["value"] == pytest.approx(123.456789, rel=5e-9)
    assert volume["valueQuantity"]["code"] == "mL"
    span = next(item for item in volume["component"] if "valueRange" in item)["valueRange"]
    assert (span["low"]["value"], span["high"]["value"]) == (110.5, 140.25)
    diameter = _observation(bundle, "L0JK")
    assert diameter["valueQuantity"] == {
        "value": 87.654321,
        "unit": "mm",
        "system": "http://unitsofmeasure.org",
        "code": "mm",
    }
    uncertainty = _observation(bundle, "uncertainty-predicted-dsc")
    assert uncertainty["valueQuantity"]["value"] == 0.87
    assert uncertainty["component"][0]["valueRange"]["low"]["value"] == 0.79


def test_the_same_run_gives_the_same_bytes(made_run):
    """Bundles of one run are equal to the byte, and those of two runs share no new resource."""
    assert encode(made_run.bundle()) == encode(made_run.bundle())
    assert bundle_digest(json.loads(encode(made_run.bundle()))) == bundle_digest(made_run.bundle())
    other = made_run.numbered(2).bundle()
    searches = {entry["request"]["ifNoneExist"] for entry in made_run.bundle()["entry"]}
    shared = searches & {entry["request"]["ifNoneExist"] for entry in other["entry"]}
    assert {item.partition("=")[2].partition("|")[0] for item in shared} == {
        "urn:osteon:release",
        "urn:dicom:uid",
    }


def test_every_entry_is_a_conditional_create(made_run):
    """Nothing is posted that the server could make twice."""
    for entry in made_run.bundle()["entry"]:
        assert entry["request"]["method"] == "POST"
        assert "|" in entry["request"]["ifNoneExist"]
        assert entry["fullUrl"].startswith("urn:uuid:")


def test_a_bundle_fits_servers_that_limit_strict_transactions(made_run):
    """A one-region run stays within eight entries, the limit of the strictest server we know."""
    assert len(made_run.bundle()["entry"]) <= 8


def test_what_ai_asserted_says_so(made_run):
    """Report, Observations and Provenance carry the AIAST label; study and device do not."""
    for entry in made_run.bundle()["entry"]:
        resource = entry["resource"]
        labels = [item["code"] for item in resource.get("meta", {}).get("security", [])]
        shared = resource["resourceType"] in ("ImagingStudy", "Device")
        assert labels == ([] if shared else ["AIAST"])


def test_provenance_names_release_inputs_and_results(made_run):
    """Every result, FHIR and DICOM, is a target; the input series is the source."""
    bundle = made_run.bundle()
    trace = _of(bundle, "Provenance")[0]
    device = next(e for e in bundle["entry"] if e["resource"]["resourceType"] == "Device")
    assert trace["agent"][0]["who"]["reference"] == device["fullUrl"]
    assert trace["activity"]["coding"][0]["code"] == "transform"
    assert trace["entity"][0]["what"]["identifier"]["value"].startswith("urn:oid:")
    named = {item["identifier"]["value"] for item in trace["target"] if "identifier" in item}
    assert named == {f"urn:oid:{item.sop_instance_uid}" for item in made_run.documents}
    assert len(trace["target"]) == 4 + len(made_run.documents)
    assert device["resource"]["identifier"][0]["value"] == made_run.request.release_digest


def test_a_superseding_run_names_the_run_it_replaces(made_run):
    """The Provenance of a superseding run points to the old report as a revision."""
    request = replace(made_run.request, supersedes="0" * 32)
    trace = _of(replace(made_run, request=request).bundle(), "Provenance")[0]
    revision = next(item for item in trace["entity"] if item["role"] == "revision")
    assert revision["what"]["identifier"]["value"] == "0" * 32


def test_the_patient_is_named_by_identifier_only(made_run):
    """No bundle makes a patient; every subject is a logical reference with the issuer's OID."""
    bundle = made_run.bundle()
    assert not _of(bundle, "Patient")
    subjects = [e["resource"]["subject"] for e in bundle["entry"] if "subject" in e["resource"]]
    assert len(subjects) == 5
    for subject in subjects:
        assert subject == {
            "type": "Patient",
            "identifier": {"system": "urn:oid:1.2.840.99999.1", "value": "PAT-4711"},
        }


def test_a_study_without_patient_id_still_gives_a_valid_bundle(made_run):
    """Missing identifiers are said, not invented."""
    bundle = replace(made_run, identity=FhirIdentity("", "", "", "1.2.3")).bundle()
    study = _of(bundle, "ImagingStudy")[0]
    assert "identifier" not in study["subject"]
    assert "basedOn" not in study


@pytest.mark.parametrize(
    ("issuer", "system"),
    [
        ("1.2.3", "urn:oid:1.2.3"),
        ("https://hospital.example/mrn", "https://hospital.example/mrn"),
        ("St. Elsewhere", "urn:osteon:issuer:St.-Elsewhere"),
        ("", "urn:osteon:issuer:unknown"),
    ],
)
def test_the_issuer_becomes_a_namespace(issuer, system):
    """OID, URI, local name and nothing each give the identifier a system."""
    assert FhirIdentity("1", issuer, "", "1.2").patient_system() == system


def test_identity_needs_a_study_and_never_prints_itself():
    """An identity without a study is refused, and its text shows no identifier."""
    with pytest.raises(MissingAttributeError):
        FhirIdentity("1", "", "", "")
    assert "4711" not in repr(FhirIdentity("4711", "", "", "1.2"))


@pytest.mark.parametrize("mode", ["research", "clinical"])
def test_research_use_is_visible(made_run, mode):
    """Research runs say so in tag, conclusion and narrative; clinical runs do not."""
    report = _of(made_run.in_mode(mode).bundle(), "DiagnosticReport")[0]
    assert any(item["code"] == mode for item in report["meta"]["tag"])
    for text in (report["conclusion"], report["text"]["div"]):
        assert ("Research use only" in text) == (mode == "research")


def test_an_abstention_withholds_every_finding(made_run):
    """An abstaining run reports the uncertainty and the reasons, and no measurement."""
    bundle = made_run.abstaining("LOW_PREDICTED_DSC").bundle()
    codes = {item["code"]["coding"][0]["code"] for item in _of(bundle, "Observation")}
    assert codes == {"uncertainty-predicted-dsc", "abstention"}
    assert _observation(bundle, "abstention")["valueBoolean"] is True
    report = _of(bundle, "DiagnosticReport")[0]
    said = [item["coding"][0]["code"] for item in report["conclusionCode"]]
    assert said == ["abstained", "LOW_PREDICTED_DSC"]


def test_a_refusal_is_a_report_without_results(made_run):
    """A refused study gives a cancelled report with its reasons, and no Observation."""
    bundle = made_run.refusal("SEED_REQUIRED", "AGE_BELOW")
    report = _of(bundle, "DiagnosticReport")[0]
    assert report["status"] == "cancelled"
    said = [item["coding"][0]["code"] for item in report["conclusionCode"]]
    assert said == ["refused", "SEED_REQUIRED", "AGE_BELOW"]
    assert not _of(bundle, "Observation")
    assert _of(bundle, "Provenance")[0]["target"]


def test_other_findings_become_observations(made_run):
    """A bare measurement and a classification have one Observation each."""
    grade = Code("371469007", "SCT", "Histologic grade of neoplasm")
    classes = (
        (Code("1663004", "SCT", "Grade 2"), 0.25),
        (Code("61026006", "SCT", "Grade 3"), 0.75),
    )
    findings = (
        Measurement(Code("SUVmax", "99OSTEON", "SUV maximum"), 7.5, "g/ml", (8.0, 7.0)),
        Classification(grade, classes, "youden"),
    )
    prediction = Prediction(findings, Uncertainty("entropy", 0.1, (0.0, 0.2)))
    bundle = replace(made_run, answer=replace(made_run.answer, prediction=prediction)).bundle()
    assert _observation(bundle, "SUVmax")["code"]["coding"][0]["system"].endswith("99OSTEON")
    assert _observation(bundle, "371469007")["valueCodeableConcept"]["coding"][0]["code"] == (
        "61026006"
    )


def test_invalid_content_is_refused_without_quoting_it(made_run):
    """Text that FHIR forbids is refused with the place, and without the text."""
    manifest = replace(made_run.manifest, version="")
    with pytest.raises(PluginOutputError, match="found faults at"):
        replace(made_run, manifest=manifest).bundle()


@pytest.mark.parametrize("value", [0.0, 1e-12, 123.456789123, 9.87654321e8, -1024.0])
def test_numbers_keep_nine_digits(value):
    """A number survives JSON with a relative error below 5e-9."""
    assert json.loads(json.dumps(number(value))) == pytest.approx(value, rel=5e-9, abs=0)
    assert number(float(np.float32(value))) == pytest.approx(value, rel=1e-7)


def test_a_bundle_is_built_within_a_tenth_of_a_second(made_run):
    """Once the models are loaded, the best of five bundles takes at most 100 ms."""
    made_run.bundle()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        made_run.bundle()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1
