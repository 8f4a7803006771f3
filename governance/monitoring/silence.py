"""A silence: for a while nobody is told of an alarm that a person knows of, with reason and end.

The alarm is raised and recorded all the same, its deadlines run on, and what was not told is told
when the silence is over.  What suspends a release or asks for a rollback is never silenced, nor a
monitor that stopped.

Source: issue 6, Acting (silence rules).

Read next: `adapters/monitoring/telling.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from audit.errors import RefusalError
from governance.monitoring.plan import NOTIFY
from governance.monitoring.reevaluation import DECIDERS
from governance.ports import GovernedDocument

KIND = "alarm_silence"
"""Governed document by the alarm's name: plugin, release_digest, item, until, reason."""
LONGEST = timedelta(days=30)


def require_silence(role: str, action: str, until: datetime, now: datetime, reason: str) -> None:
    """Return when a role may silence an alarm so long; RefusalError with every reason why not.

    Parameters
    ----------
    action : what the alarm does here; anything but `notify` bars a silence.
    """
    found = []
    if role not in DECIDERS:
        found.append(("ROLE_NOT_PERMITTED", f"role {role} is not one of {', '.join(DECIDERS)}"))
    if action != NOTIFY:
        found.append(("SILENCE_NOT_PERMITTED", f"an alarm with {action} is always told"))
    if not now < until <= now + LONGEST:
        found.append(("SILENCE_END", f"expected an end within {LONGEST.days} days"))
    if not reason.strip():
        found.append(("EVIDENCE_MISSING", "the reason is missing"))
    if found:
        raise RefusalError(
            "; ".join(text for _, text in found),
            reasons=tuple(code for code, _ in found),
            advice="State until when and why; decide on what suspends a release instead.",
        )


def content(
    plugin: str, release_digest: str, item: str, until: datetime, reason: str
) -> dict[str, Any]:
    """Return the content of a silence."""
    return {
        "plugin": plugin,
        "release_digest": release_digest,
        "item": item,
        "until": until.isoformat(),
        "reason": reason.strip(),
    }


def is_silent(silence: GovernedDocument | None, now: datetime) -> bool:
    """Return whether a silence is in force."""
    return silence is not None and now < datetime.fromisoformat(str(silence.content["until"]))
