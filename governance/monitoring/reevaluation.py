"""A re-evaluation item: what an alarm opens, and what cannot be closed without a decision.

    open --acknowledge--> open    somebody has taken it up: `escalation.py` goes no further
    open --decide--> decided      a decision, its reason, by somebody who may
    open --(deadline passes)--> overdue: still open, told again, counted

The decisions are those of a physicist or clinician: the release stays as it is, is suspended, is
rolled back, is retrained, or the alarm was false.  The same item raises no second alarm before it
is decided.

Source: REGULATORY.md row AIA-9.1 (drift alarm opens a re-evaluation that cannot close without a
decision); Regulation (EU) 2024/1689 Art. 9(2)(c), 72.

Read next: `fatigue.py`, `escalation.py`, `adapters/monitoring/alarming.py`.
"""

from __future__ import annotations

from datetime import datetime

from audit.errors import RefusalError
from governance.ports import GovernedDocument

KIND = "reevaluation"
"""Governed document by the alarm's name: state, plugin, release, item, owner, deadline."""
OPEN, DECIDED = "open", "decided"
DECISIONS = ("keep", "suspend", "rollback", "retrain", "false-alarm")
NO_ACTION = ("keep", "false-alarm")
"""Decisions after which the release goes on as it was."""
DECIDERS = ("physicist", "clinician", "approver")
ACKNOWLEDGERS = (*DECIDERS, "engineer")
"""Compliance is told and changes nothing (docs/access.md)."""


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
