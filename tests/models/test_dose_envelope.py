"""The envelope of the dose networks: which patients they were not trained on."""

from dataclasses import replace

import numpy as np

from models.dose.envelope import departures, reasons_to_abstain
from models.dose.patient import Patient

SHAPE = (8, 8, 8)


def patient_of(*levels: float) -> Patient:
    """Return a patient in air with small targets of these prescriptions and a larynx."""
    targets = []
    for index, level in enumerate(levels):
        mask = np.zeros(SHAPE, bool)
        mask[index, 2:6, 2:6] = True
        targets.append((level, mask))
    larynx = np.zeros(SHAPE, bool)
    larynx[7, 1:5, 1:5] = True
    ct = np.zeros(SHAPE, np.int16)
    ct[:, :, 0] = -1000
    whole = np.ones(SHAPE, bool)
    return Patient(ct, (4.0, 4.0, 3.0), whole, tuple(targets), {"Larynx": larynx})


def test_other_prescriptions_and_levels_have_stable_codes() -> None:
    """Near 70 Gy and three quarters of it or more is inside, at most one target a level."""
    assert reasons_to_abstain(patient_of(70.0, 63.0, 56.0)) == ()
    assert reasons_to_abstain(patient_of(50.0)) == ("PRESCRIPTION_NOT_TRAINED",)
    assert reasons_to_abstain(patient_of(70.0, 45.0)) == ("LEVEL_NOT_TRAINED",)
    assert reasons_to_abstain(patient_of(70.0, 69.0)) == ("TOO_MANY_LEVELS",)


def test_arrays_that_no_training_patient_had_have_stable_codes() -> None:
    """No organ at all, numbers that are no Hounsfield units, a target where no dose is told."""
    inside = patient_of(70.0)
    assert reasons_to_abstain(replace(inside, organs={})) == ("NO_ORGANS",)
    stored = (inside.ct_hu + 1024).astype(np.int16)
    assert reasons_to_abstain(replace(inside, ct_hu=stored)) == ("CT_WITHOUT_AIR",)
    elsewhere = ~inside.target
    elsewhere[0, 2, 2] = True
    assert reasons_to_abstain(replace(inside, possible_dose=elsewhere)) == ("TARGET_OUTSIDE_MASK",)
    assert reasons_to_abstain(replace(inside, voxel_mm=(2.0, 2.0, 2.0))) == ()


def test_targets_outside_the_mask_are_one_departure_that_names_each() -> None:
    """Three of them are told once, each with its part inside; one inside is not named."""
    given = patient_of(70.0, 63.0, 56.0)
    levels = dict(given.targets)
    (one,) = departures(replace(given, possible_dose=levels[63.0]))
    assert one.code == "TARGET_OUTSIDE_MASK"
    assert one.found == "0% of that of 70 Gy, 0% of that of 56 Gy"
    assert not departures(replace(given, possible_dose=given.target))


def test_a_departure_says_what_was_expected_and_found() -> None:
    """A sentence with code, expectation and finding, in gray and percent."""
    (low,) = departures(patient_of(70.0, 45.0))
    assert str(low) == (
        "LEVEL_NOT_TRAINED: expected no prescription below 75% of the highest, 70 Gy, found 45 Gy"
    )
    several = departures(replace(patient_of(50.0), organs={}))
    assert [item.code for item in several] == ["PRESCRIPTION_NOT_TRAINED", "NO_ORGANS"]
