"""The states of an incident: one table of what may happen to it, by whom, on what evidence.

The states are those of REGULATORY.md section 6 in their order.  A transition is permitted
when the table has a row for it, the person's role stands in that row, every named piece of
evidence is there, and no condition objects.  "Not reportable" is a decision like the other,
with reason and signer, and can be taken back at any time, also after the incident was closed.

Read next: `holds.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from audit.errors import RefusalError
from governance.incidents import DECIDERS, Act, Incident, Step

STATES = (
    "suspected",
    "triaged",
    "hold_placed",
    "reportability_decided",
    "initial_report",
    "follow_up",
    "root_cause",
    "corrective_action",
    "closed",
)
DECISIONS = ("reportable", "not_reportable")
CAUSALITY = ("certain", "reasonably_possible", "indirect", "excluded")
"""How the software is linked to the harm; ``indirect``: somebody was misled by its output."""
ANSWERS = ("yes", "no", "unknown")
_TRIAGE = ("clinician", "physicist", "approver")
_STAFF = ("clinician", "physicist", "engineer", "approver")
_TECHNICAL = ("physicist", "engineer", "approver")


@dataclass(frozen=True, slots=True)
class Row:
    """What one change of state needs: one of the roles, and each of the evidence keys."""

    roles: tuple[str, ...]
    evidence: tuple[str, ...]


_DECIDE = Row(DECIDERS, ("decision", "reason", "signer"))
_CLOSE = Row(DECIDERS, ("reason", "signer"))

TRANSITIONS: Mapping[tuple[str, str], Row] = {
    ("suspected", "triaged"): Row(_TRIAGE, ("causality", "would_have_differed", "reason")),
    ("triaged", "hold_placed"): Row(_STAFF, ("hold",)),
    ("triaged", "closed"): _CLOSE,  # no incident: causality excluded
    ("hold_placed", "reportability_decided"): _DECIDE,
    ("reportability_decided", "reportability_decided"): _DECIDE,
    ("reportability_decided", "initial_report"): Row(DECIDERS, ("clock",)),
    ("reportability_decided", "root_cause"): Row(_TECHNICAL, ("root_cause",)),  # not reportable
    ("initial_report", "follow_up"): Row(DECIDERS, ("reference",)),
    ("follow_up", "follow_up"): Row(DECIDERS, ("reference",)),
    ("follow_up", "root_cause"): Row(_TECHNICAL, ("root_cause",)),
    ("root_cause", "corrective_action"): Row(_TECHNICAL, ("actions",)),
    ("corrective_action", "closed"): _CLOSE,
    ("root_cause", "reportability_decided"): _DECIDE,
    ("corrective_action", "reportability_decided"): _DECIDE,
    ("closed", "reportability_decided"): _DECIDE,
    ("closed", "triaged"): Row(_TRIAGE, ("causality", "would_have_differed", "reason")),
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a transition also depends on, and the incident itself does not hold.

    Parameters
    ----------
    is_held : a legal hold stands for the incident.
    duties_open : names of binding clocks that are not met, where it is reportable.
    actions_known : names of the corrective actions of the incident.
    actions_open : corrective actions whose effect nobody has verified.
    unacknowledged : recipients of a field safety notice that have not acknowledged it.
    """

    is_held: bool = False
    duties_open: tuple[str, ...] = ()
    actions_known: tuple[str, ...] = ()
    actions_open: tuple[str, ...] = ()
    unacknowledged: tuple[str, ...] = ()


def move(
    incident: Incident,
    after: str,
    act: Act,
    evidence: Mapping[str, str],
    around: Surroundings,
) -> Incident:
    """Return the incident in its next state, with the step in its history.

    Raises
    ------
    RefusalError : the table or a condition does not permit it; every reason is named.
    """
    row = TRANSITIONS.get((incident.state, after))
    if row is None:
        permitted = sorted(to for start, to in TRANSITIONS if start == incident.state)
        raise RefusalError(
            f"an incident cannot go from {incident.state} to {after[:40]}; from there it can go "
            f"to {', '.join(permitted) or 'nowhere'}",
            reasons=("TRANSITION_NOT_PERMITTED",),
            advice="Take the steps in their order; `osteon incident show` lists the next ones.",
        )
    given = {key: value.strip() for key, value in evidence.items() if value.strip()}
    found = []
    if act.role not in row.roles:
        found.append(("ROLE_NOT_PERMITTED", f"role {act.role} is not in {', '.join(row.roles)}"))
    missing = [key for key in row.evidence if key not in given]
    if missing:
        found.append(("EVIDENCE_MISSING", f"evidence {', '.join(missing)} is missing"))
    found += [
        (code, text) for code, text, stands in _CONDITIONS if stands(incident, after, given, around)
    ]
    if found:
        raise RefusalError(
            f"{incident.state} to {after} is refused: " + "; ".join(text for _, text in found),
            reasons=tuple(code for code, _ in found),
            advice="Do what is named first; nothing was changed.",
        )
    step = Step(incident.state, after, act.person, act.role, act.at, given)
    decision = given["decision"] if after == "reportability_decided" else incident.decision
    return replace(incident, state=after, decision=decision, steps=(*incident.steps, step))


