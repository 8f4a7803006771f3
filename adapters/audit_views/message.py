"""A record as an audit message: what FHIR AuditEvent and PS3.15 A.5 can both say.

    who      active participants: the actor, this software, who asked, where results went
    what     objects: patient (pseudonym), study, run, release, and the record itself
    how      event, types, action, outcome

The object of the record carries what else it states as pairs, and the leaf hash over its
bytes, its index and the size of the tree: with them anybody finds the record that counts.
Strata of the patient, regions, acquisition and oversight stay in the record alone.

Source: REGULATORY.md section 3 (rows 1 to 29); PS3.15 A.5.2.

Read next: `fhir_event.py`, `dicom_message.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters.audit_views.event_codes import (
    APPLICATION,
    DESTINATION,
    INSTANCE,
    LAUNCHER,
    LOG_READ,
    OWN,
    PATIENT_NUMBER,
    RECORD,
    RELEASE,
    RUN,
    SOURCE,
    STUDY,
    URI,
    Coded,
    event_of,
)
from audit.kinds import NOT_EVALUATED
from audit.merkle import leaf_hash
from audit.stated import Stated, stated

PERSON, SYSTEM_OBJECT = "1", "2"
PATIENT, REPORT, SECURITY_RESOURCE, JOB = "1", "3", "13", "20"
CREATION, ACCESS = "1", "6"
LEAF_ONLY = frozenset(("acquisition", "oversight", "rois", "documents", "deliveries", "leaves"))
LOG_NAME = "Security Audit Log"
LOG_URI = "urn:osteon:audit-log"


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody or something that took part."""

    user_id: str
    roles: tuple[Coded, ...]
    is_requestor: bool

    @property
    def is_person(self) -> bool:
        """Return whether it is an account: software has the roles of DICOM alone."""
        return any(role.scheme == OWN for role in self.roles)


@dataclass(frozen=True, slots=True)
class SopClass:
    """Instances of one SOP class; the class is empty where several are counted together."""

    uid: str
    count: int
    instances: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Object:
    """Something that the event was about.

    Parameters
    ----------
    type_code, role, life_cycle : values of PS3.15 A.5.1.2; ``life_cycle`` may be empty.
    synthetic : made by a model (HL7 ObservationValue AIAST).
    """

    object_id: str
    id_type: Coded
    type_code: str
    role: str
    name: str
    life_cycle: str = ""
    details: tuple[tuple[str, str], ...] = ()
    sop_classes: tuple[SopClass, ...] = ()
    synthetic: bool = False

    def detail(self, key: str) -> str:
        """Return the first detail of that name, empty where there is none."""
        return next((value for name, value in self.details if name == key), "")


@dataclass(frozen=True, slots=True)
class Message:
    """One event as both formats tell it."""

    event: Coded
    types: tuple[Coded, ...]
    action: str
    at: datetime
    outcome: int
    reason: str
    participants: tuple[Participant, ...]
    source_id: str
    site_id: str
    objects: tuple[Object, ...]

    @property
    def record(self) -> Object:
        """The object that is the record itself."""
        return next(item for item in self.objects if item.id_type == RECORD)


def message_of(leaf: bytes, leaf_index: int, tree_size: int) -> Message:
    """Return the message of a stored record.

    Parameters
    ----------
    leaf : the stored bytes; the hash in the message is over them.
    tree_size : of the tree in which the record has its index.

    Raises
    ------
    RecordError : the bytes are no record.
    """
    record = stated(leaf)
    event = event_of(record.kind, str(record.body.get("what", "")))
    own = Coded(record.kind, OWN, record.kind.replace("_", " ").capitalize())
    types = event.types if own in (event.event, *event.types) else (*event.types, own)
    marks = (
        ("osteon-leaf-sha256", leaf_hash(leaf).hex()),
        ("osteon-leaf-index", str(leaf_index)),
        ("osteon-tree-size", str(tree_size)),
    )
    return Message(
        event=event.event,
        types=types,
        action=event.action,
        at=record.recorded_at,
        outcome=record.outcome.code,
        reason=record.outcome.reason,
        participants=_participants(record),
        source_id=record.node,
        site_id=record.site,
        objects=(*_objects(record), _record_object(record, marks)),
    )


def _participants(record: Stated) -> tuple[Participant, ...]:
    actor, body = record.actor, record.body
    is_service = actor.role == "service"
    role = APPLICATION if is_service else Coded(actor.role, OWN, actor.role.capitalize())
    asked = str(_group(body, "launcher").get("requested_by") or body.get("requested_by") or "")
    other = bool(asked) and asked != actor.id
    found = [Participant(actor.id, (role,), not other)]
    if other:
        is_account = asked.startswith("account:")
        asking = Coded("requestor", OWN, "Requestor") if is_account else APPLICATION
        found.append(Participant(asked, (asking,), True))
    node = {"inference": LAUNCHER, "delivery": SOURCE, "export": SOURCE}.get(record.kind)
    suite = f"osteon@{record.node}"
    if actor.id != f"service:{record.node}":
        found.append(Participant(suite, (node or APPLICATION,), False))
    targets = {str(item.get("target")) for item in _items(body, "deliveries")}
    found += [Participant(name, (DESTINATION,), False) for name in sorted(targets)]
    return tuple(found)


