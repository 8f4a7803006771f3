"""The field of view that the networks know, and how a larger CT is cut down to it.

The training data are crops around the tumour. On a larger CT the network would outline any
avid organ, so such a CT needs a seed point, around which a box of trained size is cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.contouring.inputs import TRAINED_FIELD_OF_VIEW_MM, Grid

FIELD_TOLERANCE = 1.2
"""Extents up to 1.2 times the largest crop count as trained: the scale range of the recipe."""


@dataclass(frozen=True, slots=True)
class Crop:
    """Hold a box cut from an array: its slices there, its values and its grid."""

    slices: tuple[slice, slice, slice]
    values: npt.NDArray[np.generic]
    grid: Grid


def exceeds_trained_field(shape: Sequence[int], spacing_mm: Sequence[float]) -> bool:
    """Return whether an array (z, y, x) is larger than what the networks were trained on."""
    extents = [size * step for size, step in zip(shape, spacing_mm, strict=True)]
    return any(
        extent > limit * FIELD_TOLERANCE
        for extent, limit in zip(extents, TRAINED_FIELD_OF_VIEW_MM, strict=True)
    )


def crop_around(
    values: npt.NDArray[np.generic],
    grid: Grid,
    seed_point_zyx_mm: Sequence[float],
    field_mm: Sequence[float] = TRAINED_FIELD_OF_VIEW_MM,
) -> Crop:
    """Return the box of at most `field_mm` (z, y, x) around the seed point, shifted to fit.

    Raises
    ------
    ValueError
        The seed point lies outside the array.
    """
    if values.shape != grid.shape:
        raise ValueError(f"expected an array of shape {grid.shape}, found {values.shape}")
    slices, origin = [], []
    for axis in range(3):
        size, step, first = grid.shape[axis], grid.spacing_mm[axis], grid.origin_mm[axis]
        index = (seed_point_zyx_mm[axis] - first) / step
        if not -0.5 <= index <= size - 0.5:
            raise ValueError("expected the seed point inside the image, found it outside")
        wanted = min(size, max(1, int(np.floor(field_mm[axis] / step))))
        start = int(np.clip(round(index - (wanted - 1) / 2), 0, size - wanted))
        slices.append(slice(start, start + wanted))
        origin.append(first + start * step)
    box = (slices[0], slices[1], slices[2])
    cut = values[box]
    shape = (cut.shape[0], cut.shape[1], cut.shape[2])
    return Crop(box, cut, Grid(shape, grid.spacing_mm, (origin[0], origin[1], origin[2])))
