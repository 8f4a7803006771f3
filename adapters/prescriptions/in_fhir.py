"""Prescriptions on a FHIR server: one R4 ServiceRequest for a study, as CodeX RT has it.

The exact shape stands in ``docs/prescriptions.md``: a Radiotherapy Course Prescription
(CodeX Radiation Therapy 2.0) with an identifier of system ``urn:osteon:prescription`` that
names the study, and one extension *dose prescribed to volume* for each target.  It is found
by that identifier, which every server can search; each answer is checked here once more.

A phase or a plan prescribes part of a course and is never taken for the whole.

Standard: HL7 CodeX Radiation Therapy IG 2.0.0 (ServiceRequest profile
codexrt-radiotherapy-course-prescription, BodyStructure profile codexrt-radiotherapy-volume).

Read next: `finder.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from adapters.fhir.client import FhirClient
from adapters.fhir.terminology import DICOM_UID, UCUM, Json
from adapters.prescriptions.statements import (
    OTHER_STUDY,
    PART_OF_COURSE,
    SHAPE,
    UNITS,
    Statement,
    Unusable,
)
from audit.errors import InputError, UnitsError
from plugins.host.prescription import PrescribedTarget, Prescription

SOURCE = "service_request"
SYSTEM = "urn:osteon:prescription"
PROTOCOL = "urn:osteon:protocol"
SCT = "http://snomed.info/sct"
COURSE = (SCT, "1217123003")
"""Radiotherapy course of treatment (regime/therapy): fixed code of the profile."""
CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/"
DOSE_TO_VOLUME = f"{CODEX}codexrt-radiotherapy-dose-prescribed-to-volume"
STANDING = ("active", "completed")
ORDERS = ("order", "original-order", "reflex-order", "filler-order", "instance-order")
GRAY_PER_UNIT = {"Gy": 1.0, "cGy": 0.01}
_BODY_STRUCTURE = re.compile(r"(?:.*/)?BodyStructure/([A-Za-z0-9.-]{1,64})(?:/_history/.*)?")
_NAME_LIMIT = 64


def search_prescriptions(
    client: FhirClient, study_instance_uid: str
) -> tuple[Statement | Unusable, ...]:
    """Return the prescriptions that a server holds for a study, and what only looks like one.

    Raises
    ------
    UnavailableError, AuthenticationError, RejectedError : of the server.
    """

    def name_of(body_structure_id: str) -> str:
        found = client.search("BodyStructure", {"_id": body_structure_id})
        return next((_display_name(item) for item in found), "")

    query = {"identifier": f"{SYSTEM}|urn:oid:{study_instance_uid}", "_count": "50"}
    found = client.search("ServiceRequest", query)
    return tuple(statements_of(found, study_instance_uid, name_of))


def statements_of(
    resources: Iterable[Json], study_instance_uid: str, name_of: Callable[[str], str]
) -> Iterator[Statement | Unusable]:
    """Yield what each ServiceRequest that is one of the study's states.

    Parameters
    ----------
    name_of : gives the display name of a BodyStructure by its id; empty where there is none.
    """
    name = f"urn:oid:{study_instance_uid}"
    for item in resources:
        identified = any(
            (other.get("system"), other.get("value")) == (SYSTEM, name)
            for other in _objects(item.get("identifier"))
        )
        stands = item.get("status") in STANDING and item.get("intent") in ORDERS
        if identified and stands and not item.get("doNotPerform"):
            yield _statement(item, name, name_of)


def _statement(item: Json, study: str, name_of: Callable[[str], str]) -> Statement | Unusable:
    place = f"ServiceRequest/{item.get('id')}"
    if any(other != study for other in _studies(item)):
        return Unusable(SOURCE, place, OTHER_STUDY)
    if not _has(item.get("code"), COURSE):
        return Unusable(SOURCE, place, PART_OF_COURSE)
    protocols = tuple(_protocols(item))
    extensions = [e for e in _objects(item.get("extension")) if e.get("url") == DOSE_TO_VOLUME]
    if not extensions:
        usable = bool(protocols)
        return (
            Statement(SOURCE, place, None, _requester(item), protocols, tuple(_replaced(item)))
            if usable
            else Unusable(SOURCE, place, SHAPE)
        )
    try:
        targets, counts = [], set()
        for extension in extensions:
            parts = _parts(extension)
            targets.append(
                PrescribedTarget(_dose_gy(parts["totalDose"]), _volume(parts, item, name_of))
            )
            counts.add(parts.get("fractions", {}).get("valuePositiveInt"))
        count = counts.pop() if len(counts) == 1 else None
        prescription = Prescription(tuple(targets), SOURCE, place, count)
    except UnitsError:
        return Unusable(SOURCE, place, UNITS)
    except (InputError, KeyError, TypeError, ValueError):
        return Unusable(SOURCE, place, SHAPE)
    return Statement(
        SOURCE, place, prescription, _requester(item), protocols, tuple(_replaced(item))
    )


def _parts(extension: Json) -> dict[str, Json]:
    """Return the parts of the extension by their url; each at most once."""
    found: dict[str, Json] = {}
    for part in _objects(extension.get("extension")):
        url = str(part.get("url"))
        if url in found:
            raise ValueError("twice")
        found[url] = part
    return found


def _dose_gy(part: Json) -> float:
    quantity = part.get("valueQuantity")
    if not isinstance(quantity, Mapping):
        raise ValueError("quantity")
    value = quantity.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("value")
    unit = str(quantity.get("code"))
    if quantity.get("system") != UCUM or unit not in GRAY_PER_UNIT:
        raise UnitsError("expected a dose in Gy or cGy of UCUM, found another unit")
    return round(float(value) * GRAY_PER_UNIT[unit], 6)


def _volume(parts: Mapping[str, Json], item: Json, name_of: Callable[[str], str]) -> str:
    """Return what the volume is called: in the reference, contained, or on the server."""
    reference = parts["volume"].get("valueReference")
    if not isinstance(reference, Mapping):
        raise ValueError("volume")
    where = str(reference.get("reference") or "")
    name = str(reference.get("display") or "")
    if not name and where.startswith("#"):
        name = next(
            (_display_name(o) for o in _objects(item.get("contained")) if o.get("id") == where[1:]),
            "",
        )
    elif not name and (match := _BODY_STRUCTURE.fullmatch(where)):
        name = name_of(match[1])
    if not name.strip():
        raise ValueError("name")
    return name.strip()[:_NAME_LIMIT]


def _display_name(body_structure: Json) -> str:
    """Return the identifier of use *usual*, which the profile keeps for the display name."""
    for other in _objects(body_structure.get("identifier")):
        if other.get("use") == "usual" and other.get("value"):
            return str(other["value"])
    return ""


def _protocols(item: Json) -> Iterator[str]:
    for detail in _objects(item.get("orderDetail")):
        for coding in _objects(detail.get("coding")):
            if coding.get("system") == PROTOCOL and coding.get("code"):
                yield str(coding["code"])


def _replaced(item: Json) -> Iterator[str]:
    for reference in _objects(item.get("replaces")):
        if text := reference.get("reference"):
            yield "/".join(str(text).split("/")[-2:])


def _studies(item: Json) -> Iterator[str]:
    """Yield the studies that the request says it is for, by DICOM UID."""
    for reference in _objects(item.get("supportingInfo")):
        named = reference.get("identifier")
        if isinstance(named, Mapping) and named.get("system") == DICOM_UID:
            yield str(named.get("value"))


def _requester(item: Json) -> str:
    reference = item.get("requester")
    if not isinstance(reference, Mapping):
        return ""
    named = reference.get("identifier")
    value = named.get("value") if isinstance(named, Mapping) else None
    return str(reference.get("reference") or value or reference.get("display") or "")


def _has(concept: Any, wanted: tuple[str, str]) -> bool:
    codings = concept.get("coding") if isinstance(concept, Mapping) else None
    return any((item.get("system"), item.get("code")) == wanted for item in _objects(codings))


def _objects(values: Any) -> Iterator[Json]:
    for item in values if isinstance(values, list) else ():
        if isinstance(item, dict):
            yield item
