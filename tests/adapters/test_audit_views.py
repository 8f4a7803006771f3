"""Views of records: FHIR AuditEvent and PS3.15 A.5, both valid, both the same message."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.audit_views import dicom_message, fhir_event
from adapters.audit_views.event_codes import OWN, Coded
from adapters.audit_views.message import Message, SopClass, message_of
from audit.errors import RecordError
from audit.kinds import KINDS
from audit.merkle import leaf_hash
from audit.record import Actor, Outcome, encode
from tests.simulators.audit_records import PATIENT, record_of
from tests.simulators.fhir_server import FhirServer

SCHEMA = Path(__file__).resolve().parents[1] / "vectors" / "dicom_audit" / "audit_message.rng"


def _schema() -> Any:
    etree = pytest.importorskip("lxml.etree")
    return etree.RelaxNG(etree.parse(str(SCHEMA)))


def _valid(xml: bytes) -> bool:
    etree = pytest.importorskip("lxml.etree")
    return bool(_schema().validate(etree.fromstring(xml)))


def _message(kind: str, **fields: Any) -> Message:
    return message_of(encode(record_of(kind, **fields)), 41, 1000)


@pytest.mark.reg("PS315-A5")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_a_valid_dicom_message(kind: str) -> None:
    """The view of each kind of record is valid by the schema of PS3.15 A.5.1.1."""
    etree = pytest.importorskip("lxml.etree")
    schema = _schema()
    schema.assertValid(etree.fromstring(dicom_message.encode(_message(kind))))


def test_the_schema_refuses_what_it_should() -> None:
    """A message without a participant, with another outcome or order is not valid."""
    good = dicom_message.encode(_message("inference")).decode()
    assert _valid(good.encode())
    assert not _valid(
        good.replace('EventOutcomeIndicator="0"', 'EventOutcomeIndicator="1"').encode()
    )
    assert not _valid(good.replace("AuditSourceID", "AuditSource").encode())
    head, _, tail = good.partition("<AuditSourceIdentification")
    assert not _valid(
        (head.partition("<ActiveParticipant")[0] + "<AuditSourceIdentification" + tail).encode()
    )


@pytest.mark.reg("BALP-1")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_a_valid_audit_event(kind: str) -> None:
    """The view of each kind of record is a FHIR R4 AuditEvent by a library of others."""
    from fhir.resources.R4B.auditevent import AuditEvent

    event = fhir_event.encode(_message(kind))
    AuditEvent.model_validate(event)
    with pytest.raises(ValueError):
        AuditEvent.model_validate({key: item for key, item in event.items() if key != "recorded"})


@pytest.mark.server
def test_a_server_of_others_takes_every_kind(fhir: FhirServer) -> None:
    """Medplum validates each view against the R4 StructureDefinition and keeps it whole."""
    for kind in sorted(KINDS):
        message = _message(kind)
        event = {key: item for key, item in fhir_event.encode(message).items() if key != "id"}
        assert fhir_event.decode(fhir.post("AuditEvent", event)) == message, kind


@pytest.mark.reg("PS315-A5")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_both_formats_say_the_same(kind: str) -> None:
    """XML to FHIR and back loses nothing of the message."""
    message = _message(kind)
    xml = dicom_message.encode(message)
    assert dicom_message.decode(xml) == message
    event = json.loads(json.dumps(fhir_event.encode(dicom_message.decode(xml))))
    assert fhir_event.decode(event) == message
    assert dicom_message.encode(fhir_event.decode(event)) == xml


_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=30)


@settings(max_examples=60)
@given(
    reason=st.sampled_from(["", "INPUT_UNITS"]),
    pairs=st.lists(st.tuples(_TEXT, _TEXT)),
    counts=st.lists(st.tuples(_TEXT, st.integers(0, 9), st.lists(_TEXT, max_size=3))),
)
def test_any_message_comes_back_from_both_formats(
    reason: str, pairs: list[tuple[str, str]], counts: list[tuple[str, int, list[str]]]
) -> None:
    """Whatever stands in details, a message is the same after each format."""
    pairs = [pair for pair in pairs if pair[0] not in ("sop-class-uid", "number-of-instances")]
    message = _message("inference")
    sop = tuple(
        SopClass(uid, count, tuple(uids)) for uid, count, uids in counts if uid != "several"
    )
    thing = replace(message.objects[1], details=tuple(pairs), sop_classes=sop)
    changed = replace(
        message, reason=reason, objects=(message.objects[0], thing, *message.objects[2:])
    )
    assert dicom_message.decode(dicom_message.encode(changed)) == changed
    assert fhir_event.decode(fhir_event.encode(changed)) == changed


def test_a_view_carries_the_hash_of_its_record() -> None:
    """The leaf hash, the index and the tree size lead from either view to the record."""
    leaf = encode(record_of("inference"))
    message = message_of(leaf, 41, 1000)
    for view in (dicom_message.decode(dicom_message.encode(message)),
                 fhir_event.decode(fhir_event.encode(message))):  # fmt: skip
        assert view.record.detail("osteon-leaf-sha256") == leaf_hash(leaf).hex()
        assert view.record.detail("osteon-leaf-index") == "41"
        assert view.record.detail("osteon-tree-size") == "1000"
        assert view.record.object_id == json.loads(leaf)["event_id"]


@pytest.mark.reg("PREN-18286")
@pytest.mark.parametrize("kind", ["inference", "delivery", "access"])
def test_records_of_other_versions_are_told_as_they_stand(kind: str) -> None:
    """A record that lacks a key of today, or brings one of tomorrow, has its view and its hash."""
    values = json.loads(encode(record_of(kind)))
    older = {**values, "body": {k: v for k, v in values["body"].items() if k not in ("consent",)}}
    newer = {**values, "body": {**values["body"], "of_tomorrow": "x"}, "extra": [1]}
    unknown = {**values, "kind": "of_tomorrow", "schema": "osteon.audit.of_tomorrow/1"}
    for changed in (older, newer, unknown):
        leaf = json.dumps(changed, sort_keys=True, separators=(",", ":")).encode()
        message = message_of(leaf, 0, 1)
        assert message.record.detail("osteon-leaf-sha256") == leaf_hash(leaf).hex()
        assert _valid(dicom_message.encode(message))
        assert fhir_event.decode(fhir_event.encode(message)) == message


@pytest.mark.parametrize("leaf", [b"", b"[]", b"{}", b'{"event_id":1}', b"\xff"])
def test_bytes_that_are_no_record_have_no_view(leaf: bytes) -> None:
    """They are named as none."""
    with pytest.raises(RecordError):
        message_of(leaf, 0, 1)


def test_an_inference_is_told_by_the_rows_of_the_law() -> None:
    """Patient by pseudonym, study read, objects written and marked as made by a model, job."""
    event = fhir_event.encode(_message("inference"))
    things = {item["name"]: item for item in event["entity"] if "name" in item}
    assert things["PSEUDONYM"]["what"]["identifier"]["value"] == PATIENT
    assert things["output, UNAPPROVED"]["securityLabel"][0]["code"] == "AIAST"
    assert "securityLabel" not in things["input"]
    assert event["subtype"][0]["code"] == "transform"
    assert event["period"]["start"] == "2026-11-26T09:14:02.118000+00:00"
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "HRESCH"
    assert [agent["requestor"] for agent in event["agent"]].count(True) == 1
    assert event["entity"][-1]["type"]["code"] == "XrequestId"
    xml = dicom_message.encode(_message("inference")).decode()
    for uid in ("2.25.111", "2.25.211", "1.2.840.10008.5.1.4.1.1.2"):
        assert uid in xml
    assert "84.2" not in xml, "regions stay in the record"
    assert "421235005" not in xml, "strata stay in the record"


@pytest.mark.parametrize(
    ("kind", "code"),
    [("access", "110101"), ("input_read", "110103"), ("delivery", "110104"),
     ("configuration_change", "110113"), ("account", "110113"), ("inference", "inference")],
)  # fmt: skip
def test_standard_codes_are_used_where_there_are_some(kind: str, code: str) -> None:
    """A kind with an event of DICOM CID 400 is told under it."""
    assert _message(kind).event.code == code


@pytest.mark.parametrize(
    ("what", "code", "about_log"),
    [
        ("audit-log", "110101", True),
        ("audit-record", "110101", True),
        ("sign-in", "110114", False),
        ("recall", "access", False),
    ],
)
def test_an_access_is_told_by_what_it_was_to(what: str, code: str, about_log: bool) -> None:
    """Reading the log, signing in and looking a patient up are three events."""
    message = _message("access", body={"what": what, "purpose": "test"})
    assert message.event.code == code
    assert any(item.name == "Security Audit Log" for item in message.objects) is about_log
    assert _valid(dicom_message.encode(message))


def test_a_person_is_told_by_account_and_role_and_a_failure_by_its_code() -> None:
    """No name: the account id with its role; the outcome with a stable reason."""
    message = _message(
        "access", actor=Actor("account:anna", "compliance"), outcome=Outcome(8, "DOOR_UNAVAILABLE")
    )
    person = message.participants[0]
    assert person.is_person
    assert person.roles == (Coded("compliance", OWN, "Compliance"),)
    event = fhir_event.encode(message)
    assert (event["outcome"], event["outcomeDesc"]) == ("8", "DOOR_UNAVAILABLE")
    assert event["agent"][0]["who"]["type"] == "Practitioner"
    assert "name" not in event["agent"][0]


@pytest.mark.parametrize(
    "xml",
    [b"", b"<AuditMessage/>", b"<Other/>", b"<AuditMessage", b"\xff\xfe",
     b'<!DOCTYPE a [<!ENTITY x "y">]><AuditMessage>&x;</AuditMessage>'],
)  # fmt: skip
def test_malformed_messages_are_refused(xml: bytes) -> None:
    """What is no message of the schema is refused, and entities of its own are never expanded."""
    with pytest.raises(RecordError):
        dicom_message.decode(xml)


@pytest.mark.parametrize("event", [{}, {"resourceType": "Patient"}, {"resourceType": "AuditEvent"}])
def test_malformed_events_are_refused(event: dict[str, Any]) -> None:
    """What is no event of ours is refused."""
    with pytest.raises(RecordError):
        fhir_event.decode(event)
