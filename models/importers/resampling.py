"""Bring an array to another spacing, the way the tool that trained the network does.

Two conventions.  *Boxes* (nnU-Net v2, ``resample_data_or_seg``): a voxel is a box, the two
grids have the same outer edges, splines of order 0 to 3 with repeated edges, the result is
cut to the range of the input; where one axis is more than three times coarser, the other
two are resampled by themselves first.  *Centres* (MONAI 1.6, ``Spacing``): the first voxel
centres coincide, linear, edges repeated.

Read next: `windows.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Shape = tuple[int, ...]
FloatArray = NDArray[np.float32]
ANISOTROPY = 3.0
"""nnU-Net v2, ``ANISO_THRESHOLD``: a coarser axis than this is resampled apart."""
REACH = 12
"""Voxels around a part that its splines feel."""
UNCHANGED = 1e-3
"""MONAI 1.6, ``AFFINE_TOL``: spacings that are as near as this are the same."""


@dataclass(frozen=True, slots=True)
class Splines:
    """Orders of interpolation, and the axis that is treated apart, if one is."""

    order: int
    order_z: int
    axis: int | None


def box_shape(shape: Sequence[int], old: Sequence[float], new: Sequence[float]) -> Shape:
    """Return the shape after resampling: round(old spacing / new spacing * size)."""
    triples = zip(old, new, shape, strict=True)
    return tuple(max(1, round(a / b * size)) for a, b, size in triples)


def separate_axis(
    current: Sequence[float], target: Sequence[float], separate: bool | None
) -> int | None:
    """Return the one coarse axis that is resampled apart; None where there is none.

    ``separate`` forces (True) or forbids (False) it; None decides by the spacing of the
    array, then by that of the target.
    """
    if separate is None:
        coarse = [s for s in (current, target) if max(s) / min(s) > ANISOTROPY]
        spacing = coarse[0] if coarse else None
    else:
        spacing = current if separate else None
    if spacing is None:
        return None
    axes = [axis for axis, size in enumerate(spacing) if max(spacing) / size == 1]
    return axes[0] if len(axes) == 1 else None  # two coarse axes are none (0.24, 1.25, 1.25)


def between_boxes(array: NDArray[Any], shape: Shape, rule: Splines) -> NDArray[Any]:
    """Return the array on a grid of ``shape`` with the same outer edges, in its own type."""
    if array.shape == tuple(shape):
        return array
    values = array.astype(np.float64)
    if rule.axis is None:
        return _zoomed(values, shape, rule.order).astype(array.dtype)
    axis = rule.axis
    plane = tuple(size for place, size in enumerate(shape) if place != axis)
    slices = [_zoomed(part, plane, rule.order) for part in np.moveaxis(values, axis, 0)]
    stacked = np.stack(slices, axis=axis)
    if stacked.shape != tuple(shape):
        stacked = _along(stacked, shape, axis, rule.order_z)
    return stacked.astype(array.dtype)


def part_between_boxes(
    array: FloatArray, shape: Shape, rule: Splines, box: tuple[slice, slice, slice]
) -> FloatArray:
    """Return ``between_boxes(array, shape, rule)[box]`` without the rest of the grid."""
    if array.shape == tuple(shape):
        return array[box]
    if rule.axis is None:
        found = _part(array, shape, box, rule.order)
    elif rule.order_z == 0 or array.shape[rule.axis] == shape[rule.axis]:
        axis, (size, count) = rule.axis, (array.shape[rule.axis], shape[rule.axis])
        inner = np.arange(box[axis].start, box[axis].stop)
        places = (inner + 0.5) * (size / count) - 0.5
        nearest = np.clip(np.floor(places + 0.5).astype(int), 0, size - 1)
        plane = [place for place in range(3) if place != axis]
        flat, sides = [shape[place] for place in plane], [box[place] for place in plane]
        planes = {
            int(k): _part(np.take(array, k, axis), flat, sides, rule.order)
            for k in np.unique(nearest)
        }
        found = np.stack([planes[int(k)] for k in nearest], axis=axis)
    else:
        return between_boxes(array, shape, rule)[box].astype(np.float32)
    return np.asarray(found, dtype=np.float32)


def _part(
    array: FloatArray, shape: Sequence[int], box: Sequence[slice], order: int
) -> NDArray[np.float64]:
    """Return x'(i) = x((i + 1/2) n / n' - 1/2) for i in the box, by splines, in x's range.

    A spline's weights fall by 0.27 a voxel: from twelve voxels away nothing is felt. Of order 0,
    a place halfway between two voxels may fall to the other one.
    """
    inner, scales, offsets = [], [], []
    for size, count, part in zip(array.shape, shape, box, strict=True):
        scale = size / count
        first, last = ((index + 0.5) * scale - 0.5 for index in (part.start, part.stop - 1))
        begin = max(int(np.floor(first)) - REACH, 0)
        inner.append(slice(begin, min(int(np.ceil(last)) + REACH + 1, size)))
        scales.append(scale)
        offsets.append(first - begin)
    values = array[tuple(inner)].astype(np.float64)
    lengths = tuple(part.stop - part.start for part in box)
    found = ndimage.affine_transform(
        values, np.array(scales), offsets, lengths, order=order, mode="nearest"
    )
    return np.asarray(np.clip(found, float(array.min()), float(array.max())))


def _zoomed(values: NDArray[np.float64], shape: Sequence[int], order: int) -> NDArray[np.float64]:
    """Return x'(i) = x((i + 1/2) n / n' - 1/2) by splines, within the range of the input."""
    if values.shape == tuple(shape):
        return values
    factors = [new / old for new, old in zip(shape, values.shape, strict=True)]
    found = ndimage.zoom(values, factors, order=order, mode="nearest", grid_mode=True)
    return np.asarray(np.clip(found, values.min(), values.max()), dtype=np.float64)


def _along(
    values: NDArray[np.float64], shape: Sequence[int], axis: int, order: int
) -> NDArray[np.float64]:
    """Return the array resampled along one axis only."""
    count, size = shape[axis], values.shape[axis]
    places = (np.arange(count) + 0.5) * (size / count) - 0.5
    if order == 0:
        nearest = np.clip(np.floor(places + 0.5).astype(int), 0, size - 1)
        return np.asarray(np.take(values, nearest, axis=axis))
    grid = list(np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij"))
    grid[axis] = np.broadcast_to(places.reshape(_column(axis)), grid[axis].shape)
    found: NDArray[np.float64] = ndimage.map_coordinates(
        values, np.stack(grid), order=order, mode="nearest"
    )
    return found


def centres_shape(shape: Sequence[int], old: Sequence[float], new: Sequence[float]) -> Shape:
    """Return the shape after MONAI's Spacing: round((size - 1) old / new + 1)."""
    if same_spacing(old, new):
        return tuple(shape)
    triples = zip(shape, old, new, strict=True)
    return tuple(max(1, int(np.round((size - 1) * a / b + 1.0))) for size, a, b in triples)


