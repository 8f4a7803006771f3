"""Inputs of the contouring network: grids, resampling and channels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.contouring.inputs import (
    CHANNEL_GROUPS,
    CHANNELS,
    NETWORK_STRIDE,
    Grid,
    build_channels,
    covered,
    network_grid,
    resample,
    without,
)

CT = Grid((20, 40, 36), (3.27, 1.95, 1.95), (-800.0, -30.0, 12.0))


def _ramp(grid: Grid) -> np.ndarray:
    """Return 2 z - 3 y + x / 2 in millimetres on a grid."""
    z, y, x = np.meshgrid(*(grid.positions_mm(axis) for axis in range(3)), indexing="ij")
    return (2 * z - 3 * y + 0.5 * x).astype(np.float32)


@given(
    step=st.floats(1.0, 3.2),
    shift=st.floats(0.0, 10.0),
)
@settings(max_examples=25, deadline=None)
def test_linear_resampling_keeps_a_linear_field(step: float, shift: float) -> None:
    """A field that is linear in position is the same field on a finer grid."""
    source = Grid((16, 18, 20), (4.0, 4.0, 4.0), (-5.0, 3.0, 7.0))
    origin = (-5.0 + shift, 3.0 + shift, 7.0 + shift)
    target = Grid((12, 12, 12), (step, step, step), origin)
    inner = resample(_ramp(source), source, target)
    assert np.allclose(inner, _ramp(target), atol=2e-3)


def test_resampling_to_the_same_grid_changes_nothing() -> None:
    """The identity holds for both orders, exactly for the nearest voxel."""
    values = np.random.default_rng(0).normal(size=CT.shape).astype(np.float32)
    assert np.array_equal(resample(values, CT, CT, order=0), values)
    assert np.allclose(resample(values, CT, CT), values, atol=1e-6)


def test_coarser_resampling_does_not_alias() -> None:
    """A chequerboard becomes its mean on a grid of half the resolution, not one of its colours."""
    source = Grid((32, 32, 32), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    board = np.indices(source.shape).sum(axis=0) % 2
    target = Grid((12, 12, 12), (4.0, 4.0, 4.0), (8.0, 8.0, 8.0))
    assert np.allclose(resample(board, source, target), 0.5, atol=1e-6)


def test_outside_the_source_the_fill_value_stands() -> None:
    """A voxel whose centre is outside the source gets the fill value, `None` the border's."""
    target = Grid((3, 3, 3), (500.0, 500.0, 500.0), CT.origin_mm)
    ones = np.ones(CT.shape)
    assert np.isclose(resample(ones, CT, target, fill=-7.0)[0, 0, 0], 1.0)
    assert resample(ones, CT, target, fill=-7.0)[2, 2, 2] == -7.0
    assert np.allclose(resample(ones, CT, target), 1.0)
    assert covered(CT, target).sum() == 1


def test_network_grid_is_centred_and_divisible() -> None:
    """The network grid shares the CT's centre and its sizes are multiples of the stride."""
    grid = network_grid(CT.shape, CT.spacing_mm, CT.origin_mm)
    assert all(size % NETWORK_STRIDE == 0 for size in grid.shape)
    for axis in range(3):
        assert np.mean(grid.positions_mm(axis)) == pytest.approx(np.mean(CT.positions_mm(axis)))
        assert grid.extent_mm[axis] >= CT.extent_mm[axis] - 6.0


def test_channels_are_laid_out_as_named() -> None:
    """CT, PET and seed each fill their own channels, on the right scale and place."""
    grid = network_grid(CT.shape, CT.spacing_mm, CT.origin_mm)
    hot = np.full((8, 8, 8), 2.0)
    pet_grid = Grid((8, 8, 8), (5.0, 5.0, 5.0), (-790.0, -20.0, 20.0))
    seed = tuple(float(np.mean(CT.positions_mm(axis))) for axis in range(3))
    channels = build_channels(np.full(CT.shape, 45.0), CT, hot, pet_grid, seed, grid)
    assert channels.shape == (len(CHANNELS), *grid.shape)
    assert channels.dtype == np.float32
    named = dict(zip(CHANNELS, channels, strict=True))
    inside = covered(CT, grid)
    assert np.array_equal(named["ct_measured"] > 0, inside)
    assert np.allclose(named["ct_soft_tissue"][inside], 0.0, atol=1e-5)
    assert np.allclose(named["ct_soft_tissue"][~inside], -3.0)
    measured = named["pet_measured"] > 0
    assert np.array_equal(measured, covered(pet_grid, grid) & inside)
    assert np.allclose(named["pet_suv"][measured], np.log(3.0), atol=1e-5)
    assert np.allclose(named["pet_relative"][measured], 2.0, atol=1e-5)
    assert (named["pet_suv"][~measured] == 0).all()
    highest = np.unravel_index(named["seed"].argmax(), grid.shape)
    at = [grid.positions_mm(axis)[index] for axis, index in enumerate(highest)]
    assert np.abs(np.subtract(at, seed)).max() <= 3.01


def test_an_absent_source_is_zero_in_all_its_channels() -> None:
    """No PET and no seed look exactly as when they are taken away afterwards."""
    grid = network_grid(CT.shape, CT.spacing_mm, CT.origin_mm)
    ct = np.random.default_rng(1).normal(40, 20, CT.shape)
    plain = build_channels(ct, CT, None, None, None, grid)
    full = build_channels(ct, CT, np.ones(CT.shape), CT, (-780.0, 0.0, 40.0), grid)
    assert (plain[list(CHANNEL_GROUPS["pet"] + CHANNEL_GROUPS["seed"])] == 0).all()
    assert np.array_equal(without(without(full, "pet"), "seed"), plain)


def test_malformed_grids_and_arrays_are_refused() -> None:
    """A grid without size or spacing, a wrong shape, and half a PET are refused."""
    with pytest.raises(ValueError, match="spacings"):
        Grid((4, 4, 4), (0.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="sizes"):
        Grid((0, 4, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="shape"):
        resample(np.zeros((3, 3, 3)), CT, CT)
    with pytest.raises(ValueError, match="PET"):
        build_channels(np.zeros(CT.shape), CT, np.zeros(CT.shape), None, None, CT)