def next_steps(incident: Incident, role: str) -> tuple[str, ...]:
    """Return the states that a role may try to bring the incident to, in their order."""
    return tuple(
        after
        for after in STATES
        if (row := TRANSITIONS.get((incident.state, after))) is not None and role in row.roles
    )


_Condition = Callable[[Incident, str, Mapping[str, str], Surroundings], bool]


def _is(before: str, after: str) -> Callable[[Incident, str], bool]:
    return lambda incident, to: (incident.state, to) == (before, after)


_REPORTED_LATER = _is("reportability_decided", "root_cause")
_NO_INCIDENT = _is("triaged", "closed")
_ENDED = _is("corrective_action", "closed")

_CONDITIONS: tuple[tuple[str, str, _Condition], ...] = (
    (
        "EVIDENCE_UNKNOWN",
        f"decision is not one of {', '.join(DECISIONS)}",
        lambda _incident, _after, given, _: given.get("decision", DECISIONS[0]) not in DECISIONS,
    ),
    (
        "EVIDENCE_UNKNOWN",
        f"causality is not one of {', '.join(CAUSALITY)}",
        lambda _incident, _after, given, _: given.get("causality", CAUSALITY[0]) not in CAUSALITY,
    ),
    (
        "EVIDENCE_UNKNOWN",
        f"would_have_differed is not one of {', '.join(ANSWERS)}",
        lambda _incident, _after, given, _: (
            given.get("would_have_differed", ANSWERS[0]) not in ANSWERS
        ),
    ),
    (
        "HOLD_MISSING",
        "no legal hold stands",
        lambda _incident, after, _, around: (
            after in ("hold_placed", "reportability_decided") and not around.is_held
        ),
    ),
    (
        "NOT_REPORTABLE",
        "the decision is not that it is reportable",
        lambda incident, after, *_: after == "initial_report" and incident.decision != "reportable",
    ),
    (
        "REPORT_MISSING",
        "that report is not on record as sent",
        lambda incident, after, given, _: (
            after == "initial_report" and given.get("clock") not in incident.facts.met
        ),
    ),
    (
        "REPORT_MISSING",
        "a reportable incident is reported before its cause is looked for",
        lambda incident, after, *_: (
            _REPORTED_LATER(incident, after) and incident.decision != "not_reportable"
        ),
    ),
    (
        "CAUSALITY_OPEN",
        "causality was not excluded at triage",
        lambda incident, after, *_: (
            _NO_INCIDENT(incident, after) and _last_causality(incident) != "excluded"
        ),
    ),
    (
        "ACTION_UNKNOWN",
        "an action is named that is not known",
        lambda _incident, after, given, around: (
            after == "corrective_action"
            and not set(given.get("actions", "").split()) <= set(around.actions_known)
        ),
    ),
    (
        "DUTY_OPEN",
        "a duty is not done",
        lambda incident, after, _, around: _ENDED(incident, after) and bool(around.duties_open),
    ),
    (
        "ACTION_OPEN",
        "the effect of an action is not verified",
        lambda incident, after, _, around: _ENDED(incident, after) and bool(around.actions_open),
    ),
    (
        "NOTICE_UNACKNOWLEDGED",
        "a recipient has not acknowledged the safety notice",
        lambda incident, after, _, around: _ENDED(incident, after) and bool(around.unacknowledged),
    ),
)
"""What stands against a transition beside role and evidence: code, sentence, when it does."""


def _last_causality(incident: Incident) -> str:
    for step in reversed(incident.steps):
        if step.after == "triaged":
            return step.evidence.get("causality", "")
    return ""
