"""What is shown of incidents, alike at the command line and on the page.

Read next: `../cli/incident.py`, `../web/incidents.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adapters.incidents.acts import clocks_of, known_incident
from audit.errors import NotFoundError
from audit.kinds import NOT_EVALUATED
from audit.record import decode
from governance import corrective, holds, safety_notices
from governance.clocks import Clock, earliest
from governance.incident_form import incidents
from governance.incident_states import next_steps
from governance.incident_terms import find_zone
from governance.incidents import Incident
from governance.mir import Known, prefill

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction


@dataclass(frozen=True, slots=True)
class ClockLine:
    """One clock in words: when it is due in the zone of the site, and how it stands."""

    name: str
    to: Mapping[str, str]
    basis: str
    due: str
    state: str
    done: str
    is_assumed: bool


@dataclass(frozen=True, slots=True)
class IncidentView:
    """Everything about one incident."""

    incident: Incident
    first_due: str
    clocks: tuple[ClockLine, ...]
    hold: holds.Hold | None
    evidence: Mapping[str, Any] | None
    actions: tuple[corrective.Action, ...]
    notices: tuple[safety_notices.Notice, ...]
    next_states: tuple[str, ...]


def list_incidents(site: Site) -> tuple[IncidentView, ...]:
    """Return every incident, those that are due first before the others."""
    with site.database.reading() as transaction:
        found = [_view(site, transaction, item, "") for item in incidents(transaction)]
    return tuple(sorted(found, key=_urgency))


def view_incident(site: Site, incident_id: str, role: str = "") -> IncidentView:
    """Return one incident with the states that ``role`` may bring it to."""
    with site.database.reading() as transaction:
        return _view(site, transaction, known_incident(transaction, incident_id), role)


def site_time(site: Site, moment: datetime | None) -> str:
    """Return a moment as it reads at the site, with the zone's abbreviation."""
    if moment is None:
        return "–"
    local = moment.astimezone(find_zone(site.configuration.site.time_zone))
    return local.strftime("%Y-%m-%d %H:%M %Z")


def mir_of(site: Site, incident_id: str) -> dict[str, Any]:
    """Return the manufacturer incident report as far as what is on record fills it in."""
    with site.database.reading() as transaction:
        incident = known_incident(transaction, incident_id)
        release = transaction.release(incident.release_digest)
        if release is None:
            raise NotFoundError(f"expected release {incident.release_digest}, found none")
        counts = transaction.run_counts()
        known = Known(
            manifest=json.loads(release.manifest),
            subjects=_subjects(transaction, incident),
            provider=_provider(site),
            similar_count=sum(i.plugin == incident.plugin for i in incidents(transaction)) - 1,
            run_count=sum(
                count
                for (_, digest, _), (count, _) in counts.items()
                if digest == incident.release_digest
            ),
            causes=[
                step.evidence["root_cause"] for step in incident.steps if step.after == "root_cause"
            ],
            found=clocks_of(site, incident),
            prepared_at=site.now(),
        )
    return prefill(incident, known)


def as_json(site: Site, view: IncidentView) -> dict[str, Any]:
    """Return a view as JSON values."""
    incident = view.incident
    return {
        "incident_id": incident.incident_id,
        "state": incident.state,
        "decision": incident.decision,
        "plugin": incident.plugin,
        "release_digest": incident.release_digest,
        "run_ids": list(incident.run_ids),
        "severity": incident.facts.severity,
        "route": incident.facts.route,
        "flags": sorted(incident.facts.flags),
        "awareness": [
            {"party": a.party, "at": a.at.isoformat(), "zone": a.zone, "by": a.by}
            for a in incident.facts.awareness
        ],
        "summary": list(incident.summary),
        "reference": incident.reference,
        "first_due": view.first_due,
        "clocks": [
            {
                "clock": clock.name, "to": clock.to["en"], "basis": clock.basis, "due": clock.due,
                "state": clock.state, "done": clock.done, "assumed": clock.is_assumed,
            }
            for clock in view.clocks
        ],
        "hold": None if view.hold is None else holds.encode(view.hold),
        "evidence": None if view.evidence is None else dict(view.evidence),
        "actions": [corrective.encode(a) | {"state": a.state} for a in view.actions],
        "notices": [
            safety_notices.encode(n) | {"unacknowledged": list(n.unacknowledged)}
            for n in view.notices
        ],
        "next_states": list(view.next_states),
        "steps": [
            {
                "before": step.before, "after": step.after, "person": step.person,
                "role": step.role, "at": site_time(site, step.at), "evidence": dict(step.evidence),
            }
            for step in incident.steps
        ],
    }  # fmt: skip


def _view(site: Site, transaction: Transaction, incident: Incident, role: str) -> IncidentView:
    found = clocks_of(site, incident)
    first = earliest(found)
    evidence = transaction.governed(holds.SNAPSHOT, incident.incident_id)
    is_open = incident.decision != "not_reportable"
    return IncidentView(
        incident=incident,
        first_due=_due(site, first) if first is not None and is_open else "",
        clocks=tuple(_line(site, clock) for clock in found),
        hold=holds.hold_of(transaction, incident.incident_id),
        evidence=None if evidence is None else evidence.content,
        actions=corrective.actions(transaction, incident.incident_id),
        notices=safety_notices.notices(transaction, incident.incident_id),
        next_states=next_steps(incident, role),
    )


def _line(site: Site, clock: Clock) -> ClockLine:
    return ClockLine(
        name=clock.name,
        to=clock.term.to,
        basis=clock.term.basis,
        due=_due(site, clock),
        state=clock.state(site.now()),
        done=site_time(site, clock.met_at) if clock.met_at is not None else "",
        is_assumed=clock.assumed,
    )


def _due(site: Site, clock: Clock) -> str:
    """Return when a duty is due; the end of a day reads as 24:00 of that day."""
    if clock.due_at is None:
        return "MISSING"
    if clock.term.unit in ("days", "months", "work-days"):
        last = clock.due_at.astimezone(find_zone(site.configuration.site.time_zone))
        if (last.hour, last.minute) == (0, 0):
            day = datetime.fromordinal(last.toordinal() - 1)
            return f"{day:%Y-%m-%d} 24:00 {last:%Z}"
    return site_time(site, clock.due_at)


def _urgency(view: IncidentView) -> tuple[bool, str, str]:
    return (not view.first_due, view.first_due, view.incident.incident_id)


def _subjects(transaction: Transaction, incident: Incident) -> list[dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for run_id in incident.run_ids:
        for leaf in transaction.records_of(run_id):
            subject = decode(leaf.leaf).subject
            if subject is not None and subject.age_band != NOT_EVALUATED:
                found[run_id] = {"age_band": subject.age_band, "sex": subject.sex}
    return list(found.values())


def _provider(site: Site) -> str:
    contacts = site.configuration.incidents.contacts
    return next((contact.name for contact in contacts if contact.role == "provider"), "")
