"""Pooling over sites: against numbers worked by hand, and laws that it obeys."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from audit.errors import RecordError
from validation.pooling.disclosure import SMALLEST, tellable, tells_of_few
from validation.pooling.effects import SiteEffect, pool


def _effects(*rows: tuple[float, float]) -> list[SiteEffect]:
    return [SiteEffect(f"s{i}", value, error, 20) for i, (value, error) in enumerate(rows)]


def test_three_sites_by_hand() -> None:
    """Values 1, 2, 6 with variance 1 each: every step is worked out in the comments."""
    pooled = pool(_effects((1.0, 1.0), (2.0, 1.0), (6.0, 1.0)))
    # w = 1, mean 3: Q = 4 + 1 + 9 = 14; C = 3 - 3/3 = 2; tau2 = (14 - 2) / 2 = 6
    assert pooled.q == pytest.approx(14.0)
    assert pooled.tau2 == pytest.approx(6.0)
    assert pooled.i2 == pytest.approx(12 / 14)
    # w* = 1/7 each: mean 3; q* = (14/7)/2 = 1; Var = 1 / (3/7) = 7/3
    assert pooled.value == pytest.approx(3.0)
    half = stats.t.ppf(0.975, 2) * math.sqrt(7 / 3)
    assert (pooled.low, pooled.high) == pytest.approx((3 - half, 3 + half))
    assert pooled.predicted is not None
    wide = stats.t.ppf(0.975, 1) * math.sqrt(6 + 7 / 3)
    assert pooled.predicted == pytest.approx((3 - wide, 3 + wide))
    # Q(tau2) = 14 / (1 + tau2): the profile is 14 / quantile - 1
    low, high = (14 / stats.chi2.ppf(q, 2) - 1 for q in (0.975, 0.025))
    assert (pooled.tau2_low, pooled.tau2_high) == pytest.approx((low, high))
    assert pooled.i2_high == pytest.approx(high / (high + 1))
    assert pooled.q_p == pytest.approx(math.exp(-7))  # chi2 with 2 degrees: exp(-Q/2)
    assert pooled.weights == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_sites_that_agree_have_no_heterogeneity_and_no_narrower_interval() -> None:
    """Equal means give tau2 = 0; the interval is that of a t with the plain variance."""
    pooled = pool(_effects((0.8, 0.02), (0.8, 0.04)))
    assert (pooled.tau2, pooled.i2, pooled.predicted) == (0.0, 0.0, None)
    variance = 1 / (1 / 0.02**2 + 1 / 0.04**2)
    half = stats.t.ppf(0.975, 1) * math.sqrt(variance)
    assert pooled.high - pooled.value == pytest.approx(half)
    assert pooled.weights == pytest.approx((0.8, 0.2))


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 2)), min_size=2, max_size=6),
    st.floats(-3, 3),
)
def test_pooling_moves_with_its_values_and_knows_no_order(
    rows: list[tuple[float, float]], shift: float
) -> None:
    """Order of sites changes nothing, a shift of all moves all, intervals hold their value."""
    one, other = pool(_effects(*rows)), pool(_effects(*reversed(rows)))
    moved = pool(_effects(*((value + shift, error) for value, error in rows)))
    assert other.value == pytest.approx(one.value, abs=1e-9)
    assert other.tau2 == pytest.approx(one.tau2, rel=1e-6, abs=1e-9)
    assert moved.value == pytest.approx(one.value + shift, abs=1e-7)
    assert one.low <= one.value <= one.high
    assert one.tau2_low <= one.tau2 <= one.tau2_high
    assert 0 <= one.i2_low <= one.i2_high <= 1
    assert sum(one.weights) == pytest.approx(1.0)


@pytest.mark.parametrize("row", [(math.nan, 0.1, 9), (0.5, 0.0, 9), (0.5, 0.1, 1)])
def test_a_site_without_an_error_is_refused(row: tuple[float, float, int]) -> None:
    """No mean without its standard error, and none of one patient."""
    with pytest.raises(RecordError):
        SiteEffect("s", *row)
    with pytest.raises(RecordError):
        pool(_effects((0.5, 0.1)))


def _people(count: int, prefix: str = "p") -> frozenset[str]:
    return frozenset(f"{prefix}{number}" for number in range(count))


def test_a_difference_of_told_groups_tells_nothing_of_a_few() -> None:
    """A complement, a remainder of several groups and a chain of sums are all found."""
    women, men, children = _people(8, "w"), _people(8, "m"), _people(3, "c")
    everybody = women | men | children
    groups = {"all": everybody, "women": women, "men": men, "children": children}
    told = tellable(groups)
    assert "children" not in told
    assert len(told & {"women", "men"}) == 1  # both and all would leave the three
    assert "all" in told
    assert tells_of_few({"all": everybody, "women": women, "men": men})
    assert not tells_of_few({"women": women, "men": men})


@given(st.lists(st.frozensets(st.integers(0, 15)), min_size=1, max_size=5))
def test_what_is_told_tells_of_no_few(memberships: list[frozenset[int]]) -> None:
    """Every told group, difference and union of differences has five patients or none."""
    groups = {f"g{i}": frozenset(map(str, item)) for i, item in enumerate(memberships)}
    told = tellable(groups)
    assert all(len(groups[name]) >= SMALLEST for name in told)
    for one in told:
        for other in told:
            if groups[one] < groups[other]:
                assert len(groups[other] - groups[one]) >= SMALLEST
