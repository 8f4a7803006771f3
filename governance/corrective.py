"""Corrective and preventive actions: what is done about a cause, and whether it helped.

An action is planned, done, and its effect verified, by somebody else than who did it
(ISO 13485, 8.5.2 and 8.5.3: the effectiveness of an action is reviewed).

Read next: `mir.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from audit.errors import RecordError, RefusalError
from governance.incidents import Act
from governance.ports import GovernedStore

KIND = "corrective_action"
SCHEMA = "osteon.corrective-action/1"
KINDS = ("corrective", "preventive")
ROLES = ("physicist", "engineer", "approver")
"""Who plans and does; the effect is verified by an approver or a physicist."""
VERIFIERS = ("physicist", "approver")


@dataclass(frozen=True, slots=True)
class Action:
    """One action.

    Parameters
    ----------
    what : lines of a description, checked for the forms of patient data.
    owner : account id of who has to do it.
    due_on : until when.
    done_by, verified_by : account ids; empty until it is so.
    effect : what was found when the effect was verified.
    """

    action_id: str
    incident_id: str
    kind: str
    what: tuple[str, ...]
    owner: str
    due_on: date
    planned_by: str
    planned_at: datetime
    done_by: str = ""
    done_at: datetime | None = None
    verified_by: str = ""
    verified_at: datetime | None = None
    effect: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """Return planned | done | verified."""
        if self.verified_by:
            return "verified"
        return "done" if self.done_by else "planned"


def plan(action: Action, act: Act) -> Action:
    """Return a planned action; RefusalError for another role, or without words or owner."""
    _require_role(act, ROLES)
    if action.kind not in KINDS or not any(action.what) or not action.owner:
        raise RefusalError(
            f"expected one of {', '.join(KINDS)}, a description and an owner",
            reasons=("EVIDENCE_MISSING",),
        )
    return replace(action, planned_by=act.person, planned_at=act.at)


def finish(action: Action, act: Act) -> Action:
    """Return an action that was done."""
    _require_role(act, ROLES)
    _require_state(action, "planned")
    return replace(action, done_by=act.person, done_at=act.at)


def verify(action: Action, act: Act, effect: tuple[str, ...]) -> Action:
    """Return an action whose effect was verified by somebody else than who did it.

    Raises
    ------
    RefusalError : another role, not done yet, the same person, or no finding.
    """
    _require_role(act, VERIFIERS)
    _require_state(action, "done")
    if act.person == action.done_by:
        raise RefusalError(
            "expected somebody else than who did it",
            reasons=("SAME_PERSON",),
            advice="Have a second person look at the effect.",
        )
    if not any(effect):
        raise RefusalError("expected what was found", reasons=("EVIDENCE_MISSING",))
    return replace(action, verified_by=act.person, verified_at=act.at, effect=effect)


def actions(documents: GovernedStore, incident_id: str | None = None) -> tuple[Action, ...]:
    """Return the actions of one incident, or all, by id."""
    found = (decode(item.content) for item in documents.governed_all(KIND))
    return tuple(a for a in found if incident_id in (None, a.incident_id))


def encode(action: Action) -> dict[str, Any]:
    """Return an action as JSON values; inverse of `decode`."""
    return {
        "schema": SCHEMA,
        "action_id": action.action_id,
        "incident_id": action.incident_id,
        "kind": action.kind,
        "what": list(action.what),
        "owner": action.owner,
        "due_on": action.due_on.isoformat(),
        "planned_by": action.planned_by,
        "planned_at": _text(action.planned_at),
        "done_by": action.done_by,
        "done_at": _text(action.done_at),
        "verified_by": action.verified_by,
        "verified_at": _text(action.verified_at),
        "effect": list(action.effect),
    }


def decode(content: Mapping[str, Any]) -> Action:
    """Return the action that a document states; RecordError when it states none."""
    values = dict(content)
    try:
        if values.pop("schema") != SCHEMA:
            raise ValueError("schema")
        values["due_on"] = date.fromisoformat(values["due_on"])
        for key in ("planned_at", "done_at", "verified_at"):
            values[key] = None if values[key] is None else datetime.fromisoformat(values[key])
        for key in ("what", "effect"):
            values[key] = tuple(values[key])
        return Action(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"expected a document of {SCHEMA}, found another") from error


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _require_role(act: Act, roles: tuple[str, ...]) -> None:
    if act.role not in roles:
        raise RefusalError(
            f"role {act.role} is not one of {', '.join(roles)}", reasons=("ROLE_NOT_PERMITTED",)
        )


def _require_state(action: Action, state: str) -> None:
    if action.state != state:
        raise RefusalError(
            f"expected an action that is {state}, found it {action.state}",
            reasons=("TRANSITION_NOT_PERMITTED",),
        )
