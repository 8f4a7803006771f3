"""Move, cut and resample images with their reference standard, in patient millimetres.

Every function takes whole `Evaluation` values and changes all images and the reference alike,
so that a sweep never leaves the truth behind.  Interpolation is linear; a reference is
interpolated as a share of 0 to 1 and cut at one half.

Read next: `conditions.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plugins.host.images import Geometry, Vector3, Volume
from validation.harness.cases import Evaluation

HALF = 0.5
AIR_HU = -1000.0
NEAREST_CUT_MM = 6.0
"""A crop comes no nearer to the lesion than this (models/training/contouring/evaluate.py)."""


def with_images(evaluation: Evaluation, **images: Volume) -> Evaluation:
    """Return the evaluation with some of its images replaced."""
    case = evaluation.case
    return replace(evaluation, case=replace(case, images={**case.images, **images}))


def with_array(evaluation: Evaluation, role: str, array: NDArray[np.floating]) -> Evaluation:
    """Return the evaluation with other values of one image on the same grid."""
    volume = evaluation.case.images[role]
    return with_images(
        evaluation, **{role: replace(volume, array=np.asarray(array, dtype=np.float32))}
    )


def rotated(evaluation: Evaluation, degrees: float, axis: int = 0) -> Evaluation:
    """Return the patient turned about the middle of the reference image.

    Parameters
    ----------
    degrees : from one following axis of that image's grid to the next.
    axis : grid axis of the reference image that is turned about (0 frames).

    All images turn about the same point in millimetres; their grids stay.
    """
    grid = evaluation.grid
    centre = grid.to_patient((np.asarray(grid.shape) - 1) / 2.0)
    axes = np.asarray(grid.axes)
    angle = np.deg2rad(degrees)
    first, second = axes[(axis + 1) % 3], axes[(axis + 2) % 3]
    plane = np.outer(first, first) + np.outer(second, second)
    turn = np.outer(second, first) - np.outer(first, second)
    matrix = np.eye(3) + (np.cos(angle) - 1.0) * plane + np.sin(angle) * turn
    images = {
        role: replace(volume, array=_seen(volume.array, volume.geometry, matrix, centre))
        for role, volume in evaluation.case.images.items()
    }
    moved = _seed_turned(with_images(evaluation, **images), matrix, centre)
    if evaluation.reference is None:
        return moved
    share = _seen(evaluation.reference.astype(np.float32), grid, matrix, centre, outside=0.0)
    return replace(moved, reference=share >= HALF)


def _seed_turned(
    evaluation: Evaluation, matrix: NDArray[np.float64], centre: NDArray[np.float64]
) -> Evaluation:
    """Return the evaluation with its seed point turned with the patient."""
    seed = evaluation.case.seed_point_mm
    if seed is None:
        return evaluation
    place = _three(matrix @ (np.asarray(seed) - centre) + centre)
    return replace(evaluation, case=replace(evaluation.case, seed_point_mm=place))


def _seen(
    array: NDArray[np.float32],
    grid: Geometry,
    matrix: NDArray[np.float64],
    centre: NDArray[np.float64],
    outside: float | None = None,
) -> NDArray[np.float32]:
    """Return the array after the patient was turned by ``matrix`` about ``centre``.

    A voxel at p shows what was at R^T (p - c) + c before.
    """
    affine = grid.affine()
    back = np.linalg.inv(affine[:3, :3])
    linear = back @ matrix.T @ affine[:3, :3]
    offset = back @ (matrix.T @ (affine[:3, 3] - centre) + centre - affine[:3, 3])
    fill = float(array.min()) if outside is None else outside
    values = ndimage.affine_transform(array, linear, offset, order=1, mode="constant", cval=fill)
    return np.asarray(values, dtype=np.float32)


def resliced(evaluation: Evaluation, thickness_mm: float) -> Evaluation:
    """Return the reference image with slices of another thickness; the reference likewise.

    Each new slice is the mean over its own thickness of the linearly interpolated old ones, as
    a thicker reconstruction of the same data would be.
    """
    role = evaluation.reference_role
    volume = evaluation.case.images[role]
    grid = volume.geometry
    old = grid.spacing_mm[0]
    count = max(1, round(grid.shape[0] * old / thickness_mm))
    start = ((grid.shape[0] - 1) * old - (count - 1) * thickness_mm) / 2.0
    weights = _slab_weights(grid.shape[0], old, count, thickness_mm, start)
    origin = np.asarray(grid.origin_mm) + start * np.asarray(grid.axes[0])
    geometry = replace(
        grid,
        shape=(count, grid.shape[1], grid.shape[2]),
        spacing_mm=(thickness_mm, grid.spacing_mm[1], grid.spacing_mm[2]),
        origin_mm=_three(origin),
    )
    uids = tuple(f"{volume.series_instance_uid}.{index}" for index in range(count))
    array = np.tensordot(weights, volume.array, axes=1).astype(np.float32)
    thicker = replace(
        volume,
        array=array,
        geometry=geometry,
        sop_instance_uids=uids,
        acquisition={**volume.acquisition, "slice_thickness_mm": thickness_mm},
    )
    case = replace(evaluation.case, images={**evaluation.case.images, role: thicker})
    mask = evaluation.reference
    if mask is not None:
        mask = np.tensordot(weights, mask.astype(np.float32), axes=1) >= HALF
    return replace(evaluation, case=case, reference=mask)


def _slab_weights(
    old_count: int, old_mm: float, count: int, thickness_mm: float, start_mm: float
) -> NDArray[np.float64]:
    """Return (new, old) shares: each row is the mean over a slab of linear interpolation."""
    samples = 16
    inside = (np.arange(samples) + 0.5) / samples - 0.5
    weights = np.zeros((count, old_count))
    for row in range(count):
        places = (start_mm + (row + inside) * thickness_mm) / old_mm
        places = np.clip(places, 0, old_count - 1)
        low = np.minimum(places.astype(int), max(0, old_count - 2))
        share = places - low
        np.add.at(weights[row], low, (1 - share) / samples)
        np.add.at(weights[row], np.minimum(low + 1, old_count - 1), share / samples)
    return weights


def cropped(evaluation: Evaluation, reach_mm: float, generator: np.random.Generator) -> Evaluation:
    """Return a crop whose lesion is off the middle.

    On each axis one side of the reference image, drawn at random, is cut by 0 to ``reach_mm``,
    but no nearer than 6 mm to the lesion.  Other images stay whole.
    Source: models/training/contouring/evaluate.py, which the release's card was measured with.
    """
    if evaluation.reference is None or not evaluation.reference.any():
        return evaluation
    volume = evaluation.case.images[evaluation.reference_role]
    grid = volume.geometry
    inside = np.argwhere(evaluation.reference)
    slices = []
    for axis in range(3):
        step, size = grid.spacing_mm[axis], grid.shape[axis]
        cut = float(generator.uniform(-reach_mm, reach_mm))
        keep = int(NEAREST_CUT_MM / step)
        room = inside[:, axis].min() if cut > 0 else size - 1 - inside[:, axis].max()
        count = int(min(abs(cut) / step, max(0, room - keep)))
        slices.append(slice(count, size) if cut > 0 else slice(0, size - count))
    box = (slices[0], slices[1], slices[2])
    array = np.ascontiguousarray(volume.array[box])
    first = grid.to_patient(np.array([float(item.start) for item in box]))
    shape = (array.shape[0], array.shape[1], array.shape[2])
    smaller = replace(
        volume,
        array=array,
        geometry=replace(grid, shape=shape, origin_mm=_three(first)),
        sop_instance_uids=_frames_of(volume, box[0]),
    )
    case = replace(
        evaluation.case, images={**evaluation.case.images, evaluation.reference_role: smaller}
    )
    return replace(evaluation, case=case, reference=np.ascontiguousarray(evaluation.reference[box]))


def _frames_of(volume: Volume, frames: slice) -> tuple[str, ...]:
    uids = volume.sop_instance_uids
    return uids[frames] if len(uids) == volume.array.shape[0] else uids


def _three(values: NDArray[np.float64]) -> Vector3:
    x, y, z = (float(value) for value in values)
    return x, y, z
