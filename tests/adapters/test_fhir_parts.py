"""A run with many findings at a FHIR server that limits its transactions."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from adapters.fhir.client import FhirClient
from adapters.fhir.parts import LARGEST_PART, located, parts, place_in
from audit.errors import NotStoredError, RejectedError, UnavailableError

REGIONS = 6
MEASUREMENTS = 2 * REGIONS
MANY = {
    "DiagnosticReport": 1,
    "Observation": MEASUREMENTS + 1,
    "ImagingStudy": 1,
    "Device": 1,
    "Provenance": 1,
    "Patient": 0,
}


@pytest.fixture
def many(made_run):
    """The bundle of a run that outlined six regions."""
    (region,) = made_run.answer.prediction.findings
    regions = tuple(replace(region, name=f"GTVp{number}") for number in range(REGIONS))
    prediction = replace(made_run.answer.prediction, findings=regions)
    bundle = replace(made_run, answer=replace(made_run.answer, prediction=prediction)).bundle()
    assert len(bundle["entry"]) == MEASUREMENTS + 5
    return bundle


@pytest.fixture
def client(fhir_faults):
    """A client that speaks to the server through the proxy."""
    with FhirClient(fhir_faults.url, timeout_s=5) as client:
        yield client


def _kinds(posted):
    return [[entry["request"]["url"] for entry in bundle["entry"]] for bundle in posted]


@pytest.mark.server
def test_a_run_of_many_findings_is_stored_and_read_back(client, fhir, fhir_faults, many):
    """A server that takes eight entries at once ends with the whole set, report last."""
    outcomes = client.transact(many)
    client.verify(many)
    assert len(outcomes) == len(many["entry"])
    assert fhir.counts() == MANY
    (report,) = fhir.all("DiagnosticReport")
    ids = [f"Observation/{item['id']}" for item in fhir.all("Observation")]
    assert sorted(item["reference"] for item in report["result"]) == sorted(ids)
    (device,) = fhir.all("Device")
    by = {item["device"]["reference"] for item in fhir.all("Observation")}
    assert by == {f"Device/{device['id']}"}
    whole, *pieces = _kinds(fhir_faults.posts())
    assert len(whole) == len(many["entry"])
    assert max(map(len, pieces)) <= LARGEST_PART
    assert [kind for piece in pieces for kind in piece] == whole
    assert whole.index("DiagnosticReport") > max(
        place for place, kind in enumerate(whole) if kind == "Observation"
    )


@pytest.mark.server
def test_many_findings_posted_twice_leave_one_set(client, fhir, many):
    """Every entry of every part is a conditional create."""
    first = client.transact(many)
    second = client.transact(many)
    assert [item.location for item in second] == [item.location for item in first]
    assert not any(item.created for item in second)
    client.verify(many)
    assert fhir.counts() == MANY


@pytest.mark.server
def test_an_outage_between_parts_leaves_no_report_and_is_completed(client, fhir, fhir_faults, many):
    """Until all of its results are there nobody reads a report; posting again ends the set."""

    def third_post_fails(_):
        return fhir_faults.reply(503, b"") if len(fhir_faults.posts()) == 3 else None

    fhir_faults.order = third_post_fails
    with pytest.raises(UnavailableError):
        client.transact(many)
    assert fhir.counts()["DiagnosticReport"] == 0
    assert fhir.counts()["Observation"] == LARGEST_PART - 2
    fhir_faults.order = fhir_faults.pass_on
    with pytest.raises(NotStoredError):
        client.verify(many)
    client.transact(many)
    client.verify(many)
    assert fhir.counts() == MANY


@pytest.mark.server
def test_a_wrong_entry_among_many_is_named_and_no_report_is_left(client, fhir, many):
    """The part with the wrong entry is refused with its place."""
    many["entry"][4]["resource"]["status"] = 4711
    with pytest.raises(RejectedError, match="structure at") as caught:
        client.transact(many)
    assert "4711" not in str(caught.value)
    assert fhir.counts()["DiagnosticReport"] == 0


def _taken(bundle):
    entry = {"response": {"status": "201 Created", "location": "Observation/1/_history/1"}}
    entries = [entry] * len(bundle["entry"])
    return {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}


@pytest.mark.server
def test_a_server_without_a_limit_gets_one_transaction(client, fhir_faults, many):
    """Parts are for servers that refuse the whole; no other one sees them."""
    fhir_faults.always(200, _taken(many))
    client.transact(many)
    assert len(fhir_faults.posts()) == 1


@pytest.mark.server
def test_a_refusal_that_names_a_place_is_not_tried_in_parts(client, fhir_faults, many):
    """Content that a server finds wrong is not posted again piece by piece."""
    issue = {"severity": "error", "code": "invalid", "expression": ["Bundle.entry[2].resource"]}
    fhir_faults.always(400, {"resourceType": "OperationOutcome", "issue": [issue]})
    with pytest.raises(RejectedError, match="Bundle"):
        client.transact(many)
    assert len(fhir_faults.posts()) == 1


@pytest.mark.server
def test_an_answer_without_locations_is_searched(client, fhir, fhir_faults, many):
    """Where an entry was put is asked for when the server does not say."""

    def silent(seen):
        document = json.loads(seen.body) if seen.body else {}
        if seen.method != "POST" or len(document["entry"]) > LARGEST_PART:
            return None
        answer = fhir.post("", document)
        for entry in answer["entry"]:
            entry["response"].pop("location", None)
        return fhir_faults.reply(200, answer)

    fhir_faults.order = silent
    client.transact(many)
    client.verify(many)
    assert fhir.counts() == MANY


def test_nothing_points_to_a_later_entry(many):
    """A part refers only to itself and to what was posted before it."""
    known = set()
    for part in parts(many):
        known |= {entry["fullUrl"] for entry in part["entry"]}
        text = json.dumps(part)
        later = {entry["fullUrl"] for entry in many["entry"]} - known
        assert not [url for url in later if url in text]


def test_references_to_earlier_parts_become_literal(many):
    """Only references are replaced, and only those that are known."""
    url = many["entry"][0]["fullUrl"]
    changed = located(many, {url: "Device/7"})
    assert changed["entry"][0]["fullUrl"] == url
    assert url not in json.dumps([entry["resource"] for entry in changed["entry"]])
    assert located(many, {}) == many


@pytest.mark.parametrize(
    ("location", "kind", "place"),
    [
        ("Device/17", "Device", "Device/17"),
        ("/r4/Device/17/_history/3", "Device", "Device/17"),
        ("https://ehr.example/r4/Device/a-b.c", "Device", "Device/a-b.c"),
        ("Patient/17", "Device", None),
        ("Device/17?x=1", "Device", None),
        ("", "Device", None),
    ],
)
def test_the_place_of_an_entry(location, kind, place):
    """A location gives type and id, or nothing when it is of another type or none."""
    assert place_in(location, kind) == place
