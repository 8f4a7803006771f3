"""From probabilities to one contour: components, holes, volume and diameter."""

import numpy as np
import pytest

from models.contouring.postprocess import contour_mask, max_diameter_mm, volume_ml

SPACING = (3.0, 2.0, 1.5)


def _ellipsoid(
    shape: tuple[int, int, int], centre: tuple[float, ...], radii_mm: tuple[float, ...]
) -> np.ndarray:
    """Return the voxels of an ellipsoid whose centre is given in voxels."""
    offsets = np.moveaxis(np.indices(shape), 0, -1) - np.array(centre)
    return ((offsets * SPACING / np.array(radii_mm)) ** 2).sum(axis=-1) <= 1.0


def test_max_diameter_of_an_ellipsoid() -> None:
    """The diameter of an ellipsoid is twice its longest half-axis, within a voxel."""
    mask = _ellipsoid((50, 50, 60), (25, 25, 30), (60.0, 30.0, 20.0))
    assert max_diameter_mm(mask, SPACING) == pytest.approx(120.0, abs=3.0)


def test_max_diameter_of_a_box_is_its_diagonal() -> None:
    """The diameter of a box is the distance of its opposite corner voxels, exactly."""
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[2:7, 3:14, 1:5] = True
    expected = np.linalg.norm(np.array([4, 10, 3]) * SPACING)
    assert max_diameter_mm(mask, SPACING) == pytest.approx(expected)


def test_max_diameter_of_degenerate_masks() -> None:
    """An empty mask and one voxel have diameter 0, a flat mask that of its plane."""
    mask = np.zeros((10, 10, 10), dtype=bool)
    assert max_diameter_mm(mask, SPACING) == 0.0
    mask[4, 4, 4] = True
    assert max_diameter_mm(mask, SPACING) == 0.0
    mask[4, 2:8, 3:9] = True
    assert max_diameter_mm(mask, SPACING) == pytest.approx(np.hypot(5 * 2.0, 5 * 1.5))
    line = np.zeros((10, 10, 10), dtype=bool)
    line[1:9, 5, 5] = True
    assert max_diameter_mm(line, SPACING) == pytest.approx(21.0)


def test_volume_counts_voxels() -> None:
    """The volume is the voxel count times the voxel volume."""
    mask = np.ones((10, 10, 10), dtype=bool)
    assert volume_ml(mask, SPACING) == pytest.approx(9.0)


def test_the_largest_component_is_kept_and_holes_are_filled() -> None:
    """Without a seed the component with the most probability is kept, solid."""
    probability = np.zeros((30, 40, 40), dtype=np.float32)
    probability[5:20, 5:20, 5:20] = 0.9
    probability[10:13, 10:13, 10:13] = 0.1
    probability[22:28, 30:38, 30:38] = 0.8
    mask = contour_mask(probability, spacing_mm=SPACING)
    assert np.array_equal(np.argwhere(mask).min(axis=0), (5, 5, 5))
    assert mask.sum() == 15**3


def test_the_seed_chooses_its_component() -> None:
    """With a seed, its component is kept, or the nearest within 12 mm, else none."""
    probability = np.zeros((30, 40, 40), dtype=np.float32)
    probability[5:20, 5:20, 5:20] = 0.9
    probability[22:28, 30:38, 30:38] = 0.8
    for seed in ((25, 33, 33), (25, 28, 33)):
        mask = contour_mask(probability, seed_index=seed, spacing_mm=SPACING)
        assert mask.sum() == 6 * 8 * 8
        assert mask[25, 33, 33]
    assert not contour_mask(probability, seed_index=(2, 38, 2), spacing_mm=SPACING).any()
    with pytest.raises(ValueError, match="seed"):
        contour_mask(probability, seed_index=(30, 0, 0), spacing_mm=SPACING)


def test_a_speck_is_no_finding() -> None:
    """A component below the smallest volume gives an empty mask, as does no probability."""
    probability = np.zeros((10, 10, 10), dtype=np.float32)
    assert not contour_mask(probability, spacing_mm=SPACING).any()
    probability[5, 5, 5] = 1.0
    assert not contour_mask(probability, spacing_mm=SPACING).any()
