"""Codes, units, dates and numbers as FHIR R4 data types.

DICOM coding scheme designators become the URIs that HL7 and DICOM PS3.16 Section 8 give
them; units are UCUM, case sensitive.

Read next: `resources.py`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from plugins.host.images import Code

Json = dict[str, Any]

DCM = "http://dicom.nema.org/resources/ontology/DCM"
UCUM = "http://unitsofmeasure.org"
DICOM_UID = "urn:dicom:uid"
RUN = "urn:osteon:run"
RELEASE = "urn:osteon:release"
MODE = "urn:osteon:mode"
OUTCOME = "urn:osteon:outcome"
REASON = "urn:osteon:reason"
CONCEPT = "urn:osteon:code"
PLUGIN = "urn:osteon:plugin"
ACCESSION = "urn:osteon:accession"
OBSERVATION_VALUE = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
DIAGNOSTIC_SERVICE = "http://terminology.hl7.org/CodeSystem/v2-0074"
# HL7 AI Transparency on FHIR, 1.0.0-ballot: CodeSystem AIdeviceTypeCS.
AI_DEVICE_TYPE = "http://hl7.org/fhir/uv/aitransparency/CodeSystem/AIdeviceTypeCS"

# PS3.16 Section 8, table 8-1 (coding scheme designators) and HL7 terminology.
_SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "DCM": DCM,
    "UCUM": UCUM,
    "FMA": "http://purl.org/sig/ont/fma",
    "RADLEX": "http://radlex.org",
    "NCIt": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "IBSI": "urn:oid:1.2.840.10008.2.16.13",
}
# Spelling of units that plugins may use -> UCUM case-sensitive code.
_UNITS = {"ml": "mL", "cm3": "cm3", "": "1"}


def coding(code: str, system: str, display: str = "") -> Json:
    """Return a Coding; ``display`` is left out when empty."""
    return {"system": system, "code": code} | ({"display": display} if display else {})


def concept(code: str, system: str, display: str = "", text: str = "") -> Json:
    """Return a CodeableConcept with one coding."""
    return {"coding": [coding(code, system, display)]} | ({"text": text} if text else {})


def coded(code: Code, text: str = "") -> Json:
    """Return the CodeableConcept of a DICOM code triple (PS3.3 Section 8)."""
    return concept(code.value, system_of(code.scheme), code.meaning, text)


def system_of(scheme: str) -> str:
    """Return the URI of a DICOM coding scheme designator; private ones become a URN."""
    return _SYSTEMS.get(scheme, f"urn:osteon:scheme:{scheme}")


def identifier(system: str, value: str) -> Json:
    """Return an Identifier."""
    return {"system": system, "value": value}


def dicom_uid(uid: str) -> Json:
    """Return the Identifier of a DICOM UID (FHIR R4, ImagingStudy, section 5.5.6)."""
    return identifier(DICOM_UID, f"urn:oid:{uid}")


def number(value: float) -> float:
    """Return ``value`` with nine significant digits; relative rounding below 5e-9."""
    return float(f"{value:.9g}")


def quantity(value: float, unit: str) -> Json:
    """Return a Quantity in UCUM."""
    code = _UNITS.get(unit, unit)
    return {"value": number(value), "unit": code, "system": UCUM, "code": code}


def interval(bounds: tuple[float, float], unit: str) -> Json:
    """Return a Range in UCUM from the lower to the upper bound."""
    return {"low": quantity(min(bounds), unit), "high": quantity(max(bounds), unit)}


def instant(moment: datetime) -> str:
    """Return an aware moment as FHIR instant in UTC with whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def slug(text: str) -> str:
    """Return ``text`` as a FHIR code without spaces (R4 data types: code)."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-") or "unnamed"