def _objects(record: Stated) -> Iterator[Object]:
    body, subject = record.body, record.subject
    if subject is not None and subject.pseudonym != NOT_EVALUATED:
        yield Object(subject.pseudonym, PATIENT_NUMBER, PERSON, PATIENT, "PSEUDONYM")
    read = _group(body, "input")
    study = str(read.get("study_uid_p") or body.get("study_uid_p") or "")
    if study and study != NOT_EVALUATED:
        yield _input(study, read or body)
    written = _items(_group(body, "output"), "documents") or _items(body, "documents")
    if written:
        yield _output(study, written, str(_group(body, "output").get("status", "")))
    for item in _items(body, "deliveries"):
        keys = ("target", "state", "reason", "kind")
        pairs = tuple((key, str(item[key])) for key in keys if item[key])
        name = str(item["sop_uid_p"])
        yield Object(name, INSTANCE, SYSTEM_OBJECT, REPORT, "delivered", CREATION, pairs)
    if record.kind in ("access", "export") and str(body["what"]).startswith(LOG_READ):
        yield Object(LOG_URI, URI, SYSTEM_OBJECT, SECURITY_RESOURCE, LOG_NAME, ACCESS)
    if record.run_id is not None:
        yield Object(record.run_id, RUN, SYSTEM_OBJECT, JOB, "run")
    if record.release_digest is not None:
        yield Object(record.release_digest, RELEASE, SYSTEM_OBJECT, SECURITY_RESOURCE, "release")


def _input(study: str, read: Mapping[str, Any]) -> Object:
    """Return rows 15 and 16: the study that was read."""
    classes = [str(uid) for uid in read.get("sop_class", ()) or ()]
    count = read.get("n_instances")
    sop: tuple[SopClass, ...] = ()
    if isinstance(count, int):
        sop = (SopClass(classes[0] if len(classes) == 1 else "", count),)
    pairs = [("sop-class", uid) for uid in classes if len(classes) > 1]
    for key in ("series_uid_p", "frame_of_ref_uid_p"):
        listed = read.get(key) or ()
        pairs += [(key, str(uid)) for uid in listed if not isinstance(listed, str)]
    if isinstance(read.get("content_sha256"), str):
        pairs.append(("content-sha256", str(read["content_sha256"])))
    return Object(study, STUDY, SYSTEM_OBJECT, REPORT, "input", ACCESS, tuple(pairs), sop)


def _output(study: str, written: list[Mapping[str, Any]], status: str) -> Object:
    """Return rows 19 and 21: the objects that were written, by SOP class."""
    by_class: dict[str, list[str]] = {}
    pairs = []
    for item in written:
        uid = str(item.get("sop_uid_p", NOT_EVALUATED))
        by_class.setdefault(str(item.get("sop_class", "")), []).append(uid)
        pairs.append(("content-sha256", f"{item.get('kind')} {item.get('content_sha256')}"))
    sop = tuple(
        SopClass(name, len(uids), tuple(uid for uid in uids if uid != NOT_EVALUATED))
        for name, uids in sorted(by_class.items())
    )
    name = f"output, {status}" if status else "output"
    return Object(
        study or NOT_EVALUATED,
        STUDY,
        SYSTEM_OBJECT,
        REPORT,
        name,
        CREATION,
        tuple(pairs),
        sop,
        synthetic=True,
    )


def _record_object(record: Stated, marks: tuple[tuple[str, str], ...]) -> Object:
    """Return the record as an object: what it states beside the rest, then its hash."""
    pairs = [
        ("mode", record.mode),
        *(("art12", item) for item in record.art12),
        *((f"clock.{key}", str(value)) for key, value in sorted(record.clock.items())),
        *_pairs(record.body),
    ]
    name = f"osteon.audit.{record.kind}/1"
    return Object(
        record.event_id,
        RECORD,
        SYSTEM_OBJECT,
        SECURITY_RESOURCE,
        name,
        details=(*pairs, *marks),
    )


def _pairs(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every single value of a body under its path; what is leaf only is left out."""
    for key, item in value.items():
        if key in LEAF_ONLY or key == "input":
            continue
        yield from _pair(f"{prefix}{key}", item)


def _pair(path: str, item: Any) -> Iterator[tuple[str, str]]:
    if isinstance(item, Mapping):
        yield from _pairs(item, f"{path}.")
    elif isinstance(item, (list, tuple)):
        for part in item:
            yield from _pair(path, part)
    elif isinstance(item, bool):
        yield path, str(item).lower()
    elif item is not None and item != "":
        yield path, str(item)


def _group(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    return found if isinstance(found, Mapping) else {}


def _items(body: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = body.get(name)
    listed = found if isinstance(found, (list, tuple)) else ()
    return [item for item in listed if isinstance(item, Mapping)]
