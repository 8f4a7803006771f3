"""The lifecycle of a release at a site: one table of permitted transitions.

An act is permitted when the table has a row for it from the present state, every person
that the row asks for stands in the roles of the row, the named evidence is there, the
row's condition holds and the site's mode is one of the row's.  What the table does not
hold is refused, with every reason.  `gates.py` may object besides.

Source: REGULATORY.md section 4, activation path (propose, sign by two persons, shadow,
canary, fleet); SEAMS: Mode, Release.

Read next: `approvals.py`.
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

PLUGIN_IS_NEW = "the plugin was never active here"
WAS_ACTIVE = "this release was active here"
NEVER_ACTIVE = "this release was never active here"

_APPROVER = ("approver",)
_CLINICAL = ("clinician", "physicist")
_RETURNERS = ("approver", *_CLINICAL)
_STOPPERS = ("clinician", "physicist", "engineer", "approver", "administrator", "service")


@dataclass(frozen=True, slots=True)
class Transition:
    """What one change of state needs.

    Parameters
    ----------
    action : the act, as its command is called.
    before : states from which it is permitted.
    persons : one entry for each person that has to decide: the roles of which one is needed.
    evidence : keys that must be present and not empty.
    condition : one of the conditions above; empty where there is none.
    four_eyes : nobody who decides may have built or registered the release.
    modes : modes of the site in which it is permitted.
    """

    action: str
    before: tuple[str, ...]
    after: str
    persons: tuple[tuple[str, ...], ...]
    evidence: tuple[str, ...] = ("reason",)
    condition: str = ""
    four_eyes: bool = False
    modes: tuple[str, ...] = SITE_MODES


@dataclass(frozen=True, slots=True)
class Past:
    """What was at this site before, as far as a condition asks for it."""

    plugin_was_active: bool = False
    release_was_active: bool = False

    def fulfils(self, condition: str) -> bool:
        """Return whether a condition of the table holds."""
        holds = {
            "": True,
            PLUGIN_IS_NEW: not self.plugin_was_active,
            WAS_ACTIVE: self.release_was_active,
            NEVER_ACTIVE: not self.release_was_active,
        }
        return holds[condition]


_TWO = (_APPROVER, _CLINICAL)
_PROMOTION = ("reason", "comparison")

TRANSITIONS: tuple[Transition, ...] = (
    Transition(
        "certify", ("registered",), "validated",
        (("engineer", "physicist", "approver"),), ("certificate",),
    ),
    Transition("approve", ("validated",), "approved", _TWO, ("certificate",), four_eyes=True),
    # A release that runs on a waiver gets its certificate: it goes on, now on that.
    Transition("approve", ("active",), "active", _TWO, ("certificate",), four_eyes=True),
    Transition("approve", ("standby",), "standby", _TWO, ("certificate",), four_eyes=True),
    Transition(
        "approve", ("suspended",), "standby", _TWO, ("certificate",), WAS_ACTIVE, four_eyes=True
    ),
    Transition(
        "approve", ("suspended",), "approved", _TWO, ("certificate",), NEVER_ACTIVE, four_eyes=True
    ),
    Transition("shadow", ("approved",), "shadow", (_APPROVER,)),
    Transition("canary", ("shadow",), "canary", (_APPROVER,), _PROMOTION, four_eyes=True),
    Transition(
        "activate", ("approved",), "active", (_APPROVER,), condition=PLUGIN_IS_NEW, four_eyes=True
    ),
    Transition("activate", ("canary",), "active", (_APPROVER,), _PROMOTION, four_eyes=True),
    Transition(
        "waive", ("registered", "validated", "approved", "active", "standby", "suspended"),
        "active", (_APPROVER,), WAIVER, modes=("research",),
    ),  # from active: a waiver is renewed before it expires
    Transition("rollback", ("standby",), "active", (_RETURNERS,)),
    Transition(
        "supersede", ("active",), "standby", ((*_RETURNERS, "service"),), ("superseded_by",)
    ),
    Transition("suspend", ("shadow", "canary", "active", "standby"), "suspended", (_STOPPERS,)),
    Transition(
        "retire", STATES[:-1], "retired", (("approver", "administrator"),)
    ),
)  # fmt: skip


def transition(action: str, before: str, past: Past) -> Transition:
    """Return the row of an act from a state.

    Raises
    ------
    RefusalError : the table has none (TRANSITION_NOT_PERMITTED), or its condition does not
        hold (CONDITION_NOT_MET).
    """
    rows = [row for row in TRANSITIONS if row.action == action and before in row.before]
    if not rows:
        possible = sorted({row.action for row in TRANSITIONS if before in row.before})
        raise RefusalError(
            f"a release that is {before} cannot be the subject of {action}; from there one can "
            f"{', '.join(possible) or 'do nothing'}",
            reasons=("TRANSITION_NOT_PERMITTED",),
            advice="Take the steps in order: `osteon governance table` shows them.",
        )
    for row in rows:
        if past.fulfils(row.condition):
            return row
    raise RefusalError(
        f"{action} of a release that is {before} is for the case that {rows[0].condition}",
        reasons=("CONDITION_NOT_MET",),
        advice="Let it run in shadow and as canary beside the release that was active.",
    )


def check_transition(row: Transition, role: str, evidence: Mapping[str, str], mode: str) -> None:
    """Return when one person may decide a row; raise RefusalError with every reason if not.

    Where the row asks for several persons, this says whether the role is one of theirs;
    `approvals.py` says whether all of them have decided.
    """
    roles = tuple(dict.fromkeys(role for person in row.persons for role in person))
    found = []
    if role not in roles:
        found.append(("ROLE_NOT_PERMITTED", f"role {role} is not one of {', '.join(roles)}"))
    missing = [key for key in row.evidence if not evidence.get(key)]
    if missing:
        found.append(("EVIDENCE_MISSING", f"evidence {', '.join(missing)} is missing"))
    if mode not in row.modes:
        found.append(("MODE_NOT_PERMITTED", f"it is not permitted in {mode} mode"))
    if found:
        raise RefusalError(
            f"{row.action} to {row.after} is refused: {'; '.join(text for _, text in found)}",
            reasons=tuple(code for code, _ in found),
            advice="Let a person in the right role decide, with what is missing.",
        )


def open_actions(before: str, past: Past, role: str, mode: str) -> tuple[str, ...]:
    """Return what a person in a role may do with a release now, as far as the table says."""
    return tuple(
        dict.fromkeys(
            row.action
            for row in TRANSITIONS
            if before in row.before
            and mode in row.modes
            and any(role in person for person in row.persons)
            and past.fulfils(row.condition)
        )
    )


def table_markdown() -> str:
    """Return the table as it stands in this room's README: rows that ask for the same in one."""
    ways: dict[tuple[str, str, str, str], list[str]] = {}
    for row in TRANSITIONS:
        who = " and ".join(" or ".join(person) for person in row.persons)
        who += ", not the builder" if row.four_eyes else ""
        mode = "any" if row.modes == SITE_MODES else ", ".join(row.modes)
        before = "any" if row.before == STATES[:-1] else ", ".join(row.before)
        way = f"{before} → {row.after}" + (f" (if {row.condition})" if row.condition else "")
        ways.setdefault((row.action, who, ", ".join(row.evidence), mode), []).append(way)
    lines = ["| act | from → to | who decides | evidence | mode |", "|---|---|---|---|---|"]
    for (action, who, evidence, mode), found in ways.items():
        lines.append(f"| {action} | {'; '.join(found)} | {who} | {evidence} | {mode} |")
    return "\n".join(lines)
