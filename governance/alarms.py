"""Alarms about a release: who or what raised one, and who decided on it.

An open alarm bars the next step of its release (`promotion.py`) and counts as open drift
alarm of its plugin in change control.  A site may let it suspend the release by itself
(`governance.suspend_on_alarm`, off by default); nothing is ever switched by it.

Source: REGULATORY.md section 4 (rollback triggers, hard stops); issue 3, Lifecycle.

Read next: `promotion.py`.
"""

from __future__ import annotations

import re

from audit.errors import RefusalError
from governance.ports import GovernedDocument, GovernedStore

KIND = "alarm"
"""Governed document by the alarm's name: ``state`` open or closed, ``plugin``,
``release_digest``, ``reason``."""
OPEN, CLOSED = "open", "closed"
RAISERS = ("clinician", "physicist", "engineer", "approver", "service")
CLOSERS = ("physicist", "clinician", "approver")
SUSPENDED_BY = "ALARM"
"""Reason of a suspension by the rule of the site."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def open_alarms(documents: GovernedStore, release_digest: str) -> tuple[GovernedDocument, ...]:
    """Return the open alarms about a release, by name."""
    return tuple(
        item
        for item in documents.governed_all(KIND)
        if item.content.get("state") == OPEN
        and item.content.get("release_digest") == release_digest
    )


def is_alarmed(documents: GovernedStore, plugin: str) -> bool:
    """Return whether an alarm about any release of a plugin is open."""
    return any(
        item.content.get("state") == OPEN and item.content.get("plugin") == plugin
        for item in documents.governed_all(KIND)
    )


def require_right(name: str, role: str, reason: str, *, close: bool) -> None:
    """Return when a role may raise an alarm, or decide on it; RefusalError with why not."""
    roles = CLOSERS if close else RAISERS
    found = []
    if role not in roles:
        found.append(("ROLE_NOT_PERMITTED", f"role {role} is not one of {', '.join(roles)}"))
    if not reason.strip():
        found.append(("EVIDENCE_MISSING", "the reason is missing"))
    if not _NAME.fullmatch(name):
        found.append(("ALARM_NAME", "expected a name of letters, digits, dots and dashes"))
    if found:
        raise RefusalError(
            "; ".join(text for _, text in found),
            reasons=tuple(code for code, _ in found),
            advice="Name the alarm, and say what was seen or decided.",
        )
