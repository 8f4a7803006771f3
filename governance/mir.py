"""The manufacturer incident report, filled in from what is on record, and nothing more.

Sections and numbers are those of the MIR form 7.x of the Commission for MDR Art. 87 (from
knowledge of the form, not read again: check before it is sent).  Every field says where its
value comes from; what nothing on record answers is MISSING and is a person's to fill in.

Read next: `../adapters/incidents.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from governance.clocks import Clock, earliest
from governance.incidents import Incident

SCHEMA = "osteon.mir/1"
MISSING = "MISSING"
_CLASSES = {
    "public_health_threat": "Serious public health threat",
    "death": "Death",
    "deterioration": "Unanticipated serious deterioration in state of health",
    "serious": "All other reportable incidents",
}
_MANIFEST = "release manifest"
_TYPES = {"initial_report": "Initial", "follow_up": "Follow up", "root_cause": "Follow up"}


@dataclass(frozen=True, slots=True)
class Known:
    """What is on record beside the incident.

    Parameters
    ----------
    manifest : the decoded manifest of the release.
    subjects : age band and sex of the patients, from the records of the runs.
    provider : name of the provider as the site's configuration gives it, else empty.
    similar_count, run_count : other incidents of the plugin, and runs of the release.
    causes : root causes and actions in words that persons wrote.
    """

    manifest: Mapping[str, Any]
    subjects: Sequence[Mapping[str, str]]
    provider: str
    similar_count: int
    run_count: int
    causes: Sequence[str]
    found: Sequence[Clock]
    prepared_at: datetime


def prefill(incident: Incident, known: Known) -> dict[str, Any]:
    """Return the report as JSON: fields {number, label, value, status, source}."""
    fields = [
        *_administrative(incident, known),
        *_device(known),
        *_event(incident, known),
        *_analysis(incident, known),
    ]
    missing = [item["number"] for item in fields if item["status"] == "missing"]
    return {
        "schema": SCHEMA,
        "incident_id": incident.incident_id,
        "prepared_at": known.prepared_at.isoformat(),
        "fields": fields,
        "missing": missing,
        "complete": not missing,
    }


def _administrative(incident: Incident, known: Known) -> list[dict[str, Any]]:
    provider = [a for a in incident.facts.awareness if a.party == "provider"]
    aware = min((a.at for a in provider), default=None)
    due = earliest(known.found)
    return [
        _field("1.1.a", "Name of receiving competent authority", None, ""),
        _field("1.1.c", "Reference number assigned by the authority", None, ""),
        _field("1.2.a", "Date of submission", None, ""),
        _field("1.2.b", "Date the incident occurred", None, ""),
        _field("1.2.c", "Manufacturer awareness date", _date(aware), "incident.awareness"),
        _field("1.2.d", "Type of report", _TYPES.get(incident.state), "incident.state"),
        _field("1.2.e", "Next report due", _date(due.due_at if due else None), "clocks"),
        _field(
            "1.2.f", "Classification of incident", _CLASSES.get(incident.facts.severity),
            "incident.severity",
        ),
        _field("1.3.1", "Manufacturer name", known.provider or None, "configuration"),
        _field("1.3.1.srn", "Single registration number", None, ""),
    ]  # fmt: skip


def _device(known: Known) -> list[dict[str, Any]]:
    manifest = known.manifest
    udi = manifest.get("udi") if isinstance(manifest.get("udi"), Mapping) else {}
    return [
        _field("2.1.a", "UDI-DI", _text(udi, "di"), _MANIFEST),
        _field("2.1.b", "UDI-PI", _text(udi, "pi"), _MANIFEST),
        _field("2.2", "EMDN code", None, ""),
        _field("2.3.a", "Brand name", _text(manifest, "title"), _MANIFEST),
        _field("2.3.b", "Model", _text(manifest, "plugin"), _MANIFEST),
        _field("2.3.g", "Software version", _text(manifest, "version"), _MANIFEST),
        _field("2.3.n", "Intended purpose", _text(manifest, "intended_purpose"), _MANIFEST),
        _field("2.3.o", "Notified body number", None, ""),
        _field("2.4", "Risk class", None, ""),
    ]


def _event(incident: Incident, known: Known) -> list[dict[str, Any]]:
    ages = sorted({s["age_band"] for s in known.subjects if _is_known(s.get("age_band"))})
    sexes = sorted({s["sex"] for s in known.subjects if _is_known(s.get("sex"))})
    return [
        _field("3.1.a", "Nature of incident", " ".join(incident.summary) or None, "incident"),
        _field("3.1.b", "Health effect (IMDRF annex E, F)", None, ""),
        _field("3.2", "Medical device problem (IMDRF annex A)", None, ""),
        _field("3.3.a", "Age of patient (band)", ", ".join(ages) or None, "records of the runs"),
        _field("3.3.b", "Sex of patient", ", ".join(sexes) or None, "records of the runs"),
        _field("3.4", "Initial reporter", None, ""),
        _field("3.4.ref", "User facility report number", incident.reference or None, "incident"),
    ]


def _analysis(incident: Incident, known: Known) -> list[dict[str, Any]]:
    triage = [s.evidence for s in incident.steps if s.after == "triaged"]
    causes = "; ".join(known.causes) or None
    causality = triage[-1].get("causality") if triage else None
    return [
        _field("4.1", "Preliminary comments: link to the device", causality, "incident.triage"),
        _field("4.2", "Cause investigation and conclusion", causes, "incident"),
        _field("4.2.imdrf", "IMDRF annex B, C and D codes", None, ""),
        _field("4.3.n", "Similar incidents at this site", str(known.similar_count), "incidents"),
        _field("4.3.d", "Runs of this version at this site", str(known.run_count), "runs"),
    ]


def _field(number: str, label: str, value: str | None, source: str) -> dict[str, Any]:
    status = "missing" if value is None else "complete"
    return {
        "number": number,
        "label": label,
        "value": MISSING if value is None else value,
        "status": status,
        "source": source if value is not None else "",
    }


def _text(values: Any, key: str) -> str | None:
    found = values.get(key) if isinstance(values, Mapping) else None
    return str(found) if _is_known(found) else None


def _is_known(value: object) -> bool:
    return bool(value) and value != "not-evaluated"


def _date(moment: datetime | None) -> str | None:
    return None if moment is None else moment.date().isoformat()
