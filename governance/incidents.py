"""A serious incident: what is known of it, and how that may change.

An incident is a value; each change gives another one.  The caller keeps every revision
(`governance.ports.GovernedStore`) and writes the audit record beside it.  What makes an
incident more urgent may be done by whoever may report; what makes it less so, only by who
decides reportability.

Read next: `incident_states.py`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from audit.errors import RecordError, RefusalError
from audit.guard import refuse_patient_data
from governance.clocks import Awareness, Facts
from governance.incident_terms import SEVERITIES

REPORTERS = ("clinician", "physicist", "engineer", "approver", "administrator", "service")
DECIDERS = ("approver",)
"""Who decides reportability, and all that could make an incident less urgent."""


TELLS_AUTHORITY = frozenset(
    {"C1.report", "C2.report", "C3.report", "C4.report", "C5.report", "C6.report", "C7.authority"}
)
"""Duties that inform an authority for devices or AI, in the sense of AI Act Art. 73(6)."""
TELLS_PROVIDER = "C7.provider"
TEXT_LIMIT = 4000
_LINE = 180


@dataclass(frozen=True, slots=True)
class Step:
    """One change of state: by whom, in which role, when, on which evidence."""

    before: str
    after: str
    person: str
    role: str
    at: datetime
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Incident:
    """Everything known of one incident; no patient data.

    Parameters
    ----------
    incident_id : ``inc-`` and a date and random letters; stands in records.
    plugin, release_digest : what is concerned.
    run_ids : the runs that are concerned; none for an incident of a release.
    facts : severity, route, flags, awareness, and which duties were done when.
    summary : lines of a description, each checked for the forms of patient data.
    reference : number of the case in the house's own system, which holds what must not stand
        here.
    decision : "" until it is taken, then one of `DECISIONS`.
    """

    incident_id: str
    site: str
    plugin: str
    release_digest: str
    run_ids: tuple[str, ...]
    facts: Facts
    summary: tuple[str, ...] = ()
    reference: str = ""
    state: str = "suspected"
    decision: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def informed(self) -> bool:
        """Return whether an authority was told, or that it need not be was decided (73(6))."""
        return bool(TELLS_AUTHORITY & set(self.facts.met)) or self.decision == "not_reportable"


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something about an incident, in which role, and when (aware UTC)."""

    person: str
    role: str
    at: datetime


def suspect(incident: Incident, act: Act) -> Incident:
    """Return a new incident after checking it; whoever may report may open one.

    Raises
    ------
    RefusalError : another role, an awareness still to come, or a description that has the
        form of patient data.
    """
    _require_role(act, REPORTERS)
    for awareness in incident.facts.awareness:
        _require_past(awareness.at, act.at)
    if not incident.plugin or not incident.release_digest.startswith("sha256:"):
        raise RefusalError("expected a plugin and a release digest", reasons=("EVIDENCE_MISSING",))
    plain_lines("\n".join((incident.reference, *incident.summary)))
    return incident


def plain_lines(text: str) -> tuple[str, ...]:
    """Return a text as lines without anything that has the form of patient data.

    Raises
    ------
    RefusalError : a line has such a form, or the text is longer than `TEXT_LIMIT`.
    """
    if len(text) > TEXT_LIMIT:
        raise RefusalError(f"expected at most {TEXT_LIMIT} characters", reasons=("TEXT_TOO_LONG",))
    lines = tuple(line for part in text.splitlines() for line in textwrap.wrap(part, _LINE))
    try:
        refuse_patient_data(lines, "text")
    except RecordError as error:
        raise RefusalError(
            f"the description cannot be kept: {error}",
            reasons=("TEXT_NAMES_A_PERSON",),
            advice="Leave out names, numbers and dates of persons; give the case number of the "
            "house's own system as the reference.",
        ) from error
    return lines


