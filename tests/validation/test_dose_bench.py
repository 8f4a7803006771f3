"""The scores of OpenKBP against published vectors, and the bench around them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.dose.fluence import FluenceNet
from models.dose.patient import Patient
from models.dose.predict import DosePredictor
from models.dose.uncertainty import Calibration
from models.training.dose.packs import read_pack
from validation.benchmarks.dose import coverage, name_of, speed, subgroups, summary
from validation.benchmarks.dose_peer import CHANNELS, CascadePeer
from validation.metrics.dose import (
    PatientScore,
    dose_score,
    dvh_score,
    interval,
    score_patient,
)

DATA = Path(os.environ.get("OSTEON_TEST_DATA", "../shared/data")) / "openkbp"


@pytest.mark.skipif(not DATA.exists(), reason="OpenKBP is not here (OSTEON_TEST_DATA)")
def test_the_scores_are_those_of_the_vectors() -> None:
    """Doses scaled, shifted, rounded and raised score what the vectors of the data say."""
    vectors = json.loads((DATA / "score_vectors.json").read_text())["validation"]
    changes: dict[str, Callable[[np.ndarray, Patient], np.ndarray]] = {
        "scale_0.97": lambda dose, _: dose * 0.97,
        "round_to_1Gy": lambda dose, _: np.round(dose),
        "shift_axis2_plus1": lambda dose, patient: np.roll(dose, 1, axis=2) * patient.possible_dose,
        "plus_1Gy_in_pdm": lambda dose, patient: dose + patient.possible_dose,
    }
    scores: dict[str, list[PatientScore]] = {name: [] for name in changes}
    for path in sorted((DATA / "validation").glob("*.npz")):
        patient, kept = read_pack(path)
        planned = kept.astype(np.float64)
        targets = {name_of(gray): mask for gray, mask in patient.targets}
        structures = (targets, patient.organs, patient.voxel_mm)
        for name, change in changes.items():
            changed = change(planned, patient)
            scores[name].append(
                score_patient(path.stem, planned, changed, patient.possible_dose, structures)
            )
    for name, part in scores.items():
        assert sum(len(score.cells_gy) for score in part) == vectors[name]["dvh_cells"]
        assert dose_score(part) == pytest.approx(vectors[name]["dose_score"], abs=1e-5)
        assert dvh_score(part) == pytest.approx(vectors[name]["dvh_score"], abs=1e-5)


def test_patients_with_more_cells_weigh_more() -> None:
    """The DVH score is a mean over cells, not over patients; the interval holds it."""
    scores = [
        PatientScore("a", 2.0, {("PTV70", "D99"): 1.0}),
        PatientScore("b", 4.0, {("PTV70", "D99"): 4.0, ("PTV70", "D1"): 4.0}),
    ]
    assert dose_score(scores) == 3.0
    assert dvh_score(scores) == 3.0
    dose, dvh = interval(scores, np.random.default_rng(0))
    assert dose == (2.0, 4.0)
    assert dvh[0] <= 3.0 <= dvh[1]


def _patient() -> Patient:
    row, column, slices = np.ogrid[0:32, 0:32, 0:16]
    body = (np.hypot(row - 16, column - 16) < 12) & (slices >= 2) & (slices < 14)
    target = (np.hypot(row - 16, column - 14) < 4) & (abs(slices - 8) < 3)
    ct = np.where(body, 0, -1000).astype(np.int16)
    return Patient(ct, (4.0, 4.0, 3.0), body, ((70.0, target),))


def test_the_summary_counts_patients_groups_and_worst() -> None:
    """Every patient stands in one group of each kind, the worst first."""
    patient = _patient()
    scores = [PatientScore(str(n), 2.0 + n, {("PTV70", "D99"): float(n)}) for n in range(3)]
    document = summary(scores, [patient] * 3)
    assert document["patients"] == 3
    assert document["dose_score_gy"] == 3.0
    assert document["by_point_gy"]["PTV70 D99"] == {"mean": 1.0, "n": 3}
    assert [line["patient"] for line in document["worst"]] == ["2", "1", "0"]
    groups = subgroups(scores, [patient] * 3)
    assert groups["an organ missing"]["n"] == 3
    assert groups["1 prescription levels"]["dvh_gy"] == 1.0


def test_coverage_counts_what_lies_inside() -> None:
    """A difference up to the half-width is inside; a point without interval is not counted."""
    key = ("PTV70", "D99%")
    calibration = Calibration(0.1, "", {key: 2.0}, {key: 40})
    cells = ({key: 2.0, ("Larynx", "mean"): 0.0}, {key: 2.1})
    document = coverage(
        [PatientScore(str(n), 1.0, cell) for n, cell in enumerate(cells)], calibration
    )
    assert (document["covered"], document["cells"]) == (1, 2)
    assert document["by_point"]["PTV70 D99%"] == {"covered": 1, "n": 2, "half_width_gy": 2.0}


def test_both_sides_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has a time above zero for either side, measured in this process."""
    monkeypatch.setattr("validation.benchmarks.dose.SIZE", 32)
    predictor = DosePredictor(planners=[FluenceNet((8, 8, 8))])
    table = speed(predictor, [_patient()], 1)
    assert table["ours_median_s"] > 0
    assert table["peer_median_s"] > 0


def test_the_peer_has_the_published_size() -> None:
    """C3D has 32.4 million weights in PERFORMANCE.md; the rebuilt one is within ten percent."""
    peer = CascadePeer()
    assert sum(value.numel() for value in peer.parameters()) == pytest.approx(32.4e6, rel=0.1)
    small = CascadePeer(2, 2)
    assert small(torch.zeros(1, CHANNELS, 32, 32, 32)).shape == (1, 1, 32, 32, 32)
