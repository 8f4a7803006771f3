"""Dose-volume histograms of shapes whose volume and dose are known by formula."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.physics.dvh import DoseVolumeHistogram
from models.physics.dvh_sampling import ContourPlane, DoseGrid, dose_volume_histogram

SPACING = 3.0
SLOPE = (0.2, 0.1, 0.0)  # Gy/mm along plane, row, column


def _grid(middle: float = 30.0) -> DoseGrid:
    """Return a dose that rises linearly; places count from its centre."""
    index = np.mgrid[:81, :91, :91] - np.array([40, 45, 45]).reshape(3, 1, 1, 1)
    dose = middle + sum(s * SPACING * axis for s, axis in zip(SLOPE, index, strict=True))
    to_index = np.hstack([np.eye(3) / SPACING, np.array([[40.0], [45.0], [45.0]])])
    return DoseGrid.of(np.maximum(dose, 0.0), to_index)


GRID = _grid()


def _ellipsoid(
    plane: float, row: float, column: float, phase: float, gap: float = SPACING
) -> list[ContourPlane]:
    """Return the contours of an ellipsoid of these half axes."""
    turn = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    found = []
    for place in (np.arange(-80, 81) + phase) * gap:
        left = 1 - (place / plane) ** 2
        if left > 0:
            r = math.sqrt(left)
            points = np.stack([row * r * np.sin(turn), column * r * np.cos(turn)], axis=1)
            found.append(ContourPlane(float(place), (points,)))
    return found


def _cap(share: float) -> float:
    """Return u in [-1, 1]: the part of a sphere above u has that share, (2 + u)(1 - u)²/4."""
    low, high = -1.0, 1.0
    for _ in range(60):
        u = (low + high) / 2
        low, high = (u, high) if (2 + u) * (1 - u) ** 2 / 4 > share else (low, u)
    return low


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("axes", [(20, 20, 20), (30, 10, 12), (100, 110, 105), (8, 8, 8)])
def test_ellipsoid(axes: tuple[float, float, float], phase: float) -> None:
    """Volume within 0.2 %, D0.1cc and D95% within 0.1 Gy of the formula."""
    found = dose_volume_histogram(_ellipsoid(*axes, phase), GRID)
    volume = 4 / 3 * math.pi * math.prod(axes)
    assert found.total_mm3 == pytest.approx(volume, rel=2e-3)
    swing = math.sqrt(sum((s * a) ** 2 for s, a in zip(SLOPE, axes, strict=True)))
    assert found.mean_gy == pytest.approx(30.0, abs=0.01)
    assert found.dose_at_volume_gy(100.0) == pytest.approx(30 + swing * _cap(100 / volume), abs=0.1)
    assert found.dose_at_percent_gy(95) == pytest.approx(30 + swing * _cap(0.95), abs=0.1)
    half = found.volume_at_dose_mm3(30.0)
    assert half == pytest.approx(volume / 2, rel=0.01)
    assert found.outside_mm3 == 0.0


def test_cylinder_ends_are_flat() -> None:
    """Ten equal planes are ten spacings thick: half a spacing beyond each end."""
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ring = np.stack([20 * np.sin(turn), 20 * np.cos(turn)], axis=1)
    planes = [ContourPlane(k * SPACING, (ring,)) for k in range(10)]
    found = dose_volume_histogram(planes, GRID)
    assert found.total_mm3 == pytest.approx(math.pi * 400 * 10 * SPACING, rel=1e-3)


def test_hole_and_island() -> None:
    """A contour in a contour is a hole, one in that an island."""
    rings = [np.array([[-s, -s], [-s, s], [s, s], [s, -s]], float) for s in (20.0, 10.0, 5.0)]
    planes = [ContourPlane(k * SPACING, tuple(rings)) for k in range(5)]
    found = dose_volume_histogram(planes, GRID)
    assert found.total_mm3 == pytest.approx((1600 - 400 + 100) * 5 * SPACING, rel=5e-3)


def test_parts_with_a_gap_have_their_own_ends() -> None:
    """Planes that are missing part the region: nothing is filled in."""
    square = np.array([[-10, -10], [-10, 10], [10, 10], [10, -10]], float)
    planes = [ContourPlane(k * SPACING, (square,)) for k in (0, 1, 2, 6, 7, 8)]
    found = dose_volume_histogram(planes, GRID)
    assert found.total_mm3 == pytest.approx(400 * 6 * SPACING, rel=1e-3)


def test_one_plane_needs_its_spacing() -> None:
    """A region of one plane is one spacing thick, or is refused without one."""
    square = np.array([[-10, -10], [-10, 10], [10, 10], [10, -10]], float)
    with pytest.raises(ValueError, match="spacing"):
        dose_volume_histogram([ContourPlane(0.0, (square,))], GRID)
    found = dose_volume_histogram([ContourPlane(0.0, (square,))], GRID, plane_spacing_mm=3.0)
    assert found.total_mm3 == pytest.approx(1200, rel=1e-6)


def test_volume_outside_the_grid_is_named() -> None:
    """Half of a region beyond the dose grid counts as no dose, and is told."""
    square = np.array([[-10, 125], [-10, 145], [10, 145], [10, 125]], float)
    planes = [ContourPlane(k * SPACING, (square,)) for k in range(4)]
    found = dose_volume_histogram(planes, GRID)
    assert found.outside_mm3 == pytest.approx(found.total_mm3 / 2, rel=0.01)
    assert found.least_gy == 0.0


@given(turn=st.floats(0.05, 1.5), tilt=st.floats(-0.6, 0.6))
@settings(max_examples=10, deadline=None)
def test_contours_across_the_grid_give_the_same(turn: float, tilt: float) -> None:
    """Contours turned against the dose grid see the same linear dose: the figures are equal."""
    about = np.array(
        [[1, 0, 0], [0, math.cos(turn), math.sin(turn)], [0, -math.sin(turn), math.cos(turn)]]
    )
    lean = np.array(
        [[math.cos(tilt), math.sin(tilt), 0], [-math.sin(tilt), math.cos(tilt), 0], [0, 0, 1]]
    )
    rotation = about @ lean
    to_index = np.hstack([rotation / SPACING, np.array([[40.0], [45.0], [45.0]])])
    found = dose_volume_histogram(_ellipsoid(18, 18, 18, 0.2), replace(GRID, to_index=to_index))
    straight = dose_volume_histogram(_ellipsoid(18, 18, 18, 0.2), GRID)
    assert found.total_mm3 == pytest.approx(straight.total_mm3, rel=1e-9)
    assert found.mean_gy == pytest.approx(30.0, abs=0.01)
    for volume in (100.0, 1000.0, 20_000.0):
        dose = straight.dose_at_volume_gy(volume)
        assert found.dose_at_volume_gy(volume) == pytest.approx(dose, abs=0.03)


def test_a_steep_dose_is_spread_and_not_sampled() -> None:
    """In a cube with 20 Gy from one voxel to the next, V_x is a straight line at every bin."""
    square = np.array([[-6, -6], [-6, 6], [6, 6], [6, -6]], float)
    planes = [ContourPlane(k * SPACING, (square,)) for k in range(-2, 3)]
    index = np.arange(91.0) - 45
    dose = np.broadcast_to(40 + 20.0 * np.clip(index, -2, 2), (81, 91, 91))
    found = dose_volume_histogram(planes, DoseGrid.of(dose, GRID.to_index))
    edges, above = found.cumulative_mm3()
    expected = 144 * 15.0 * (1 - edges / 80.0)
    assert above == pytest.approx(np.maximum(expected, 0.0), abs=144 * 15 * 2e-4)
    assert (found.least_gy, found.most_gy) == pytest.approx((0.0, 80.0))


def test_no_contour_gives_an_empty_histogram() -> None:
    """Nothing to measure is no number."""
    found = dose_volume_histogram([], GRID)
    assert found.total_mm3 == 0.0
    assert math.isnan(found.mean_gy)
    assert math.isnan(found.dose_at_percent_gy(95))


doses = st.lists(st.floats(0, 80), min_size=1, max_size=60)


def _of(values: list[float]) -> DoseVolumeHistogram:
    """Return the histogram of samples of 10 mm³ each."""
    bins = np.bincount((np.array(values) / 0.01).astype(int), minlength=8002) * 10.0
    return DoseVolumeHistogram(bins, 0.01, min(values), max(values), float(np.mean(values)), 0.0)


@given(values=doses, percent=st.floats(0, 100))
@settings(max_examples=80)
def test_dose_and_volume_are_inverse(values: list[float], percent: float) -> None:
    """At least x % receives D_x%, up to one bin."""
    found = _of(values)
    dose = found.dose_at_percent_gy(percent)
    assert found.least_gy <= dose <= found.most_gy
    held = found.volume_at_dose_mm3(max(dose - 0.0101, 0.0))
    assert held >= percent / 100 * found.total_mm3 - 1e-6


@given(values=doses)
@settings(max_examples=60)
def test_geud_lies_between_the_extremes_and_grows(values: list[float]) -> None:
    """a = 1 is the mean; a larger exponent weighs hot spots more."""
    found = _of(values)
    low, mean, high = (found.geud_gy(a) for a in (-10, 1, 10))
    assert mean == pytest.approx(found.mean_gy, abs=0.011)
    assert found.least_gy - 1e-6 <= low <= mean + 0.011
    assert mean - 0.011 <= high <= found.most_gy + 1e-6


def test_figures_that_mean_nothing_are_refused() -> None:
    """Shares beyond 100 %, negative volumes and a = 0 are refused."""
    found = _of([1.0, 2.0])
    for call in (
        lambda: found.dose_at_percent_gy(101),
        lambda: found.dose_at_volume_gy(-1),
        lambda: found.geud_gy(0),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
    assert math.isnan(found.dose_at_volume_gy(1e9))


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_the_dose_keeps_its_precision_and_a_damaged_one_is_refused(precision: type) -> None:
    """Single precision is read as it is; NaN, infinity, no voxel and two axes are refused."""
    grid = DoseGrid.of(GRID.dose_gy.astype(precision), GRID.to_index)
    assert grid.dose_gy.dtype == precision
    found = dose_volume_histogram(_ellipsoid(10, 12, 14, 0.1), grid)
    assert found.mean_gy == pytest.approx(30.0, abs=0.01)
    for bad in (np.nan, np.inf, -np.inf):
        dose = GRID.dose_gy.astype(precision)
        dose[3, 4, 5] = bad
        with pytest.raises(ValueError, match="finite"):
            DoseGrid.of(dose, GRID.to_index)
    for shape in ((0, 3, 3), (3, 3)):
        with pytest.raises(ValueError, match="three dimensions"):
            DoseGrid.of(np.zeros(shape, precision), GRID.to_index)
