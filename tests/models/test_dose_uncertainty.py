"""Intervals of DVH points and the envelope of the dose networks."""

from pathlib import Path

import numpy as np
import pytest

from models.dose.inputs import CONTINUOUS, Prepared
from models.dose.patient import Patient
from models.dose.uncertainty import (
    ERROR_GY,
    Calibration,
    calibrate,
    dvh_points,
    expected_error,
    structure_name,
)


def patient_of(*levels: float) -> Patient:
    """Return a patient with small targets of these prescriptions."""
    shape = (8, 8, 8)
    targets = []
    for index, level in enumerate(levels):
        mask = np.zeros(shape, bool)
        mask[index, 2:6, 2:6] = True
        targets.append((level, mask))
    larynx = np.zeros(shape, bool)
    larynx[7, 1:5, 1:5] = True
    whole = np.ones(shape, bool)
    water = np.zeros(shape, np.int16)
    return Patient(water, (4.0, 4.0, 3.0), whole, tuple(targets), {"Larynx": larynx})


def test_intervals_cover_as_often_as_promised() -> None:
    """Of new errors from the same source, at least nine in ten lie inside, within chance."""
    generator = np.random.default_rng(4)
    key = ("Larynx", "mean")
    inside = []
    for _ in range(400):
        errors = np.abs(generator.standard_t(3, 41))
        made = calibrate({key: list(errors[:40])}, 0.1, "sha256:0")
        low, high = made.intervals({key: 30.0})[key]
        inside.append(low <= 30.0 + errors[40] <= high)
    assert 0.87 < np.mean(inside) < 0.95


def test_too_few_patients_give_no_interval() -> None:
    """Nine in ten asks for nine patients or more; with eight there is no finite interval."""
    key = ("Larynx", "mean")
    assert not calibrate({key: [1.0] * 8}, 0.1, "").half_width_gy
    made = calibrate({key: [1.0, 2.0, *[0.5] * 7]}, 0.1, "")
    assert made.half_width_gy == {key: 2.0}
    assert made.intervals({key: 1.0}) == {key: (0.0, 3.0)}
    assert made.intervals({("Mandible", "mean"): 1.0}) == {}


def test_a_calibration_comes_back_from_its_file(tmp_path: Path) -> None:
    """Save and load are inverse, and another schema is refused."""
    made = calibrate({("PTV70", "D95%"): list(np.linspace(0, 3, 20))}, 0.1, "sha256:1")
    made.save(tmp_path / "c.json")
    back = Calibration.load(tmp_path / "c.json")
    assert back.patients == made.patients
    assert back.half_width_gy == pytest.approx(made.half_width_gy, abs=1e-4)
    (tmp_path / "c.json").write_text('{"schema": "other"}')
    with pytest.raises(ValueError, match="schema"):
        Calibration.load(tmp_path / "c.json")


def test_points_are_read_where_the_structures_lie() -> None:
    """Targets have three points, organs two, named by the nearest trained level."""
    patient = patient_of(66.0, 54.0)
    dose = np.zeros(patient.ct_hu.shape, np.float32)
    dose[0], dose[7] = 66.0, 20.0
    points = dvh_points(dose, patient)
    assert points["PTV70", "D95%"] == 66.0
    assert points["PTV56", "D95%"] == 0.0
    assert points["Larynx", "mean"] == 20.0
    assert len(points) == 8
    assert structure_name(60.0, 66.0) == "PTV63"


def test_more_is_expected_where_the_networks_lie_apart() -> None:
    """The expected error grows with dose and difference, is zero outside the mask."""
    shape = (16, 16, 16)
    continuous = np.zeros((len(CONTINUOUS), *shape), np.float32)
    continuous[CONTINUOUS.index("prescription"), 10:] = 1.0
    masks = np.zeros((8, *shape), dtype=bool)
    masks[0, 2:] = True
    prepared = Prepared(continuous, masks, (slice(0, 16),) * 3, 1.0, (3.0, 3.0, 3.0), ())
    dose = np.full(shape, 0.5, np.float32)
    near = expected_error(dose, np.zeros(shape, np.float32), prepared) * 70
    far = expected_error(dose, np.full(shape, 0.2, np.float32), prepared) * 70
    none = expected_error(np.zeros(shape, np.float32), np.zeros(shape, np.float32), prepared) * 70
    assert np.all(near[:2] == 0)
    always, high, by_gray, inside = ERROR_GY
    assert near[5, 8, 8] == pytest.approx(always + high, abs=1e-3)
    assert near[12, 8, 8] == pytest.approx(always + high + inside, abs=1e-3)
    assert far[5, 8, 8] == pytest.approx(near[5, 8, 8] + by_gray * 14.0, abs=1e-3)
    assert none[5, 8, 8] == pytest.approx(always, abs=1e-3)
