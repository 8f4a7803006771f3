"""The FHIR R4 AuditEvent of a record; `encode` and `decode` are a pair.

The patterns are those of IHE BALP: agents by the roles of DICOM CID 402 with the user as one
of them, the patient and the data as entities, the request id as an entity of type XrequestId,
no token, no name.  No BALP profile is claimed: the profiles are of RESTful exchange, and a
validator against them has not been run.  What FHIR can say besides the message (period,
purpose, the label AIAST) is derived from it.

Source: FHIR R4 AuditEvent; IHE BALP 1.1, section 3:152; REGULATORY.md section 3.

Read next: `dicom_message.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from adapters.audit_views.event_codes import DCM, ISO_21089, OWN, RFC_3881, URI, Coded
from adapters.audit_views.message import PERSON, Message, Object, Participant, SopClass
from audit.errors import RecordError

Json = dict[str, Any]
SYSTEMS = MappingProxyType(
    {
        DCM: "http://dicom.nema.org/resources/ontology/DCM",
        ISO_21089: "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle",
        RFC_3881: "urn:ietf:rfc:3881",
        OWN: "urn:osteon:audit-event",
    }
)
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_REQUEST = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
_REQUEST_CODE = "XrequestId"
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_AIAST = {"system": f"{_TERMINOLOGY}v3-ObservationValue", "code": "AIAST"}
_SOP_CLASS, _COUNT, _INSTANCE = "sop-class-uid", "number-of-instances", "instance-uid-p"
_SOP_KEYS = (_SOP_CLASS, _COUNT, _INSTANCE)


def encode(message: Message) -> Json:
    """Return the message as an AuditEvent whose id is the record's event id."""
    record = message.record
    event: Json = {
        "resourceType": "AuditEvent",
        "id": record.object_id,
        "type": _coding(message.event),
        "subtype": [_coding(item) for item in message.types],
        "action": message.action,
        "recorded": message.at.astimezone(UTC).strftime(_TIME),
        "outcome": str(message.outcome),
        "agent": [_agent(item) for item in message.participants],
        "source": {
            "site": message.site_id,
            "observer": {
                "type": "Device",
                "identifier": {"system": "urn:osteon:node", "value": message.source_id},
            },
            "type": [
                {
                    "system": f"{_TERMINOLOGY}security-source-type",
                    "code": "4",
                    "display": "Application Server",
                }
            ],
        },
        "entity": [_entity(item) for item in message.objects],
    }
    if message.reason:
        event["outcomeDesc"] = message.reason
    return event | _derived(message)


