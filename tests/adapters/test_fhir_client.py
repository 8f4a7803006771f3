"""The door to a FHIR server: one set of resources, whatever happens on the way."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest

from adapters.fhir.client import FhirClient
from adapters.fhir.faults import error_of
from audit.errors import (
    AuthenticationError,
    ConfigurationError,
    NotStoredError,
    RejectedError,
    UnavailableError,
)

pytestmark = pytest.mark.server
ONE_SET = {
    "DiagnosticReport": 1,
    "Observation": 3,
    "ImagingStudy": 1,
    "Device": 1,
    "Provenance": 1,
    "Patient": 0,
}


@pytest.fixture
def client(fhir_faults):
    """A client that speaks to the server through the proxy."""
    with FhirClient(fhir_faults.url, timeout_s=5) as client:
        yield client


def test_the_server_accepts_the_bundle_and_gives_the_numbers_back(client, fhir, made_run):
    """A validating R4 server stores the whole set, and the numbers survive the round trip."""
    bundle = made_run.bundle()
    locations = client.transact(bundle)
    client.verify(bundle)
    assert len(locations) == len(bundle["entry"])
    assert fhir.counts() == ONE_SET
    values = {
        item["code"]["coding"][0]["code"]: item["valueQuantity"]["value"]
        for item in fhir.all("Observation")
    }
    assert values["118565006"] == pytest.approx(123.456789, rel=5e-9)
    assert values["L0JK"] == pytest.approx(87.654321, rel=5e-9)
    report = fhir.all("DiagnosticReport")[0]
    ids = {f"Observation/{item['id']}" for item in fhir.all("Observation")}
    assert {item["reference"] for item in report["result"]} == ids


@pytest.mark.parametrize("kind", ["abstaining", "refusal"])
def test_abstention_and_refusal_are_valid_too(client, fhir, made_run, kind):
    """The server accepts both other endings of a run."""
    bundle = (
        made_run.abstaining("LOW_DSC").bundle() if kind == "abstaining" else made_run.refusal("AGE")
    )
    client.transact(bundle)
    client.verify(bundle)
    assert fhir.counts()["Observation"] == (2 if kind == "abstaining" else 0)


def test_posting_twice_leaves_one_set(client, fhir, made_run):
    """The second post of a run changes nothing."""
    bundle = made_run.bundle()
    first = client.transact(bundle)
    second = client.transact(bundle)
    assert [item.location for item in second] == [item.location for item in first]
    assert all(item.created for item in first)
    assert not any(item.created for item in second)
    client.verify(bundle)
    assert fhir.counts() == ONE_SET


def test_a_second_run_shares_study_and_device(client, fhir, made_run):
    """Two runs of one release on one study have two reports, one study and one device."""
    client.transact(made_run.bundle())
    second = made_run.numbered(2).bundle()
    client.transact(second)
    client.verify(second)
    counts = fhir.counts()
    assert (counts["DiagnosticReport"], counts["Provenance"]) == (2, 2)
    assert (counts["ImagingStudy"], counts["Device"]) == (1, 1)


def test_a_study_that_others_made_is_used_and_kept(client, fhir, made_run):
    """An ImagingStudy that the site has already is referred to and not changed."""
    own = {
        "resourceType": "ImagingStudy",
        "identifier": [
            {"system": "urn:dicom:uid", "value": f"urn:oid:{made_run.identity.study_instance_uid}"}
        ],
        "status": "available",
        "subject": {"display": "somebody"},
    }
    fhir.post("ImagingStudy", own)
    bundle = made_run.bundle()
    client.transact(bundle)
    client.verify(bundle)
    study = fhir.all("ImagingStudy")
    assert len(study) == 1
    assert study[0]["subject"] == {"display": "somebody"}
    report = fhir.all("DiagnosticReport")[0]
    assert report["imagingStudy"][0]["reference"] == f"ImagingStudy/{study[0]['id']}"


def test_a_half_done_transaction_is_completed_by_posting_again(client, fhir, fhir_faults, made_run):
    """A server that keeps the first entries of a failed transaction ends with one full set."""
    bundle = made_run.bundle()

    def half(seen):
        document = json.loads(seen.body)
        document["entry"] = document["entry"][:4]
        fhir.post("", document)
        return fhir_faults.reply(500, {"resourceType": "OperationOutcome", "issue": []})

    fhir_faults.order = lambda seen: half(seen) if seen.method == "POST" else None
    with pytest.raises(UnavailableError):
        client.transact(bundle)
    assert len(client.missing(bundle)) == len(bundle["entry"]) - 4
    fhir_faults.order = fhir_faults.pass_on
    client.transact(bundle)
    client.verify(bundle)
    assert fhir.counts() == ONE_SET


@pytest.mark.parametrize("kind", ["Observation", "DiagnosticReport", "Device", "Provenance"])
def test_read_back_catches_a_lost_resource_and_mends_it(client, fhir, made_run, kind):
    """A server that said created and lost one is caught; posting again mends references too."""
    bundle = made_run.bundle()
    client.transact(bundle)
    fhir.delete(fhir.all(kind)[0])
    with pytest.raises(NotStoredError):
        client.verify(bundle)
    client.transact(bundle)
    client.verify(bundle)
    assert fhir.counts() == ONE_SET
    ids = {f"Observation/{item['id']}" for item in fhir.all("Observation")}
    report = fhir.all("DiagnosticReport")[0]
    assert {item["reference"] for item in report["result"]} == ids


def test_read_back_catches_an_entry_that_was_dropped_on_the_way(
    client, fhir, fhir_faults, made_run
):
    """An answer that counts an entry which never came to the store is not believed."""
    bundle = made_run.bundle()

    def drop(seen):
        if seen.method != "POST":
            return None
        document = json.loads(seen.body)
        document["entry"].pop(3)
        answer = fhir.post("", document)
        answer["entry"].insert(3, {"response": {"status": "201", "location": "Observation/1"}})
        return fhir_faults.reply(200, answer)

    fhir_faults.order = drop
    client.transact(bundle)
    with pytest.raises(NotStoredError):
        client.verify(bundle)
    fhir_faults.order = fhir_faults.pass_on
    client.transact(bundle)
    client.verify(bundle)
    assert fhir.counts() == ONE_SET


def test_read_back_catches_a_changed_number(client, fhir_faults, made_run):
    """A volume that the server keeps with another value is not verified."""
    bundle = made_run.bundle()

    def change(seen):
        return seen.body.replace(b"123.456789", b"132.456789") if seen.method == "POST" else None

    fhir_faults.order = change
    client.transact(bundle)
    with pytest.raises(RejectedError, match="found 1 with other content"):
        client.verify(bundle)


def test_read_back_catches_a_lost_label(client, fhir_faults, made_run):
    """A server that strips the AIAST label does not have what was written."""
    bundle = made_run.bundle()
    stripped = copy.deepcopy(bundle)
    for entry in stripped["entry"]:
        entry["resource"].get("meta", {}).pop("security", None)
    fhir_faults.order = lambda seen: (
        json.dumps(stripped).encode() if seen.method == "POST" else None
    )
    client.transact(bundle)
    with pytest.raises(RejectedError, match="other content"):
        client.verify(bundle)


def test_doubled_resources_are_found(client, fhir, made_run):
    """A report that is there twice is refused, because nobody could say which one holds."""
    bundle = made_run.bundle()
    client.transact(bundle)
    report = fhir.all("DiagnosticReport")[0]
    del report["id"]
    fhir.post("DiagnosticReport", report)
    with pytest.raises(RejectedError, match="found 2"):
        client.verify(bundle)


@pytest.mark.parametrize("kind", ["DiagnosticReport", "ImagingStudy"])
def test_several_matches_of_a_conditional_create_are_told(client, fhir, made_run, kind):
    """A server that has an entry twice answers 412; nothing is made, and a person is asked."""
    bundle = made_run.bundle()
    client.transact(bundle)
    doubled = fhir.all(kind)[0]
    del doubled["id"]
    fhir.post(kind, doubled)
    before = fhir.counts()
    with pytest.raises(RejectedError, match="412") as caught:
        client.transact(bundle)
    assert "doubled" in caught.value.advice
    assert fhir.counts() == before


def test_what_a_server_adds_does_not_count(client, fhir, fhir_faults, made_run):
    """Other spellings, added elements, absolute references and narratives are no difference."""
    bundle = made_run.bundle()
    client.transact(bundle)

    def decorate(seen):
        if seen.method != "GET":
            return None
        answer = fhir.get(seen.path)
        for entry in answer.get("entry", []):
            resource = entry["resource"]
            resource["text"] = {"status": "empty", "div": "<div/>"}
            resource["meta"].setdefault("tag", []).insert(0, {"system": "x", "code": "y"})
            resource["language"] = "en"
            if "issued" in resource:
                resource["issued"] = "2026-03-04T06:06:07.000+01:00"
            for item in resource.get("result", []):
                item["reference"] = f"{fhir_faults.url}/{item['reference']}"
        return fhir_faults.reply(200, answer)

    fhir_faults.order = decorate
    client.verify(bundle)


def test_an_invalid_resource_is_rejected_with_the_place_only(client, made_run):
    """The server's refusal is quoted by issue type and path, and never by its free text."""
    bundle = made_run.bundle()
    bundle["entry"][2]["resource"]["status"] = 4711
    with pytest.raises(RejectedError, match="structure") as caught:
        client.transact(bundle)
    assert "4711" not in str(caught.value)


