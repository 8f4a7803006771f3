"""How low an organ can go in the beam model while targets keep their coverage."""

import time

import numpy as np
import pytest

from models.dose.lowest import (
    GOALS_GY,
    MOST,
    TOLERANCE,
    LowestDose,
    QuickPlan,
    lowest,
    point_of,
    told,
    worst,
)
from models.dose.patient import Patient

SHAPE = (32, 32, 12)
PAROTID = ("LeftParotid", "mean")


@pytest.fixture(scope="module")
def plan() -> QuickPlan:
    """Return the quick plan of a box of a target beside a parotid and before a cord, in water."""
    target, parotid, cord = (np.zeros(SHAPE, bool) for _ in range(3))
    target[10:18, 10:20, 3:9] = True
    parotid[11:17, 20:25, 3:9] = True
    cord[22:25, 14:17, :] = True
    organs = {"LeftParotid": parotid, "SpinalCord": cord}
    body = np.ones(SHAPE, bool)
    water = np.zeros(SHAPE, np.int16)
    return QuickPlan(Patient(water, (4.0, 4.0, 3.0), body, ((70.0, target),), organs))


def test_the_lowest_dose_is_below_the_plan_and_coverage_is_kept(plan: QuickPlan) -> None:
    """Planned anew at the weight that was found, the organ has less and the target what it had."""
    before = plan.points(plan.fluence)
    for point in (PAROTID, ("SpinalCord", "D0.1cc")):
        found = lowest(plan, point, before)
        assert found is not None
        assert found.priority > 1
        assert found.value_gy < before[point] - 1.0
        again = plan.points(plan.planned(found.priority, point[0], 160, plan.fluence))
        assert again[point] < before[point] - 1.0
        slack = 1.5 * TOLERANCE * 70.0
        assert again["PTV70", "D95%"] > before["PTV70", "D95%"] - slack


def test_more_tolerance_gives_no_higher_bound(plan: QuickPlan) -> None:
    """The bound falls, or stays, as coverage may give way further."""
    before = plan.points(plan.fluence)
    values = []
    for tolerance in (0.002, 0.01, 0.05):
        found = lowest(plan, PAROTID, before, tolerance)
        assert found is not None
        values.append(found.value_gy)
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0] - 1.0


def test_without_slack_for_the_plan_nothing_is_saved(plan: QuickPlan) -> None:
    """Where no weight keeps coverage, the bound is the plan's own value, and it is at the edge."""
    before = plan.points(plan.fluence)
    found = lowest(plan, PAROTID, before, -0.2)
    assert found is not None
    assert (found.priority, found.value_gy) == (1.0, before[PAROTID])
    assert found.at_the_edge


def test_without_time_there_is_no_bound(plan: QuickPlan) -> None:
    """An answer that was cut short would be no lowest dose."""
    before = plan.points(plan.fluence)
    assert lowest(plan, PAROTID, before, ends_at=time.monotonic() - 1) is None


def test_the_organs_that_exceed_their_goals_most_are_chosen() -> None:
    """By value over goal, those of the protocol before ours, three at most."""
    values = {
        PAROTID: 30.0,
        ("RightParotid", "mean"): 20.0,
        ("SpinalCord", "D0.1cc"): 40.0,
        ("SpinalCord", "mean"): 39.0,
        ("Larynx", "mean"): 50.0,
        ("Mandible", "mean"): 60.0,
    }
    assert worst(values, {}) == (PAROTID, ("Larynx", "mean"), ("SpinalCord", "D0.1cc"))
    assert len(worst(values, {})) == MOST
    assert worst(values, {("Mandible", "mean"): 30.0})[0] == ("Mandible", "mean")
    assert point_of("Brainstem") in GOALS_GY


def test_what_is_told_is_never_above_what_is_predicted(plan: QuickPlan) -> None:
    """Of a beam model that stays above the prediction, the prediction is the bound."""
    reached = lowest(plan, PAROTID, plan.points(plan.fluence))
    assert reached is not None
    before = {PAROTID: reached.value_gy - 0.2, ("PTV70", "D95%"): 68.0}
    after = {PAROTID: reached.value_gy - 1.0, ("PTV70", "D95%"): 66.6}
    found = told(PAROTID, (40.0, reached), (before, after), {"PTV70": 70.0})
    assert isinstance(found, LowestDose)
    assert found.lowest_gy == before[PAROTID]
    assert found.d95_change == pytest.approx(-0.02)
