"""Every detector keeps its promise: a factor of expectation 1, a run length of at least A."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import beta

from audit.errors import SuiteError
from governance.monitoring.bounded_mean import BoundedMean
from governance.monitoring.categories import Categories
from governance.monitoring.conformal import (
    Ranks,
    bets,
    follow_ranks,
    rounded,
    stream_evidence,
    tie_break,
)
from governance.monitoring.embedding import reference_distance
from governance.monitoring.rates import Rate, rate_limit
from governance.monitoring.recalibration import Recalibration, fit_calibration, recalibrate
from governance.monitoring.run_length import (
    NEVER,
    delays,
    earliest,
    evidence_of,
    first_alarms,
    mean_run_length,
)
from governance.monitoring.sums import (
    Sums,
    combined,
    evidence,
    false_alarms_within,
    follow,
    threshold,
)
from governance.monitoring.tails import Tail, Tails, both_tails, falling, upper_tail


@given(st.floats(0.001, 0.999), st.floats(0.05, 0.95))
def test_a_recalibration_factor_is_a_fair_bet_at_every_probability(p: float, share: float) -> None:
    """The expectation over the label is 1, whatever was stated and whatever the prevalence."""
    detector = Recalibration(share)
    factors = detector.factors(np.array([[p, 0.0], [p, 1.0]]))
    np.testing.assert_allclose((1 - p) * factors[0] + p * factors[1], 1.0, rtol=1e-9)
    assert detector.weights.sum() == pytest.approx(1.0)


@given(st.floats(0.01, 0.9), st.floats(0.0, 1.0))
def test_a_rate_up_to_the_limit_is_never_a_good_bet(limit: float, share: float) -> None:
    """At any true rate below the limit the expectation is at most 1."""
    rate = limit * share
    factors = Rate(limit).factors(np.array([0.0, 1.0]))
    assert np.all((1 - rate) * factors[0] + rate * factors[1] <= 1 + 1e-9)


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8), st.floats(0.05, 0.95))
def test_a_mean_at_or_above_the_limit_is_never_a_good_bet(
    values: list[float], limit: float
) -> None:
    """For every distribution on [0, 1] whose mean is at least the limit."""
    x = np.asarray(values)
    x = x + max(0.0, limit - x.mean())  # values above 1 count as 1: keep to those that stay
    if x.max() > 1:
        return
    assert np.all(BoundedMean(limit).factors(x).mean(axis=0) <= 1 + 1e-9)


@settings(max_examples=60)
@given(
    st.lists(st.floats(0.01, 0.99), min_size=1, max_size=6, unique=True),
    st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6),
)
def test_a_tail_within_its_limits_is_never_a_good_bet(
    limits: list[float], shares: list[float]
) -> None:
    """For every distribution whose tails are no heavier than the limits, down to equality."""
    falling_limits = tuple(sorted(limits, reverse=True))
    tail = Tail(tuple(float(index) for index in range(len(limits))), falling_limits)
    tails = np.minimum.accumulate(
        [limit * share for limit, share in zip(falling_limits, shares, strict=False)]
    )
    chances = -np.diff(np.concatenate([[1.0], tails, [0.0]]))
    values = np.arange(len(limits) + 1) - 0.5
    factors = tail.factors(values, (0.1, 0.3, 0.6))
    assert np.all(chances @ factors <= 1 + 1e-9)
    worst = -np.diff(np.concatenate([[1.0], falling_limits, [0.0]]))
    np.testing.assert_allclose(worst @ factors, 1.0, rtol=1e-9)


def test_the_limits_of_a_tail_hold_as_often_as_stated() -> None:
    """Over reference windows of 30 values, also with ties, all limits hold in 90 % or more."""
    generator = np.random.default_rng(5)
    held = ties_held = 0
    for _ in range(400):
        tail = upper_tail(generator.random(30).tolist(), 0.1)
        held += all(1 - t <= u for t, u in zip(tail.thresholds, tail.limits, strict=True))
        dice = upper_tail(generator.integers(1, 7, 30).astype(float).tolist(), 0.1)
        ties_held += all(
            (6 - t) / 6 <= u for t, u in zip(dice.thresholds, dice.limits, strict=True)
        )
    assert min(held, ties_held) >= beta.ppf(0.001, 360, 41) * 400


def test_ranks_are_fair_and_the_same_by_either_way() -> None:
    """A bet on a uniform rank has expectation 1; case by case and vectorised agree."""
    grid = (np.arange(200_000) + 0.5) / 200_000
    means = bets(grid).mean(axis=0)
    assert np.all(means <= 1.0)
    assert means[2] == pytest.approx(1.0, abs=5e-3)  # epsilon 0.6; smaller ones converge slowly
    generator = np.random.default_rng(6)
    reference, values = generator.normal(size=(1, 40)), generator.normal(size=(1, 30)) + 1
    u = np.array([[tie_break(str(case)) for case in range(30)]])
    ranks, found = Ranks.from_reference(reference[0].tolist()), []
    for case, value in enumerate(values[0]):
        ranks = follow_ranks(ranks, float(value), str(case))
        found.append(ranks.evidence)
    np.testing.assert_allclose(found, stream_evidence(reference, values, u)[0], rtol=1e-9)
    assert follow_ranks(ranks, float("nan"), "x") is ranks
    assert sum(ranks.counts) == 70


def test_two_digits_do_not_depend_on_the_data() -> None:
    """Rounding is a rule of the number alone, for both signs and for zero."""
    given_values = np.array([0.0, 3.14159, -3.14159, 1234.0, 0.00098765])
    assert rounded(given_values).tolist() == [0.0, 3.1, -3.1, 1200.0, 0.00099]


def _quiet(name: str, generator: np.random.Generator, count: int, cases: int) -> np.ndarray:
    """Return the evidence of a detector over streams in which nothing changes."""
    if name == "recalibration":
        p = expit(generator.normal(logit(0.3), 1.2, (count, cases)))
        y = generator.random((count, cases)) < p
        return evidence_of(Recalibration(0.3), np.stack([p, y], axis=-1))
    if name == "rate":
        return evidence_of(Rate(0.1), (generator.random((count, cases)) < 0.1).astype(float))
    if name == "mean":
        return evidence_of(BoundedMean(0.8), generator.beta(8, 2, (count, cases)))
    if name == "ranks":
        reference = generator.normal(size=(count, 30))
        values = generator.normal(size=(count, cases))
        return stream_evidence(reference, values, generator.random((count, cases)))
    limits = beta.ppf(0.5, [15, 5, 1], [15, 25, 30])
    tails = Tails(Tail(tuple(1 - limits), tuple(limits)), None)  # limits that are exactly true
    return evidence_of(tails, generator.random((count, cases)))


@pytest.mark.parametrize("name", ["recalibration", "rate", "mean", "ranks", "tails"])
def test_alarm_at_a_means_a_run_length_of_a(name: str) -> None:
    """At A = 100, streams of 400 cases, 300 of them: the mean run length is at least 100."""
    evidences = _quiet(name, np.random.default_rng(7), 300, 400)
    alarms = first_alarms(evidences, 100.0)
    cut_short = np.where(alarms == NEVER, 400, alarms)  # a lower bound of the true mean
    assert cut_short.mean() + 2.6 * cut_short.std() / np.sqrt(300) >= 100
    early = np.mean((alarms != NEVER) & (alarms <= 20))
    assert early <= false_alarms_within(20, 100) + 2.6 * np.sqrt(0.2 * 0.8 / 300)


def test_an_auc_that_fell_is_found_and_one_that_holds_is_not() -> None:
    """Labels that no longer depend on the score alarm; calibrated ones do not, at A = 2,000."""
    generator = np.random.default_rng(8)
    p = expit(generator.normal(logit(0.3), 1.2, (100, 300)))
    held = np.stack([p, generator.random(p.shape) < p], axis=-1)
    lost = np.stack([p, generator.random(p.shape) < 0.3], axis=-1)
    detector = Recalibration(0.3)
    assert np.median(first_alarms(evidence_of(detector, lost), 2000.0)) < 60
    assert np.mean(first_alarms(evidence_of(detector, held), 2000.0) != NEVER) <= 0.15


def test_calibration_is_fitted_on_a_local_window() -> None:
    """Slope and intercept of a known distortion come back, and too few outcomes are refused."""
    generator = np.random.default_rng(9)
    x = generator.normal(-0.8, 1.5, 4000)
    y = generator.random(4000) < expit(0.4 + 0.7 * x)
    intercept, slope = fit_calibration(expit(x), y)
    assert (intercept, slope) == (pytest.approx(0.4, abs=0.12), pytest.approx(0.7, abs=0.08))
    assert recalibrate(0.5, intercept, slope) == pytest.approx(expit(intercept))
    with pytest.raises(SuiteError, match="both outcomes"):
        fit_calibration(expit(x[:30]), np.zeros(30))


def test_a_new_scanner_is_new_and_a_moved_mix_is_found() -> None:
    """An unseen category alarms in ten cases at A = 2,000; a frequent one stays quiet."""
    reference = ["A"] * 30 + ["B"] * 21
    detector = Categories.from_reference(reference, 0.01)
    new = np.full((1, 10), detector.code("C"))
    assert first_alarms(evidence_of(detector, new), 2000.0)[0] not in (NEVER, 0)
    moved = np.full((1, 60), detector.code("B"))
    assert first_alarms(evidence_of(detector, moved), 2000.0)[0] != NEVER
    shuffled = np.random.default_rng(4).permutation(reference)
    mixed = np.array([[detector.code(str(name)) for name in shuffled]])
    assert evidence_of(detector, mixed).max() < 200
    only = Categories.from_reference(["CT"] * 30, 0.01)
    assert only.weights.sum() == pytest.approx(1.0)
    assert evidence_of(only, np.zeros((1, 500))).max() < 20


def test_an_embedding_that_moved_is_far_away() -> None:
    """Half of the window measures, the other half limits; a moved encoder output alarms."""
    generator = np.random.default_rng(10)
    rows = generator.normal(size=(80, 6))
    distance, detector = reference_distance(rows.tolist(), 0.01)
    quiet = distance.of(generator.normal(size=(1, 40, 6)))
    moved = distance.of(generator.normal(size=(1, 40, 6)) + 4)
    assert first_alarms(evidence_of(detector, quiet), 2000.0)[0] == NEVER
    assert 0 < first_alarms(evidence_of(detector, moved), 2000.0)[0] <= 10
    with pytest.raises(SuiteError, match="embeddings"):
        reference_distance(rows[:30].tolist(), 0.01)


def test_case_by_case_is_the_same_as_all_at_once() -> None:
    """Sums kept as numbers between cases give what the streams give; NaN changes nothing."""
    generator = np.random.default_rng(11)
    reference = generator.normal(size=60).tolist()
    detector = falling(reference, 0.01)
    values = generator.normal(size=25) - 1
    sums = Sums.start(len(detector.weights))
    for value in values:
        sums = follow(detector, sums, float(value))
    assert follow(detector, sums, float("nan")) is sums
    expected = evidence_of(detector, values[np.newaxis])[0, -1]
    assert evidence(detector, sums) == pytest.approx(expected)
    assert sums.n == 25


def test_detectors_share_one_bound() -> None:
    """Weights that sum to more than 1 are refused; thresholds grow with the number that share."""
    assert combined({"a": 10.0}, {"a": 0.5, "b": 0.5}) == 5.0
    with pytest.raises(SuiteError, match="at most 1"):
        combined({"a": 1.0}, {"a": 0.6, "b": 0.6})
    with pytest.raises(SuiteError, match="no"):
        combined({"c": 1.0}, {"a": 1.0})
    assert threshold(2000, 0.1) == 40_000
    assert threshold(2000, 1.0, 0.5) == 4000
    with pytest.raises(SuiteError, match="weight"):
        threshold(2000, 0.0)


def test_both_sides_of_a_number_are_watched() -> None:
    """A shift of three sigma up or down is found within ten cases of a window of 100."""
    generator = np.random.default_rng(12)
    detector = both_tails(generator.normal(size=100).tolist(), 0.01)
    for sign in (-4, 4):
        stream = generator.normal(size=(1, 15)) + sign
        assert 0 < first_alarms(evidence_of(detector, stream), 2000.0)[0] <= 10
    with pytest.raises(SuiteError, match="reference values"):
        both_tails([1.0] * 5, 0.01)
    assert rate_limit(30, 30, 0.05) == 1.0


def test_delays_count_only_streams_that_were_quiet() -> None:
    """Alarms before the change are false; delays are of the rest, infinite where none came."""
    found = delays(np.array([5, 12, 15, NEVER]), 10)
    assert (found.streams, found.false_share, found.median) == (3, 0.25, 5.0)
    assert found.found_share == pytest.approx(2 / 3)
    assert earliest([np.array([0, 3]), np.array([7, 5])]).tolist() == [7, 3]
    value, least, most = mean_run_length(np.array([50, NEVER]), 100)
    assert least < value == 150.0 < most
