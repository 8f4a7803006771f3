"""Train the voxel network: minutes, on a few thousand voxels of each learning patient.

1. Draw voxels of each patient once.
2. Each step: a random lot of rows, mirrored left to right half of the time; mean absolute error;
   AdamW, cosine, averaged weights.
3. The averaged weights are scored on the held-back training patients after each twentieth of the
   stage, and the best are kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from models.dose.inputs import PLAN
from models.dose.patient import ORGANS, TOP_GY
from models.dose.voxels import FACTS, FEATURES, MIRRORED_PLACE, VoxelNet, named_weights, voxel_rows
from models.training.dose.packs import load_case
from models.training.dose.recipe import VoxelStage

Rows = tuple[torch.Tensor, torch.Tensor]
RIGHT, LEFT = "RightParotid", "LeftParotid"


def draw(folder: Path, name: str, count: int, generator: np.random.Generator) -> Rows:
    """Return features of random voxels of a patient, and planned minus quick-plan dose in Gy."""
    case = load_case(folder, name)
    allowed = case.masks[0]
    chosen = np.zeros(allowed.shape, bool)
    places = np.flatnonzero(allowed)
    chosen.flat[generator.permutation(places)[:count]] = True
    continuous = case.continuous.astype(np.float32)
    rows = voxel_rows(continuous, case.masks, case.voxel_mm, chosen)
    change = case.dose_gy[chosen].astype(np.float32) - TOP_GY * continuous[PLAN][chosen]
    return torch.from_numpy(rows), torch.from_numpy(change)


def mirrored(rows: torch.Tensor) -> torch.Tensor:
    """Return rows of the patient mirrored left to right, the parotids renamed."""
    order = list(range(len(FEATURES)))
    inside = FEATURES.index(ORGANS[0])
    for offset in (inside, inside + len(ORGANS), len(FEATURES) - len(ORGANS)):
        right, left = offset + ORGANS.index(RIGHT), offset + ORGANS.index(LEFT)
        order[right], order[left] = left, right
    turned = rows[:, order]
    turned[:, MIRRORED_PLACE] *= -1
    return turned


def train_voxels(
    stage: VoxelStage, folder: Path, names: Sequence[str], held_back: Sequence[str], work: Path
) -> float:
    """Train, write ``voxels.safetensors`` and the log, return the held-back error (Gy)."""
    generator = np.random.default_rng(stage.seed)
    torch.manual_seed(stage.seed)
    drawn = [draw(folder, name, stage.voxels, generator) for name in names]
    judged = [draw(folder, name, stage.voxels, generator) for name in held_back]
    rows, change = torch.cat([part[0] for part in drawn]), torch.cat([part[1] for part in drawn])
    network, average = VoxelNet(stage.widths, stage.dropout), VoxelNet(stage.widths).eval()
    network.standardise(rows)
    average.load_state_dict(network.state_dict())
    facts = network.mean[None, -len(FACTS) :]
    optimiser = torch.optim.AdamW(
        network.parameters(), stage.learning_rate, weight_decay=stage.weight_decay
    )
    work.mkdir(parents=True, exist_ok=True)
    best = math.inf
    for step in range(stage.steps):
        rate = stage.learning_rate * 0.5 * (1 + math.cos(math.pi * step / stage.steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        lot = torch.from_numpy(generator.integers(len(rows), size=stage.lot))
        part = rows[lot]
        part = mirrored(part) if generator.random() < 0.5 else part.clone()
        unknown = torch.from_numpy(generator.random(stage.lot) < stage.facts_dropped)
        part[:, -len(FACTS) :] = torch.where(unknown[:, None], facts, part[:, -len(FACTS) :])
        error = (TOP_GY * network(part) - change[lot]).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        error.backward()
        optimiser.step()
        decay = min(stage.ema_decay, (1 + step) / (10 + step))
        for kept, value in zip(average.parameters(), network.parameters(), strict=True):
            kept.data.lerp_(value.data, 1 - decay)
        if (step + 1) % max(1, stage.steps // 20) == 0:
            held = score_rows(average, judged)
            line = {
                "step": step + 1,
                "training_error_gy": round(float(error.detach()), 4),
                "held_back_dose_gy": round(held, 4),
            }
            with (work / "log.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
            if held < best:
                best = held
                save_file(named_weights(average, 0), work / "voxels.safetensors")
    return best


@torch.no_grad()
def score_rows(network: VoxelNet, judged: Sequence[Rows]) -> float:
    """Return the mean over patients of the mean absolute error (Gy)."""
    errors = [float((TOP_GY * network(rows) - change).abs().mean()) for rows, change in judged]
    return float(np.mean(errors))
