"""From CT and PET arrays to the input channels of the contouring network.

Everything is axis-aligned in the patient system (DICOM PS3.3 C.7.6.2.1.1, LPS) and in
millimetres; arrays are [z, y, x] and so are all triples here. The whole crop is seen in one
pass at 6 mm, because the extent of a large, faintly avid tumour is only clear from afar.
Read next: `field.py`, `ensemble.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

CHANNELS: tuple[str, ...] = (
    "ct_soft_tissue",
    "ct_wide",
    "pet_suv",
    "pet_relative",
    "pet_measured",
    "ct_measured",
    "seed",
)
"""Order of the input channels of every contouring network."""

CHANNEL_GROUPS: dict[str, tuple[int, ...]] = {"ct": (0, 1, 5), "pet": (2, 3, 4), "seed": (6,)}
"""Channels of one source; all of them are zero where that source is absent."""

NETWORK_SPACING_MM = 6.0
NETWORK_STRIDE = 8
AIR_HU = -1000.0
TRAINED_FIELD_OF_VIEW_MM: tuple[float, float, float] = (373.0, 233.0, 247.0)
"""Largest extent (z, y, x) of the 34 training crops of `sts51` (see its SOURCE.md)."""

_SOFT_TISSUE_HU = (45.0, 40.0, 3.0)
_WIDE_HU = (0.0, 400.0, 2.5)
_PET_CEILING_SUV = 40.0
_PET_PERCENTILE = 99.5
_PET_FLOOR_SUV = 1.0
_SEED_REACH_MM = 30.0


@dataclass(frozen=True, slots=True)
class Grid:
    """Place an array [z, y, x] in the patient: shape, spacing and centre of the first voxel.

    `spacing_mm` and `origin_mm` are (z, y, x), LPS, axes along the patient axes.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"a grid needs three sizes of at least 1, found {self.shape}")
        if len(self.spacing_mm) != 3 or not min(self.spacing_mm) > 0:
            raise ValueError(f"a grid needs three positive spacings, found {self.spacing_mm}")
        if len(self.origin_mm) != 3 or not np.isfinite(self.origin_mm).all():
            raise ValueError(f"a grid needs three finite origins, found {self.origin_mm}")

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Edge to edge size (z, y, x) in millimetres."""
        z, y, x = (n * step for n, step in zip(self.shape, self.spacing_mm, strict=True))
        return z, y, x

    def positions_mm(self, axis: int) -> npt.NDArray[np.float64]:
        """Voxel centres along one axis in millimetres."""
        steps = np.arange(self.shape[axis], dtype=np.float64)
        return np.asarray(self.origin_mm[axis] + self.spacing_mm[axis] * steps, dtype=np.float64)


def network_grid(
    ct_shape: Sequence[int], ct_spacing_mm: Sequence[float], ct_origin_mm: Sequence[float]
) -> Grid:
    """Return the 6 mm grid, centred on the CT, whose sizes the network accepts.

    All triples are (z, y, x). A rest of at most one network voxel is left off at the border,
    3 mm a side, so that a crop of 193 mm does not cost a half more time than one of 192 mm.
    """
    shape, origin = [], []
    for size, step, first in zip(ct_shape, ct_spacing_mm, ct_origin_mm, strict=True):
        voxels = max(1, int(np.ceil(size * step / NETWORK_SPACING_MM - 1.0)))
        padded = max(2, -(-voxels // NETWORK_STRIDE)) * NETWORK_STRIDE
        centre = first + (size - 1) / 2 * step
        shape.append(padded)
        origin.append(centre - (padded - 1) / 2 * NETWORK_SPACING_MM)
    spacing = (NETWORK_SPACING_MM,) * 3
    return Grid((shape[0], shape[1], shape[2]), spacing, (origin[0], origin[1], origin[2]))


def _axis_weights(
    source: Grid, target: Grid, axis: int, support_mm: float
) -> npt.NDArray[np.float32]:
    """Return the matrix (target size, source size) of a triangle filter along one axis."""
    centres = (target.positions_mm(axis) - source.origin_mm[axis]) / source.spacing_mm[axis]
    centres = np.clip(centres, 0, source.shape[axis] - 1)
    half_width = max(1.0, support_mm / source.spacing_mm[axis])
    distance = np.abs(np.arange(source.shape[axis])[None, :] - centres[:, None])
    weights = np.maximum(0.0, 1.0 - distance / half_width)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def covered(source: Grid, target: Grid) -> npt.NDArray[np.bool_]:
    """Return where voxel centres of `target` lie within the voxels of `source`."""
    inside = []
    for axis in range(3):
        index = (target.positions_mm(axis) - source.origin_mm[axis]) / source.spacing_mm[axis]
        inside.append((index >= -0.5 - 1e-6) & (index <= source.shape[axis] - 0.5 + 1e-6))
    return inside[0][:, None, None] & inside[1][None, :, None] & inside[2][None, None, :]


def resample(
    volume: npt.NDArray[np.generic],
    source: Grid,
    target: Grid,
    order: int = 1,
    fill: float | None = None,
    support_mm: float | None = None,
) -> FloatArray:
    """Return `volume` of grid `source` on grid `target`, float32.

    Parameters
    ----------
    order
        1: linear, as three matrix products; where the target is coarser the triangle widens to
        the target's spacing, so that nothing aliases. 0: nearest voxel.
    fill
        Value outside the source; `None` continues the border voxel.
    support_mm
        Half width of the triangle; the target's spacing unless given.
    """
    if volume.shape != source.shape:
        raise ValueError(f"expected an array of shape {source.shape}, found {volume.shape}")
    if order not in (0, 1):
        raise ValueError(f"expected order 0 or 1, found {order}")
    result = np.asarray(volume, dtype=np.float32)
    for axis in range(3):
        if order == 0:
            index = (target.positions_mm(axis) - source.origin_mm[axis]) / source.spacing_mm[axis]
            nearest = np.clip(np.rint(index), 0, source.shape[axis] - 1).astype(np.int64)
            result = np.take(result, nearest, axis=axis)
            continue
        support = target.spacing_mm[axis] if support_mm is None else support_mm
        weights = _axis_weights(source, target, axis, support)
        result = np.moveaxis(np.tensordot(weights, result, axes=(1, axis)), 0, axis)
    if fill is not None:
        result = np.where(covered(source, target), result, np.float32(fill))
    return np.ascontiguousarray(result, dtype=np.float32)


def seed_field(positions_mm: FloatArray, seed_point_zyx_mm: Sequence[float]) -> FloatArray:
    """Return exp(-distance / 30 mm) to the seed point; `positions_mm` is (3, D, H, W)."""
    seed = np.asarray(seed_point_zyx_mm, dtype=np.float32).reshape(3, 1, 1, 1)
    distance = np.sqrt(((positions_mm - seed) ** 2).sum(axis=0))
    return np.asarray(np.exp(-distance / _SEED_REACH_MM), dtype=np.float32)


def assemble_channels(
    ct_hu: FloatArray,
    ct_measured: npt.NDArray[np.generic],
    pet_suv: FloatArray | None,
    pet_measured: npt.NDArray[np.generic] | None,
    seed: FloatArray | None,
) -> FloatArray:
    """Return the channels (C, D, H, W) from values that already lie on the network grid.

    Outside the CT the channels say air and `ct_measured` is 0; an absent PET or seed point is
    zero in all of its channels. `pet_relative` is SUV over the 99.5th percentile of the part
    that is measured (at least 1 SUV), so that a faint tumour can be told from its limb.
    """
    channels = np.zeros((len(CHANNELS), *ct_hu.shape), dtype=np.float32)
    inside = np.asarray(ct_measured, dtype=np.float32)
    ct_hu = np.where(inside > 0, ct_hu, np.float32(AIR_HU))
    for channel, (centre, width, limit) in enumerate((_SOFT_TISSUE_HU, _WIDE_HU)):
        channels[channel] = np.clip((ct_hu - centre) / width, -limit, limit)
    channels[5] = inside
    if pet_suv is not None and pet_measured is not None:
        measured = np.asarray(pet_measured, dtype=np.float32) * inside
        suv = np.clip(pet_suv, 0.0, _PET_CEILING_SUV) * measured
        seen = suv[measured > 0]
        high = np.percentile(seen, _PET_PERCENTILE) if seen.size else _PET_FLOOR_SUV
        channels[2] = np.log1p(suv)
        channels[3] = np.clip(2.0 * suv / max(float(high), _PET_FLOOR_SUV), 0.0, 3.0)
        channels[4] = measured
    if seed is not None:
        channels[6] = seed
    return channels


def build_channels(
    ct_hu: npt.NDArray[np.generic],
    ct_grid: Grid,
    pet_suv: npt.NDArray[np.generic] | None,
    pet_grid: Grid | None,
    seed_point_zyx_mm: Sequence[float] | None,
    grid: Grid,
) -> FloatArray:
    """Return the network input (C, D, H, W), float32, on `grid` (see `network_grid`).

    Parameters
    ----------
    ct_hu, pet_suv
        Arrays [z, y, x] in Hounsfield units and in SUV (body weight); no PET is `None`.
    seed_point_zyx_mm
        A point inside the tumour (z, y, x), LPS millimetres, or `None`.
    """
    if (pet_suv is None) != (pet_grid is None):
        raise ValueError("PET values and PET grid are given together or not at all")
    ct = resample(ct_hu, ct_grid, grid)
    pet = pet_measured = seed = None
    if pet_suv is not None and pet_grid is not None:
        pet = resample(pet_suv, pet_grid, grid)
        pet_measured = covered(pet_grid, grid)
    if seed_point_zyx_mm is not None:
        axes = np.meshgrid(*(grid.positions_mm(axis) for axis in range(3)), indexing="ij")
        seed = seed_field(np.stack(axes).astype(np.float32), seed_point_zyx_mm)
    return assemble_channels(ct, covered(ct_grid, grid), pet, pet_measured, seed)


def without(channels: FloatArray, group: str) -> FloatArray:
    """Return a copy in which the source `group` (ct, pet or seed) is absent.

    The networks were trained with absent sources in this form, so it is the baseline for
    Shapley values and attribution.
    """
    result = channels.copy()
    result[list(CHANNEL_GROUPS[group])] = 0.0
    return result
