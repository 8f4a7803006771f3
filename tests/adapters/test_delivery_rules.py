"""The pure rules of delivery: when to try again, when to leave a target in peace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.database.delivery import BreakerRow, DeliveryRow
from adapters.delivery import breaker
from adapters.delivery.backoff import CAP, PATIENCE, SHORTEST, START, attempts_within, next_attempt
from adapters.delivery.states import TRANSITIONS, is_due, moved

NOW = datetime(2026, 3, 6, 17, 0, tzinfo=UTC)
rule = settings(deadline=None, max_examples=60)  # no deadline: the machine may be busy
seeds = st.text(max_size=20)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


@rule
@given(st.integers(1, 5000), seeds)
def test_a_pause_is_between_start_and_cap(attempts, seed):
    """No pause is shorter than three quarters of the start or longer than the cap."""
    pause = next_attempt(attempts, NOW, seed) - NOW
    assert START * SHORTEST <= pause <= CAP


@rule
@given(st.integers(1, 9), seeds)
def test_pauses_grow_until_the_cap(attempts, seed):
    """Whatever the jitter, a later pause is not shorter while the back-off doubles."""
    first = next_attempt(attempts, NOW, seed) - NOW
    assert next_attempt(attempts + 1, NOW, seed) - NOW >= first


@rule
@given(st.integers(1, 100), moments, seeds)
def test_a_pause_depends_on_attempt_and_seed_only(attempts, now, seed):
    """The same attempt gets the same pause at any time and in any process."""
    pause = next_attempt(attempts, now, seed) - now
    assert pause == next_attempt(attempts, NOW, seed) - NOW


def test_runs_that_failed_together_come_back_apart():
    """A hundred runs that failed at once come back at many different times."""
    assert len({next_attempt(12, NOW, f"run {number}") for number in range(100)}) > 95


@rule
@given(st.integers(0, 30 * 24 * 3600), seeds)
def test_patience_outlives_the_stated_time(seconds, seed):
    """The attempts that are allowed take at least the stated time, whatever the jitter."""
    patience = timedelta(seconds=seconds)
    moment = NOW
    for attempt in range(1, attempts_within(patience) + 1):
        moment = next_attempt(attempt, moment, seed)
    assert moment - NOW >= patience


def test_seven_days_are_not_ten():
    """The default patience ends between seven days and ten."""
    moment = NOW
    for attempt in range(1, attempts_within(PATIENCE) + 1):
        moment = next_attempt(attempt, moment, "run")
    assert timedelta(days=7) <= moment - NOW <= timedelta(days=10)


steps = st.lists(
    st.tuples(st.sampled_from(["ok", "fail"]), st.integers(0, 3600)), min_size=1, max_size=60
)


@rule
@given(steps)
def test_the_breaker_opens_after_failures_in_a_row_and_only_then(history):
    """Admitted is every attempt unless THRESHOLD failures in a row are fresh."""
    row, now, in_a_row = BreakerRow("t"), NOW, 0
    for outcome, wait_s in history:
        now += timedelta(seconds=wait_s)
        admitted = breaker.admit(row, now)
        if in_a_row < breaker.THRESHOLD:
            assert admitted == row
        if admitted is None:
            assert row.open_until is not None
            assert now < row.open_until <= now + breaker.LONGEST_PAUSE
            continue
        row = breaker.succeeded(admitted) if outcome == "ok" else breaker.failed(admitted, now)
        in_a_row = 0 if outcome == "ok" else in_a_row + 1
        assert row.failures == in_a_row


@rule
@given(st.integers(breaker.THRESHOLD, 100), st.integers(0, 10_000))
def test_a_half_open_breaker_lets_one_through(failures, late_s):
    """After the pause one attempt is admitted and the next one is not."""
    row = BreakerRow("t", failures, NOW)
    now = NOW + timedelta(seconds=late_s)
    probing = breaker.admit(row, now)
    assert probing is not None
    assert breaker.admit(probing, now) is None
    assert breaker.admit(probing, now + breaker.PROBE) is not None
    assert breaker.admit(breaker.succeeded(probing), now) == BreakerRow("t")


@rule
@given(st.integers(0, 60))
def test_pauses_of_the_breaker_grow_to_a_limit(failures):
    """Each failure keeps it open at least as long as the one before, up to the limit."""
    first = breaker.failed(BreakerRow("t", failures), NOW)
    second = breaker.failed(first, NOW)
    if first.open_until is not None and second.open_until is not None:
        assert first.open_until <= second.open_until <= NOW + breaker.LONGEST_PAUSE


@rule
@given(st.integers(0, 60), st.integers(0, 86_400))
def test_a_target_that_names_a_time_rests_until_then(failures, wait_s):
    """Nobody tries before the moment that the target stated, and then one may."""
    until = NOW + timedelta(seconds=wait_s)
    row = breaker.failed(BreakerRow("t", failures), NOW, until)
    plain = breaker.failed(BreakerRow("t", failures), NOW)
    assert row.open_until == max(until, plain.open_until or until)
    assert breaker.admit(row, row.open_until - timedelta(seconds=1)) is None
    assert breaker.admit(row, row.open_until) is not None


def _row(state, due=None):
    return DeliveryRow("r", "t", "k", "SEG", "1.2", "sha256:0", "p", state, next_attempt_at=due)


@pytest.mark.parametrize("state", sorted(TRANSITIONS))
@pytest.mark.parametrize("after", sorted(TRANSITIONS))
def test_only_steps_of_the_table_are_taken(state, after):
    """A step that the table does not name is an error of ours."""
    if after in TRANSITIONS[state]:
        assert moved(_row(state), after).state == after
    else:
        with pytest.raises(ValueError):
            moved(_row(state), after)


@pytest.mark.parametrize(
    ("state", "due", "expected"),
    [
        ("pending", None, True),
        ("sent", None, True),
        ("stored", None, False),
        ("stored", NOW, True),
        ("pending", NOW + timedelta(seconds=1), False),
        ("verified", None, False),
        ("failed", None, False),
        ("held", NOW, False),
    ],
)
def test_what_is_due(state, due, expected):
    """Pending and sent are due at once or at their time; stored only at its time."""
    assert is_due(_row(state, due), NOW) is expected