def test_the_check_names_software_and_version(client):
    """The self-test says what the server is."""
    assert client.check() == "Medplum router 4.5.2, FHIR 4.0.1"


@pytest.mark.parametrize(
    "statement",
    [
        {"resourceType": "CapabilityStatement", "fhirVersion": "5.0.0"},
        {"resourceType": "Patient"},
        {
            "resourceType": "CapabilityStatement",
            "fhirVersion": "4.0.1",
            "rest": [{"interaction": [{"code": "batch"}]}],
        },
    ],
)
def test_the_check_refuses_other_servers(client, fhir_faults, statement):
    """R5, no FHIR at all, and a server without transactions are refused."""
    fhir_faults.always(200, statement)
    with pytest.raises(RejectedError):
        client.check()


def test_the_current_token_is_sent(fhir_faults, made_run):
    """The token is asked for before each request, so that a renewed one is used."""
    tokens = iter(("first", "second"))
    with FhirClient(fhir_faults.url, token=lambda: next(tokens)) as client:
        client.check()
        client.check()
    sent = [item.headers["authorization"] for item in fhir_faults.seen]
    assert sent == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("token", [None, "expired"])
def test_a_missing_or_expired_token_is_an_authentication_error(fhir_faults, made_run, token):
    """A server that wants another token gives an error that names neither token nor patient."""

    def guard(seen):
        if seen.headers.get("authorization") == "Bearer good":
            return None
        return fhir_faults.reply(401, {"resourceType": "OperationOutcome"})

    fhir_faults.order = guard
    with (
        FhirClient(fhir_faults.url, token=token) as client,
        pytest.raises(AuthenticationError) as caught,
    ):
        client.transact(made_run.bundle())
    assert "expired" not in str(caught.value)
    with FhirClient(fhir_faults.url, token="good") as client:
        client.transact(made_run.bundle())


