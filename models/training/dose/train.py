"""Train one stage, with checkpoints; it goes on where it stopped.

1. Draw a patient and, half of the time, mirror it left to right (the nine fields are symmetric);
   as often turn and stretch it a little in the axial plane (`turned`).
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

from models.dose.inputs import CONTINUOUS
from models.dose.network import DoseNet
from models.dose.patient import ORGANS, TOP_GY
from models.dose.predict import networks_of
from models.training.contouring.train import native_bf16
from models.training.dose.packs import TrainingCase, load_case
from models.training.dose.recipe import Stage
from models.training.dose.score import dvh_difference

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


def turned(batch: Batch, degrees: float, scale: float) -> Batch:
    """Return the patient turned about the slice axis and stretched; all channels move together."""
    rows, columns = batch.channels.shape[2:4]
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle) / scale, math.sin(angle) / scale
    step = columns / rows  # a turn in voxels, and not in shares of unequal sides
    matrix = torch.tensor([[[cosine, -sine / step, 0.0], [sine * step, cosine, 0.0]]])
    grid = functional.affine_grid(matrix, [1, 1, rows, columns], align_corners=False)
    count = len(CONTINUOUS)
    values = torch.cat([batch.channels[0, :count], batch.dose_gy[None]])
    masks = torch.cat([batch.channels[0, count:], batch.targets.float()])
    moved = _moved(values, grid, "bilinear", "border")
    masks = _moved(masks, grid, "nearest", "zeros")
    organs = batch.channels.shape[1]
    channels = torch.cat([moved[:count], masks[: organs - count]])[None]
    return Batch(channels, moved[count], masks[organs - count :] > 0, batch.voxel_mm3 / scale**2)


def _moved(values: torch.Tensor, grid: torch.Tensor, mode: str, padding: str) -> torch.Tensor:
    """Return volumes (N, R, C, S) sampled on an axial grid, slice by slice."""
    flat = values.permute(0, 3, 1, 2).flatten(0, 1)[None]
    moved = functional.grid_sample(flat, grid, mode, padding, align_corners=False)
    count, rows, columns, slices = values.shape
    return moved.view(count, slices, rows, columns).permute(0, 2, 3, 1)


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
            network, _ = networks_of(values)
            if network is not None:
                self.network.load_state_dict(network.state_dict())
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), stage.learning_rate, weight_decay=stage.weight_decay
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

    def advance(self, batch: Batch, done: float) -> float:
        """Take one step and return the mean absolute error; `done` is the share of the stage."""
        whole = done >= self.stage.slab_share
        if self.generator.random() < 0.5:
            batch = mirror(batch)
        if self.generator.random() < 0.5:
            degrees = float(self.generator.uniform(-1, 1)) * self.stage.turn_degrees
            scale = 1 + float(self.generator.uniform(-1, 1)) * self.stage.stretch
            batch = turned(batch, degrees, scale)
        size = self.stage.slab
        if not whole and batch.dose_gy.shape[2] > size:
            start = 2 * int(self.generator.integers((batch.dose_gy.shape[2] - size) // 2 + 1))
            batch = slab_of(batch, start, size)
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
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
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
        predicted = network(batch.channels)[0].clamp(min=0) * TOP_GY
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
