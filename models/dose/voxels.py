"""Correct the quick plan voxel by voxel: from what is known of a voxel to the planner's dose.

A small perceptron reads, for each voxel of the possible-dose mask, the channels there, where it
lies beside the targets, their smoothed surroundings and a few facts of the patient. It is trained
in minutes and carries most of what is systematic; `fluence.py` sees whole rays. Read `predict.py`
next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.dose.box_mean import box_mean
from models.dose.inputs import CONTINUOUS, FIELDS, PLAN, RAYS, Prepared, mirrored_field
from models.dose.patient import LEVELS, ORGANS
from models.dose.sparse import filled, own_shares
from models.dose.surroundings import MIRRORED, PLAN_FACTS, SURROUNDINGS, plan_facts, surroundings
from models.physics.distance import distance_mm
from models.unet.processor import native_bf16

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
OWN_FACTS = (*(f"volume_{name}" for name in LEVELS), "volume", "slice_mm", "height", *ORGANS)
FACTS = (*OWN_FACTS, *PLAN_FACTS)
FEATURES = (
    *CONTINUOUS,
    *ORGANS,
    *(f"distance_{name}" for name in ORGANS),
    *(f"{name}_{width}" for name, width in SMOOTHED),
    *PLACES,
    *SURROUNDINGS,
    *FIELDS,
    *FACTS,
    *RAYS,
)
"""In this order; a network may read only the first of them."""
PLAIN = len(FEATURES) - len(RAYS)
BY_FIELD = FEATURES.index(FIELDS[0])
PREFIX = "voxels."
"""Of the names of these weights in a file: ``voxels.0.body.…``, ``voxels.1.body.…``."""
LOT, GRAIN = 16384, 2048
"""Voxels that the networks are asked for at once, in multiples of the second: for each number of
rows torch keeps code and memory of its own (bfloat16; 8 MB a prediction without)."""
CHANGE = 0.1
"""One unit of the perceptron's answer, in units of 70 Gy."""
MIRRORED_PLACE = FEATURES.index("column")
_RIGHT, _LEFT = "RightParotid", "LeftParotid"
_OF_ORGAN = ("", "distance_", "plan_of_", "spared_of_")
MIRRORED_FEATURES = {
    **MIRRORED,
    **{f"{kind}{_RIGHT}": f"{kind}{_LEFT}" for kind in _OF_ORGAN},
    **{f"{kind}{_LEFT}": f"{kind}{_RIGHT}" for kind in _OF_ORGAN},
    **{name: mirrored_field(name) for name in (*FIELDS, *RAYS)},
}
"""Which feature takes the place of which when a patient is mirrored left to right."""


def voxel_rows(prepared: Prepared, every: BoolArray) -> FloatArray:
    """Return the features (N, features) of the voxels that `every` marks, in the array's order.

    The targets are where a dose is prescribed.
    """
    continuous, masks, spacing_mm = prepared.continuous, prepared.masks, prepared.voxel_mm
    prescription = continuous[CONTINUOUS.index("prescription")]
    places = np.argwhere(prescription > 0)
    step = np.asarray(spacing_mm, np.float32)
    centre = places.mean(axis=0)
    low, high = int(places[:, 2].min()), int(places[:, 2].max())
    flat = np.flatnonzero(every)
    found = np.unravel_index(flat, every.shape)
    chosen = np.stack(found)
    away = ((chosen - centre[:, None]) * step[:, None] / 100).astype(np.float32)
    above = np.maximum((low - chosen[2]) * step[2], 0) / 50
    below = np.maximum((chosen[2] - high) * step[2], 0) / 50
    smooth = (box_mean(continuous[CONTINUOUS.index(name)], width) for name, width in SMOOTHED)
    columns = chain(
        (channel.ravel()[flat] for channel in continuous),
        (mask.ravel()[flat] for mask in masks[1:]),
        _organ_distances(masks[1:], spacing_mm, flat),
        (channel.ravel()[flat] for channel in smooth),
        (*away, np.abs(away[1]), above, below),
        surroundings(continuous, masks, spacing_mm, (found[0], found[1], found[2])),
        patient_facts(prescription, masks, step, (high - low) * float(step[2])),
        plan_facts(continuous, masks),
    )
    rows = np.empty((len(FEATURES), len(flat)), np.float32)
    own, of_fields, facts, of_rays = np.split(rows, (BY_FIELD, BY_FIELD + len(FIELDS), PLAIN))
    for row, column in zip(chain(own, facts), columns, strict=True):
        row[:] = column
    inside = np.flatnonzero(every[masks[0]])
    for row, values in zip(chain(of_fields, of_rays), chain(*prepared.fields), strict=True):
        np.take(values, inside, out=row, mode="clip")
    return rows.T


