"""The recipe's metrics against shapes whose answers are known."""

import numpy as np
import pytest

from models.training.contouring.metrics import dsc, score_contour

SPACING = (3.0, 2.0, 2.0)


def _box(start: int, stop: int) -> np.ndarray:
    """Return a mask that spans [start, stop) on every axis."""
    mask = np.zeros((30, 30, 30), dtype=bool)
    mask[start:stop, start:stop, start:stop] = True
    return mask


def test_equal_contours_are_perfect() -> None:
    """A contour equal to its reference has DSC 1, NSD 1, HD95 0 and no volume error."""
    score = score_contour(_box(5, 15), _box(5, 15), SPACING)
    assert (score.dsc, score.nsd_3mm, score.hd95_mm, score.volume_error_percent) == (1, 1, 0, 0)


def test_a_shifted_slab_has_known_distances() -> None:
    """A plate shifted by two rows has every distance at 4 mm or less and half its overlap."""
    reference = np.zeros((5, 30, 30), dtype=bool)
    reference[:, 10:14, :] = True
    shifted = np.roll(reference, 2, axis=1)
    score = score_contour(shifted, reference, SPACING)
    assert score.dsc == pytest.approx(0.5)
    assert score.hd95_mm == pytest.approx(4.0)
    assert 0.4 < score.nsd_3mm < 1.0
    assert score.volume_error_percent == 0.0


def test_nothing_found_scores_zero() -> None:
    """An empty contour has DSC 0, no HD95, and loses the whole volume."""
    score = score_contour(np.zeros((30, 30, 30), dtype=bool), _box(5, 15), SPACING)
    assert score.dsc == 0
    assert np.isnan(score.hd95_mm)
    assert score.volume_error_percent == -100


def test_an_empty_reference_is_refused() -> None:
    """There is no score against nothing."""
    empty = np.zeros((30, 30, 30), dtype=bool)
    assert dsc(empty, empty) == 1.0
    with pytest.raises(ValueError, match="empty"):
        score_contour(empty, empty, SPACING)
