"""The decision of change control: facts about one change give its class, D0 to D3.

D0 record and regression; D1 inside the pre-determined change plan; D2 approval of the
change by the notified body; D3 new conformity assessment.  The rule is written once, over
columns of booleans, so that the test asks all combinations of the very rule that decides
here.  What nobody stated has the worst value: `ChangeFlags()` is D3 and may not run.

Source: REGULATORY.md section 4; Regulation (EU) 2024/1689 Art. 3(23), 43(4), Recital 128;
Regulation (EU) 2017/745 Annex IX 4.10.

Read next: `change/kinds.py` (the 25 kinds of change), `change/classification.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

CLASSES = ("D0", "D1", "D2", "D3")
Column = NDArray[np.bool_]
Columns = Mapping[str, Column]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFlags:
    """State what is known of one change; an effect is there unless it is shown not to be.

    Parameters
    ----------
    rollback, target_in_certified_set, certificate_and_platform_valid, anomalies_accepted :
        back to a version of the certified set, its certificate, declaration, instructions
        and platform still valid, its known anomalies accepted.
    intended_purpose, new_population, new_modality, new_output, closes_loop, architecture :
        what always makes a new device.
    outputs_change, section2_affected, safety_affected : effect on outputs, on compliance
        with Chapter III Section 2 of the AI Act (Art. 8 to 15), on safety.
    in_plan, gates_pass, budget_ok : inside the plan, every step of its protocol passed,
        within its budget.
    unattended : the release learned by itself in the field.
    open_incident_hold, evidence_snapshot_done : a serious incident is being investigated
        (Art. 73(6)), and its evidence is safe.
    change_approved, newly_certified : a valid reference of the notified body to this
        change (D2), a valid new certificate (D3; it serves D2 as well).
    """

    rollback: bool = False
    target_in_certified_set: bool = False
    certificate_and_platform_valid: bool = False
    anomalies_accepted: bool = False
    intended_purpose: bool = True
    new_population: bool = True
    new_modality: bool = True
    new_output: bool = True
    closes_loop: bool = True
    architecture: bool = True
    outputs_change: bool = True
    section2_affected: bool = True
    safety_affected: bool = True
    in_plan: bool = False
    gates_pass: bool = False
    budget_ok: bool = False
    unattended: bool = True
    open_incident_hold: bool = True
    evidence_snapshot_done: bool = False
    change_approved: bool = False
    newly_certified: bool = False


FLAGS = tuple(item.name for item in fields(ChangeFlags))
NEW_DEVICE = (
    *("intended_purpose", "new_population", "new_modality"),
    *("new_output", "closes_loop", "architecture"),
)
EFFECTS = ("outputs_change", "section2_affected", "safety_affected")


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a class or against an activation; ``code`` is stable."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Say which class a change has, whether the release may become active, and why."""

    change_class: str
    may_activate: bool
    reasons: tuple[Reason, ...]


def _any(columns: Columns, names: tuple[str, ...]) -> Column:
    found: Column = np.logical_or.reduce([columns[name] for name in names])
    return found


def _certified_rollback(c: Columns) -> Column:
    return (
        c["rollback"]
        & c["target_in_certified_set"]
        & c["certificate_and_platform_valid"]
        & c["anomalies_accepted"]
    )


_RULES: tuple[tuple[str, Callable[[Columns], Column], str, str], ...] = (
    ("CERTIFIED_ROLLBACK", _certified_rollback, "D0", "it goes back to a certified version"),
    ("NEW_DEVICE", lambda c: _any(c, NEW_DEVICE), "D3", "it makes another device of it"),
    ("NO_EFFECT", lambda c: ~_any(c, EFFECTS), "D0", "no effect on outputs, duties or safety"),
    (
        "IN_PLAN",
        lambda c: c["in_plan"] & c["gates_pass"] & c["budget_ok"],
        "D1",
        "the plan foresaw it, every gate passed, and the budget holds",
    ),
    (
        "SECTION_2",
        lambda c: c["section2_affected"],
        "D3",
        "it affects compliance with Section 2 of the AI Act and no plan covers it",
    ),
    ("EFFECT", lambda c: np.ones_like(c["rollback"]), "D2", "it has an effect no plan covers"),
)
"""(code, when, class, text); the first that holds decides."""


