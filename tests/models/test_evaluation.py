"""The cross-validation: jitter, held-out judges, and the card's figures."""

from pathlib import Path

import numpy as np
import pytest

from models.contouring.ensemble import Ensemble
from models.contouring.uncertainty import Spread
from models.training.contouring.calibrate import calibrate
from models.training.contouring.cases import Case, data_folder, patient_ids, read_case
from models.training.contouring.evaluate import (
    JITTER_COUNT,
    CaseResult,
    evaluate,
    jitter_case,
    read_results,
)
from models.training.contouring.metrics import ContourScore
from models.training.contouring.summary import cross_validation, interval


def test_jitter_moves_the_tumour_and_keeps_it_whole(toy_case: Case) -> None:
    """A jittered crop holds the whole GTV off the middle, with a seed inside it."""
    offsets = []
    for number in range(8):
        crop = jitter_case(toy_case, np.random.default_rng(number))
        assert crop.gtv.sum() == toy_case.gtv.sum()
        index = np.subtract(crop.seed_point_zyx_mm, crop.grid.origin_mm) / crop.grid.spacing_mm
        assert crop.gtv[tuple(np.rint(index).astype(int))]
        middle = [np.mean(crop.grid.positions_mm(axis)) for axis in range(3)]
        offsets.append(float(np.abs(np.subtract(middle, (-50, 70, 12))).max()))
    assert max(offsets) > 5
    assert len(set(offsets)) > 4


def test_results_are_kept_and_summarised(
    small_ensemble: Ensemble, toy_case: Case, tmp_path: Path
) -> None:
    """Every condition is judged on every crop, written, read back and summarised with its n."""
    found = evaluate(small_ensemble, [toy_case], tmp_path / "contours.jsonl")
    assert len(found) == JITTER_COUNT * 4
    kept = read_results(tmp_path / "contours.jsonl")
    assert [row.score.dsc for row in kept] == [row.score.dsc for row in found]
    rows = [_result(number, modalities) for number in range(6) for modalities in ("ct", "ct+pet")]
    report = cross_validation(rows, calibrate(rows), {"weights": {}})
    assert report["summary"]["ct+pet"]["all"]["n"] == 6
    low, high = report["summary"]["ct"]["all"]["dsc"]["interval_95"]
    assert low <= report["summary"]["ct"]["all"]["dsc"]["mean"] <= high


def _result(number: int, modalities: str) -> CaseResult:
    """Return a made-up result."""
    from_number = 0.6 + 0.05 * number
    score = ContourScore(from_number, from_number, 5.0, 3.0)
    spread = Spread(from_number, from_number, 0.1)
    return CaseResult(f"P_{number}", 0, 0, modalities, False, score, spread, 90.0, 99.0, 1.0)


def test_a_patient_that_all_members_saw_is_refused(
    small_ensemble: Ensemble, toy_case: Case, tmp_path: Path
) -> None:
    """Nobody is judged by a member that was trained on them."""
    seen = Case(
        "B", toy_case.ct_hu, toy_case.ct_grid, toy_case.gtv, toy_case.pet_suv, toy_case.pet_grid
    )
    with pytest.raises(ValueError, match="never saw"):
        evaluate(small_ensemble, [seen], tmp_path / "none.jsonl")


def test_the_interval_holds_the_mean() -> None:
    """The bootstrap interval is the same each time and holds the mean."""
    values = np.random.default_rng(2).normal(0.8, 0.1, 34)
    low, high = interval(values)
    assert (low, high) == interval(values)
    assert low < values.mean() < high
    assert high - low < 0.1


def test_a_real_patient_is_read_with_its_grids() -> None:
    """STS_041, whose PET has a slice less, is read with its reference volume."""
    try:
        folder = data_folder()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert len(patient_ids(folder)) == 34
    case = read_case(folder, "STS_041")
    assert case.ct_grid.shape[0] == case.pet_grid.shape[0] + 1
    assert case.volume_ml == pytest.approx(61.7, abs=2.0)
    assert case.ct_grid.origin_mm[0] == pytest.approx(case.pet_grid.origin_mm[0], abs=7.0)