def become_aware(incident: Incident, awareness: Awareness, act: Act) -> Incident:
    """Return the incident with another moment of awareness; those on record are kept.

    The moment with the earliest end counts, so that another one can move due dates forward and
    never back.
    """
    _require_role(act, REPORTERS)
    _require_past(awareness.at, act.at)
    known = incident.facts.awareness
    if any(replace(item, by=awareness.by) == awareness for item in known):
        return incident
    return replace(incident, facts=replace(incident.facts, awareness=(*known, awareness)))


def withdraw_awareness(
    incident: Incident, party: str, at: datetime, act: Act, reason: str
) -> Incident:
    """Return the incident without a moment of awareness that was wrong, e.g. a wrong year.

    That can move due dates later, so it takes the role that decides reportability, a reason,
    and another moment that stays; it is kept as a step of the history.

    Raises
    ------
    RefusalError : role, reason or the moment is missing, or it is the only one.
    """
    _require_role(act, DECIDERS)
    left = tuple(a for a in incident.facts.awareness if (a.party, a.at) != (party, at))
    if not reason.strip() or not left or len(left) == len(incident.facts.awareness):
        raise RefusalError(
            "expected a moment of awareness that is on record beside others, and a reason",
            reasons=("EVIDENCE_MISSING",),
            advice="Record the right moment first, then withdraw the wrong one.",
        )
    evidence = {"withdrawn": f"{party} {at.isoformat()}", "reason": reason.strip()}
    step = Step(incident.state, incident.state, act.person, act.role, act.at, evidence)
    return replace(
        incident,
        facts=replace(incident.facts, awareness=left),
        steps=(*incident.steps, step),
    )


def classify(
    incident: Incident,
    act: Act,
    *,
    severity: str | None = None,
    flags: frozenset[str] | None = None,
    route: str | None = None,
    action_at: datetime | None = None,
) -> Incident:
    """Return the incident with another severity, route or flags.

    Whoever may report may make it more serious; only who decides reportability may make it
    less so, or choose the route.
    """
    before = incident.facts
    after = replace(
        before,
        severity=severity or before.severity,
        flags=before.flags if flags is None else flags,
        route=route or before.route,
        action_at=action_at or before.action_at,
    )
    _require_role(act, REPORTERS if _is_no_milder(before, after) else DECIDERS)
    return replace(incident, facts=after)


def duty_done(incident: Incident, clock: str, sent_at: datetime, act: Act) -> Incident:
    """Return the incident with a duty done (a report sent, the provider told).

    Raises
    ------
    RefusalError : another role than an approver's (to tell the provider is everybody's duty), a
        time still to come, or done before.
    """
    _require_role(act, REPORTERS if clock == TELLS_PROVIDER else DECIDERS)
    _require_past(sent_at, act.at)
    if clock in incident.facts.met:
        raise RefusalError(
            f"expected a duty that is open, found {clock} done already", reasons=("DUTY_DONE",)
        )
    met = {**incident.facts.met, clock: sent_at}
    return replace(incident, facts=replace(incident.facts, met=met))


def _is_no_milder(before: Facts, after: Facts) -> bool:
    return (
        SEVERITIES.index(after.severity) >= SEVERITIES.index(before.severity)
        and after.flags >= before.flags
        and after.route == before.route
        and after.action_at == before.action_at
    )


def _require_role(act: Act, roles: tuple[str, ...]) -> None:
    if act.role not in roles:
        raise RefusalError(
            f"role {act.role} is not one of {', '.join(roles)}",
            reasons=("ROLE_NOT_PERMITTED",),
            advice="Ask somebody in one of the named roles.",
        )


def _require_past(moment: datetime, now: datetime) -> None:
    if moment > now + timedelta(minutes=5):  # clocks of two machines differ a little
        raise RefusalError(
            "expected a time that has passed, found one to come",
            reasons=("TIME_TO_COME",),
            advice="Give the time with its zone, e.g. 2026-11-25T09:30+01:00.",
        )
