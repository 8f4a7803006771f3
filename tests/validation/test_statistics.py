"""Intervals: exact values of tables, the peer's figures, and coverage that is measured."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.dose.uncertainty import calibrate
from tests.simulators.validation_runs import STARTED
from validation.criteria.document import Criteria, CriteriaError, Criterion
from validation.criteria.judging import judge
from validation.harness.results import CaseResult, Condition, RunResults
from validation.statistics.conformal import coverage, half_width
from validation.statistics.resampling import bias_corrected, bootstrap, of_difference, of_mean
from validation.statistics.shares import exact_share, wilson_share


def generator() -> np.random.Generator:
    """Return the same generator each time."""
    return np.random.default_rng(20261126)


def test_exact_intervals_are_those_of_the_tables() -> None:
    """Clopper and Pearson: 0 of 10 and 5 of 10, two-sided 95 %."""
    assert exact_share(0, 10) == pytest.approx((0.0, 0.30850), abs=1e-5)
    assert exact_share(5, 10) == pytest.approx((0.18709, 0.81291), abs=1e-5)


def test_score_intervals_are_those_of_the_tables() -> None:
    """Wilson: 0 of 10, 5 of 10 and 81 of 263 (Newcombe 1998, table I)."""
    assert wilson_share(0, 10) == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert wilson_share(5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)
    assert wilson_share(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 200), st.floats(0, 1))
def test_intervals_of_shares_hold_the_share(n: int, part: float) -> None:
    """Both lie in 0 to 1 around k of n, and agree with SciPy's."""
    hits = round(part * n)
    for found, method in ((exact_share(hits, n), "exact"), (wilson_share(hits, n), "wilson")):
        known = stats.binomtest(hits, n).proportion_ci(0.95, method=method)
        assert found == pytest.approx((known.low, known.high), abs=1e-9)
        assert 0 <= found[0] <= hits / n + 1e-12
        assert hits / n - 1e-12 <= found[1] <= 1


@pytest.mark.parametrize(("hits", "level"), [(1, 0.95), (9, 0.9)])
def test_an_exact_interval_covers_at_least_its_level(hits: int, level: float) -> None:
    """Over all outcomes of 10 patients the exact interval covers a true share as promised."""
    share = hits / 10
    mass = stats.binom.pmf(np.arange(11), 10, share)
    ends = [exact_share(k, 10, level) for k in range(11)]
    held = np.array([low <= share <= high for low, high in ends])
    assert float(mass[held].sum()) >= level


def test_corrected_intervals_are_those_of_scipy() -> None:
    """On skewed values BCa gives SciPy's ends within the scatter of the draws."""
    values = generator().lognormal(0, 0.8, 40)
    known = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    found = bias_corrected(list(values), generator(), 0.95, 40_000)
    assert found == pytest.approx((known.low, known.high), rel=0.01)
    plain = bootstrap(list(values), generator(), 0.95, 40_000)
    assert found[1] > plain[1] + 0.02  # the tail that the percentile interval cuts short


def test_corrected_and_plain_use_the_same_draws() -> None:
    """For symmetric values the two nearly agree, and for equal values they are one number."""
    values = list(np.concatenate([np.arange(1, 21), -np.arange(1, 21)]).astype(float))
    plain, found = (make(values, generator(), 0.95, 4000) for make in (bootstrap, bias_corrected))
    assert found == pytest.approx(plain, abs=0.25)
    assert bias_corrected([0.5] * 9, generator(), 0.95, 500) == (0.5, 0.5)
    assert bias_corrected([0.5], generator(), 0.95, 500) == (0.5, 0.5)


def test_a_quantile_can_be_corrected() -> None:
    """Any statistic of one value per patient has an interval around its estimate."""
    values = list(generator().normal(0, 1, 60))
    low, high = bias_corrected(
        values, generator(), 0.9, 2000, lambda d: np.quantile(d, 0.5, axis=1)
    )
    assert low < float(np.median(values)) < high


def test_the_mean_of_groups_and_of_patients_are_one_for_single_cases() -> None:
    """With one case of each patient the report's interval is that of the criteria's bootstrap."""
    values = list(generator().normal(0.8, 0.1, 12))
    names = [f"{number:02}" for number in range(12)]
    assert of_mean(values, names, generator()) == pytest.approx(
        bootstrap(values, generator(), 0.95, 2000)
    )


