"""Uncertainty: the map, the figures of a case, and their calibration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contouring.contour import contour_case
from models.contouring.ensemble import Ensemble
from models.contouring.inputs import Grid
from models.contouring.uncertainty import (
    Calibration,
    ModalityCalibration,
    Spread,
    judge,
    measure_spread,
    uncertainty_map,
)
from models.training.contouring.calibrate import abstention_threshold, calibrate
from models.training.contouring.cases import Case
from models.training.contouring.evaluate import CaseResult
from models.training.contouring.metrics import ContourScore

CALIBRATION = Calibration(
    0.9, 0.6, {"ct": ModalityCalibration((0.0, 1.0, 0.0, 0.0), 0.2, -0.4, 0.5, 34)}
)


def test_the_map_shows_doubt_and_disagreement() -> None:
    """The entropy is 1 bit where members are at odds or unsure, and 0 where all are sure."""
    votes = np.zeros((2, 1, 1, 4), dtype=np.float32)
    votes[:, 0, 0, :] = [[0, 1, 0.5, 0], [0, 1, 0.5, 1]]
    assert np.allclose(uncertainty_map(votes)[0, 0], [0, 0, 1, 1], atol=1e-3)


@given(st.floats(0.55, 0.99))
def test_surer_votes_foretell_a_better_contour(probability: float) -> None:
    """Expected DSC grows with the probabilities, from the same contour."""
    votes = np.zeros((1, 1, 12, 12, 12), dtype=np.float32)
    votes[..., 3:9, 3:9, 3:9] = probability
    near = np.ones((12, 12, 12), dtype=bool)
    found = measure_spread(votes, near)
    votes[..., 3:9, 3:9, 3:9] = 1.0
    best = measure_spread(votes, near)
    assert found.expected_dsc == pytest.approx(2 * probability / (1 + probability), abs=1e-3)
    assert best.expected_dsc == pytest.approx(1.0)
    assert best.threshold_span == 0.0
    assert best.pass_agreement == 1.0


def test_figures_are_the_mean_over_members() -> None:
    """One member's figures and five equal members' figures are the same."""
    votes = np.random.default_rng(0).random((1, 2, 8, 8, 8)).astype(np.float32)
    near = np.ones((8, 8, 8), dtype=bool)
    five = measure_spread(np.repeat(votes, 5, axis=0), near)
    assert np.allclose(five.features(), measure_spread(votes, near).features())


def test_judgement_gives_bounds_and_abstains() -> None:
    """A contour gets a lower bound and a volume interval; a doubtful or empty one is withheld."""
    sure = judge(Spread(0.9, 1.0, 0.1), 100.0, "ct", CALIBRATION)
    assert sure.predicted_dsc == pytest.approx(0.9)
    assert sure.dsc_at_least == pytest.approx(0.7)
    assert sure.volume_low_ml < 100.0 < sure.volume_high_ml
    assert not sure.abstain
    assert judge(Spread(0.5, 1.0, 0.1), 100.0, "ct", CALIBRATION).abstain
    assert judge(Spread(0.9, 1.0, 0.1), 0.0, "ct", CALIBRATION).abstain
    with pytest.raises(ValueError, match="modality set"):
        judge(Spread(0.9, 1.0, 0.1), 1.0, "mr", CALIBRATION)


def test_calibration_round_trip() -> None:
    """Encoding and decoding a calibration gives the same value."""
    assert Calibration.decode(CALIBRATION.encode()) == CALIBRATION


def _results(modalities: str, noise: float) -> list[CaseResult]:
    """Return made-up results whose DSC follows the expected DSC with some noise."""
    generator = np.random.default_rng(8)
    rows = []
    for number in range(30):
        expected = generator.uniform(0.5, 0.95)
        dsc = float(np.clip(expected + generator.normal(0, noise), 0, 1))
        spread = Spread(expected, expected, 1 - expected)
        score = ContourScore(dsc, dsc, 5.0, 0.0)
        ratio = float(np.exp(generator.normal(0, noise)))
        rows.append(
            CaseResult(f"P{number}", 0, 0, modalities, False, score, spread, 100 * ratio, 100.0, 1)
        )
    return rows


def test_noisier_results_get_wider_bounds() -> None:
    """Less reliable contours get a larger margin and a wider volume interval."""
    found = calibrate(_results("ct+pet", 0.03) + _results("ct", 0.15))
    good, bad = found.modality_sets["ct+pet"], found.modality_sets["ct"]
    assert bad.dsc_margin > good.dsc_margin > 0
    assert bad.log_volume_low < good.log_volume_low < 0 < good.log_volume_high
    assert good.log_volume_high < bad.log_volume_high


def test_the_abstention_threshold_keeps_good_contours() -> None:
    """Above the threshold at least 90 % are good, and no lower threshold does that."""
    foretold = np.linspace(0.4, 0.9, 51)
    dsc = np.where(foretold > 0.6, 0.8, 0.5)
    threshold = abstention_threshold(foretold, dsc)
    kept = dsc[foretold >= threshold]
    assert np.mean(kept >= 0.7) >= 0.9
    assert np.mean(dsc[foretold >= threshold - 0.02] >= 0.7) < 0.9


def test_a_case_runs_end_to_end(small_ensemble: Ensemble, toy_case: Case) -> None:
    """CT with PET and seed, and CT alone, give arrays on the CT grid."""
    seed = (-50.0, 70.0, 12.0)
    for pet in (True, False):
        contour = contour_case(
            small_ensemble,
            toy_case.ct_hu,
            toy_case.ct_grid,
            toy_case.pet_suv if pet else None,
            toy_case.pet_grid if pet else None,
            seed,
        )
        assert contour.mask.shape == contour.uncertainty.shape == toy_case.ct_grid.shape
        assert contour.probability.min() >= 0
        assert contour.probability.max() <= 1


def test_a_ct_beyond_the_trained_field_is_refused(small_ensemble: Ensemble) -> None:
    """A whole body is refused rather than a bladder outlined."""
    grid = Grid((200, 30, 30), (5.0, 8.0, 8.0), (0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="trained field"):
        contour_case(small_ensemble, np.zeros(grid.shape), grid)
