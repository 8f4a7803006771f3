"""Train one stage, with checkpoints; it goes on where it stopped.

1. Draw a patient and, half of the time, mirror it left to right (the nine fields are symmetric);
   as often turn and stretch it a little in the axial plane (`turned`), in one stage also by a
   multiple of the angle between the fields, as C3D does (Liu et al. 2021, doi 10.1002/mp.15034).
2. Mean absolute error in the possible-dose mask, late also the difference of DVH points.
3. AdamW, cosine, gradient clipped to norm 1; an average of the weights is kept beside.
4. Every `every_s` seconds: score the held-back training patients, write a checkpoint.

Read `__main__.py` for the command.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from models.dose.inputs import CHANNELS, CONTINUOUS, GRANULARITY, PLAN
from models.dose.network import DoseNet, Residual
from models.dose.patient import ORGANS, TOP_GY
from models.dose.predict import parts_of
from models.training.dose.packs import TrainingCase, load_case
from models.training.dose.recipe import Stage
from models.training.dose.score import dvh_difference
from models.unet.processor import native_bf16

FIELDS = 9
FIELD_STEP = 360.0 / FIELDS
"""Degrees between two fields of the plans."""
MIRROR = {"RightParotid": "LeftParotid", "LeftParotid": "RightParotid"}
MIRRORED = [len(CONTINUOUS) + 1 + ORGANS.index(MIRROR.get(name, name)) for name in ORGANS]
"""Where the channel of each organ stands after a mirror: right and left change places."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold one step's tensors: channels (1, 16, …), dose in Gy, masks of organs and targets."""

    channels: torch.Tensor
    dose_gy: torch.Tensor
    targets: torch.Tensor
    voxel_mm3: float

    @property
    def allowed(self) -> torch.Tensor:
        """Return the possible-dose mask (R, C, S)."""
        return self.channels[0, len(CONTINUOUS)] > 0

    @property
    def organs(self) -> torch.Tensor:
        """Return the organs' masks (7, R, C, S)."""
        return self.channels[0, len(CONTINUOUS) + 1 :] > 0


def as_batch(case: TrainingCase) -> Batch:
    """Return a prepared patient as tensors."""
    continuous = torch.from_numpy(case.continuous).float()
    channels = torch.cat([continuous, torch.from_numpy(case.masks).float()])[None]
    dose = torch.from_numpy(case.dose_gy).float()
    return Batch(channels, dose, torch.from_numpy(case.targets), float(np.prod(case.voxel_mm)))


def mirror(batch: Batch) -> Batch:
    """Return the patient mirrored left to right, the parotids renamed."""
    order = [*range(len(CONTINUOUS) + 1), *MIRRORED]
    channels = batch.channels[:, order].flip(3)
    return Batch(channels, batch.dose_gy.flip(1), batch.targets.flip(2), batch.voxel_mm3)


def upside_down(batch: Batch) -> Batch:
    """Return the patient with the slices in reverse, as the coplanar fields see it the same."""
    return Batch(
        batch.channels.flip(4), batch.dose_gy.flip(2), batch.targets.flip(3), batch.voxel_mm3
    )