def test_a_difference_is_drawn_first_group_first() -> None:
    """The order of draws is fixed: results on record depend on it."""
    one, other, rng = np.arange(6.0), np.arange(4.0), generator()
    drawn = one[rng.integers(0, 6, (500, 6))].mean(axis=1)
    drawn = drawn - other[rng.integers(0, 4, (500, 4))].mean(axis=1)
    ends = np.quantile(drawn, [0.025, 0.975])
    assert of_difference(one, other, generator(), 0.95, 500) == pytest.approx(ends, rel=1e-12)


def test_conformal_intervals_cover_new_patients() -> None:
    """Over 4000 draws of 19 calibration patients the share held is 0.9, and no less."""
    rng, held = generator(), []
    for _ in range(4000):
        errors = rng.exponential(1.0, 20)
        width = half_width(list(errors[:19]), 0.1)
        assert width is not None
        held.append(bool(errors[19] <= width))
    found = coverage(held, 0.9)
    assert found.kept
    assert (found.n, found.low < 0.9 + 0.011) == (4000, True)
    assert found.hits / found.n == pytest.approx(0.9, abs=0.015)


def test_coverage_says_when_the_promise_is_broken() -> None:
    """Far fewer than promised is not kept; nothing measured rules nothing out."""
    assert not coverage([True] * 60 + [False] * 40, 0.9).kept
    assert coverage([True] * 86 + [False] * 14, 0.9).kept
    assert coverage([], 0.9).kept
    assert half_width([1.0] * 8, 0.1) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=40), st.sampled_from([0.05, 0.1, 0.2]))
def test_the_dose_intervals_are_the_same_rule(errors: list[float], alpha: float) -> None:
    """What the dose network was calibrated by is the half-width of this room."""
    made = calibrate({("PTV70", "D95%"): errors}, alpha, "sha256:x").half_width_gy
    assert made.get(("PTV70", "D95%")) == half_width(errors, alpha)


def _judged(**changes: object) -> tuple[float, float]:
    """Return the interval that criteria with these choices judge a mean by."""
    values = generator().beta(8, 1.5, 30)
    cases = tuple(
        CaseResult(f"c-{n:02}", f"p-{n:02}", "a", (), Condition(given="ct"), "done", (),
                   {"dsc": float(v)}, "")
        for n, v in enumerate(values)
    )  # fmt: skip
    run = RunResults("r", "d", "c", "k", "m", "held-out", 1, STARTED, STARTED, cases)
    items = (
        Criterion("mean", "floor", "why", metric="dsc", at_least=0.1),
        Criterion("share", "answered", "why", at_least=0.1),
    )
    criteria = Criteria("x", "held-out", items, purpose="p", known_before="n", **changes)  # type: ignore[arg-type]
    mean, share = judge(criteria, run, None, generator())
    assert mean.low is not None
    assert share.low is not None
    return mean.low, share.low


def test_criteria_choose_their_intervals() -> None:
    """Percentile and exact unless a document asks for the others; an unknown one is refused."""
    plain, other = _judged(), _judged(interval="bca", share_interval="wilson")
    assert plain == _judged(interval="percentile", share_interval="exact")
    assert other[0] < plain[0]  # the mean of a distribution with its tail below
    assert (plain[1], other[1]) == (exact_share(30, 30)[0], wilson_share(30, 30)[0])
    with pytest.raises(CriteriaError):
        _judged(interval="basic")
    with pytest.raises(CriteriaError):
        _judged(share_interval="wald")
    assert math.isfinite(other[0])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--margin 0.02 --deviation 0.05", 0, '"patients": 66'),
        ("--difference 0.02 --deviation 0.05 --power 0.8", 0, '"patients": 50'),
        ("--share 0.9", 0, '"patients": 36'),
        ("--margin 0.02 --deviation 0.05 --alpha 2", 1, "alpha below 0.5"),
        ("--margin 0.02 --deviation 0.05 --power 1", 1, "power below 1"),
        ("--margin -1 --deviation 0.05", 1, "a margin and a deviation above 0"),
        ("--margin 0.02 --deviation nan", 1, "a margin and a deviation above 0"),
        ("--share 1.5", 1, "a share and a level in 0 to 1"),
        ("--share 0.9 --alpha 0.6", 1, "a share and a level in 0 to 1"),
        ("--margin 0.02", 1, "--deviation"),
        ("--share 0.9 --margin 0.02 --deviation 0.05", 1, "--deviation"),
    ],
)
def test_a_size_is_said_or_the_fault_of_the_question(words: str, code: int, said: str) -> None:
    """Every question has a number of patients or a sentence, never a traceback."""
    command = [sys.executable, "-m", "adapters.cli.main", "cohort", "size", *words.split()]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert said in (done.stderr if code else done.stdout)
    assert "Traceback" not in done.stderr
