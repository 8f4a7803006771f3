"""Beams of a plan, where they are known: nine fields as trained, around the plan's isocentre."""

from dataclasses import replace

import numpy as np
import pytest

from models.dose.beams import ANGLES_DEGREES, fields_around
from models.dose.envelope import departures, reasons_to_abstain
from models.dose.inputs import PLAN, prepare
from models.dose.patient import Beams, Patient, patient_from_arrays
from models.dose.predict import resampled

SHAPE = (32, 32, 12)
NINE = tuple(float(angle) for angle in ANGLES_DEGREES)


@pytest.fixture(scope="module")
def patient() -> Patient:
    """Return a box of a target beside a parotid, in water with air above."""
    target, parotid = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    target[10:18, 10:20, 3:9] = True
    parotid[11:17, 20:25, 3:9] = True
    ct = np.zeros(SHAPE, np.int16)
    ct[:2] = -1000
    body = np.ones(SHAPE, bool)
    return Patient(ct, (4.0, 4.0, 3.0), body, ((70.0, target),), {"LeftParotid": parotid})


def centroid(patient: Patient) -> tuple[float, float, float]:
    """Return the centroid of the targets by index."""
    row, column, index = np.argwhere(patient.target).mean(axis=0).tolist()
    return row, column, index


def test_the_isocentre_of_the_plan_takes_the_place_of_the_centroid(patient: Patient) -> None:
    """At the centroid nothing changes; elsewhere fields and quick plan are those around it."""
    middle = centroid(patient)
    assumed = prepare(patient).continuous[PLAN]
    given = prepare(replace(patient, beams=Beams(NINE, middle))).continuous[PLAN]
    assert np.allclose(assumed, given, atol=1e-4)
    moved = (middle[0], middle[1] + 2.5, middle[2])
    fields = fields_around(patient.ct_hu, patient.target, patient.voxel_mm, None, moved)
    assert fields.isocentre == pytest.approx(moved)
    other = prepare(replace(patient, beams=Beams(NINE, moved))).continuous[PLAN]
    assert not np.allclose(assumed, other, atol=1e-3)


def test_nine_trained_angles_in_any_order_are_inside(patient: Patient) -> None:
    """Within a degree, each once, counted round the circle; with or without an isocentre."""
    turned = (*reversed(NINE[:-1]), NINE[-1] + 0.9)
    for angles in (NINE, turned, (359.4, *NINE[1:]), (360.0, *NINE[1:])):
        assert reasons_to_abstain(replace(patient, beams=Beams(angles))) == ()
    near = Beams(NINE, centroid(patient))
    assert reasons_to_abstain(replace(patient, beams=near)) == ()


@pytest.mark.parametrize(
    ("beams", "found"),
    [
        (Beams(NINE[:7]), "7 at 0, 40"),
        (Beams((*NINE[:8], 322.0)), "322 degrees"),
        (Beams((*NINE[:8], 280.0)), "280, 280 degrees"),
        (Beams(NINE, otherwise="an arc"), "an arc"),
        (Beams(NINE, (0.0, 0.0, 0.0)), "mm away"),
    ],
)
def test_other_beams_are_told_in_words(patient: Patient, beams: Beams, found: str) -> None:
    """Another number, an angle two degrees off, one twice, an arc, an isocentre far away."""
    (departure,) = departures(replace(patient, beams=beams))
    assert departure.code == "BEAMS_NOT_TRAINED"
    assert found in departure.found


def test_the_isocentre_moves_with_the_grid(patient: Patient) -> None:
    """On another spacing it lies at the same place in millimetres."""
    there = resampled(replace(patient, beams=Beams(NINE, (12.0, 14.0, 6.0))), (2.0, 5.0, 3.0))
    assert there.isocentre == pytest.approx((24.0, 11.2, 6.0))


def test_plain_arrays_may_bring_beams(patient: Patient) -> None:
    """Angles alone, or with three indices; an isocentre alone or nonsense is an error."""
    arrays = {
        "ct": patient.ct_hu,
        "voxel_mm": np.asarray(patient.voxel_mm),
        "possible_dose_mask": patient.possible_dose,
        "PTV70": patient.target,
    }
    angles, place = {"gantry_degrees": np.asarray(NINE)}, {"isocentre_voxel": np.arange(3)}
    assert patient_from_arrays(arrays).beams is None
    assert patient_from_arrays(arrays | angles).beams == Beams(NINE)
    assert patient_from_arrays(arrays | angles | place).isocentre == (0.0, 1.0, 2.0)
    wrong = (
        (place, "beside isocentre_voxel"),
        (angles | {"isocentre_voxel": np.arange(2)}, "three indices"),
        ({"gantry_degrees": np.asarray([0, np.nan])}, "finite numbers in gantry_degrees"),
        ({"gantry_degrees": np.zeros(0)}, "expected gantry angles"),
    )
    for extra, words in wrong:
        with pytest.raises(ValueError, match=words):
            patient_from_arrays(arrays | extra)
