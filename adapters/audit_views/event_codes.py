"""Under which event each kind of record is told to other systems.

Codes are those of DICOM CID 400 (audit event) and 401 (audit event type) where one fits; no
standard has one for a model that computed something, so the rest are our own (scheme OSTEON).

Source: REGULATORY.md section 3, PS3.16 CID 400 to 402, ISO 21089 life cycle events as HL7
publishes them.

Read next: `message.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DCM, OWN, RFC_3881, ISO_21089 = "DCM", "OSTEON", "RFC-3881", "ISO-21089"


@dataclass(frozen=True, slots=True)
class Coded:
    """One coded concept; ``scheme`` is the short name that PS3.15 messages use."""

    code: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Event:
    """What kind of event a record is told as, and the action code of PS3.15 A.5.2."""

    event: Coded
    action: str
    types: tuple[Coded, ...] = ()


APPLICATION = Coded("110150", DCM, "Application")
LAUNCHER = Coded("110151", DCM, "Application Launcher")
DESTINATION = Coded("110152", DCM, "Destination Role ID")
SOURCE = Coded("110153", DCM, "Source Role ID")
PATIENT_NUMBER = Coded("2", RFC_3881, "Patient Number")
URI = Coded("12", RFC_3881, "URI")
STUDY = Coded("110180", DCM, "Study Instance UID")
RUN = Coded("run", OWN, "Run")
RELEASE = Coded("release", OWN, "Release")
RECORD = Coded("record", OWN, "Audit record")
INSTANCE = Coded("sop-instance", OWN, "SOP Instance UID, pseudonymous")

_ACCESSED = Coded("110103", DCM, "DICOM Instances Accessed")
_TRANSFERRED = Coded("110104", DCM, "DICOM Instances Transferred")
_LOG_USED = Coded("110101", DCM, "Audit Log Used")
_EXPORT = Coded("110106", DCM, "Export")
_ALERT = Coded("110113", DCM, "Security Alert")
_SOFTWARE = Coded("110131", DCM, "Software Configuration")
_USER_SECURITY = Coded("110137", DCM, "User Security Attributes Changed")
_TRANSFORM = Coded("transform", ISO_21089, "Transform/Translate Record Lifecycle Event")
_DISCLOSE = Coded("disclose", ISO_21089, "Disclose Record Lifecycle Event")
_DESTROY = Coded("destroy", ISO_21089, "Destroy/Delete Record Lifecycle Event")
_HOLD = Coded("hold", ISO_21089, "Add Legal Hold Record Lifecycle Event")


def _own(kind: str, action: str = "E", *types: Coded) -> Event:
    return Event(Coded(kind, OWN, kind.replace("_", " ").capitalize()), action, types)


def _software(kind: str) -> Event:
    return Event(_ALERT, "U", (_SOFTWARE, Coded(kind, OWN, kind.replace("_", " ").capitalize())))


EVENTS: Mapping[str, Event] = MappingProxyType(
    {
        "input_read": Event(_ACCESSED, "R"),
        "inference": _own("inference", "E", _TRANSFORM),
        "delivery": Event(_TRANSFERRED, "C"),
        "release": _software("release"),
        "lifecycle": _software("lifecycle"),
        "governed": _software("governed"),
        "configuration_change": _software("configuration_change"),
        "account": Event(_ALERT, "U", (_USER_SECURITY,)),
        "cohort": _own("cohort", "R"),
        "access": Event(_LOG_USED, "R"),
        "export": Event(_EXPORT, "R", (_DISCLOSE,)),
        "purge": _own("purge", "D", _DESTROY),
        "erasure": _own("erasure", "D", _DESTROY),
        "legal_hold": _own("legal_hold", "U", _HOLD),
    }
)


LOG_READ = ("audit-",)
"""What an access begins with that reads the log."""
_AUTHENTICATION = Coded("110114", DCM, "User Authentication")
_LOGIN = Coded("110122", DCM, "Login")


def event_of(kind: str, what: str = "") -> Event:
    """Return the event of a record; one without a standard code keeps its own name.

    ``what`` is what an access was to: signing in and reading the log have codes of their own.
    """
    if kind == "access" and what.startswith("sign-in"):
        return Event(_AUTHENTICATION, "E", (_LOGIN,))
    if kind == "access" and not what.startswith(LOG_READ):
        return _own(kind, "R")
    return EVENTS.get(kind) or _own(kind)
