"""Attribution of DVH points: exact where no more than two players interact, and measured."""

import time
from collections.abc import Mapping

import numpy as np
import pytest

from models.dose import explain as subject
from models.dose.counterfactuals import SHRINK_MM
from models.dose.explain import coarser, explain
from models.dose.game import MARGIN, Made
from models.dose.patient import Patient

SHAPE = (24, 28, 12)


def patient() -> Patient:
    """Return a box of a target between two parotids."""
    target = np.zeros(SHAPE, bool)
    target[8:16, 9:19, 3:9] = True
    left, right = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    left[10:14, 21:25, 3:9] = True
    right[10:14, 3:7, 3:9] = True
    organs = {"LeftParotid": left, "RightParotid": right}
    body = np.ones(SHAPE, bool)
    return Patient(np.zeros(SHAPE, np.int16), (4.0, 4.0, 3.0), body, ((70.0, target),), organs)


class Planner:
    """Gives the target 70 Gy, a told organ 10 Gy less than 40, and less still where both are."""

    def __init__(self, interaction: float = 0.0, third: float = 0.0) -> None:
        self.interaction, self.third = interaction, third
        self.calls = 0
        self.priorities: list[Mapping[str, float] | None] = []
        self.full = patient()

    def predict(self, given: Patient, priorities: Mapping[str, float] | None = None) -> np.ndarray:
        """Return a dose that depends on organs, margin and their interactions."""
        self.calls += 1
        self.priorities.append(priorities)
        dose = np.full(SHAPE, 5.0, np.float32)
        target = given.targets[0][1]
        whole = target.sum() == self.full.target.sum()
        both = len(given.organs) == 2
        for name, mask in self.full.organs.items():
            value = 40.0 - 10.0 * (name in given.organs) + 4.0 * whole
            value -= self.interaction * both + self.third * (both and whole)
            dose[mask] = value
        dose[target] = 70.0
        for name in priorities or {}:
            dose[self.full.organs[name]] -= 6.0
            dose[target] -= 0.7
        return dose


def shares_of(found, point):
    """Return the shares of one point by player."""
    return dict(next(item for item in found.attributions if item.point == point).shares_gy)


def test_shares_of_players_that_do_not_interact_are_their_effects():
    """Each organ takes 10 Gy off its own mean, the margin adds 4 Gy; nothing is left over."""
    found = explain(Planner(), patient(), 600.0)
    shares = shares_of(found, ("LeftParotid", "mean"))
    assert shares["LeftParotid"] == pytest.approx(-10.0)
    assert shares["PTV70" + MARGIN] == pytest.approx(4.0)
    assert shares["RightParotid"] == pytest.approx(0.0)
    assert found.faithfulness["efficiency_gap_gy"] < 1.0
    assert found.faithfulness["foretold_correlation"] > 0.99


def test_two_that_interact_share_their_interaction_as_shapley_does():
    """An interaction of 6 Gy of two organs is 3 Gy for each."""
    shares = shares_of(explain(Planner(6.0), patient(), 600.0), ("LeftParotid", "mean"))
    assert shares["LeftParotid"] == pytest.approx(-13.0)
    assert shares["RightParotid"] == pytest.approx(-3.0)


def test_an_interaction_of_three_shows_in_the_gap():
    """What the shares cannot hold is told: v(N) - v(0) less the sum of the shares."""
    plain = explain(Planner(), patient(), 600.0).faithfulness["efficiency_gap_gy"]
    three = explain(Planner(third=6.0), patient(), 600.0).faithfulness["efficiency_gap_gy"]
    assert three > plain + 0.5


def test_a_counterfactual_is_predicted_anew():
    """The target drawn back near an organ is a smaller target; its own D95 is told beside."""
    found = explain(Planner(), patient(), 600.0)
    names = {item.organ for item in found.counterfactuals}
    assert names == {"LeftParotid", "RightParotid"}
    for item in found.counterfactuals:
        assert item.shrink_mm == SHRINK_MM
        assert item.organ_mean_gy == (pytest.approx(34.0), pytest.approx(30.0))
        assert item.target_d95_gy[1] < item.target_d95_gy[0]


def test_no_coalition_is_predicted_twice():
    """Three players: 8 coalitions at most, and two counterfactuals."""
    planner = Planner()
    found = explain(planner, patient(), 600.0)
    assert found.evaluations == planner.calls <= 10 + len(found.lowest)


def test_what_an_organ_cannot_go_below_is_planned_and_predicted_anew():
    """Both parotids lie above 25 Gy: bounds below the prediction, networks asked at that weight."""
    planner = Planner()
    found = explain(planner, patient(), 600.0)
    assert {item.point for item in found.lowest} == {
        ("LeftParotid", "mean"),
        ("RightParotid", "mean"),
    }
    for item in found.lowest:
        assert item.lowest_gy <= item.predicted_gy == pytest.approx(34.0)
        assert item.model_gy[1] < item.model_gy[0]
        assert item.anew_gy == pytest.approx(28.0)
        assert item.d95_change == pytest.approx(-0.01, abs=1e-5)
    asked = [one for one in planner.priorities if one is not None]
    assert len(asked) == 2
    assert all(weight > 1 for one in asked for weight in one.values())
    assert found.faithfulness["lowest_followed"] > 0


