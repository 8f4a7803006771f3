"""Correct the quick plan voxel by voxel: from what is known of a voxel to the planner's dose.

A small perceptron reads, for each voxel of the possible-dose mask, the channels there, where it
lies beside the targets, their smoothed surroundings and a few facts of the patient. It is trained
in minutes and carries most of what is systematic; `network.py` then sees shapes. Read `predict.py`
next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from torch import nn

from models.dose.inputs import CONTINUOUS, PLAN
from models.dose.patient import LEVELS, ORGANS
from models.physics.distance import distance_mm

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

SMOOTHED = (
    ("ct", 7),
    ("prescription", 7),
    ("prescription", 15),
    ("plan", 3),
    ("plan", 7),
    ("plan", 15),
    ("sparing_plan", 7),
)
"""Channels, and voxels along an edge of the box that they are the mean of."""
NEAR_MM = 90.0
PLACES = ("row", "column", "slice", "aside", "above", "below")
FACTS = (*(f"volume_{name}" for name in LEVELS), "volume", "slice_mm", "height", *ORGANS)
FEATURES = (
    *CONTINUOUS,
    *ORGANS,
    *(f"distance_{name}" for name in ORGANS),
    *(f"{name}_{width}" for name, width in SMOOTHED),
    *PLACES,
    *FACTS,
)
PREFIX = "voxels."
"""Of the names of these weights in a file: ``voxels.0.body.…``, ``voxels.1.body.…``."""
CHANGE = 0.1
"""One unit of the perceptron's answer, in units of 70 Gy."""
MIRRORED_PLACE = FEATURES.index("column")


def voxel_rows(
    continuous: FloatArray, masks: BoolArray, spacing_mm: Sequence[float], every: BoolArray
) -> FloatArray:
    """Return the features (N, features) of the voxels that `every` marks, in the array's order.

    `continuous` and `masks` are those of `inputs.Prepared`; the targets are where a dose is
    prescribed.
    """
    prescription = continuous[CONTINUOUS.index("prescription")]
    places = np.argwhere(prescription > 0)
    step = np.asarray(spacing_mm, np.float32)
    centre = places.mean(axis=0)
    low, high = int(places[:, 2].min()), int(places[:, 2].max())
    chosen = np.argwhere(every)
    away = ((chosen - centre) * step / 100).astype(np.float32)
    above = np.maximum((low - chosen[:, 2]) * step[2], 0) / 50
    below = np.maximum((chosen[:, 2] - high) * step[2], 0) / 50
    columns = [channel[every] for channel in continuous]
    columns += [mask[every].astype(np.float32) for mask in masks[1:]]
    columns += _organ_distances(masks[1:], spacing_mm, every)
    for name, width in SMOOTHED:
        columns.append(uniform_filter(continuous[CONTINUOUS.index(name)], width)[every])
    columns += [away[:, 0], away[:, 1], away[:, 2], np.abs(away[:, 1]), above, below]
    facts = patient_facts(prescription, masks, step, (high - low) * float(step[2]))
    columns += [np.full(len(chosen), value, np.float32) for value in facts]
    return np.stack(columns, axis=1).astype(np.float32)


def _organ_distances(
    organs: BoolArray, spacing_mm: Sequence[float], every: BoolArray
) -> list[FloatArray]:
    """Return each organ's distance in units of 90 mm, one where it is far or missing."""
    step = (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
    return [
        np.minimum(distance_mm(organ, step)[every] / NEAR_MM, 1).astype(np.float32)
        if organ.any()
        else np.ones(int(every.sum()), np.float32)
        for organ in organs
    ]


def patient_facts(
    prescription: FloatArray, masks: BoolArray, step: FloatArray, height_mm: float
) -> list[float]:
    """Return volumes (log of litres and more), spacing, height and which organs exist."""
    litres = float(np.prod(step)) / 1e6
    nearest = np.round((prescription[prescription > 0] * 70 - 56) / 7).clip(0, 2)
    volumes = [float(np.log1p(100 * litres * (nearest == level).sum())) for level in range(3)]
    present = [float(mask.any()) for mask in masks[1:]]
    whole = float(np.log1p(litres * masks[0].sum()))
    return [*volumes, whole, float(step[2]) / 3, height_mm / 100, *present]


class VoxelNet(nn.Module):
    """Map features (N, features) to a change of the plan (N,) in units of 70 Gy."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, widths: Sequence[int] = (128, 128, 64), dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("scale", torch.ones(len(FEATURES)))
        sizes = (len(FEATURES), *widths)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.SiLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the change of each row."""
        change: torch.Tensor = self.body((rows - self.mean) * self.scale)[:, 0] * CHANGE
        return change

    def standardise(self, rows: torch.Tensor) -> None:
        """Take mean and spread of the features from training rows."""
        self.mean.copy_(rows.mean(0))
        self.scale.copy_(1 / rows.std(0).clamp(min=1e-3))


def named_weights(network: VoxelNet, number: int) -> dict[str, torch.Tensor]:
    """Return the weights in half precision, named as a file holds them."""
    values = network.state_dict().items()
    return {f"{PREFIX}{number}.{name}": value.half().contiguous() for name, value in values}


def widths_of(values: Mapping[str, torch.Tensor]) -> list[int]:
    """Return the widths of stored weights, their names without prefix."""
    layers = sorted(int(name.split(".")[1]) for name in values if name.endswith(".weight"))
    return [values[f"body.{layer}.weight"].shape[0] for layer in layers[:-1]]


def corrected_plan(
    networks: Sequence[VoxelNet],
    continuous: FloatArray,
    masks: BoolArray,
    spacing_mm: Sequence[float],
) -> FloatArray:
    """Return the plan channel with the networks' mean change, zero outside the mask."""
    rows = torch.from_numpy(voxel_rows(continuous, masks, spacing_mm, masks[0]))
    with torch.inference_mode():
        parts = torch.split(rows, 16384)
        changes = [torch.cat([network(part) for part in parts]) for network in networks]
        change = torch.stack(changes).mean(dim=0).numpy()
    plan = np.zeros(masks.shape[1:], np.float32)
    plan[masks[0]] = np.maximum(continuous[PLAN][masks[0]] + change, 0)
    return plan