def classify_columns(columns: Columns) -> tuple[NDArray[np.int8], Column]:
    """Return class number (0 to 3) and permission for many changes at once.

    Parameters
    ----------
    columns : one boolean column of equal length for each of `FLAGS`.
    """
    holds = [rule(columns) for _, rule, _, _ in _RULES]
    numbers = [np.int8(CLASSES.index(name)) for _, _, name, _ in _RULES]
    found: NDArray[np.int8] = np.select(holds, numbers).astype(np.int8)
    hold = columns["open_incident_hold"]
    reference = np.select(
        [found <= 1, found == 2],
        [np.ones_like(hold), columns["change_approved"] | columns["newly_certified"]],
        columns["newly_certified"],
    )
    rollback = holds[0]
    permitted = np.where(
        rollback,
        ~hold | columns["evidence_snapshot_done"],
        ~hold & reference & ~columns["unattended"],
    )
    return found, permitted


def decide(flags: ChangeFlags) -> Decision:
    """Return the class of one change, whether it may become active, and every reason."""
    columns = {name: np.array([getattr(flags, name)], dtype=bool) for name in FLAGS}
    numbers, permitted = classify_columns(columns)
    change_class = CLASSES[int(numbers[0])]
    code, text = next((row[0], row[3]) for row in _RULES if row[1](columns)[0])
    reasons = [Reason(code, text)]
    if code != "CERTIFIED_ROLLBACK":
        reasons += _named(flags, (*NEW_DEVICE, *EFFECTS))
        if change_class in ("D2", "D3"):
            reasons += _not_in_plan(flags)
    may_activate = bool(permitted[0])
    if not may_activate:
        reasons += _against(flags, change_class)
    return Decision(change_class, may_activate, tuple(reasons))


_TEXTS: Mapping[str, str] = {
    "intended_purpose": "the intended purpose changes, or may change",
    "new_population": "it admits patients that were not validated, or may admit them",
    "new_modality": "it takes another modality",
    "new_output": "it has a new output",
    "closes_loop": "it acts on treatment without a person between",
    "architecture": "the architecture changes (Recital 128), or may have changed",
    "outputs_change": "outputs change, or are not shown to be the same",
    "section2_affected": "compliance with Art. 8 to 15 is affected, or not shown not to be",
    "safety_affected": "safety is affected, or not shown not to be",
}


def _named(flags: ChangeFlags, names: tuple[str, ...]) -> list[Reason]:
    return [Reason(name.upper(), _TEXTS[name]) for name in names if getattr(flags, name)]


def _not_in_plan(flags: ChangeFlags) -> list[Reason]:
    rows = (
        (flags.in_plan, "NOT_IN_PLAN", "no pre-determined change plan covers it"),
        (flags.gates_pass, "GATES_NOT_PASSED", "not every gate of the protocol has passed"),
        (flags.budget_ok, "BUDGET_NOT_OK", "the change budget is spent, or not measured"),
    )
    return [Reason(code, text) for holds, code, text in rows if not holds]


def _against(flags: ChangeFlags, change_class: str) -> list[Reason]:
    found = []
    if flags.open_incident_hold:
        text = "a serious incident is being investigated; nothing is altered (Art. 73(6))"
        found.append(Reason("INCIDENT_HOLD", text))
    if flags.unattended:
        text = "unattended learning is not permitted where contours or dose depend on it"
        found.append(Reason("UNATTENDED", text))
    if change_class == "D2" and not (flags.change_approved or flags.newly_certified):
        text = "the approval of the change by the notified body is missing"
        found.append(Reason("NB_REFERENCE_MISSING", text))
    if change_class == "D3" and not flags.newly_certified:
        found.append(Reason("NEW_CERTIFICATE_MISSING", "a new certificate is missing"))
    return found