def _organ_distances(
    organs: BoolArray, spacing_mm: Sequence[float], flat: NDArray[np.int64]
) -> Iterator[FloatArray]:
    """Yield each organ's distance in units of 90 mm, one where it is far or missing."""
    step = (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
    for organ in organs:
        away = np.full(len(flat), 1, np.float32)
        if organ.any():
            away = np.minimum(distance_mm(organ, step).ravel()[flat] / NEAR_MM, 1, dtype=np.float32)
        yield away


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

    def __init__(
        self,
        widths: Sequence[int] = (128, 128, 64),
        dropout: float = 0.0,
        given: int = PLAIN,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(given))
        self.register_buffer("scale", torch.ones(given))
        sizes = (given, *widths)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.SiLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    @property
    def width(self) -> int:
        """Return how many values its last hidden layer has."""
        return int(self.get_parameter(f"body.{len(self.body) - 1}.weight").shape[1])

    @property
    def given(self) -> int:
        """Return how many of `FEATURES` it reads, from the first on."""
        return len(self.mean)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the change of each row."""
        return self.answer(self.hidden(rows))

    def hidden(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the values of the last hidden layer."""
        values: torch.Tensor = self.body[:-1]((rows - self.mean) * self.scale)
        return values

    def answer(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the change by the values of the last hidden layer."""
        change: torch.Tensor = self.body[-1](hidden)[:, 0] * CHANGE
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
    networks: Sequence[VoxelNet], prepared: Prepared
) -> tuple[FloatArray, FloatArray]:
    """Return the plan channel with the networks' mean change, zero outside of the mask.

    They are asked at the voxels that `sparse.own_shares` names. The second is the mean of the
    first network's last hidden values over these.
    """
    allowed, before = prepared.masks[0], prepared.continuous[PLAN]
    targets = prepared.continuous[CONTINUOUS.index("prescription")] > 0
    shares = own_shares(allowed, targets, before)
    known = shares > 0
    changes = np.zeros(allowed.shape, np.float32)
    rows = torch.from_numpy(voxel_rows(prepared, known))
    changes[known], features = _asked_of(networks, rows)
    plan = np.maximum(before + filled(changes, shares, allowed), 0) * allowed
    return np.asarray(plan, np.float32), features


def _asked_of(networks: Sequence[VoxelNet], rows: torch.Tensor) -> tuple[FloatArray, FloatArray]:
    """Return the mean change of the networks by row, and the first one's mean hidden values."""
    changes = torch.zeros(len(rows))
    hidden = torch.zeros(networks[0].width)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, native_bf16()):
        for part, new in _lots(len(rows)):
            total = torch.zeros(part.stop - part.start)
            for number, network in enumerate(networks):
                values = network.hidden(rows[part, : network.given])
                total += network.answer(values).float() / len(networks)
                if number == 0:
                    hidden += values[-new:].float().sum(dim=0) / len(rows)
            changes[part] = total
    return changes.numpy(), hidden.numpy()


def _lots(count: int) -> Iterator[tuple[slice, int]]:
    """Yield which rows to ask for at once, and how many of them, the last, were not asked yet."""
    for first in range(0, count, LOT):
        end = min(first + LOT, count)
        size = min(-(-(end - first) // GRAIN) * GRAIN, end)
        yield slice(end - size, end), end - first
