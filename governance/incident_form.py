"""An incident as a JSON value and back; what a governed document of it holds.

`encode` and `decode` are inverses.

Read next: `holds.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from audit.errors import RecordError
from governance.clocks import Awareness, Facts
from governance.incidents import Incident, Step
from governance.ports import GovernedStore

KIND = "incident"
SCHEMA = "osteon.incident/1"


def encode(incident: Incident) -> dict[str, Any]:
    """Return an incident as JSON values."""
    facts = incident.facts
    return {
        "schema": SCHEMA,
        "incident_id": incident.incident_id,
        "site": incident.site,
        "plugin": incident.plugin,
        "release_digest": incident.release_digest,
        "run_ids": list(incident.run_ids),
        "severity": facts.severity,
        "route": facts.route,
        "flags": sorted(facts.flags),
        "awareness": [
            {"party": a.party, "at": _text(a.at), "zone": a.zone, "by": a.by}
            for a in facts.awareness
        ],
        "action_at": None if facts.action_at is None else _text(facts.action_at),
        "met": {name: _text(at) for name, at in facts.met.items()},
        "summary": list(incident.summary),
        "reference": incident.reference,
        "state": incident.state,
        "decision": incident.decision,
        "steps": [
            {
                "before": step.before,
                "after": step.after,
                "person": step.person,
                "role": step.role,
                "at": _text(step.at),
                "evidence": dict(step.evidence),
            }
            for step in incident.steps
        ],
    }


def decode(content: Mapping[str, Any]) -> Incident:
    """Return the incident that a document states; RecordError when it states none."""
    try:
        if content["schema"] != SCHEMA:
            raise ValueError("schema")
        facts = Facts(
            severity=content["severity"],
            route=content["route"],
            flags=frozenset(content["flags"]),
            awareness=tuple(
                Awareness(a["party"], _time(a["at"]), a["zone"], a["by"])
                for a in content["awareness"]
            ),
            action_at=None if content["action_at"] is None else _time(content["action_at"]),
            met={name: _time(at) for name, at in content["met"].items()},
        )
        return Incident(
            incident_id=content["incident_id"],
            site=content["site"],
            plugin=content["plugin"],
            release_digest=content["release_digest"],
            run_ids=tuple(content["run_ids"]),
            facts=facts,
            summary=tuple(content["summary"]),
            reference=content["reference"],
            state=content["state"],
            decision=content["decision"],
            steps=tuple(Step(**{**step, "at": _time(step["at"])}) for step in content["steps"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"expected a document of {SCHEMA}, found another") from error


def incidents(documents: GovernedStore) -> tuple[Incident, ...]:
    """Return every incident of the site, by id."""
    return tuple(decode(item.content) for item in documents.governed_all(KIND))


def incident(documents: GovernedStore, incident_id: str) -> Incident | None:
    """Return one incident, None when there is none of that id."""
    document = documents.governed(KIND, incident_id)
    return None if document is None else decode(document.content)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
