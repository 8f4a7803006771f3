"""The stored weights of the dose networks: what they are, and that they predict real patients."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from models.dose.predict import DosePredictor
from models.dose.uncertainty import Calibration
from models.training.dose.packs import read_pack
from models.weights.store import FOLDER, check_weights, read_index, weight_paths

DATA = Path(os.environ.get("OSTEON_TEST_DATA", "../shared/data")) / "openkbp"


def test_the_calibration_belongs_to_the_stored_weights() -> None:
    """New weights without a new calibration would give intervals that nobody measured."""
    path = weight_paths("dose")[0]
    digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    calibration = Calibration.load()
    assert calibration.weights_digest == digest
    assert min(calibration.patients.values()) >= 9


def test_the_weights_name_every_training_patient_and_no_other() -> None:
    """The voxel networks learn from all 200; the 40 validation patients are none of them."""
    entry = next(entry for entry in read_index() if entry.role == "dose")
    check_weights(entry, FOLDER)
    assert set(entry.trained_on) == {f"pt_{number}" for number in range(1, 201)}
    assert len(entry.trained_on) == 200


@pytest.mark.skipif(not DATA.exists(), reason="OpenKBP is not here (OSTEON_TEST_DATA)")
def test_validation_patients_are_predicted_as_measured() -> None:
    """Three validation patients lie within 4 Gy on average, nearer than the quick plan alone."""
    predictor = DosePredictor.load(weight_paths("dose")[0])
    plain = DosePredictor()
    errors = []
    for name in ("pt_205", "pt_224", "pt_236"):
        patient, planned = read_pack(DATA / "validation" / f"{name}.npz")
        inside = patient.possible_dose
        found = [
            float(np.abs(one.predict(patient) - planned)[inside].mean())
            for one in (predictor, plain)
        ]
        errors.append(found)
    ours, quick = np.mean(errors, axis=0)
    assert ours < 4.0
    assert ours < 0.9 * quick
