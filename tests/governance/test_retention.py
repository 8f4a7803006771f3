"""Retention: the floor holds for every policy, states lengthen it, holds win."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.config import Configuration
from audit.errors import ConfigurationError
from audit.kinds import KINDS
from audit.record import Subject
from audit.tombstone import FLOOR
from governance.retention import DEFAULT_DAYS, Policy, due, for_state, require_two, states
from tests.simulators.audit_records import AT, PATIENT, record_of

CLINICAL = {"mode": "clinical"}


@pytest.mark.reg("AIA-19.1")
@given(
    days=st.integers(-10, 12_000),
    treatment=st.integers(-10, 12_000),
    minor=st.integers(0, 12_000),
    kind=st.sampled_from(sorted(KINDS)),
    by_kind=st.integers(-10, 12_000),
    age=st.integers(0, 182),
)
def test_no_policy_goes_under_the_floor(
    days: int, treatment: int, minor: int, kind: str, by_kind: int, age: int
) -> None:
    """Whatever is set: it is refused, or no record younger than 183 days is due."""
    try:
        policy = Policy(days, treatment, minor, {kind: by_kind})
    except ConfigurationError:
        assert min(days, treatment, by_kind) < 183 or 0 < minor < 183
        return
    for name in (kind, "fault", "inference"):
        record = record_of(name)
        assert policy.days_of(record) >= 183
        assert not due(record, policy, (), AT + timedelta(days=age))


@pytest.mark.parametrize(
    "section",
    [{"days": 182}, {"treatment_days": 0}, {"minor_days": 1}, {"days_by_kind": {"access": 30}}],
)
def test_the_configuration_refuses_less_than_the_floor(section: dict[str, Any]) -> None:
    """A site cannot even be configured so."""
    with pytest.raises(ValueError, match="183"):
        Configuration.model_validate({"retention": section})


def test_ten_years_by_default() -> None:
    """A record goes after ten years, not a day before."""
    policy, record = for_state(""), record_of("fault")
    assert policy.days == DEFAULT_DAYS == 3653
    assert not due(record, policy, (), AT + timedelta(days=3652))
    assert due(record, policy, (), AT + timedelta(days=3653))
    assert timedelta(days=183) == FLOOR


@pytest.mark.reg("PLD-1")
@pytest.mark.parametrize(
    ("state", "years"), [("", 10), ("DE", 30), ("AT", 30), ("FR", 20), ("NL", 20)]
)
def test_states_lengthen_what_belongs_to_a_treatment(state: str, years: int) -> None:
    """Golden table: records of clinical runs by state; others stay at ten years."""
    policy = for_state(state)
    kept = record_of("run_closed", subject=Subject(PATIENT, "40-64"), **CLINICAL)
    assert policy.days_of(kept) == -(-years * 365_2425 // 10_000)
    research = record_of("run_closed", subject=Subject(PATIENT, "40-64"))
    assert policy.days_of(research) == DEFAULT_DAYS
    assert policy.days_of(record_of("access")) == DEFAULT_DAYS


@pytest.mark.reg("PLD-1")
@pytest.mark.parametrize(("band", "years"), [("0-9", 25), ("10-17", 25), ("18-39", 10)])
def test_minors_are_kept_longer(band: str, years: int) -> None:
    """A record about somebody under 18 is kept at least 25 years, where it is not switched off."""
    record = record_of("run_closed", subject=Subject(PATIENT, band))
    assert for_state("").days_of(record) == -(-years * 365_2425 // 10_000)
    assert for_state("", minor_days=0).days_of(record) == DEFAULT_DAYS


def test_an_unknown_state_is_refused() -> None:
    """A state without a rule here is named, with what to set instead."""
    with pytest.raises(ConfigurationError, match="DE"):
        for_state("XX")
    with pytest.raises(ConfigurationError, match="kinds"):
        for_state("", by_kind={"nothing": 400})


def test_every_state_says_where_its_rule_stands() -> None:
    """Years, basis and how it was checked; K and S are marked as such."""
    for rule in states().values():
        assert rule["treatment_years"] >= 10
        assert rule["basis"]
        assert rule["checked"] in ("V", "S", "K")


def test_purge_records_are_never_due() -> None:
    """They are what makes a tombstone true."""
    record = record_of("purge", body=dict.fromkeys(KINDS["purge"].required, 0))
    assert not due(record, for_state(""), (), AT + timedelta(days=40_000))


def test_two_persons_of_two_roles() -> None:
    """Administrator and approver, two accounts."""
    require_two(("a", "administrator"), ("b", "approver"))
