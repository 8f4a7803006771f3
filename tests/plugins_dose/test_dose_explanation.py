"""What is told of an explanation: codes that a record can hold, shares, changes, faithfulness."""

from dataclasses import replace

import pytest

from adapters.database.terms import coded
from models.dose.explain import Attribution, Counterfactual, DoseExplanation
from models.dose.lowest import LowestDose
from plugins.dose.explanation import METHOD, ON_COARSE_GRID, as_explanation, goals_of
from plugins.host.prescription import DoseGoal

NAMES = {"PTV70": "PTV_7000", "LeftParotid": "Parotid_L", "SpinalCord": "SpinalCord"}
FOUND = DoseExplanation(
    (
        Attribution(
            ("LeftParotid", "mean"), 30.0, 36.0, (("LeftParotid", -9.0), ("PTV70 margin", 3.0))
        ),
        Attribution(("PTV70", "D95%"), 68.0, 66.0, (("PTV70 margin", 2.0), ("SpinalCord", -0.5))),
        Attribution(("PTV70", "D99%"), 66.0, 66.0, (("SpinalCord", 0.5),)),
    ),
    (Counterfactual("PTV70", 2.0, "LeftParotid", (30.0, 27.0), (68.0, 67.9)),),
    {"efficiency_gap_gy": 0.4, "foretold_correlation": 0.97},
    12,
    3.5,
    lowest=(
        LowestDose(("LeftParotid", "mean"), 30.0, (31.0, 24.0), 0.01, 27.0, -0.012),
        LowestDose(("SpinalCord", "D0.1cc"), 20.0, (26.0, 20.5), 0.01, 19.0, 0.0),
    ),
)


def test_shares_and_changes_are_told_relative_to_their_point():
    """Means of organs and D95 of targets; the change of the mean beside."""
    found = dict(as_explanation(FOUND, NAMES).contributions)
    assert found == {
        "Parotid_L.Mean:Parotid_L": pytest.approx(-0.3),
        "Parotid_L.Mean:PTV_7000-margin": pytest.approx(0.1),
        "PTV_7000.D95:PTV_7000-margin": pytest.approx(2 / 68),
        "PTV_7000.D95:SpinalCord": pytest.approx(-0.5 / 68),
        "Parotid_L.Mean:PTV_7000-minus-2mm": pytest.approx(-0.1),
        "Parotid_L.Mean:lowest-within-1pct": pytest.approx(-0.2),
        "Parotid_L.Mean:anew-at-lowest": pytest.approx(-0.1),
        "Parotid_L.Mean:d95-at-lowest": pytest.approx(-0.012),
        "SpinalCord.D0.1cc:lowest-within-1pct": 0.0,
        "SpinalCord.D0.1cc:anew-at-lowest": pytest.approx(-0.05),
        "SpinalCord.D0.1cc:d95-at-lowest": 0.0,
    }


def test_the_protocol_chooses_the_organs_whose_lowest_dose_is_sought():
    """Goals at most, of the point by which an organ is judged; the strictest of several."""
    goals = (
        DoseGoal("Parotid_L", "Mean[Gy]", "at_most", 26.0, "local"),
        DoseGoal("Parotid_L", "Mean[Gy]", "at_most", 24.0, "local"),
        DoseGoal("Parotid_R", "V30Gy[%]", "at_most", 50.0, "local"),
        DoseGoal("SpinalCord", "Max[Gy]", "at_most", 45.0, "local"),
        DoseGoal("PTV_7000", "D95%[Gy]", "at_least", 66.0, "local"),
    )
    assert goals_of(goals) == {("LeftParotid", "mean"): 24.0, ("SpinalCord", "D0.1cc"): 45.0}


def test_every_name_stands_in_the_record_as_it_is():
    """No name is replaced by a digest."""
    explanation = as_explanation(FOUND, NAMES)
    for name, _ in explanation.contributions:
        assert coded(name) == name
    assert explanation.faithfulness["foretold_correlation"] == 0.97
    assert explanation.seconds == 3.5


def test_a_coarse_grid_is_told_in_the_method():
    """Nobody takes shares of another grid for those of the prediction's own."""
    assert as_explanation(FOUND, NAMES).method == METHOD
    coarse = replace(FOUND, on_coarse_grid=True)
    assert as_explanation(coarse, NAMES).method == ON_COARSE_GRID
