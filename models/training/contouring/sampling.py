"""Draw one augmented training box from a cached patient.

The tumour is not kept in the middle: the box centre wanders between the centroid and any tumour
voxel, and the crop's own sides are cut by up to 42 mm, so that neither the middle of the box nor
the 5 cm margin of the data tells where the tumour ends. Numbers are those of `recipe.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from models.contouring.inputs import (
    NETWORK_SPACING_MM,
    NETWORK_STRIDE,
    FloatArray,
    assemble_channels,
    seed_field,
)
from models.training.contouring.cases import CachedCase
from models.training.contouring.recipe import Recipe

NEAREST_CUT_MM = 6.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Hold one training box: channels (C, D, H, W), GTV share and loss weight (1, D, H, W)."""

    channels: FloatArray
    target: FloatArray
    weight: FloatArray


def _log_uniform(generator: np.random.Generator, limit: float, size: int = 1) -> FloatArray:
    """Return factors between 1 / limit and limit, even on a logarithmic scale."""
    factors = np.exp(generator.uniform(-1, 1, size) * np.log(limit))
    return np.asarray(factors, dtype=np.float32)


def _rotation(generator: np.random.Generator, recipe: Recipe) -> FloatArray:
    """Return a matrix (3, 3) in (z, y, x): rotation, mirroring, scale and stretch."""
    limits = (recipe.rotation_z_deg, recipe.rotation_tilt_deg, recipe.rotation_tilt_deg)
    matrix = np.eye(3)
    for axis, limit in enumerate(limits):
        angle = np.deg2rad(generator.uniform(-limit, limit))
        first, second = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second] = -np.sin(angle)
        turn[second, first] = np.sin(angle)
        matrix = turn @ matrix
    scale = _log_uniform(generator, recipe.scale_range)
    stretch = _log_uniform(generator, recipe.stretch_range, 3)
    mirror = generator.choice([-1.0, 1.0], 3)
    result: FloatArray = (matrix * (scale * stretch * mirror)).astype(np.float32)
    return result


