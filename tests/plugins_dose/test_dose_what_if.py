"""Edits of a predicted dose: bounds, what they change, and what they leave as it is."""

import numpy as np
import pytest

from audit.errors import RefusalError
from models.dose.patient import Patient
from plugins.dose.regions import Structure
from plugins.dose.what_if import edited

SHAPE = (24, 24, 12)


def patient() -> Patient:
    """Return a box of a target beside a parotid, 4 mm in plane, 3 mm along."""
    target, parotid = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    target[8:16, 8:16, 3:9] = True
    parotid[10:14, 18:21, 4:8] = True
    body = np.ones(SHAPE, bool)
    body[:, :7] = False
    return Patient(
        np.zeros(SHAPE, np.int16), (4.0, 4.0, 3.0), body, ((70.0, target),),
        {"LeftParotid": parotid},
    )  # fmt: skip


GIVEN = patient()
STRUCTURES = (
    Structure("PTV_7000", 1, GIVEN.targets[0][1], 70.0),
    Structure("Parotid_L", 2, GIVEN.organs["LeftParotid"]),
)


def reason(edits: dict[str, float]) -> tuple[str, ...]:
    """Return why edits are refused."""
    with pytest.raises(RefusalError) as refused:
        edited(GIVEN, STRUCTURES, edits)
    return refused.value.reasons


def test_nothing_edited_is_the_same_patient():
    """No edit, and edits that stand still."""
    for edits in ({}, {"margin:PTV_7000": 0.0, "priority:Parotid_L": 1.0}):
        found = edited(GIVEN, STRUCTURES, edits)
        assert np.array_equal(found.patient.target, GIVEN.target)
        assert set(found.priorities.values()) <= {1.0}


def test_a_margin_moves_the_surface_and_stays_in_the_body():
    """Two millimetres are half a voxel in plane: the outer layer goes, or one more comes."""
    small = edited(GIVEN, STRUCTURES, {"margin:PTV_7000": -2.0}).patient.target
    large = edited(GIVEN, STRUCTURES, {"margin:PTV_7000": 2.0}).patient.target
    assert small.sum() == 6 * 6 * 4
    assert not (small & ~GIVEN.target).any()
    assert not (GIVEN.target & ~large).any()
    assert large[7, 10, 5]
    assert large[16, 10, 5]
    assert large[10, 7, 5]
    far = edited(GIVEN, STRUCTURES, {"margin:PTV_7000": 6.0}).patient.target
    assert not far[:, :7].any()  # no dose is told there
    assert far.sum() > large.sum()


def test_a_priority_is_given_by_the_networks_name():
    """TG-263 outside, the networks' names inside."""
    found = edited(GIVEN, STRUCTURES, {"priority:Parotid_L": 4.0})
    assert found.priorities == {"LeftParotid": 4.0}


@pytest.mark.parametrize(
    ("edits", "code"),
    [
        ({"margin:PTV_5600": 1.0}, "UNKNOWN_EDIT"),
        ({"priority:Nose": 2.0}, "UNKNOWN_EDIT"),
        ({"dose": 2.0}, "UNKNOWN_EDIT"),
        ({"margin:PTV_7000": 6.5}, "EDIT_BEYOND_BOUNDS"),
        ({"margin:PTV_7000": float("nan")}, "EDIT_BEYOND_BOUNDS"),
        ({"priority:Parotid_L": 0.0}, "EDIT_BEYOND_BOUNDS"),
    ],
)
def test_what_is_not_known_or_too_much_is_refused(edits, code):
    """By name; nothing is clipped."""
    assert reason(edits) == (code,)


def test_a_target_never_vanishes():
    """A target of two voxels drawn back by six millimetres is refused."""
    tiny = np.zeros(SHAPE, bool)
    tiny[10:12, 10, 5] = True
    given = Patient(GIVEN.ct_hu, GIVEN.voxel_mm, GIVEN.possible_dose, ((70.0, tiny),), {})
    with pytest.raises(RefusalError) as refused:
        edited(given, (Structure("PTV_7000", 1, tiny, 70.0),), {"margin:PTV_7000": -6.0})
    assert refused.value.reasons == ("NOTHING_LEFT",)
