"""The lifecycle of a release at a site: one table of permitted transitions.

A transition is permitted when the table has a row for it, the person's role stands in
that row, every named piece of evidence is there, and the site's mode is one of the row's.
What the table does not hold is refused.  Rows for validation, approval, shadow and canary
need the certificate of the validation harness and come with it; until then the waiver of
research mode is the one way in (SEAMS: Mode, Release).

Read next: `deployment.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from audit.errors import RefusalError

STATES = (
    "registered",
    "validated",
    "approved",
    "shadow",
    "canary",
    "active",
    "standby",
    "suspended",
    "retired",
)
SITE_MODES = ("research", "clinical")
WAIVER = ("waiver_person", "waiver_reason", "expires_at")
_DECIDERS = ("approver", "administrator")
_STOPPERS = ("clinician", "physicist", "engineer", "approver", "administrator")


@dataclass(frozen=True, slots=True)
class Transition:
    """What one change of state needs.

    Parameters
    ----------
    roles : any one of these may decide it.
    evidence : keys that must be present and not empty.
    modes : modes of the site in which it is permitted.
    """

    roles: tuple[str, ...]
    evidence: tuple[str, ...] = ("reason",)
    modes: tuple[str, ...] = SITE_MODES


_BY_WAIVER = Transition(_DECIDERS, WAIVER, ("research",))
_STOP = Transition(_STOPPERS)
_RETIRE = Transition(_DECIDERS)

TRANSITIONS: Mapping[tuple[str, str], Transition] = {
    ("registered", "active"): _BY_WAIVER,
    ("standby", "active"): _BY_WAIVER,
    ("suspended", "active"): _BY_WAIVER,
    ("active", "active"): _BY_WAIVER,  # a waiver is renewed before it expires
    ("active", "standby"): Transition((*_DECIDERS, "service"), ("superseded_by",)),
    ("active", "suspended"): _STOP,
    ("standby", "suspended"): _STOP,
    ("registered", "retired"): _RETIRE,
    ("active", "retired"): _RETIRE,
    ("standby", "retired"): _RETIRE,
    ("suspended", "retired"): _RETIRE,
}


def check_transition(
    before: str, after: str, role: str, evidence: Mapping[str, str], mode: str
) -> None:
    """Return when the table permits the change; raise RefusalError with every reason if not."""
    row = TRANSITIONS.get((before, after))
    if row is None:
        permitted = sorted(to for start, to in TRANSITIONS if start == before)
        raise RefusalError(
            f"a release cannot go from {before} to {after}; from there it can go to "
            f"{', '.join(permitted) or 'nowhere'}",
            reasons=("TRANSITION_NOT_PERMITTED",),
        )
    found = []
    if role not in row.roles:
        found.append(("ROLE_NOT_PERMITTED", f"role {role} is not one of {', '.join(row.roles)}"))
    missing = [key for key in row.evidence if not evidence.get(key)]
    if missing:
        found.append(("EVIDENCE_MISSING", f"evidence {', '.join(missing)} is missing"))
    if mode not in row.modes:
        found.append(("MODE_NOT_PERMITTED", f"it is not permitted in {mode} mode"))
    if found:
        raise RefusalError(
            f"{before} to {after} is refused: {'; '.join(text for _, text in found)}",
            reasons=tuple(code for code, _ in found),
        )