def same_spacing(old: Sequence[float], new: Sequence[float]) -> bool:
    """Tell whether two spacings are near enough to leave the array as it is."""
    return bool(np.allclose(np.asarray(new) / np.asarray(old), 1.0, atol=UNCHANGED, rtol=0.0))


def between_centres(
    array: NDArray[Any], shape: Sequence[int], old: Sequence[float], new: Sequence[float]
) -> FloatArray:
    """Return the array at another spacing, first voxel centres on each other, linearly."""
    values = array.astype(np.float32)
    if array.shape == tuple(shape) and same_spacing(old, new):
        return values
    for axis, count in enumerate(shape):
        places = np.clip(np.arange(count) * (new[axis] / old[axis]), 0, values.shape[axis] - 1)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, values.shape[axis] - 1)
        part = (places - low).astype(np.float32).reshape(_column(axis))
        values = np.take(values, low, axis=axis) * (1 - part) + np.take(values, high, axis) * part
    return values


def onto_grid(
    array: FloatArray,
    matrix: NDArray[np.float64],
    shape: tuple[int, int, int],
    outside: float,
) -> FloatArray:
    """Return an array on another grid by linear interpolation.

    Parameters
    ----------
    matrix : 4 x 4, from indices of the wanted grid to indices of the array.
    outside : value where the array does not reach.

    The matrix is taken to a millionth of a voxel: two grids that fall together give the very
    values back, and no voxel of air that a crop to what is not 0 would take for the patient.
    """
    matrix = np.round(matrix, 6)
    found = ndimage.affine_transform(
        array, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=1, cval=outside
    )
    return np.asarray(found, dtype=np.float32)


def _column(axis: int) -> tuple[int, int, int]:
    shape = [1, 1, 1]
    shape[axis] = -1
    return shape[0], shape[1], shape[2]
