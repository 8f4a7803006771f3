"""The pauses after failed sign-ins, as a rule over counts and times."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.web import throttle as rule
from adapters.web.throttle import FREE_PER_ACCOUNT, FREE_PER_ADDRESS, Throttle, pause_s

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def test_pause_doubles_up_to_the_longest() -> None:
    """Nothing, then 30 s, then twice as long each time, 15 minutes at most."""
    assert [pause_s(count, 5) for count in (0, 4, 5, 6, 9, 50)] == [0, 0, 30, 60, 480, 900]


def test_pause_grows_with_failures_and_ends() -> None:
    """The first failures are free, then each doubles the pause; a success forgets them."""
    throttle = Throttle()
    for _ in range(FREE_PER_ACCOUNT):
        assert throttle.admit("a", "10.0.0.1", NOW) == 0
    assert throttle.admit("a", "10.0.0.2", NOW) == 30
    assert throttle.admit("b", "10.0.0.1", NOW) == 0
    assert throttle.admit("a", "10.0.0.2", NOW + timedelta(seconds=30)) == 0
    assert throttle.admit("a", "10.0.0.2", NOW + timedelta(seconds=31)) == 59
    throttle.succeeded("a", "10.0.0.2")
    assert throttle.admit("a", "10.0.0.2", NOW + timedelta(seconds=32)) == 0


def test_one_address_cannot_try_many_accounts() -> None:
    """Failures of an address count over accounts, and signing in between does not reset them."""
    throttle = Throttle()
    for number in range(FREE_PER_ADDRESS):
        assert throttle.admit(f"account-{number}", "10.0.0.1", NOW) == 0
        if number + 1 < FREE_PER_ADDRESS:
            assert throttle.admit("own", "10.0.0.1", NOW) == 0
            throttle.succeeded("own", "10.0.0.1")
    assert throttle.admit("another", "10.0.0.1", NOW) == 30
    assert throttle.admit("another", "10.0.0.2", NOW) == 0
    assert throttle.admit("another", "10.0.0.1", NOW + timedelta(days=2)) == 0


def test_memory_of_failures_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many accounts from many addresses push out the oldest failures, not the memory."""
    monkeypatch.setattr(rule, "TALLY_LIMIT", 20)
    throttle = Throttle()
    for number in range(100):
        throttle.admit(f"account-{number}", f"10.0.0.{number}", NOW + timedelta(seconds=number))
    assert len(throttle._tallies) <= 20
