"""The decision rule: every combination of flags keeps the safety properties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from governance.change_control import (
    CLASSES,
    EFFECTS,
    FLAGS,
    NEW_DEVICE,
    ChangeFlags,
    classify_columns,
    decide,
)

Bools = NDArray[np.bool_]


def _rollback(c: dict[str, Bools]) -> Bools:
    return (
        c["rollback"] & c["target_in_certified_set"]
        & c["certificate_and_platform_valid"] & c["anomalies_accepted"]
    )  # fmt: skip


def _effect(c: dict[str, Bools]) -> Bools:
    return np.logical_or.reduce([c[name] for name in EFFECTS])


Asked = tuple[dict[str, Bools], NDArray[np.int8], Bools]
"""Flags, classes and permissions of all combinations."""

PROPERTIES: dict[str, Callable[[dict[str, Bools], NDArray[np.int8], Bools], Bools]] = {
    "no D1 outside plan, gates and budget": lambda c, k, _: (
        (k == 1) & ~(c["in_plan"] & c["gates_pass"] & c["budget_ok"])
    ),
    "outside a certified rollback no D0 with an effect": lambda c, k, _: (
        ~_rollback(c) & (k == 0) & _effect(c)
    ),
    "outside a certified rollback no architecture change below D3": lambda c, k, _: (
        ~_rollback(c) & c["architecture"] & (k < 3)
    ),
    "outside a certified rollback no new device below D3": lambda c, k, _: (
        ~_rollback(c) & np.logical_or.reduce([c[n] for n in NEW_DEVICE]) & (k < 3)
    ),
    "no activation during a hold": lambda c, _, may: (
        may & c["open_incident_hold"] & ~(_rollback(c) & c["evidence_snapshot_done"])
    ),
    "no D2 without a reference of the notified body": lambda c, k, may: (
        may & (k == 2) & ~(c["change_approved"] | c["newly_certified"])
    ),
    "no D3 without a new certificate": lambda c, k, may: may & (k == 3) & ~c["newly_certified"],
    "no unattended update": lambda c, _, may: may & c["unattended"] & ~_rollback(c),
    "a certified rollback is always D0": lambda c, k, _: _rollback(c) & (k != 0),
}


@pytest.fixture(scope="module")
def everything() -> Asked:
    """Return every combination of flags, with the class and the permission of each."""
    numbers = np.arange(2 ** len(FLAGS), dtype=np.uint32)
    columns = {name: (numbers >> place & 1).astype(bool) for place, name in enumerate(FLAGS)}
    return columns, *classify_columns(columns)


@pytest.mark.reg("AIA-43.4")
@pytest.mark.reg("MDR-IX")
@pytest.mark.parametrize("name", PROPERTIES)
def test_no_combination_breaks_a_safety_property(name: str, everything: Asked) -> None:
    """All 2^21 combinations of the flags: not one violates the property."""
    columns, classes, permitted = everything
    assert len(classes) == 2**21
    violations = PROPERTIES[name](columns, classes, permitted)
    assert violations.shape == classes.shape
    first = {flag: bool(c[violations.argmax()]) for flag, c in columns.items()}
    assert not violations.any(), f"{violations.sum()} violations, the first: {first}"


def test_every_class_is_reached_with_and_without_permission(
    everything: Asked,
) -> None:
    """The properties hold of a rule that does permit and refuse in each class."""
    _, classes, permitted = everything
    seen = {
        (int(k), bool(p)) for k, p in zip(*np.unique([classes, permitted], axis=1), strict=True)
    }
    assert seen == {(number, may) for number in range(4) for may in (True, False)}


@pytest.mark.parametrize("flag", [*EFFECTS, *NEW_DEVICE])
def test_one_effect_more_never_lowers_the_class(flag: str, everything: Asked) -> None:
    """A change with an effect is at least of the class of the same change without it."""
    _, classes, permitted = everything
    bit = 1 << FLAGS.index(flag)
    with_it = np.flatnonzero(np.arange(len(classes)) & bit)
    assert (classes[with_it] >= classes[with_it ^ bit]).all()
    assert (permitted[with_it] <= permitted[with_it ^ bit]).all()


def test_a_permission_more_never_forbids(
    everything: Asked,
) -> None:
    """Plan, gates, budget and references only help."""
    _, classes, permitted = everything
    for flag in ("in_plan", "gates_pass", "budget_ok", "change_approved", "newly_certified"):
        bit = 1 << FLAGS.index(flag)
        with_it = np.flatnonzero(np.arange(len(classes)) & bit)
        assert (classes[with_it] <= classes[with_it ^ bit]).all(), flag
        assert (permitted[with_it] >= permitted[with_it ^ bit]).all(), flag


def _as_printed(c: ChangeFlags) -> tuple[str, bool]:
    """Return class and permission by the function as REGULATORY.md section 4 prints it."""
    if (
        c.rollback and c.target_in_certified_set and c.certificate_and_platform_valid
        and c.anomalies_accepted
    ):  # fmt: skip
        return "D0", (not c.open_incident_hold) or c.evidence_snapshot_done
    if (
        c.intended_purpose or c.new_population or c.new_modality or c.new_output
        or c.closes_loop or c.architecture
    ):  # fmt: skip
        found = "D3"
    elif not (c.outputs_change or c.section2_affected or c.safety_affected):
        found = "D0"
    elif c.in_plan and c.gates_pass and c.budget_ok:
        found = "D1"
    elif c.section2_affected:
        found = "D3"
    else:
        found = "D2"
    reference = c.newly_certified or (found == "D2" and c.change_approved)
    may = not c.open_incident_hold and (found in ("D0", "D1") or reference)
    return found, may and not c.unattended


@settings(max_examples=400, deadline=None)
@given(st.lists(st.booleans(), min_size=len(FLAGS), max_size=len(FLAGS)))
def test_the_rule_is_the_printed_one(values: list[bool]) -> None:
    """The rule over columns gives what the printed function gives, flag by flag."""
    flags = ChangeFlags(**dict(zip(FLAGS, values, strict=True)))
    decision = decide(flags)
    assert (decision.change_class, decision.may_activate) == _as_printed(flags)
    assert decision.change_class in CLASSES
    codes = [reason.code for reason in decision.reasons]
    assert codes
    assert len(codes) == len(set(codes))


def test_what_nobody_stated_is_the_worst() -> None:
    """Flags without any statement are D3, and may not run, for every reason there is."""
    decision = decide(ChangeFlags())
    assert (decision.change_class, decision.may_activate) == ("D3", False)
    codes = {reason.code for reason in decision.reasons}
    assert {"INCIDENT_HOLD", "UNATTENDED", "NEW_CERTIFICATE_MISSING", "NOT_IN_PLAN"} <= codes


def test_reasons_name_what_is_missing() -> None:
    """A D2 change says that the approval is missing, and is free when it is there."""
    harmless = ChangeFlags(
        **dict.fromkeys((*NEW_DEVICE, *EFFECTS), False), unattended=False, open_incident_hold=False
    )
    assert decide(harmless).change_class == "D0"
    effect = replace(harmless, outputs_change=True)
    refused = decide(effect)
    assert (refused.change_class, refused.may_activate) == ("D2", False)
    assert [r.code for r in refused.reasons] == [
        *("EFFECT", "OUTPUTS_CHANGE", "NOT_IN_PLAN", "GATES_NOT_PASSED", "BUDGET_NOT_OK"),
        "NB_REFERENCE_MISSING",
    ]
    assert decide(replace(effect, change_approved=True)).may_activate
    assert (
        decide(replace(effect, in_plan=True, gates_pass=True, budget_ok=True)).change_class == "D1"
    )
