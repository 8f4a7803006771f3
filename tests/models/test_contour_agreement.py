"""Surface metrics are right on shapes whose answer is known, whatever the spacing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import distance_transform_edt

from models.physics.agreement import (
    added_path_length_mm,
    assd_mm,
    dsc,
    hausdorff_mm,
    nsd,
    surface_distances,
)
from models.physics.distance import distance_mm, nearest_mm
from models.physics.surface import piece_areas, surface_pieces

SPACING = (3.0, 1.0, 2.0)


def _box(low: tuple[int, int, int], high: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros((20, 30, 30), dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


masks = arrays.arrays(bool, st.tuples(*[st.integers(1, 7)] * 3))
spacings = st.tuples(*[st.floats(0.3, 4.0)] * 3)


@given(marked=masks, spacing=spacings)
@settings(max_examples=60)
def test_distance_is_that_of_the_transform_we_did_not_write(
    marked: np.ndarray, spacing: tuple[float, float, float]
) -> None:
    """Every distance equals SciPy's, and `nearest_mm` gives the same at chosen places."""
    found = distance_mm(marked, spacing)
    if not marked.any():
        assert np.isinf(found).all()
        return
    expected = distance_transform_edt(~marked, sampling=spacing)
    assert found == pytest.approx(expected, rel=1e-12)
    places = np.argwhere(np.ones(marked.shape, dtype=bool))
    assert nearest_mm(places, marked, spacing) == pytest.approx(expected.ravel(), rel=1e-12)


def test_far_places_are_found_beyond_the_near_look() -> None:
    """A marked place further than the offsets reach is still found exactly."""
    marked = np.zeros((4, 200, 200), dtype=bool)
    marked[0, 0, 0] = True
    places = np.array([[3, 199, 199], [0, 0, 1]])
    assert nearest_mm(places, marked, (1.0, 1.0, 1.0)) == pytest.approx(
        [math.sqrt(9 + 2 * 199**2), 1.0]
    )


def test_piece_areas_of_flat_and_slanted_planes() -> None:
    """A plane along the axes has the area of a face; a corner that of its triangle."""
    areas = piece_areas(SPACING)
    assert areas[0] == areas[255] == 0
    assert areas[0b11110000] == pytest.approx(1.0 * 2.0)
    assert areas[0b11001100] == pytest.approx(3.0 * 2.0)
    assert areas[0b10101010] == pytest.approx(3.0 * 1.0)
    legs = np.array([3.0, 1.0, 2.0]) / 2
    a, b, c = np.diag(legs)
    assert areas[0b10000000] == pytest.approx(np.linalg.norm(np.cross(b - a, c - a)) / 2)
    assert areas == pytest.approx(areas[::-1])


def test_pieces_of_a_box_sum_to_its_surface() -> None:
    """Faces count in full; only edges and corners are cut off, by a known amount."""
    mask = _box((5, 5, 5), (15, 25, 20))
    pieces = surface_pieces(mask)
    total = piece_areas(SPACING)[pieces.codes].sum()
    sides = np.array([10, 20, 15]) * np.array(SPACING)
    faces = 2 * (sides[0] * sides[1] + sides[1] * sides[2] + sides[0] * sides[2])
    assert 0.95 * faces < total < faces


@pytest.mark.parametrize(("axis", "mm"), [(0, 3.0), (1, 1.0), (2, 2.0)])
def test_a_box_moved_by_one_voxel(axis: int, mm: float) -> None:
    """HD100 is the voxel's size along the move; NSD is 1 at that tolerance."""
    first = _box((5, 5, 5), (15, 25, 20))
    second = np.roll(first, 1, axis=axis)
    distances = surface_distances(first, second, SPACING)
    assert hausdorff_mm(distances, 100) == pytest.approx(mm, abs=1e-6)
    assert nsd(distances, mm) == pytest.approx(1.0, abs=1e-6)
    assert 0 < assd_mm(distances) < mm
    sides = first.sum() ** 0
    assert sides == 1
    count = (10, 20, 15)[axis]
    assert dsc(first, second) == pytest.approx((count - 1) / count, abs=1e-12)


def test_a_box_inside_a_box() -> None:
    """Faces 2 voxels apart: every distance from the inner box is that gap."""
    inner, outer = _box((7, 7, 7), (13, 23, 18)), _box((5, 5, 5), (15, 25, 20))
    distances = surface_distances(inner, outer, (1.0, 1.0, 1.0))
    assert distances.first_mm == pytest.approx(2.0, abs=1e-6)
    assert hausdorff_mm(distances, 100) == pytest.approx(math.sqrt(12), abs=1e-6)


@given(mask=masks, spacing=spacings)
@settings(max_examples=40)
def test_a_mask_agrees_with_itself(mask: np.ndarray, spacing: tuple[float, float, float]) -> None:
    """Distances are zero and shares one, also at the border of the grid."""
    distances = surface_distances(mask, mask, spacing)
    if not mask.any():
        assert math.isnan(nsd(distances, 1.0))
        assert math.isnan(hausdorff_mm(distances))
        return
    assert nsd(distances, 0.0) == 1.0
    assert hausdorff_mm(distances, 100) == 0.0
    assert assd_mm(distances) == 0.0
    assert dsc(mask, mask) == 1.0
    assert added_path_length_mm(mask, mask, spacing) == 0.0


def test_an_empty_mask_is_infinitely_far() -> None:
    """Against an empty mask NSD is 0 and the distances are infinite."""
    mask = _box((5, 5, 5), (8, 8, 8))
    distances = surface_distances(mask, np.zeros_like(mask), SPACING)
    assert nsd(distances, 3.0) == 0.0
    assert hausdorff_mm(distances) == math.inf
    assert assd_mm(distances) == math.inf
    assert dsc(mask, np.zeros_like(mask)) == 0.0


def test_added_path_length_of_a_longer_box() -> None:
    """Two columns more on one side: their outline has to be drawn, in each frame."""
    drawn, wanted = _box((2, 5, 5), (4, 15, 15)), _box((2, 5, 5), (4, 15, 17))
    # The wanted outline adds, per frame, the far column (10) and two pixels above and below.
    added = 10 + 2
    assert added_path_length_mm(drawn, wanted, (3.0, 1.0, 1.0)) == pytest.approx(2 * added)
    assert added_path_length_mm(drawn, wanted, (3.0, 1.0, 1.0), 2.0) == 0.0


def test_masks_of_two_shapes_are_refused() -> None:
    """Shapes that differ are named."""
    with pytest.raises(ValueError, match="one shape"):
        surface_distances(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool), SPACING)
