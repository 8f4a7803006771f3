"""Labels that come late, twice, corrected or out of order; charts that are drawn."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import numpy as np
import pytest

from audit.errors import SuiteError
from governance.monitoring.charts import CUSUM_LIMIT, chart
from governance.monitoring.labels import Arrivals, Outcome, Predicted, arrange

T0 = datetime(2026, 1, 1, tzinfo=UTC)
YEAR, GRACE = timedelta(days=365), timedelta(days=60)
CASES = tuple(Predicted(f"r{day}", T0 + timedelta(days=day), 0.3) for day in range(4))


def _told(run: str, event: bool, seen: int, reported: int) -> Outcome:
    return Outcome(run, event, T0 + timedelta(days=seen), T0 + timedelta(days=reported))


def _arrange(outcomes: list[Outcome], day: int) -> Arrivals:
    return arrange(CASES, outcomes, T0 + timedelta(days=day), horizon=YEAR, grace=GRACE)


def test_an_early_event_does_not_enter_before_its_time() -> None:
    """A toxicity reported in week one waits like the patients without one."""
    told = [_told("r0", True, 7, 8)]
    assert _arrange(told, 400).cases == ()
    entered = _arrange(told, 430)
    assert [(case.run_id, case.label) for case in entered.cases] == [("r0", True)]
    assert entered.missing == 3


def test_the_order_of_reading_changes_nothing() -> None:
    """Every order of the same reports, with one twice, gives the same cases and counts."""
    told = [
        _told("r0", True, 30, 40),
        _told("r0", True, 30, 50),
        _told("r1", False, 400, 405),
        _told("r2", False, 100, 120),
        _told("stranger", True, 5, 6),
    ]
    found = {_arrange(list(order), 440) for order in permutations(told)}
    assert len(found) == 1
    only = found.pop()
    assert [(case.run_id, case.label) for case in only.cases] == [("r0", True), ("r1", False)]
    assert (only.repeated, only.unknown, only.missing) == (1, 1, 2)


def test_a_correction_holds_at_the_place_of_the_case() -> None:
    """A label that is taken back changes the case, not the order, and is counted."""
    told = [_told("r0", True, 30, 40), _told("r1", False, 370, 372)]
    before = _arrange(told, 440)
    after = _arrange([*told, _told("r0", False, 400, 439)], 440)
    assert [case.run_id for case in before.cases] == [case.run_id for case in after.cases]
    assert [case.label for case in after.cases] == [False, False]
    assert (before.corrected, after.corrected) == (0, 1)


def test_a_late_label_enters_when_it_is_told() -> None:
    """What comes after the time of grace joins at the end and moves nobody."""
    told = [_told("r1", False, 366, 367), _told("r0", False, 366, 500)]
    assert [case.run_id for case in _arrange(told, 450).cases] == ["r1"]
    assert [case.run_id for case in _arrange(told, 501).cases] == ["r1", "r0"]


def test_an_event_after_the_horizon_is_none_within_it() -> None:
    """A fracture after the year of the question counts as a year without one."""
    assert _arrange([_told("r0", True, 380, 390)], 430).cases[0].label is False
    with pytest.raises(SuiteError, match="horizon"):
        arrange(CASES, [], T0, horizon=timedelta(0), grace=GRACE)


def test_charts_show_a_shift_and_where_it_lies() -> None:
    """Limits come from the first cases; a shift of four sigma leaves all three charts."""
    generator = np.random.default_rng(1)
    values = np.concatenate([generator.normal(10, 1, 40), generator.normal(14, 1, 20)])
    drawn = chart(values.tolist(), first=40)
    assert drawn.centre == pytest.approx(10, abs=1)
    assert len(drawn.beyond) >= 10
    assert sum(index < 40 for index in drawn.beyond) <= 2
    assert drawn.cusum_high[-1] > CUSUM_LIMIT > max(drawn.cusum_high[:40])
    assert abs(drawn.ewma[-1] - drawn.centre) > drawn.ewma_limits[-1]
    assert chart([5.0] * 25).beyond == ()
    with pytest.raises(SuiteError, match="finite"):
        chart([1.0] * 5)