def test_a_token_that_cannot_be_sent_is_refused(fhir_faults):
    """A token with a line break never reaches the wire."""
    with FhirClient(fhir_faults.url, token="a\r\nb") as client, pytest.raises(AuthenticationError):
        client.check()
    assert not fhir_faults.seen


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_a_busy_server_is_unavailable(client, fhir_faults, made_run, status):
    """Statuses that heal by waiting are retryable."""
    fhir_faults.always(status, b"<html>busy</html>")
    with pytest.raises(UnavailableError) as caught:
        client.transact(made_run.bundle())
    assert caught.value.retryable


@pytest.mark.parametrize("status", [302, 400, 404, 410, 412, 422, 501])
def test_a_refusal_is_not_retried(client, fhir_faults, made_run, status):
    """Statuses that stay so are rejections."""
    fhir_faults.always(status, b"no")
    with pytest.raises(RejectedError):
        client.transact(made_run.bundle())


def test_a_server_that_hangs_or_hangs_up_is_unavailable(fhir_faults, made_run):
    """A timeout and a broken connection are outages, not crashes."""
    for fault in ({"hang_s": 30}, {"close": True}):
        fhir_faults.always(**fault)
        with (
            FhirClient(fhir_faults.url, timeout_s=0.2) as client,
            pytest.raises(UnavailableError),
        ):
            client.transact(made_run.bundle())


