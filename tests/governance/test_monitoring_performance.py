"""AUC and calibration slope of blocks: honest intervals, and no figure from too few."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from audit.errors import SuiteError
from governance.monitoring.performance import Block, Estimate, auc, blocks, calibration_slope

SEPARATION = float(np.sqrt(2) * norm.ppf(0.8))


def _binormal(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    events = generator.random(n) < 0.3
    return expit(generator.normal(size=n) + SEPARATION * events - 1), events


def test_intervals_cover_the_true_auc_and_slope() -> None:
    """400 blocks of 50, seed 5: each 95 % interval holds the truth in at least 90 %."""
    generator = np.random.default_rng(5)
    hits = {"auc": 0, "slope": 0}
    for _ in range(400):
        found = auc(*_binormal(50, generator))
        hits["auc"] += found.lower <= 0.8 <= found.upper
        x = generator.normal(-0.5, 1.5, 50)
        events = generator.random(50) < expit(0.2 + 0.6 * x)
        slope = calibration_slope(expit(x), events)
        hits["slope"] += slope.lower <= 0.6 <= slope.upper
    assert min(hits.values()) >= 360, hits


def test_a_perfect_order_still_has_an_interval() -> None:
    """An AUC of 1 among ten patients is no proof of 1; ties count one half."""
    stated = np.linspace(0.1, 0.9, 10)
    found = auc(stated, stated > 0.5)
    assert (found.value, found.upper) == (1.0, 1.0)
    assert found.lower < 0.85
    assert auc(np.full(6, 0.3), np.array([True, False] * 3)).value == 0.5
    with pytest.raises(SuiteError):
        auc(stated, np.zeros(10, dtype=bool))


def test_blocks_are_full_and_say_where_there_is_too_little() -> None:
    """120 patients make two blocks of 50; one with two events has no figure."""
    generator = np.random.default_rng(6)
    stated, events = _binormal(50, generator)
    few = np.array([True, True] + [False] * 48)
    p = [*stated.tolist(), *stated.tolist(), *stated[:20].tolist()]
    y = [*events.tolist(), *few.tolist(), *events[:20].tolist()]
    first, second = blocks(p, y)
    assert isinstance(first.auc, Estimate)
    assert second == Block(51, 100, 2, None, None)
    with pytest.raises(SuiteError):
        blocks(p, y[:-1])
