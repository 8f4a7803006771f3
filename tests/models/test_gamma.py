"""γ is the true minimum over the interpolated dose, or that of samples in common use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from models.physics.gamma import GammaCriteria, Placement, gamma_index, same_grid

SPACING = (2.5, 2.0, 3.0)


def _two_doses(seed: int, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return two smooth random distributions that resemble each other."""
    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.random((5, 6, 7)), sigma) for _ in range(2)]
    first, second = (60 * (field - field.min()) / np.ptp(field) for field in fields)
    return first, 0.8 * first + 0.2 * second


def _by_fine_samples(
    reference: np.ndarray, evaluated: np.ndarray, criteria: GammaCriteria, fine: int
) -> np.ndarray:
    """Return γ from all places of a fine grid: never below the true minimum."""
    axes = [np.linspace(0, n - 1, (n - 1) * fine + 1) for n in evaluated.shape]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    dose = map_coordinates(evaluated, places.T, order=1)
    result = np.full(reference.shape, np.nan)
    full = reference.max()
    for index in np.argwhere(reference >= criteria.cutoff_percent / 100 * full):
        own = reference[tuple(index)]
        allowed = criteria.dose_percent / 100 * (own if criteria.local else full)
        away = ((places - index) * np.array(SPACING) / criteria.distance_mm) ** 2
        least = (away.sum(axis=1) + ((dose - own) / allowed) ** 2).min()
        result[tuple(index)] = min(np.sqrt(least), criteria.max_gamma)
    return result


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("sigma", [0.8, 1.5])
def test_no_place_of_a_fine_grid_gives_less(sigma: float, local: bool) -> None:
    """The minimum found is not above that of 1,000 places in every cell."""
    reference, evaluated = _two_doses(3, sigma)
    criteria = GammaCriteria(3, 3, local=local)
    found = gamma_index(reference, evaluated, same_grid(SPACING), criteria)
    fine = _by_fine_samples(reference, evaluated, criteria, 10)
    assert np.array_equal(np.isnan(found), np.isnan(fine))
    judged = ~np.isnan(fine)
    assert (found[judged] <= fine[judged] + 5e-3).all()
    assert np.median(fine[judged] - found[judged]) < 0.05


def test_samples_are_never_below_the_minimum_and_come_near_it() -> None:
    """γ by samples bounds the true γ from above, and more samples are closer."""
    reference, evaluated = _two_doses(5, 1.0)
    true = gamma_index(reference, evaluated, same_grid(SPACING), GammaCriteria(3, 3))
    judged = ~np.isnan(true)
    gaps = []
    for samples in (3, 10, 30):
        criteria = GammaCriteria(3, 3, samples=samples)
        found = gamma_index(reference, evaluated, same_grid(SPACING), criteria)
        assert (found[judged] >= true[judged] - 5e-3).all()
        gaps.append(float(np.mean(found[judged] - true[judged])))
    assert gaps[0] > gaps[1] > gaps[2]


@given(shift=st.floats(-2, 2), scale=st.floats(0.95, 1.05))
@settings(max_examples=25)
def test_a_slope_has_the_gamma_of_geometry(shift: float, scale: float) -> None:
    """On a linear dose γ is |ΔD| / sqrt(ΔD_allowed² + (slope Δd)²), exactly."""
    x = np.arange(40.0) * 2.0
    slope = 0.5
    reference = np.broadcast_to(20 + slope * x, (3, 30, 40)).copy()
    evaluated = np.broadcast_to(20 + slope * x + shift * scale, (3, 30, 40)).copy()
    criteria = GammaCriteria(3, 3, cutoff_percent=0, normalisation_gy=60.0)
    found = gamma_index(reference, evaluated, same_grid((2.0, 2.0, 2.0)), criteria)
    expected = abs(shift * scale) / np.hypot(1.8, slope * 3)
    assert found[1, 15, 10:30] == pytest.approx(expected, abs=1e-6)


def test_a_plane_in_space_counts_its_distance() -> None:
    """A reference plane 1.5 mm off the evaluated plane has γ 0.5 at 3 mm, doses being equal."""
    dose = np.full((1, 8, 8), 10.0)
    step = np.diag([1.0, 2.0, 2.0])
    placement = Placement(step, np.array([1.5, 0.0, 0.0]), (1.0, 2.0, 2.0))
    for samples in (None, 10):
        found = gamma_index(dose, dose, placement, GammaCriteria(3, 3, samples=samples))
        assert found == pytest.approx(0.5)


