"""What may be done with a release, by whom and on which evidence, is one table."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.errors import RefusalError
from governance.accounts import ROLES
from governance.lifecycle import (
    NEVER_ACTIVE,
    PLUGIN_IS_NEW,
    SITE_MODES,
    STATES,
    TRANSITIONS,
    WAS_ACTIVE,
    Past,
    check_transition,
    open_actions,
    table_markdown,
    transition,
)

ACTIONS = tuple(dict.fromkeys(row.action for row in TRANSITIONS))
PASTS = (Past(False, False), Past(True, False), Past(True, True))
EVERYTHING = dict.fromkeys(
    (*("reason", "superseded_by", "certificate", "comparison"),
     *("waiver_person", "waiver_reason", "expires_at")), "x"
)  # fmt: skip


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("past", PASTS, ids=str)
def test_only_the_table_permits(before: str, action: str, past: Past) -> None:
    """Each act from each state has at most one row for a past, and is refused without one."""
    rows = [
        row
        for row in TRANSITIONS
        if row.action == action and before in row.before and past.fulfils(row.condition)
    ]
    assert len(rows) <= 1
    if rows:
        assert transition(action, before, past) is rows[0]
        return
    with pytest.raises(RefusalError) as caught:
        transition(action, before, past)
    known = any(row.action == action and before in row.before for row in TRANSITIONS)
    assert caught.value.reasons == ("CONDITION_NOT_MET" if known else "TRANSITION_NOT_PERMITTED",)
    assert caught.value.advice


@pytest.mark.parametrize("row", TRANSITIONS, ids=lambda row: f"{row.action}-{row.after}")
def test_a_row_wants_its_role_evidence_and_mode(row) -> None:  # type: ignore[no-untyped-def]
    """With all that a row names it passes; without any one of them it is refused by name."""
    roles = {role for person in row.persons for role in person}
    for role in ROLES:
        for mode in SITE_MODES:
            if role in roles and mode in row.modes:
                check_transition(row, role, EVERYTHING, mode)
                continue
            with pytest.raises(RefusalError) as caught:
                check_transition(row, role, EVERYTHING, mode)
            expected = {"ROLE_NOT_PERMITTED"} - ({"ROLE_NOT_PERMITTED"} if role in roles else set())
            if mode not in row.modes:
                expected.add("MODE_NOT_PERMITTED")
            assert set(caught.value.reasons) == expected
    for key in row.evidence:
        with pytest.raises(RefusalError, match=key):
            check_transition(row, min(roles), EVERYTHING | {key: ""}, row.modes[0])


def test_a_retired_release_never_comes_back() -> None:
    """Retirement is the end of the table."""
    assert not [row for row in TRANSITIONS if "retired" in row.before]
    assert STATES[-1] == "retired"


def test_clinical_use_rests_on_a_certificate_and_four_eyes() -> None:
    """In clinical mode every way to active passes `approve`, which two persons decide."""
    reached, waiting = set(), ["registered"]
    while waiting:
        state = waiting.pop()
        for row in TRANSITIONS:
            if state in row.before and "clinical" in row.modes and row.action != "approve":
                if row.after not in reached:
                    waiting.append(row.after)
                reached.add(row.after)
    assert "active" not in reached
    assert "canary" not in reached
    assert all(
        len(row.persons) == 2 and row.four_eyes for row in TRANSITIONS if row.action == "approve"
    )


def test_only_the_first_release_of_a_plugin_skips_the_comparison() -> None:
    """Approved to active is for a plugin that was never active here."""
    assert transition("activate", "approved", Past()).after == "active"
    with pytest.raises(RefusalError) as caught:
        transition("activate", "approved", Past(plugin_was_active=True))
    assert caught.value.reasons == ("CONDITION_NOT_MET",)
    assert "shadow" in caught.value.advice
    assert {PLUGIN_IS_NEW, WAS_ACTIVE, NEVER_ACTIVE} == {
        row.condition for row in TRANSITIONS if row.condition
    }


def test_the_administrator_cannot_let_a_release_run() -> None:
    """Who keeps the machine stops and retires releases; letting one run is for others."""
    for row in TRANSITIONS:
        if row.after in ("approved", "shadow", "canary", "active"):
            assert not any("administrator" in person for person in row.persons), row
    assert open_actions("active", Past(True, True), "administrator", "clinical") == (
        "suspend",
        "retire",
    )


def test_open_actions_are_those_of_the_table() -> None:
    """A person is offered what the table would permit, and nothing else."""
    assert open_actions("canary", Past(True, False), "approver", "clinical") == (
        "activate",
        "suspend",
        "retire",
    )
    assert open_actions("registered", Past(), "approver", "research") == (
        *("certify", "waive", "retire"),
    )
    assert open_actions("retired", Past(), "approver", "research") == ()
    assert open_actions("active", Past(), "compliance", "research") == ()


def test_readme_shows_the_table() -> None:
    """The README of the room holds the table as the code prints it."""
    path = Path(__file__).resolve().parents[2] / "governance" / "README.md"
    assert table_markdown() in path.read_text(encoding="utf-8"), table_markdown()
