"""A later plan beside a prediction: numbers, what counts, and values that come back alike."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from governance.oversight.plans import (
    PlanComparison,
    PlannedPoint,
    decode,
    encode,
    same_prescription,
)

POINTS = (
    PlannedPoint("PTV_7000", 5, "D95", 68.0, 69.0, within=True),
    PlannedPoint("PTV_5600", 6, "D95", 55.0, 54.0, within=True),
    PlannedPoint("Parotid_L", 7, "Mean", 24.0, 30.0, within=False),
    PlannedPoint("SpinalCord", 8, "D0.1cc", 40.0, 42.0),
)
FOUND = PlanComparison(
    "c1", "r1", datetime(2026, 11, 26, tzinfo=UTC), True, True, 1.0, 2.5, POINTS, "p", "d", "e"
)


def test_numbers_are_errors_shares_and_signed_changes():
    """Means over points; the outside share over points that have an interval."""
    assert FOUND.numbers() == {
        "dose_mae_gy": 2.5,
        "dvh_mae_gy": pytest.approx(2.5),
        "outside_share": pytest.approx(1 / 3),
        "target_d95_gy": pytest.approx(0.0),
        "organ_mean_gy": pytest.approx(6.0),
    }


def test_without_structures_only_voxels_are_told():
    """No point, no number of points."""
    assert replace(FOUND, points=()).numbers() == {"dose_mae_gy": 2.5}


@pytest.mark.parametrize(("same", "counts"), [(True, True), (None, True), (False, False)])
def test_only_a_plan_for_another_dose_is_not_counted(same, counts):
    """What is not known counts, and is told."""
    assert replace(FOUND, same_prescription=same).counts is counts


def test_prescriptions_are_one_within_a_hundredth():
    """One per cent of the predicted one; nothing stated is not known."""
    assert same_prescription(70.0, 70.69) is True
    assert same_prescription(70.0, 70.8) is False
    assert same_prescription(None, 70.0) is None
    assert same_prescription(70.0, 0.0) is None


def test_a_comparison_comes_back_from_json_as_it_was():
    """Every field, the time and the points."""
    assert decode(json.loads(json.dumps(encode(FOUND)))) == FOUND