def test_without_time_there_is_no_attribution_and_no_error():
    """A planner that takes longer than the budget is asked once."""

    class Slow(Planner):
        def predict(self, given, priorities=None):
            time.sleep(0.05)
            return super().predict(given, priorities)

    found = explain(Slow(), patient(), 0.04)
    assert found.attributions == ()
    assert found.evaluations <= 1


class Timed(Planner):
    """Takes so many seconds for a prediction by a clock of its own, coarse ones a quarter."""

    def __init__(self, monkeypatch, takes_s: float) -> None:
        super().__init__()
        self.now, self.takes_s = 0.0, takes_s
        monkeypatch.setattr(subject.time, "monotonic", lambda: self.now)

    def predict(self, given: Patient, priorities: Mapping[str, float] | None = None) -> np.ndarray:
        """Let time pass, and predict."""
        own = given.ct_hu.shape == SHAPE
        self.now += self.takes_s if own else self.takes_s / 4
        if own:
            return super().predict(given, priorities)
        self.calls += 1
        return np.full(given.ct_hu.shape, 20.0, np.float32)


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("takes_s", [0.3, 0.9, 1.7, 2.6, 4.0, 7.0, 11.0])
def test_no_prediction_begins_that_is_not_expected_to_end_in_time(monkeypatch, takes_s, coarse):
    """Whatever a prediction takes, the explanation ends within the time that is left."""
    if coarse:
        monkeypatch.setattr(subject, "COARSE_ABOVE", 4000)
        monkeypatch.setattr(subject, "COARSE_VOXELS", 2016)
    planner = Timed(monkeypatch, takes_s)
    made = Made(Planner().predict(patient()), takes_s)
    found = explain(planner, patient(), 7.0, made=made)
    assert found.seconds == planner.now <= 7.0
    assert found.on_coarse_grid is coarse
    assert found.evaluations == planner.calls
    if takes_s <= 1.7 or takes_s == 11.0:
        assert bool(found.attributions) == (takes_s <= 1.7)


def test_time_in_which_no_counterfactual_fits_is_for_the_others(monkeypatch):
    """At 1.2 s a prediction the last 1.05 s of 7 s hold none: shares and lowest doses have them."""
    planner = Timed(monkeypatch, 1.2)
    made = Made(Planner().predict(patient()), 1.2)
    found = explain(planner, patient(), 7.0, made=made)
    assert found.counterfactuals == ()
    assert planner.now > subject.FOR_LOWEST * 7.0 - 1.2 + 0.15
    assert found.evaluations == 5


def test_the_prediction_that_is_explained_is_not_made_again(monkeypatch):
    """One prediction fewer, the same shares and changes."""
    without, within = Planner(), Planner()
    made = Made(Planner().predict(patient()), 0.001)
    plain = explain(without, patient(), 600.0)
    spared = explain(within, patient(), 600.0, made=made)
    assert within.calls == without.calls - 1
    assert spared.attributions == plain.attributions
    assert spared.counterfactuals == plain.counterfactuals


def test_a_large_patient_is_played_on_a_coarser_grid_and_told_on_its_own(monkeypatch):
    """Coalitions see fewer voxels; points are those of the patient's own grid; it is said so."""
    monkeypatch.setattr(subject, "COARSE_ABOVE", 4000)
    monkeypatch.setattr(subject, "COARSE_VOXELS", 5000)
    sizes = []

    class Watched(Planner):
        def predict(self, given, priorities=None):
            sizes.append(given.ct_hu.size)
            if given.ct_hu.shape == SHAPE:
                return super().predict(given, priorities)
            dose = np.full(given.ct_hu.shape, 10.0, np.float32)
            dose[given.targets[0][1]] = 60.0
            return dose

    found = explain(Watched(), patient(), 600.0)
    assert found.on_coarse_grid
    assert sizes.count(np.prod(SHAPE)) == 1 + len(found.counterfactuals)
    values = {item.point: item.value_gy for item in found.attributions}
    assert values["PTV70", "D95%"] == 70.0


def test_the_coarser_grid_is_one_of_the_training_data_and_no_finer(monkeypatch):
    """Both spacings in plane grow first; nothing beyond what training patients had."""
    given = patient()
    assert coarser(given) is given
    monkeypatch.setattr(subject, "COARSE_ABOVE", 4000)
    for voxels, spacing in ((6000, (4.64, 4.64, 3.0)), (1, (5.5, 5.5, 3.4))):
        monkeypatch.setattr(subject, "COARSE_VOXELS", voxels)
        assert coarser(patient()).voxel_mm == pytest.approx(spacing, abs=0.01)
