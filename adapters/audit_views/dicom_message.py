"""The audit message of DICOM PS3.15 A.5, as XML; `encode` and `decode` are a pair.

Attribute and element names, their order and their values are those of the schema in PS3.15
A.5.1.1; a test validates every kind of record against it.  Values of details are base64, as
the schema asks.  Purpose of use has no place in the schema and stands as a detail.

Read next: `fhir_event.py`.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from xml.etree import ElementTree

from adapters.audit_views.event_codes import Coded
from adapters.audit_views.message import Message, Object, Participant, SopClass
from audit.errors import RecordError

SOURCE_TYPE = "4"
"""Application Server process tier in a multi-tier system (PS3.15 A.5.1.2.1)."""
LARGEST = 4 * 1024 * 1024
_SYNTHETIC = "AIAST"
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def encode(message: Message) -> bytes:
    """Return the message as UTF-8 XML without a declaration."""
    root = ElementTree.Element("AuditMessage")
    event = ElementTree.SubElement(
        root,
        "EventIdentification",
        EventActionCode=message.action,
        EventDateTime=message.at.astimezone(UTC).strftime(_TIME),
        EventOutcomeIndicator=str(message.outcome),
    )
    _coded(event, "EventID", message.event)
    for item in message.types:
        _coded(event, "EventTypeCode", item)
    if message.reason:
        ElementTree.SubElement(event, "EventOutcomeDescription").text = message.reason
    for participant in message.participants:
        _participant(root, participant)
    source = ElementTree.SubElement(
        root,
        "AuditSourceIdentification",
        AuditEnterpriseSiteID=message.site_id,
        AuditSourceID=message.source_id,
    )
    ElementTree.SubElement(source, "AuditSourceTypeCode", {"csd-code": SOURCE_TYPE})
    for thing in message.objects:
        _object(root, thing)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=False))


def decode(content: bytes) -> Message:
    """Return the message of its XML; inverse of `encode`.

    Raises
    ------
    RecordError : it is no audit message, is too large, or brings its own entities.
    """
    if len(content) > LARGEST or b"<!" in content:
        raise RecordError("expected a plain audit message, found a declaration or too many bytes")
    try:
        root = ElementTree.fromstring(content)
        event = _only(root, "EventIdentification")
        source = _only(root, "AuditSourceIdentification")
        return Message(
            event=_read_coded(_only(event, "EventID")),
            types=tuple(map(_read_coded, event.findall("EventTypeCode"))),
            action=event.attrib["EventActionCode"],
            at=datetime.strptime(event.attrib["EventDateTime"], _TIME).replace(tzinfo=UTC),
            outcome=int(event.attrib["EventOutcomeIndicator"]),
            reason=event.findtext("EventOutcomeDescription") or "",
            participants=tuple(map(_read_participant, root.findall("ActiveParticipant"))),
            source_id=source.attrib["AuditSourceID"],
            site_id=source.attrib["AuditEnterpriseSiteID"],
            objects=tuple(map(_read_object, root.findall("ParticipantObjectIdentification"))),
        )
    except (ElementTree.ParseError, KeyError, ValueError, binascii.Error) as error:
        raise RecordError("expected an audit message of PS3.15 A.5, found another") from error


def _coded(parent: ElementTree.Element, name: str, item: Coded) -> None:
    ElementTree.SubElement(
        parent,
        name,
        {"csd-code": item.code, "codeSystemName": item.scheme, "originalText": item.meaning},
    )


def _participant(root: ElementTree.Element, item: Participant) -> None:
    element = ElementTree.SubElement(
        root,
        "ActiveParticipant",
        UserID=item.user_id,
        UserIsRequestor=str(item.is_requestor).lower(),
    )
    for role in item.roles:
        _coded(element, "RoleIDCode", role)


def _object(root: ElementTree.Element, item: Object) -> None:
    values = {
        "ParticipantObjectID": item.object_id,
        "ParticipantObjectTypeCode": item.type_code,
        "ParticipantObjectTypeCodeRole": item.role,
    }
    if item.life_cycle:
        values["ParticipantObjectDataLifeCycle"] = item.life_cycle
    if item.synthetic:
        values["ParticipantObjectSensitivity"] = _SYNTHETIC
    element = ElementTree.SubElement(root, "ParticipantObjectIdentification", values)
    _coded(element, "ParticipantObjectIDTypeCode", item.id_type)
    ElementTree.SubElement(element, "ParticipantObjectName").text = item.name
    for key, value in item.details:
        pair = {"type": key, "value": base64.b64encode(value.encode()).decode()}
        ElementTree.SubElement(element, "ParticipantObjectDetail", pair)
    description = ElementTree.SubElement(element, "ParticipantObjectDescription")
    for sop in item.sop_classes:
        named = {"UID": sop.uid} if sop.uid else {}
        counted = ElementTree.SubElement(
            description, "SOPClass", named | {"NumberOfInstances": str(sop.count)}
        )
        for uid in sop.instances:
            ElementTree.SubElement(counted, "Instance", UID=uid)
    ElementTree.SubElement(description, "Anonymized").text = "true"


def _read_coded(element: ElementTree.Element) -> Coded:
    values = element.attrib
    return Coded(values["csd-code"], values["codeSystemName"], values["originalText"])


def _read_participant(element: ElementTree.Element) -> Participant:
    return Participant(
        element.attrib["UserID"],
        tuple(map(_read_coded, element.findall("RoleIDCode"))),
        element.attrib["UserIsRequestor"] == "true",
    )


def _read_object(element: ElementTree.Element) -> Object:
    values = element.attrib
    details = tuple(
        (pair.attrib["type"], base64.b64decode(pair.attrib["value"], validate=True).decode())
        for pair in element.findall("ParticipantObjectDetail")
    )
    return Object(
        object_id=values["ParticipantObjectID"],
        id_type=_read_coded(_only(element, "ParticipantObjectIDTypeCode")),
        type_code=values["ParticipantObjectTypeCode"],
        role=values["ParticipantObjectTypeCodeRole"],
        name=element.findtext("ParticipantObjectName") or "",
        life_cycle=values.get("ParticipantObjectDataLifeCycle", ""),
        details=details,
        sop_classes=tuple(
            SopClass(
                sop.attrib.get("UID", ""),
                int(sop.attrib["NumberOfInstances"]),
                tuple(item.attrib["UID"] for item in sop.findall("Instance")),
            )
            for sop in element.findall("ParticipantObjectDescription/SOPClass")
        ),
        synthetic=values.get("ParticipantObjectSensitivity") == _SYNTHETIC,
    )


def _only(parent: ElementTree.Element, name: str) -> ElementTree.Element:
    found = parent.find(name)
    if found is None:
        raise KeyError(name)
    return found
