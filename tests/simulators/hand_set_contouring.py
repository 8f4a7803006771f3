"""A hand-set network and an analytic limb, so that the plugin is tested with real objects.

The network is a real member of the ensemble whose weights were set by hand: it outlines
high uptake.  The limb is an analytic phantom that can be sampled on any grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from models.contouring.ensemble import Ensemble, MemberHeader, decode_member, encode_member
from models.contouring.inputs import CHANNELS, NETWORK_STRIDE
from models.contouring.uncertainty import Calibration, ModalityCalibration
from models.unet.network import UNet3d
from plugins.contouring.plugin import Contouring
from plugins.host.case import Case, Subject
from plugins.host.images import Geometry, Volume

AXIAL = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
CENTRE_MM = np.array([118.0, 12.0, -400.0])
SEMI_AXES_MM = np.array([20.0, 28.0, 36.0])
LIMB_RADIUS_MM = 62.0

Points = np.ndarray
Uptake = Callable[[Points], np.ndarray]


def inside_tumour(points_mm: Points) -> np.ndarray:
    """Return where LPS points (..., 3) lie in the tumour."""
    return (((points_mm - CENTRE_MM) / SEMI_AXES_MM) ** 2).sum(axis=-1) <= 1.0


def ct_hu(points_mm: Points) -> np.ndarray:
    """Return HU: a limb along z with a bone, the tumour a little denser than muscle."""
    x, y = points_mm[..., 0] - 110.0, points_mm[..., 1] - 15.0
    values = np.where(np.hypot(x, y) <= LIMB_RADIUS_MM, 50.0, -1000.0)
    values = np.where(np.hypot(x + 25, y + 10) <= 12.0, 900.0, values)
    return np.where(inside_tumour(points_mm), 70.0, values)


def pet_suv(points_mm: Points) -> np.ndarray:
    """Return SUV: 8 in the tumour, 0.8 in the limb."""
    return np.where(inside_tumour(points_mm), 8.0, np.where(ct_hu(points_mm) > -500, 0.8, 0.0))


def grid(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    axes: tuple[tuple[float, float, float], ...] = AXIAL,
    centre_mm: np.ndarray = CENTRE_MM,
    frame: str = "1.2.9",
) -> Geometry:
    """Return a grid whose middle lies near the tumour's centre, off by part of a voxel."""
    steps = np.asarray(axes) * np.asarray(spacing)[:, None]
    middle = (np.asarray(shape) - 1) / 2 + np.array([0.21, -0.13, 0.34])
    origin = centre_mm - middle @ steps
    place = (float(origin[0]), float(origin[1]), float(origin[2]))
    return Geometry(shape, spacing, place, (axes[0], axes[1], axes[2]), frame)


def sampled(geometry: Geometry, values: Uptake, modality: str) -> Volume:
    """Return the analytic phantom as a series on a grid."""
    index = np.stack(np.meshgrid(*(np.arange(size) for size in geometry.shape), indexing="ij"), -1)
    array = values(geometry.to_patient(index.astype(np.float64))).astype(np.float32)
    uids = tuple(f"1.2.{modality}.{index}" for index in range(geometry.shape[0]))
    return Volume(array, geometry, modality, "1", "1.2.3", f"1.2.{modality}", "1.2", uids)


def limb_case(ct_grid: Geometry | None = None, pet_grid: Geometry | None = None) -> Case:
    """Return CT and PET of the limb."""
    ct = sampled(ct_grid or grid((56, 70, 78), (3.0, 2.0, 2.0)), ct_hu, "CT")
    pet = sampled(pet_grid or grid((50, 34, 34), (3.3, 4.1, 4.1)), pet_suv, "PT")
    return Case("1.2.3", Subject(60.0), {"ct": ct, "pet": pet}, body_part="LEG")


def uptake_member(fold: int, threshold: float, patients: frozenset[str]) -> bytes:
    """Return a member file whose network outlines what takes up clearly more than the rest.

    Every weight is zero but for one path: the channel ``pet_suv`` is passed on, normalised
    over the grid, and compared with a threshold in standard deviations.
    """
    levels = int(np.log2(NETWORK_STRIDE)) + 1
    network = UNet3d(len(CHANNELS), (2,) * levels)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.encoder[0].first.weight[0, CHANNELS.index("pet_suv"), 1, 1, 1] = 1.0
        network.encoder[0].first_norm.weight[0] = 1.0
        network.decoder[0].first.weight[0, 0, 1, 1, 1] = 1.0
        network.decoder[0].first_norm.weight[0] = 1.0
        network.head.weight[0, 0] = 4.0
        network.head.bias[0] = -4.0 * threshold
    header = MemberHeader(fold, (2,) * levels, CHANNELS, "sha256:by-hand", patients)
    return encode_member(network, header)


def calibration(abstain_below: float = 0.3) -> Calibration:
    """Return a calibration that takes the expected DSC as it is."""
    fitted = ModalityCalibration((0.0, 1.0, 0.0, 0.0), 0.2, -0.3, 0.3, 34)
    return Calibration(0.9, abstain_below, {"ct": fitted, "ct+pet": fitted})


@dataclass
class Bench:
    """The plugin with hand-set weights, and the limb."""

    plugin: Contouring
    case: Case


def hand_set_bench() -> Bench:
    """Return the plugin with an ensemble of two hand-set members, and the limb."""
    torch.set_num_threads(1)
    members = [
        decode_member(uptake_member(0, 3.0, frozenset({"A"}))),
        decode_member(uptake_member(3, 3.6, frozenset({"B"}))),
    ]
    plugin = Contouring()
    plugin.prepare(Ensemble(members), calibration())
    return Bench(plugin, limb_case())