def _box_offsets(box: Sequence[int]) -> FloatArray:
    """Return voxel positions (3, D, H, W) of a box around its centre in millimetres."""
    axes = [
        (np.arange(size, dtype=np.float32) - (size - 1) / 2) * NETWORK_SPACING_MM for size in box
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def _warp(generator: np.random.Generator, recipe: Recipe, box: Sequence[int]) -> FloatArray:
    """Return a smooth random displacement (3, D, H, W) in millimetres."""
    coarse = generator.normal(0, recipe.warp_mm, (1, 3, 5, 5, 5)).astype(np.float32)
    fine = functional.interpolate(
        torch.from_numpy(coarse), tuple(box), mode="trilinear", align_corners=True
    )
    result: FloatArray = fine[0].numpy()
    return result


def _centre(case: CachedCase, generator: np.random.Generator, recipe: Recipe) -> FloatArray:
    """Return a box centre between the tumour's centroid and one of its voxels, jittered."""
    centroid = case.tumour_mm.mean(axis=0)
    voxel = case.tumour_mm[generator.integers(len(case.tumour_mm))]
    share = 0.0 if generator.random() < 0.4 else generator.random()
    jitter = generator.normal(0, recipe.centre_jitter_mm, 3)
    return np.asarray(centroid + share * (voxel - centroid) + jitter, dtype=np.float32)


def _cut_crop(
    case: CachedCase, generator: np.random.Generator, recipe: Recipe
) -> tuple[FloatArray, FloatArray]:
    """Return first and last edge (z, y, x) of the crop, some sides cut towards the tumour."""
    first = np.array(case.ct_grid.origin_mm) - np.array(case.ct_grid.spacing_mm) / 2
    last = first + np.array(case.ct_grid.extent_mm)
    for axis in range(3):
        low, high = case.tumour_mm[:, axis].min(), case.tumour_mm[:, axis].max()
        if generator.random() < recipe.crop_cut_rate:
            room = max(0.0, low - NEAREST_CUT_MM - first[axis])
            first[axis] += min(generator.uniform(0, recipe.crop_cut_mm), room)
        if generator.random() < recipe.crop_cut_rate:
            room = max(0.0, last[axis] - high - NEAREST_CUT_MM)
            last[axis] -= min(generator.uniform(0, recipe.crop_cut_mm), room)
    return first.astype(np.float32), last.astype(np.float32)


def _fit_box(
    first: FloatArray,
    last: FloatArray,
    steps: FloatArray,
    centre: FloatArray,
    generator: np.random.Generator,
    recipe: Recipe,
) -> tuple[tuple[int, ...], FloatArray]:
    """Return box sizes that fit the crop (as `network_grid` does) and the box centre.

    `steps` is the length in the patient of a millimetre in the box. A box that is smaller than
    the crop stays inside it, near `centre`; a larger one is shifted within its slack.
    """
    wanted = (last - first) / steps / (NETWORK_SPACING_MM * NETWORK_STRIDE)
    blocks = np.rint(wanted + generator.uniform(-0.15, 0.4, 3)).astype(int)
    most = np.array(recipe.box_voxels_most) // NETWORK_STRIDE
    sizes = np.clip(blocks, 2, most) * NETWORK_STRIDE
    half = sizes * NETWORK_SPACING_MM * steps / 2
    low, high = first + half, last - half
    inside = np.clip(centre, np.minimum(low, high), np.maximum(low, high))
    return tuple(int(size) for size in sizes), inside.astype(np.float32)


def _look_up(case: CachedCase, volumes: slice, positions: FloatArray) -> FloatArray:
    """Return the volumes (V, D, H, W) interpolated linearly at positions in millimetres."""
    origin = np.array(case.grid.origin_mm, dtype=np.float32).reshape(3, 1, 1, 1)
    sizes = np.array(case.grid.shape, dtype=np.float32).reshape(3, 1, 1, 1)
    index = (positions - origin) / case.grid.spacing_mm[0]
    unit = (2 * index + 1) / sizes - 1
    points = torch.from_numpy(np.ascontiguousarray(np.moveaxis(unit[::-1], 0, -1)))
    found = functional.grid_sample(
        torch.from_numpy(case.volumes[volumes])[None],
        points[None],
        padding_mode="border",
        align_corners=False,
    )
    result: FloatArray = found[0].numpy()
    return result


def _noise(generator: np.random.Generator, shape: tuple[int, ...], strength: float) -> FloatArray:
    """Return white or (half of the time) coarse noise of standard deviation `strength`."""
    if generator.random() < 0.5:
        return strength * generator.standard_normal(shape, dtype=np.float32)
    coarse = generator.standard_normal([size // 2 for size in shape], dtype=np.float32)
    return strength * coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def _place_box(
    case: CachedCase, generator: np.random.Generator, recipe: Recipe
) -> tuple[FloatArray, FloatArray]:
    """Return voxel positions (3, D, H, W) in the patient, and 1 where the crop is (D, H, W)."""
    centre = _centre(case, generator, recipe)
    matrix = _rotation(generator, recipe)
    first, last = _cut_crop(case, generator, recipe)
    steps = np.linalg.norm(matrix, axis=0).astype(np.float32)
    box, centre = _fit_box(first, last, steps, centre, generator, recipe)
    offsets = np.tensordot(matrix, _box_offsets(box), axes=1)
    if generator.random() < recipe.warp_rate:
        offsets = offsets + _warp(generator, recipe, box)
    positions = (centre.reshape(3, 1, 1, 1) + offsets).astype(np.float32)
    edges = first.reshape(3, 1, 1, 1), last.reshape(3, 1, 1, 1)
    measured = ((positions >= edges[0]) & (positions <= edges[1])).all(axis=0)
    return positions, np.asarray(measured, dtype=np.float32)


def draw_sample(case: CachedCase, generator: np.random.Generator, recipe: Recipe) -> Sample:
    """Return one augmented box of the case; all randomness comes from `generator`."""
    positions, measured = _place_box(case, generator, recipe)
    ct = _look_up(case, slice(0, 1), positions)[0]
    target = _look_up(case, slice(3, 4), positions)[0] * measured
    ct = ct * generator.uniform(0.95, 1.05) + generator.normal(0, recipe.ct_offset_hu)
    ct = ct + _noise(generator, ct.shape, generator.uniform(0, recipe.ct_noise_hu))
    pet = pet_measured = None
    without_pet = generator.random() < recipe.pet_absent_rate
    if not without_pet:
        shift = generator.normal(0, recipe.pet_shift_mm, (3, 1, 1, 1)).astype(np.float32)
        pet, pet_measured = _look_up(case, slice(1, 3), positions + shift)
        pet_measured = (pet_measured > 0.5).astype(np.float32)
        pet = pet * _log_uniform(generator, recipe.pet_scale_range)
        pet = pet * np.exp(_noise(generator, pet.shape, generator.uniform(0, recipe.pet_noise)))
    tumour = np.argwhere(target > 0.5)
    seed = None
    if len(tumour) and generator.random() < recipe.seed_given_rate:
        at = tuple(tumour[generator.integers(len(tumour))])
        seed = _seed_in_box(at, ct.shape)
    channels = assemble_channels(ct.astype(np.float32), measured, pet, pet_measured, seed)
    if not without_pet and generator.random() < recipe.ct_absent_rate:
        channels[[0, 1, 5]] = 0.0
    return Sample(channels, target[None], np.maximum(measured, 0.02)[None].astype(np.float32))


def _seed_in_box(at: tuple[int, ...], box: Sequence[int]) -> FloatArray:
    """Return the seed channel for the voxel `at`, its distances measured in the box."""
    straight = _box_offsets(box)
    return seed_field(straight, straight[:, at[0], at[1], at[2]].tolist())
