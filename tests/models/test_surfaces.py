"""Surface distances against answers that are known.

Boxes, single voxels and planes have exact answers by the definition (marching-cubes pieces at the
corners of voxels): they are worked out here by hand. A sphere has none: the bias of a binary one
is measured and held.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.physics.agreement import (
    added_path_length_mm,
    assd_mm,
    centre_shift_mm,
    compare_masks,
    dsc,
    hausdorff_mm,
    nsd,
    surface_distances,
)
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


def _box(voxels: tuple[int, int, int], longer: int = 0) -> NDArray[np.bool_]:
    """Return a box of these sizes in a larger grid, longer by some voxels along columns."""
    mask = np.zeros((voxels[0] + 5, voxels[1] + 6, voxels[2] + longer + 7), dtype=np.bool_)
    mask[2 : 2 + voxels[0], 3 : 3 + voxels[1], 3 : 3 + voxels[2] + longer] = True
    return mask


def _triangle(spacing: tuple[float, float, float]) -> float:
    """Return the area of the triangle through the middles of the edges at a cube's corner."""
    z, y, x = (step / 2 for step in spacing)
    return math.sqrt((z * y) ** 2 + (y * x) ** 2 + (z * x) ** 2) / 2


sizes = st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(2, 9))
steps = st.sampled_from([(1.0, 1.0, 1.0), (2.5, 0.9, 1.1), (0.7, 1.9, 1.3), (3.0, 0.98, 0.98)])