def test_no_server_at_all_is_unavailable(made_run):
    """A refused connection is an outage, and its message holds no address."""
    with FhirClient("http://127.0.0.1:9/base") as client, pytest.raises(UnavailableError) as caught:
        client.transact(made_run.bundle())
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b'{"resourceType": "Bundle"}',
        b'{"resourceType": "Bundle", "type": "transaction-response", "entry": 7}',
        b'{"resourceType": "Bundle", "type": "transaction-response", "entry": []}',
        b'{"resourceType": "Bundle", "type": "transaction-response", "entry": [1,2,3,4,5,6,7]}',
        b'{"type": "transaction-response", "entry": [{},{},{},{},{},{},{}]}',
        b"[" * 100_000,
    ],
)
def test_malformed_success_is_never_taken_for_stored(client, fhir_faults, made_run, body):
    """An answer that does not account for every entry is a retryable error."""
    fhir_faults.always(200, body)
    with pytest.raises((NotStoredError, UnavailableError)) as caught:
        client.transact(made_run.bundle())
    assert caught.value.retryable


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Bundle", "type": "searchset", "entry": 3},
        {"resourceType": "Bundle", "type": "searchset", "entry": [None, {"resource": 1}]},
        {"resourceType": "Bundle", "type": "searchset"},
    ],
)
def test_a_malformed_search_answer_verifies_nothing(client, fhir_faults, made_run, body):
    """What is not a resource of ours does not count as found."""
    fhir_faults.always(200, body)
    with pytest.raises(NotStoredError):
        client.verify(made_run.bundle())


def test_a_failed_entry_in_a_successful_answer_is_an_error(client, fhir_faults, made_run):
    """An entry with a status of 400 and more is not stored, whatever the whole says."""
    entry = {"response": {"status": "201 Created", "location": "X/1"}}
    for status, error in (("422", RejectedError), ("503 Busy", UnavailableError)):
        entries = [entry] * 6 + [{"response": {"status": status}}]
        answer = {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
        fhir_faults.always(200, answer)
        with pytest.raises(error):
            client.transact(made_run.bundle())


def test_an_error_never_repeats_the_servers_text():
    """Diagnostics and details of an OperationOutcome stay out of the message."""
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "invalid",
                "diagnostics": "Patient John Doe",
                "details": {"text": "PAT-4711"},
                "expression": ["Bundle.entry[2].resource"],
            },
            {"severity": "error", "code": "John Doe", "expression": ["John Doe's"]},
        ],
    }
    message = str(error_of(422, outcome, "posting"))
    assert "invalid at Bundle.entry[2].resource" in message
    assert "Doe" not in message
    assert "4711" not in message


@pytest.mark.parametrize("url", ["ftp://x", "fhir.example.org", "http://[bad", "http://x:port"])
def test_an_address_that_cannot_be_used_is_a_configuration_error(url):
    """A wrong address is told when the client is made."""
    with pytest.raises(ConfigurationError):
        FhirClient(url)


def test_an_unreadable_authority_is_a_configuration_error(tmp_path):
    """A missing certificate file is told when the client is made."""
    with pytest.raises(ConfigurationError):
        FhirClient("https://x", verify_tls=str(tmp_path / "none.pem"))


def test_identifiers_with_special_characters_survive(client, fhir, made_run):
    """A patient number with reserved characters comes back unchanged."""
    identity = replace(made_run.identity, patient_id="A&B|C=ü+1 %")
    bundle = replace(made_run, identity=identity).bundle()
    client.transact(bundle)
    client.verify(bundle)
    assert fhir.all("DiagnosticReport")[0]["subject"]["identifier"]["value"] == "A&B|C=ü+1 %"
