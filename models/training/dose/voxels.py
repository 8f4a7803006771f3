"""Train the voxel network: minutes, on a few thousand voxels of each learning patient.

1. Draw voxels of each patient once.
2. Each step: a random lot of rows, mirrored left to right half of the time; mean absolute error;
   AdamW, cosine, averaged weights.
3. The averaged weights are scored on the held-back training patients after each twentieth of the
   stage, and the best are kept. Where nobody is held back, those of the last step are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from models.dose.inputs import PLAN
from models.dose.patient import TOP_GY
from models.dose.voxels import (
    FACTS,
    FEATURES,
    MIRRORED_FEATURES,
    MIRRORED_PLACE,
    PLAIN,
    VoxelNet,
    named_weights,
    voxel_rows,
    widths_of,
)
from models.training.dose.log import note
from models.training.dose.packs import load_case
from models.training.dose.recipe import VoxelStage
from models.unet.processor import native_bf16

Rows = tuple[torch.Tensor, torch.Tensor]


def draw(folder: Path, name: str, stage: VoxelStage, generator: np.random.Generator) -> Rows:
    """Return features of random voxels of a patient, and planned minus quick-plan dose in Gy.

    Organs, of which small ones would hardly be drawn, have a share of their own.
    """
    case = load_case(folder, name, fields=True)
    prepared = case.prepared
    allowed = case.masks[0]
    chosen = np.zeros(allowed.shape, bool)
    organs = allowed & case.masks[1:].any(axis=0)
    inside = generator.permutation(np.flatnonzero(organs))[: int(stage.organs * stage.voxels)]
    places = generator.permutation(np.flatnonzero(allowed & ~organs))
    chosen.flat[inside] = True
    chosen.flat[places[: stage.voxels - len(inside)]] = True
    rows = np.ascontiguousarray(voxel_rows(prepared, chosen))
    change = case.dose_gy[chosen].astype(np.float32) - TOP_GY * prepared.continuous[PLAN][chosen]
    return torch.from_numpy(rows), torch.from_numpy(change)


def draw_all(folder: Path, names: Sequence[str], stage: VoxelStage) -> dict[str, Rows]:
    """Return rows of every patient, drawn in this order by the stage's seed."""
    generator = np.random.default_rng(stage.seed)
    return {name: draw(folder, name, stage, generator) for name in names}


def mirrored(rows: torch.Tensor) -> torch.Tensor:
    """Return rows of the patient mirrored left to right, parotids, sides and fields renamed."""
    turned = rows[:, MIRRORED_ORDER[: rows.shape[1]]]
    turned[:, MIRRORED_PLACE] *= -1
    return turned


def _order() -> list[int]:
    """Return which feature stands where after a mirror; an organ's name stands for two."""
    order = []
    for index, name in enumerate(FEATURES):
        other = MIRRORED_FEATURES.get(name, name)
        again = FEATURES[:index].count(name)
        found = [place for place, known in enumerate(FEATURES) if known == other]
        order.append(found[again])
    return order


MIRRORED_ORDER = _order()


def sided(rows: torch.Tensor, turned: bool) -> torch.Tensor:
    """Return rows with a last column that says whether the patient was mirrored.

    Planners did not treat both sides alike (see `recipe.Stage.as_they_are`); so a network can
    learn from mirrored patients and still know the difference.
    """
    return torch.cat([rows, torch.full((len(rows), 1), float(turned))], dim=1)


def without_side(network: VoxelNet) -> VoxelNet:
    """Return the network for patients as they are: without the last column, which is zero."""
    values = network.state_dict()
    for name in ("mean", "scale"):
        values[name] = values[name][:-1]
    values["body.0.weight"] = values["body.0.weight"][:, :-1]
    plain = VoxelNet(widths_of(values), given=len(values["mean"]))
    plain.load_state_dict(values)
    return plain.eval()


def train_voxels(
    stage: VoxelStage,
    drawn: Mapping[str, Rows],
    names: Sequence[str],
    held_back: Sequence[str],
    work: Path,
) -> float:
    """Train, write ``voxels.safetensors`` and the log, return the held-back error (Gy).

    Where nobody is held back, the error is NaN.
    """
    generator = np.random.default_rng(stage.seed)
    torch.manual_seed(stage.seed)
    judged = [drawn[name] for name in held_back]
    read = len(FEATURES) if stage.paths else PLAIN
    rows = torch.cat([drawn[name][0][:, :read] for name in names])
    change = torch.cat([drawn[name][1] for name in names])
    given = read + 1
    network = VoxelNet(stage.widths, stage.dropout, given)
    average = VoxelNet(stage.widths, given=given).eval()
    network.standardise(sided(rows[:: max(1, len(rows) // 200_000)], False))
    network.scale[-1] = 1.0
    average.load_state_dict(network.state_dict())
    known = slice(PLAIN - len(FACTS), PLAIN)
    facts = network.mean[None, known]
    optimiser = torch.optim.AdamW(
        network.parameters(), stage.learning_rate, weight_decay=stage.weight_decay, fused=True
    )
    work.mkdir(parents=True, exist_ok=True)
    best = math.inf
    for step in range(stage.steps):
        rate = stage.learning_rate * 0.5 * (1 + math.cos(math.pi * step / stage.steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        lot = torch.from_numpy(generator.integers(len(rows), size=stage.lot))
        part, turned = rows[lot], generator.random() < 0.5
        part = mirrored(part) if turned else part
        unknown = torch.from_numpy(generator.random(stage.lot) < stage.facts_dropped)
        part[:, known] = torch.where(unknown[:, None], facts, part[:, known])
        with torch.autocast("cpu", torch.bfloat16, stage.half and native_bf16()):
            answer = network(sided(part, turned))
        error = (TOP_GY * answer.float() - change[lot]).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        error.backward()
        optimiser.step()
        decay = min(stage.ema_decay, (1 + step) / (10 + step))
        for kept, value in zip(average.parameters(), network.parameters(), strict=True):
            kept.data.lerp_(value.data, 1 - decay)
        if (step + 1) % max(1, stage.steps // 20) == 0:
            held = score_rows(without_side(average), judged) if judged else math.nan
            note(work / "log.jsonl", step + 1, float(error.detach()), held)
            if held < best or not judged:
                best = held
                save_file(named_weights(without_side(average), 0), work / "voxels.safetensors")
    return best


@torch.no_grad()
def score_rows(network: VoxelNet, judged: Sequence[Rows]) -> float:
    """Return the mean over patients of the mean absolute error (Gy)."""
    errors = [
        float((TOP_GY * network(rows[:, : network.given]) - change).abs().mean())
        for rows, change in judged
    ]
    return float(np.mean(errors))
