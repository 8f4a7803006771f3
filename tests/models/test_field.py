"""The trained field of view and the crop around a seed point."""

import numpy as np
import pytest

from models.contouring.field import crop_around, exceeds_trained_field
from models.contouring.inputs import TRAINED_FIELD_OF_VIEW_MM, Grid

WHOLE_BODY = Grid((300, 256, 256), (3.0, 2.0, 2.0), (-900.0, -256.0, -256.0))


def test_a_training_crop_is_within_the_field_and_a_body_is_not() -> None:
    """The largest training crop is accepted, a whole-body CT is not."""
    assert not exceeds_trained_field((114, 119, 126), (3.27, 1.953, 1.953))
    assert exceeds_trained_field(WHOLE_BODY.shape, WHOLE_BODY.spacing_mm)


@pytest.mark.parametrize("seed", [(-450.0, 0.0, 0.0), (-900.0, -256.0, 254.0)])
def test_crop_holds_the_seed_and_keeps_positions(seed: tuple[float, float, float]) -> None:
    """The crop has the trained size, holds the seed, and its values keep their positions."""
    values = np.arange(np.prod(WHOLE_BODY.shape)).reshape(WHOLE_BODY.shape)
    crop = crop_around(values, WHOLE_BODY, seed)
    assert not exceeds_trained_field(crop.grid.shape, crop.grid.spacing_mm)
    assert np.array_equal(crop.values, values[crop.slices])
    for axis in range(3):
        positions = crop.grid.positions_mm(axis)
        assert np.allclose(positions, WHOLE_BODY.positions_mm(axis)[crop.slices[axis]])
        assert positions[0] - 3.0 <= seed[axis] <= positions[-1] + 3.0
        assert crop.grid.extent_mm[axis] == pytest.approx(TRAINED_FIELD_OF_VIEW_MM[axis], abs=3.0)


def test_a_small_image_is_returned_whole() -> None:
    """An image within the field is not cut."""
    grid = Grid((20, 30, 30), (3.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    crop = crop_around(np.zeros(grid.shape), grid, (5.0, 5.0, 5.0))
    assert crop.grid == grid


def test_a_seed_outside_the_image_is_refused() -> None:
    """A seed point outside the image is an error, not the nearest crop."""
    with pytest.raises(ValueError, match="outside"):
        crop_around(np.zeros(WHOLE_BODY.shape), WHOLE_BODY, (50.0, 0.0, 0.0))
