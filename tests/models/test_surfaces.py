"""Surface distances against answers that are known: spheres, boxes, shifts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.physics.agreement import added_path_length_mm, compare_masks
from models.physics.surface import piece_areas, surface_pieces

SIZE = 64


def _sphere(
    radius_mm: float,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> NDArray[np.bool_]:
    axes = [(np.arange(SIZE) - SIZE / 2 + 0.23) * step for step in spacing_mm]
    grid = np.meshgrid(*axes, indexing="ij")
    squares = sum((axis - offset) ** 2 for axis, offset in zip(grid, shift_mm, strict=True))
    return np.asarray(squares <= radius_mm**2, dtype=np.bool_)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.5, 0.8, 0.8)])
def test_a_sphere_has_the_area_of_a_sphere(spacing: tuple[float, float, float]) -> None:
    """4 pi r², within 13 %, although the voxels make a staircase of half as much again."""
    codes = surface_pieces(_sphere(20.0, spacing)).codes
    assert piece_areas(spacing)[codes].sum() == pytest.approx(4 * math.pi * 20**2, rel=0.13)


def test_concentric_spheres() -> None:
    """Radii 20 and 23 mm: 3 mm apart everywhere, volumes and overlap by formula."""
    found = compare_masks(_sphere(20.0), _sphere(23.0), (1.0, 1.0, 1.0), 1.5)
    assert found.hd95_mm == pytest.approx(3.0, abs=0.7)
    assert found.surface_dice == pytest.approx(0.0, abs=0.01)
    small, large = (4 / 3 * math.pi * r**3 / 1000 for r in (20, 23))
    assert found.volume_ml == pytest.approx(small, rel=0.01)
    assert found.volume_difference_ml == pytest.approx(small - large, rel=0.02)
    assert found.dsc == pytest.approx(2 * small / (small + large), abs=0.005)
    wide = compare_masks(_sphere(20.0), _sphere(23.0), (1.0, 1.0, 1.0), 4.0)
    assert wide.surface_dice == 1.0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shifted_sphere(axis: int) -> None:
    """A shift by d: DSC by the lens formula, and HD95 where 95 % of the sphere lies nearer.

    The distance of a point at angle t from the axis of the shift to the other sphere is
    about d |cos t|, and cos t is uniform on a sphere: its 95th percentile is 0.95 d.
    """
    radius, shift = 18.0, 6.0
    offset = tuple(shift if i == axis else 0.0 for i in range(3))
    found = compare_masks(_sphere(radius), _sphere(radius, shift_mm=offset), (1.0, 1.0, 1.0), 2.5)
    lens = 1 - 3 * shift / (4 * radius) + shift**3 / (16 * radius**3)
    assert found.dsc == pytest.approx(lens, abs=0.01)
    assert found.hd95_mm == pytest.approx(0.95 * shift, abs=0.6)
    # |cos t| <= 2.5/6 on that share of the area; a lattice is up to half a voxel nearer
    assert found.surface_dice == pytest.approx(2.5 / 6, abs=0.12)
    assert found.volume_difference_ml == pytest.approx(0.0, abs=0.3)


def test_added_path_length_of_boxes() -> None:
    """A new square of 10 x 10 pixels in each of 5 planes: 36 contour pixels of 0.9 mm each."""
    empty = np.zeros((8, 20, 20), dtype=np.bool_)
    box = empty.copy()
    box[2:7, 5:15, 5:15] = True
    assert added_path_length_mm(empty, box, (3.0, 0.9, 0.9)) == pytest.approx(5 * 36 * 0.9)
    assert added_path_length_mm(box, box, (3.0, 0.9, 0.9)) == 0.0
    assert added_path_length_mm(box, empty, (3.0, 0.9, 0.9)) == 0.0
    moved = np.roll(box, 1, axis=2)  # of 36 pixels, the two long sides stay but their ends
    assert added_path_length_mm(box, moved, (3.0, 0.9, 0.9)) == pytest.approx(5 * 18 * 0.9)


def test_empty_masks_have_no_distance() -> None:
    """Nothing against nothing agrees; nothing against something has no distance, and DSC 0."""
    empty, full = np.zeros((SIZE,) * 3, dtype=np.bool_), _sphere(5.0)
    both = compare_masks(empty, empty, (1.0, 1.0, 1.0), 2.0)
    assert (both.dsc, both.surface_dice, both.hd95_mm) == (1.0, None, None)
    one = compare_masks(empty, full, (1.0, 1.0, 1.0), 2.0)
    assert (one.dsc, one.surface_dice, one.hd95_mm) == (0.0, None, None)
    assert one.added_path_length_mm > 0
    with pytest.raises(ValueError, match="one shape"):
        compare_masks(empty, full[:-1], (1.0, 1.0, 1.0), 2.0)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.floats(0.5, 3), st.floats(0.5, 2), st.floats(0.5, 2)),
)
def test_what_always_holds(seed: int, spacing: tuple[float, float, float]) -> None:
    """Same is same; exchange changes no symmetric figure; all figures stay in their range."""
    random = np.random.default_rng(seed)
    first, second = (random.random((6, 9, 9)) < 0.3 for _ in range(2))
    same = compare_masks(first, first, spacing, 1.0)
    assert (same.dsc, same.surface_dice, same.hd95_mm) == (1.0, 1.0, 0.0)
    there, back = (compare_masks(*p, spacing, 1.0) for p in ((first, second), (second, first)))
    assert there.dsc == back.dsc
    assert there.hd95_mm == pytest.approx(back.hd95_mm)
    assert there.surface_dice == pytest.approx(back.surface_dice)
    assert there.volume_difference_ml == pytest.approx(-back.volume_difference_ml)
    assert 0 <= there.dsc <= 1
    assert there.surface_dice is not None
    assert 0 <= there.surface_dice <= 1
