"""A re-evaluation item: what an alarm opens, and what cannot be closed without a decision.

    open --decide--> decided      a decision, its reason, by somebody who may
    open --(deadline passes)--> overdue: still open, told again, counted

The decisions are those of a physicist or clinician: the release stays as it is, is suspended, is
rolled back, is retrained, or the alarm was false.  How many were false is the alarm fatigue that
the report shows; a silence of the same item lasts until the item is decided, and no longer.

Source: REGULATORY.md row AIA-9.1 (drift alarm opens a re-evaluation that cannot close without a
decision); Regulation (EU) 2024/1689 Art. 9(2)(c), 72.

Read next: `adapters/monitoring/alarming.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.errors import RefusalError
from governance.ports import GovernedDocument

KIND = "reevaluation"
"""Governed document by the alarm's name: state, plugin, release, item, owner, deadline."""
OPEN, DECIDED = "open", "decided"
DECISIONS = ("keep", "suspend", "rollback", "retrain", "false-alarm")
DECIDERS = ("physicist", "clinician", "approver")


@dataclass(frozen=True, slots=True)
class Fatigue:
    """How alarms weigh on people: counts, and the share of those decided that were false."""

    opened: int
    decided: int
    false: int
    overdue: int
    median_days: float | None

    @property
    def false_share(self) -> float | None:
        """Return false alarms per decided ones; None where nothing was decided."""
        return self.false / self.decided if self.decided else None


def opened(
    plugin: str, release_digest: str, item: str, owner: str, reason: str, deadline: datetime
) -> dict[str, str]:
    """Return the content of an open item."""
    return {
        "state": OPEN,
        "plugin": plugin,
        "release_digest": release_digest,
        "item": item,
        "owner": owner,
        "reason": reason,
        "deadline": deadline.isoformat(),
    }


def require_decision(role: str, decision: str, reason: str) -> None:
    """Return when a role may decide so; RefusalError with every reason why not."""
    found = []
    if role not in DECIDERS:
        found.append(("ROLE_NOT_PERMITTED", f"role {role} is not one of {', '.join(DECIDERS)}"))
    if decision not in DECISIONS:
        found.append(("DECISION_MISSING", f"expected one of {', '.join(DECISIONS)}"))
    if not reason.strip():
        found.append(("EVIDENCE_MISSING", "the reason is missing"))
    if found:
        raise RefusalError(
            "; ".join(text for _, text in found),
            reasons=tuple(code for code, _ in found),
            advice="State what was decided on the release, and why.",
        )


def is_overdue(item: GovernedDocument, now: datetime) -> bool:
    """Return whether an open item is past its deadline."""
    deadline = datetime.fromisoformat(str(item.content["deadline"]))
    return item.content["state"] == OPEN and now > deadline


def fatigue(histories: Sequence[Sequence[GovernedDocument]], now: datetime) -> Fatigue:
    """Return how alarms weigh; a history is every revision of one item, oldest first."""
    waits, false, overdue = [], 0, 0
    for history in histories:
        last = history[-1]
        overdue += is_overdue(last, now)
        if last.content["state"] == DECIDED:
            waits.append((last.recorded_at - history[0].recorded_at) / timedelta(days=1))
            false += last.content["decision"] == "false-alarm"
    waits.sort()
    middle = waits[len(waits) // 2] if waits else None
    return Fatigue(len(histories), len(waits), false, overdue, middle)
