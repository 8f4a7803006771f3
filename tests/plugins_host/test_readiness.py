"""A study starts when it is complete, not when a timer says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.host.facts import SeriesFacts, StudyFacts
from plugins.host.manifest import Input
from plugins.host.readiness import PATIENCE_S, QUIET_TIME_S, assess

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CT = Input("ct", "CT", minimum_instances=2)
PET = Input("pet", "PT", required=False, same_frame_as="ct")


def _series(modality: str, count: int, expected: int | None = None) -> SeriesFacts:
    uids = tuple(f"2.25.{number}" for number in range(count))
    return SeriesFacts(f"2.25.9{modality}", modality, uids, expected)


def _facts(*series: SeriesFacts, quiet_s: float | None = 0.0) -> StudyFacts:
    arrival = None if quiet_s is None else NOW - timedelta(seconds=quiet_s)
    return StudyFacts("2.25.1", series, last_arrival_at=arrival)


def test_announced_and_complete_starts_at_once() -> None:
    """When every wanted series announced its count and has it, nothing is waited for."""
    facts = _facts(_series("CT", 4, 4), _series("PT", 4, 4))
    assert assess(facts, (CT, PET), NOW).reason == "counts-complete"
    assert assess(facts, (CT, PET), NOW).ready


def test_one_that_is_still_coming_is_waited_for() -> None:
    """An announced count that is not reached holds the study beyond the quiet time."""
    answer = assess(_facts(_series("CT", 3, 4), quiet_s=QUIET_TIME_S + 1), (CT,), NOW)
    assert not answer.ready
    assert answer.reason == "counts-incomplete"
    assert answer.missing == ("ct",)
    assert answer.wait_s == pytest.approx(PATIENCE_S - QUIET_TIME_S - 1)


def test_a_slice_that_never_comes_does_not_lose_the_study() -> None:
    """After the patience the study is handed on with a reason, and reading finds the gap."""
    answer = assess(_facts(_series("CT", 3, 4), quiet_s=PATIENCE_S), (CT,), NOW)
    assert answer.ready
    assert answer.reason == "counts-never-complete"
    assert answer.missing == ("ct",)


def test_without_announcement_the_quiet_time_decides() -> None:
    """Nobody announced a count: not before the quiet time, and exactly then."""
    answer = assess(_facts(_series("CT", 4), quiet_s=2), (CT,), NOW)
    assert (answer.ready, answer.reason, answer.wait_s) == (False, "waiting-quiet", 3.0)
    assert assess(_facts(_series("CT", 4), quiet_s=5), (CT,), NOW).reason == "quiet"
    assert assess(_facts(_series("CT", 4), quiet_s=2), (CT,), NOW, 1.0).ready


def test_an_optional_series_may_still_come() -> None:
    """A complete CT alone waits the quiet time when the release also takes a PET."""
    answer = assess(_facts(_series("CT", 4, 4), quiet_s=1), (CT, PET), NOW)
    assert (answer.ready, answer.reason) == (False, "waiting-quiet")
    assert assess(_facts(_series("CT", 4, 4), quiet_s=5), (CT, PET), NOW).ready


def test_series_that_the_release_does_not_want_hold_nothing_up() -> None:
    """An incomplete series of another modality is nobody's reason to wait."""
    facts = _facts(_series("CT", 4, 4), _series("MR", 1, 90))
    assert assess(facts, (CT,), NOW).reason == "counts-complete"


def test_a_missing_required_series_is_named() -> None:
    """Without a required series no time makes the study ready, nor does a person."""
    facts = _facts(_series("PT", 4, 4), quiet_s=10_000)
    for forced in (False, True):
        answer = assess(facts, (CT, PET), NOW, forced=forced)
        assert (answer.ready, answer.reason) == (False, "missing-required")
        assert answer.missing == ("ct",)
        assert answer.wait_s is None


def test_a_scout_is_no_series() -> None:
    """A series with fewer instances than the release wants does not fill the role."""
    assert assess(_facts(_series("CT", 1)), (CT,), NOW).reason == "missing-required"


def test_a_series_that_announced_enough_is_waited_for() -> None:
    """The first slice of an announced series fills the role, so the study waits for the rest."""
    assert assess(_facts(_series("CT", 1, 90)), (CT,), NOW).reason == "counts-incomplete"


def test_a_person_decides() -> None:
    """Force starts an incomplete study; discard wins over everything."""
    facts = _facts(_series("CT", 3, 4))
    assert assess(facts, (CT,), NOW, forced=True).reason == "forced"
    complete = _facts(_series("CT", 4, 4))
    answer = assess(complete, (CT,), NOW, forced=True, discarded=True)
    assert (answer.ready, answer.reason) == (False, "discarded")


def test_an_unknown_arrival_is_long_ago() -> None:
    """A study asked for by hand, whose arrival nobody saw, does not wait."""
    assert assess(_facts(_series("CT", 4), quiet_s=None), (CT,), NOW).reason == "quiet"


def test_an_arrival_in_the_future_waits_at_most_the_quiet_time() -> None:
    """A clock that runs ahead at the sender cannot hold a study for hours."""
    answer = assess(_facts(_series("CT", 4), quiet_s=-3600), (CT,), NOW)
    assert answer.wait_s == QUIET_TIME_S


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(0, 6),
    expected=st.none() | st.integers(1, 6),
    quiet_s=st.floats(0, 200),
    more_s=st.floats(0, 200),
)
def test_waiting_never_makes_a_ready_study_unready(
    count: int, expected: int | None, quiet_s: float, more_s: float
) -> None:
    """With nothing new, what is ready stays ready; and ``wait_s`` is when it becomes so."""
    facts = _facts(_series("CT", count, expected), quiet_s=quiet_s)
    answer = assess(facts, (CT, PET), NOW)
    if answer.ready:
        assert assess(facts, (CT, PET), NOW + timedelta(seconds=more_s)).ready
    elif answer.wait_s is not None:
        later = NOW + timedelta(seconds=answer.wait_s + 1e-3)
        assert assess(facts, (CT, PET), later).ready