def decode(event: Json) -> Message:
    """Return the message of an AuditEvent that `encode` wrote.

    Raises
    ------
    RecordError : it is another resource, or lacks what we write.
    """
    try:
        if event["resourceType"] != "AuditEvent":
            raise RecordError("expected an AuditEvent, found another resource")
        entities = [item for item in event["entity"] if not _is_request(item)]
        return Message(
            event=_read_coding(event["type"]),
            types=tuple(_read_coding(item) for item in event.get("subtype", ())),
            action=event["action"],
            at=datetime.strptime(event["recorded"], _TIME).replace(tzinfo=UTC),
            outcome=int(event["outcome"]),
            reason=event.get("outcomeDesc", ""),
            participants=tuple(_read_agent(item) for item in event["agent"]),
            source_id=event["source"]["observer"]["identifier"]["value"],
            site_id=event["source"]["site"],
            objects=tuple(_read_entity(item) for item in entities),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RecordError("expected an AuditEvent of ours, found another") from error


def _derived(message: Message) -> Json:
    """Return what FHIR has a place for and the message holds as details of the record."""
    record = message.record
    found: Json = {}
    start, end = record.detail("started_at"), record.detail("ended_at")
    if start and end:
        found["period"] = {"start": start, "end": end}
    if purpose := record.detail("purpose_of_use"):
        coding = {"system": f"{_TERMINOLOGY}v3-ActReason", "code": purpose}
        found["purposeOfEvent"] = [{"coding": [coding]}]
    if request := record.detail("workflow.request_id"):
        kind = {"system": _REQUEST, "code": _REQUEST_CODE}
        entity = {"what": {"identifier": {"value": request}}, "type": kind}
        found["entity"] = [*(_entity(item) for item in message.objects), entity]
    return found


def _coding(item: Coded) -> Json:
    return {"system": SYSTEMS[item.scheme], "code": item.code, "display": item.meaning}


def _read_coding(value: Json) -> Coded:
    scheme = next(name for name, system in SYSTEMS.items() if system == value["system"])
    return Coded(value["code"], scheme, value["display"])


def _agent(item: Participant) -> Json:
    kind = "Practitioner" if item.is_person else "Device"
    agent: Json = {
        "who": {"type": kind, "identifier": {"system": "urn:osteon:actor", "value": item.user_id}},
        "requestor": item.is_requestor,
    }
    if item.roles:
        agent["type"] = {"coding": [_coding(item.roles[0])]}
    if len(item.roles) > 1:
        agent["role"] = [{"coding": [_coding(role)]} for role in item.roles[1:]]
    return agent


def _read_agent(value: Json) -> Participant:
    stated = [value["type"], *value.get("role", ())] if "type" in value else []
    roles = tuple(_read_coding(item["coding"][0]) for item in stated)
    return Participant(value["who"]["identifier"]["value"], roles, value["requestor"])


def _entity(item: Object) -> Json:
    identifier = {"type": {"coding": [_coding(item.id_type)]}, "value": item.object_id}
    if item.id_type != URI:
        identifier["system"] = f"urn:osteon:{item.id_type.code}"
    what: Json = {"identifier": identifier}
    if item.type_code == PERSON:
        what["type"] = "Patient"
    entity: Json = {
        "what": what,
        "type": {"system": f"{_TERMINOLOGY}audit-entity-type", "code": item.type_code},
        "role": {"system": f"{_TERMINOLOGY}object-role", "code": item.role},
        "name": item.name,
    }
    if item.life_cycle:
        system = f"{_TERMINOLOGY}dicom-audit-lifecycle"
        entity["lifecycle"] = {"system": system, "code": item.life_cycle}
    if item.synthetic:
        entity["securityLabel"] = [_AIAST]
    pairs = [*item.details, *_sop_details(item.sop_classes)]
    if pairs:
        entity["detail"] = [{"type": key, "valueString": value} for key, value in pairs]
    return entity


def _sop_details(classes: tuple[SopClass, ...]) -> list[tuple[str, str]]:
    """Return SOP classes as details, in the order in which `_read_sop` takes them up."""
    found = []
    for item in classes:
        found += [(_SOP_CLASS, item.uid or "several"), (_COUNT, str(item.count))]
        found += [(_INSTANCE, uid) for uid in item.instances]
    return found


def _read_sop(details: list[tuple[str, str]]) -> tuple[SopClass, ...]:
    found: list[SopClass] = []
    for number, (key, value) in enumerate(details):
        if key == _SOP_CLASS:
            uid = "" if value == "several" else value
            found.append(SopClass(uid, int(details[number + 1][1])))
        elif key == _INSTANCE:
            last = found.pop()
            found.append(SopClass(last.uid, last.count, (*last.instances, value)))
    return tuple(found)


def _read_entity(value: Json) -> Object:
    details = [(item["type"], item["valueString"]) for item in value.get("detail", ())]
    return Object(
        object_id=value["what"]["identifier"]["value"],
        id_type=_read_coding(value["what"]["identifier"]["type"]["coding"][0]),
        type_code=value["type"]["code"],
        role=value["role"]["code"],
        name=value["name"],
        life_cycle=value.get("lifecycle", {}).get("code", ""),
        details=tuple(pair for pair in details if pair[0] not in _SOP_KEYS),
        sop_classes=_read_sop([pair for pair in details if pair[0] in _SOP_KEYS]),
        synthetic=_AIAST in value.get("securityLabel", ()),
    )


def _is_request(entity: Json) -> bool:
    return bool(entity["type"]["code"] == _REQUEST_CODE)
