"""Who is told of an alarm, and when: owner, deputy, compliance, by the times stated at its raising.

    owner        at once
    deputy       when nobody acknowledged it until `acknowledge_by`
    compliance   when nobody acknowledged it until `escalate_by`, or nobody decided until the
                 deadline

Each step is taken once and stands in the item, with the person who was told.  The times stand in
the item too, so that a later change of the configuration moves no alarm.

Source: issue 6, Acting (escalation rules); Regulation (EU) 2024/1689 Art. 26(5).

Read next: `silence.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from governance.monitoring.reevaluation import OPEN, is_overdue
from governance.ports import GovernedDocument

OWNER, DEPUTY, COMPLIANCE = "owner", "deputy", "compliance"
STEPS = (OWNER, DEPUTY, COMPLIANCE)


@dataclass(frozen=True, slots=True)
class Times:
    """How long an alarm waits for each step."""

    deputy: timedelta = timedelta(hours=24)
    compliance: timedelta = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Duties:
    """Which accounts answer for what: by role of an owner and its deputy, and for compliance."""

    owners: Mapping[str, str] = field(default_factory=dict)
    deputies: Mapping[str, str] = field(default_factory=dict)
    compliance: str = ""

    def person(self, role: str, step: str) -> str:
        """Return the account that a step tells; empty where nobody is named."""
        if step == COMPLIANCE:
            return self.compliance
        return (self.owners if step == OWNER else self.deputies).get(role, "")

    @property
    def accounts(self) -> tuple[str, ...]:
        """Return every account that is named, sorted."""
        named = {*self.owners.values(), *self.deputies.values(), self.compliance}
        return tuple(sorted(named - {""}))


def promises(now: datetime, times: Times) -> dict[str, str]:
    """Return the times of an alarm that is raised now."""
    return {
        "acknowledge_by": (now + times.deputy).isoformat(),
        "escalate_by": (now + times.compliance).isoformat(),
    }


def steps_due(item: GovernedDocument, now: datetime) -> tuple[str, ...]:
    """Return the steps that are due and were not taken, in their order."""
    if item.content["state"] != OPEN:
        return ()
    heard = "acknowledged_at" in item.content
    due = {
        OWNER: True,
        DEPUTY: not heard and _is_over(item, "acknowledge_by", now),
        COMPLIANCE: (not heard and _is_over(item, "escalate_by", now)) or is_overdue(item, now),
    }
    taken = {told["step"] for told in item.content.get("told", ())}
    return tuple(step for step in STEPS if due[step] and step not in taken)


def told(content: Mapping[str, Any], step: str, person: str, at: datetime) -> dict[str, Any]:
    """Return the content of an item after a step."""
    role = COMPLIANCE if step == COMPLIANCE else str(content["owner"])
    line = {"step": step, "role": role, "person": person, "at": at.isoformat()}
    return {**content, "told": [*content.get("told", ()), line]}


def acknowledged(content: Mapping[str, Any], person: str, at: datetime) -> dict[str, Any]:
    """Return the content of an item that somebody has taken up."""
    return {**content, "acknowledged_at": at.isoformat(), "acknowledged_by": person}


def _is_over(item: GovernedDocument, key: str, now: datetime) -> bool:
    return key in item.content and now > datetime.fromisoformat(str(item.content[key]))