@settings(max_examples=40, deadline=None)
@given(sizes, steps)
def test_a_box_has_the_area_of_its_pieces(
    voxels: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    """Flat pieces on six faces, one chamfer a voxel on twelve edges, a triangle at each corner."""
    (nz, ny, nx), (z, y, x) = (tuple(n - 1 for n in voxels), spacing)
    faces = 2 * (nz * ny * z * y + ny * nx * y * x + nz * nx * z * x)
    edges = 2 * (nz * z * math.hypot(y, x) + ny * y * math.hypot(z, x) + nx * x * math.hypot(z, y))
    codes = surface_pieces(_box(voxels)).codes
    expected = faces + edges + 8 * _triangle(spacing)
    assert piece_areas(spacing)[codes].sum() == pytest.approx(expected, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(steps, st.integers(1, 5))
def test_a_single_voxel_moved(spacing: tuple[float, float, float], moved: int) -> None:
    """Eight triangles each; half lie the whole shift away, half one voxel less."""
    first, second = np.zeros((2, 3, 3, 12), dtype=np.bool_)
    first[1, 1, 2] = second[1, 1, 2 + moved] = True
    found = surface_distances(first, second, spacing)
    assert found.first_mm2 == pytest.approx(np.full(8, _triangle(spacing)), rel=1e-12)
    shift, step = moved * spacing[2], spacing[2]
    assert hausdorff_mm(found) == pytest.approx(shift, rel=1e-12)
    assert assd_mm(found) == pytest.approx(shift - step / 2, rel=1e-12)
    assert nsd(found, shift - step / 2) == pytest.approx(0.5, rel=1e-12)
    assert nsd(found, shift * (1 + 1e-12)) == 1.0
    assert dsc(first, second) == 0.0


@settings(max_examples=40, deadline=None)
@given(sizes, steps, st.integers(1, 3), st.floats(0.1, 8))
def test_a_box_that_is_longer(
    voxels: tuple[int, int, int],
    spacing: tuple[float, float, float],
    longer: int,
    tolerance: float,
) -> None:
    """Every figure of a box and a longer one, from the distances of each piece by hand.

    Of the shorter box only the pieces inside its far face lie off the other surface: as far as
    the other's far face, its near face (a box of two voxels, three longer) or its nearest side. Of
    the longer one the pieces of what is added lie off, as far as the shorter box's far face.
    """
    (nz, ny), (z, y, x) = (voxels[0] - 1, voxels[1] - 1), spacing
    near_or_far = min(longer, voxels[2]) * x
    face = [
        (min(near_or_far, k * z, (nz + 1 - k) * z, j * y, (ny + 1 - j) * y), z * y)
        for k in range(1, nz + 1)
        for j in range(1, ny + 1)
    ]
    sides = 2 * (nz + ny)
    ahead = [(longer * x, z * y)] * (nz * ny)
    ahead += [(longer * x, z * math.hypot(y, x) / 2)] * (2 * nz)
    ahead += [(longer * x, y * math.hypot(z, x) / 2)] * (2 * ny)
    ahead += [(longer * x, _triangle(spacing))] * 4
    for step in range(1, longer):
        ahead += [(step * x, z * x)] * (2 * nz) + [(step * x, y * x)] * (2 * ny)
        ahead += [(step * x, x * math.hypot(z, y) / 2)] * 4
    assert len(ahead) == nz * ny + sides + 4 + (longer - 1) * (sides + 4)
    short, long = _box(voxels, 0), _box(voxels, longer)
    short = np.pad(short, ((0, 0), (0, 0), (0, longer)))
    found = surface_distances(short, long, spacing)
    codes = [surface_pieces(mask).codes for mask in (short, long)]
    areas = [float(piece_areas(spacing)[code].sum()) for code in codes]
    total = sum(far * area for far, area in face + ahead)
    assert assd_mm(found) == pytest.approx(total / sum(areas), rel=1e-9)
    away = [pair for pair in face + ahead if pair[0] > 0]
    assert hausdorff_mm(found, 100.0) == pytest.approx(max(far for far, _ in away), rel=1e-12)
    beyond = sum(area for far, area in away if far > tolerance)
    near_ties = any(abs(far - tolerance) < 1e-9 for far, _ in away)
    assert near_ties or nsd(found, tolerance) == pytest.approx(1 - beyond / sum(areas), rel=1e-9)
    share = math.prod(voxels) / (math.prod(voxels) + longer * voxels[0] * voxels[1])
    assert dsc(short, long) == pytest.approx(2 * share / (1 + share), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_the_grid_around_the_masks_changes_nothing(seed: int, columns: int) -> None:
    """The same masks in a larger grid, whatever its size, have the same figures."""
    random = np.random.default_rng(seed)
    first, second = (random.random((5, 6, columns)) < 0.3 for _ in range(2))
    margin = [tuple(random.integers(0, 9, 2)) for _ in range(3)]
    wide = [np.pad(mask, margin) for mask in (first, second)]
    spacing = (2.5, 1.1, 0.9)
    small, large = (compare_masks(*pair, spacing, 2.0) for pair in ((first, second), wide))
    assert repr(small) == repr(large)


@pytest.mark.parametrize(
    ("spacing", "bias"),
    [((1.0, 1.0, 1.0), 1.083), ((2.0, 1.0, 1.0), 1.123), ((1.5, 0.8, 0.8), 1.116)],
)
def test_the_bias_of_a_binary_sphere(spacing: tuple[float, float, float], bias: float) -> None:
    """Its pieces have 8 to 12 % more area than 4 pi r²; its voxels' faces have 50 % more."""
    codes = surface_pieces(_sphere(20.0, spacing)).codes
    area = piece_areas(spacing)[codes].sum()
    assert area / (4 * math.pi * 20**2) == pytest.approx(bias, abs=1e-3)


def test_concentric_spheres() -> None:
    """Radii 20 and 23 mm: 3 mm apart everywhere, volumes and overlap by formula."""
    found = compare_masks(_sphere(20.0), _sphere(23.0), (1.0, 1.0, 1.0), 1.5)
    assert found.hd95_mm == pytest.approx(math.sqrt(10))  # on the lattice; 3 mm in space
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
    # 5.7 mm and 0.417 in space (|cos t| <= 2.5/6); pieces on a lattice are half a voxel nearer.
    assert found.hd95_mm == pytest.approx(math.sqrt(27))
    assert found.surface_dice == pytest.approx(0.5255, abs=1e-3)
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


def test_a_translation_is_the_shift_of_the_centre() -> None:
    """Signed, frames first, in millimetres; nothing where a mask is empty."""
    mask = np.zeros((12, 16, 16), dtype=bool)
    mask[2:6, 4:9, 5:7] = True
    moved = np.roll(mask, (3, -2, 4), axis=(0, 1, 2))
    assert centre_shift_mm(mask, moved, (3.0, 1.0, 0.5)) == pytest.approx((9.0, -2.0, 2.0))
    assert centre_shift_mm(moved, mask, (3.0, 1.0, 0.5)) == pytest.approx((-9.0, 2.0, -2.0))
    assert centre_shift_mm(mask, np.zeros_like(mask), (3.0, 1.0, 0.5)) is None
