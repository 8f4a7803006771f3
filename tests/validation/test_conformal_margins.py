"""A margin keeps the share that it promises, and says where it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulators.validation_runs import results
from validation.metrics.segmentation import MARGINS_MM
from validation.report.margins import margins
from validation.statistics.resampling import of_mean
from validation.uncertainty.margins import risk_controlled


def _losses(generator: np.random.Generator, count: int) -> np.ndarray:
    """Return shares that fall along the radii, at another pace for each patient."""
    pace = generator.gamma(2.0, 2.0, size=(count, 1))
    return np.exp(-np.asarray(MARGINS_MM, float)[None] / pace) * generator.uniform(
        0.2, 1.0, size=(count, 1)
    )


@pytest.mark.reg("AIA-15.1")
def test_the_expected_share_is_kept() -> None:
    """Over 400 samples of 34 patients a new one misses at most a tenth in the mean, but not much
    less: the ladder is fine enough."""
    generator = np.random.default_rng(20261126)
    missed = []
    for _ in range(400):
        known, new = _losses(generator, 34), _losses(generator, 1)[0]
        found = risk_controlled(known, MARGINS_MM, 0.1)
        assert found.margin_mm is not None
        missed.append(new[MARGINS_MM.index(int(found.margin_mm))])
    assert 0.04 < np.mean(missed) <= 0.1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(12, 40))
def test_less_risk_asks_for_more_margin(seed: int, count: int) -> None:
    """The bound is kept by the least radius of the ladder; a smaller share needs no smaller one."""
    losses = _losses(np.random.default_rng(seed), count)
    wide, narrow = (risk_controlled(losses, MARGINS_MM, alpha) for alpha in (0.1, 0.3))
    assert narrow.margin_mm is not None
    assert wide.margin_mm is None or wide.margin_mm >= narrow.margin_mm
    place = MARGINS_MM.index(int(narrow.margin_mm))
    bound = (losses.sum(axis=0) + 1) / (count + 1)
    assert bound[place] <= 0.3
    assert place == 0 or bound[place - 1] > 0.3


def test_too_few_patients_have_no_margin() -> None:
    """Eight patients cannot promise a tenth, however well they did."""
    found = risk_controlled(np.zeros((8, len(MARGINS_MM))), MARGINS_MM, 0.1)
    assert found.margin_mm is None
    assert np.isnan(found.missed).all()


def test_losses_that_cannot_be_are_refused() -> None:
    """Shares above one, growing with the radius, or not finite."""
    for wrong in ([[1.2, 0.0]], [[0.1, 0.2]], [[np.nan, 0.0]]):
        with pytest.raises(ValueError, match="expected losses"):
            risk_controlled(np.asarray(wrong), (0, 1), 0.1)


def test_a_report_tells_margin_and_what_it_missed() -> None:
    """A row for each input and share; the same run gives the same row."""
    run, shares = results(30), _losses(np.random.default_rng(7), 400)
    names = [f"missed_share_at_{radius}mm" for radius in MARGINS_MM]
    cases = tuple(
        replace(item, metrics={**item.metrics, **dict(zip(names, share.tolist(), strict=True))})
        for item, share in zip(run.cases, shares, strict=False)
    )
    run = replace(run, cases=cases)
    rows = margins(run.cases, run.seed, of_mean)
    assert {row["alpha"] for row in rows} == {0.05, 0.1}
    assert rows == margins(run.cases, run.seed, of_mean)
    assert all(row["n"] == row["left_out"] == 30 for row in rows)
    assert any(row["margin_mm"] is not None and 0 < row["missed"] <= 0.15 for row in rows)