def turned(batch: Batch, degrees: float, scale: float) -> Batch:
    """Return the patient turned about the slice axis and stretched; all channels move together.

    The grid is the box of the turned possible-dose mask, each side a multiple of 16 voxels.
    """
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    before = torch.tensor(batch.channels.shape[2:4])
    seen = batch.allowed.any(dim=2).nonzero() - (before - 1) / 2
    there = scale * seen @ turn.T
    low, high = there.amin(dim=0), there.amax(dim=0)
    sides = [
        max(GRANULARITY, -(-int(size) // GRANULARITY) * GRANULARITY) for size in high - low + 1
    ]
    offset = [(size - 1) / 2 for size in batch.channels.shape[2:4]]
    first = [
        round(float(centre) - (side - 1) / 2 + half) - half  # on the voxels where nothing turns
        for side, centre, half in zip(sides, (low + high) / 2, offset, strict=True)
    ]
    axes = [torch.arange(side) + start for side, start in zip(sides, first, strict=True)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) @ turn / scale
    grid = (2 * (places + (before - 1) / 2) + 1) / before - 1
    grid = grid.flip(2)[None]
    count = len(CONTINUOUS)
    values = torch.cat([batch.channels[0, :count], batch.dose_gy[None]])
    masks = torch.cat([batch.channels[0, count:], batch.targets.float()])
    moved = _moved(values, grid, "bilinear", "border")
    masks = _moved(masks, grid, "nearest", "zeros")
    organs = batch.channels.shape[1] - count
    channels = torch.cat([moved[:count], masks[:organs]])[None]
    return Batch(channels, moved[count], masks[organs:] > 0, batch.voxel_mm3 / scale**2)


def _moved(values: torch.Tensor, grid: torch.Tensor, mode: str, padding: str) -> torch.Tensor:
    """Return volumes (N, R, C, S) sampled on an axial grid, slice by slice."""
    flat = values.permute(0, 3, 1, 2).flatten(0, 1)[None]
    moved = functional.grid_sample(flat, grid, mode, padding, align_corners=False)
    count, slices = values.shape[0], values.shape[3]
    return moved.view(count, slices, *grid.shape[1:3]).permute(0, 2, 3, 1)


def slab_of(batch: Batch, start: int, size: int) -> Batch:
    """Return some slices of a batch."""
    part = slice(start, start + size)
    return Batch(
        batch.channels[..., part].contiguous(),
        batch.dose_gy[..., part].contiguous(),
        batch.targets[..., part].contiguous(),
        batch.voxel_mm3,
    )


class Training:
    """Hold the state of one stage: network, averaged weights, optimiser, generator, step."""

    def __init__(self, stage: Stage, folder: Path, start: Path | None = None) -> None:
        self.stage, self.folder = stage, folder
        self.half = stage.half and native_bf16()
        torch.manual_seed(stage.seed)
        self.network = DoseNet(stage.widths, stage.depths, stage.detail)
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if start is not None:
            values = {name: value.float() for name, value in load_file(start).items()}
            network, *_ = parts_of(values)
            if network is not None:
                self.network.load_state_dict(network.state_dict())
        for block in self.network.modules():
            if isinstance(block, Residual):
                block.left_out = stage.left_out
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            stage.learning_rate,
            weight_decay=stage.weight_decay,
            fused=True,
        )
        self.generator = np.random.default_rng(stage.seed)
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        """Go on from the checkpoint of the folder, where there is one."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        kept = torch.load(path, weights_only=True)
        self.network.load_state_dict(kept["network"])
        self.average = kept["average"]
        self.optimiser.load_state_dict(kept["optimiser"])
        self.step, self.seconds = int(kept["step"]), float(kept["seconds"])
        self.generator = np.random.default_rng((self.stage.seed, self.step))

    def save(self) -> None:
        """Write the checkpoint, and the averaged weights in half precision."""
        part = self.folder / "checkpoint.part"
        kept = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(kept, part)
        part.rename(self.folder / "checkpoint.pt")
        half = {name: value.half().contiguous() for name, value in self.average.items()}
        save_file(half, self.folder / "weights.safetensors")

    def averaged(self) -> DoseNet:
        """Return a network with the averaged weights."""
        network = DoseNet(self.stage.widths, self.stage.depths, self.stage.detail)
        network.load_state_dict(self.average)
        return network.eval()

    def varied(self, batch: Batch, whole: bool) -> Batch:
        """Return a part of a patient, or all, changed by chance in ways that plans do not mind."""
        stage, chance = self.stage, self.generator
        size, slices = stage.slab, batch.dose_gy.shape[2]
        if not whole and slices > size:
            batch = slab_of(batch, 2 * int(chance.integers((slices - size) // 2 + 1)), size)
        late = stage.as_they_are if whole else 1.0
        if chance.random() < 0.5 * late:
            batch = mirror(batch)
        if chance.random() < stage.upside_down * late:
            batch = upside_down(batch)
        degrees = 0.0
        if chance.random() < stage.field_turns * late:
            degrees = FIELD_STEP * int(chance.integers(1, FIELDS))
        if degrees or chance.random() < 0.5:
            degrees += float(chance.uniform(-1, 1)) * stage.turn_degrees
            scale = 1 + float(chance.uniform(-1, 1)) * stage.stretch
            if batch.allowed.any():
                batch = turned(batch, degrees, scale)
        if stage.plan_mixed:
            part = float(chance.normal(0, stage.plan_mixed))
            batch.channels[:, PLAN] += part * (
                batch.channels[:, CHANNELS.index("sparing_plan")] - batch.channels[:, PLAN]
            )
        return batch

    def advance(self, batch: Batch, done: float) -> float:
        """Take one step and return the mean absolute error; `done` is the share of the stage."""
        whole = done >= self.stage.slab_share
        batch = self.varied(batch, whole)
        rate = self.stage.learning_rate * min(1.0, (self.step + 1) / self.stage.warm_up)
        rate *= 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        for group in self.optimiser.param_groups:
            group["lr"] = max(rate, 1e-6)
        channels = batch.channels.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            predicted = self.network(channels)[0].float() * TOP_GY
        allowed = batch.allowed
        error = (predicted - batch.dose_gy).abs()[allowed].mean() if allowed.any() else None
        if error is None:
            return float("nan")
        loss = error
        if whole and self.stage.dvh_weight:
            loss = error + self.stage.dvh_weight * dvh_difference(
                predicted, batch.dose_gy, batch.organs, batch.targets, batch.voxel_mm3
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if not torch.isfinite(norm):  # a bfloat16 weight gradient over two slices, now and then
            return float("nan")
        self.optimiser.step()
        self.step += 1
        decay = min(self.stage.ema_decay, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)
        return float(error.detach())


@torch.no_grad()
def score(network: nn.Module, folder: Path, names: Sequence[str]) -> tuple[float, float]:
    """Return mean absolute error and mean DVH difference (Gy) over prepared patients."""
    errors, differences = [], []
    for name in names:
        batch = as_batch(load_case(folder, name))
        channels = batch.channels.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16()):
            predicted = network(channels)[0].float().clamp(min=0) * TOP_GY
        errors.append(float((predicted - batch.dose_gy).abs()[batch.allowed].mean()))
        differences.append(
            float(
                dvh_difference(
                    predicted, batch.dose_gy, batch.organs, batch.targets, batch.voxel_mm3
                )
            )
        )
    return float(np.mean(errors)), float(np.mean(differences))


def run(
    training: Training,
    prepared: Path,
    names: Sequence[str],
    held_back: Sequence[str],
    minutes: float = math.inf,
    every_s: float = 600.0,
) -> None:
    """Train until the stage's steps or the minutes are over, whichever share is larger."""
    stage = training.stage
    log = training.folder / "log.jsonl"
    order: list[str] = []
    recent: list[float] = []
    begun, kept = time.monotonic() - training.seconds, time.monotonic()
    while True:
        training.seconds = time.monotonic() - begun
        done = max(training.step / stage.steps, training.seconds / 60 / minutes)
        over = done >= 1
        if over or time.monotonic() - kept > every_s:
            result = score(training.averaged(), prepared, held_back)
            training.save()
            line = {
                "step": training.step,
                "seconds": round(training.seconds),
                "done": round(done, 4),
                "training_error_gy": round(float(np.nanmean(recent)) if recent else math.nan, 4),
                "held_back_dose_gy": round(result[0], 4),
                "held_back_dvh_gy": round(result[1], 4),
            }
            with log.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
            recent, kept = [], time.monotonic()
        if over:
            return
        if not order:
            order = [names[i] for i in training.generator.permutation(len(names))]
        batch = as_batch(load_case(prepared, order.pop()))
        recent.append(training.advance(batch, done))