def test_beyond_the_grid_gamma_is_the_limit() -> None:
    """A point out of reach of the evaluated grid gets the search limit, not a pass."""
    dose = np.full((1, 8, 8), 10.0)
    placement = Placement(np.eye(3), np.array([0.0, 0.0, 100.0]), (1.0, 1.0, 1.0))
    for samples in (None, 10):
        criteria = GammaCriteria(3, 3, samples=samples)
        assert (gamma_index(dose, dose, placement, criteria) == 2.0).all()


def test_points_below_the_cutoff_are_not_judged() -> None:
    """The cutoff is a share of the reference maximum."""
    dose = np.zeros((1, 1, 4))
    dose[0, 0] = 1.0, 1.9, 2.0, 10.0
    found = gamma_index(dose, dose, same_grid((1, 1, 1)), GammaCriteria(3, 3, cutoff_percent=20))
    assert np.isnan(found[0, 0, :2]).all()
    assert (found[0, 0, 2:] == 0).all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"dose_percent": 0.0}, "positive"),
        ({"distance_mm": -1.0}, "positive"),
        ({"max_gamma": float("nan")}, "positive"),
        ({"cutoff_percent": 100.0}, "cutoff"),
        ({"normalisation_gy": 0.0}, "normalisation"),
    ],
)
def test_criteria_that_mean_nothing_are_refused(values: dict[str, float], words: str) -> None:
    """Each is refused with a word of what was expected."""
    given_values = {"dose_percent": 3.0, "distance_mm": 3.0} | values
    with pytest.raises(ValueError, match=words):
        GammaCriteria(**given_values)  # type: ignore[arg-type]


def test_doses_that_cannot_be_judged_are_refused() -> None:
    """No dose, a hole in it, and two axes are refused."""
    good = np.ones((2, 2, 2))
    for bad in (np.zeros((2, 2, 2)), np.full((2, 2, 2), np.nan), np.ones((2, 2))):
        with pytest.raises(ValueError, match="expected"):
            gamma_index(bad, good, same_grid((1, 1, 1)), GammaCriteria(3, 3))


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("offset", [(0.0, 0.0, 0.0), (0.4, -1.3, 2.2)])
def test_reading_rows_together_changes_nothing(
    planar: bool, offset: tuple[float, float, float]
) -> None:
    """A reference turned upside down, which is read point by point, has the same γ by samples."""
    rng = np.random.default_rng(11)
    shape = (1, 30, 41) if planar else (9, 14, 41)
    reference, evaluated = (60 * gaussian_filter(rng.random(shape), 1.2) for _ in range(2))
    offset = (0.0, *offset[1:]) if planar else offset
    criteria = GammaCriteria(2, 3, cutoff_percent=5, samples=6)
    together = Placement(np.diag(SPACING), np.array(offset), SPACING)
    found = gamma_index(reference, evaluated, together, criteria)
    last = np.add(offset, (0.0, (shape[1] - 1) * SPACING[1], 0.0))
    alone = Placement(np.diag([SPACING[0], -SPACING[1], SPACING[2]]), last, SPACING)
    turned = gamma_index(np.ascontiguousarray(reference[:, ::-1]), evaluated, alone, criteria)
    assert found == pytest.approx(turned[:, ::-1], abs=1e-9, nan_ok=True)
    assert len(np.unique(np.round(found, 6))) > 100


@given(seed=st.integers(0, 10_000), local=st.booleans(), samples=st.sampled_from([None, 10]))
@settings(max_examples=25, deadline=None)
def test_pass_or_fail_alone_is_the_same_decision(
    seed: int, local: bool, samples: int | None
) -> None:
    """A search that ends once a point passes passes the same points."""
    reference, evaluated = _two_doses(seed, 1.0)
    decisions = [
        gamma_index(
            reference,
            evaluated,
            same_grid(SPACING),
            GammaCriteria(2, 2, local=local, samples=samples, passing_only=only, max_gamma=limit),
        )
        <= 1
        for only, limit in ((False, 2.0), (True, 2.0), (True, 1.1))
    ]
    assert np.array_equal(decisions[0], decisions[1])
    assert np.array_equal(decisions[0], decisions[2])
    assert 0 < decisions[0].sum() < decisions[0].size
