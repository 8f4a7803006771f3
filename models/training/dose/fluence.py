"""Train the network that plans (`models/dose/fluence.py`): some minutes of one core a network.

1. Each step: two patients, each mirrored half of the time, sometimes with its slices in reverse, or
   turned by some fields and not told where they stand: nine fields look alike after each of these.
2. Mean absolute error at the drawn voxels, through the dose of the planned fluence; AdamW, cosine,
   norm of the gradient at most 1, averaged weights.
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

from models.dose.fluence import AS_IT_IS, COUNT, FluenceNet, Turn, named_weights
from models.training.dose.log import note
from models.training.dose.recipe import FluenceStage
from models.training.dose.views import DoseOf, ViewCase
from models.unet.processor import native_bf16

LOOKS = 20


def dose_gy(network: FluenceNet, case: ViewCase, turn: Turn = AS_IT_IS) -> torch.Tensor:
    """Return the dose (N,) of what the network plans, differentiable."""
    fluence = network.fluence(case.maps.float(), case.fluences, turn)
    found: torch.Tensor = DoseOf.apply(fluence, case)  # type: ignore[no-untyped-call]
    return found


def drawn_turn(stage: FluenceStage, generator: np.random.Generator) -> Turn:
    """Return how the next patient is shown."""
    mirrored, upside_down, around = generator.random(3) < (0.5, stage.upside_down, stage.around)
    fields = int(generator.integers(COUNT)) if around else 0
    return Turn(bool(mirrored), bool(upside_down), fields, not around)


def train_fluence(
    stage: FluenceStage,
    cases: Mapping[str, ViewCase],
    held_back: Sequence[str],
    work: Path,
) -> float:
    """Train, write ``fluence.safetensors`` and the log, return the held-back error (Gy).

    Where nobody is held back, the error is NaN.
    """
    generator = np.random.default_rng(stage.seed)
    torch.manual_seed(stage.seed)
    learnt = [case for name, case in cases.items() if name not in held_back]
    judged = [cases[name] for name in held_back]
    network = FluenceNet(stage.widths, stage.dropped)
    average = FluenceNet(stage.widths).eval()
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(
        network.parameters(), stage.learning_rate, weight_decay=stage.weight_decay
    )
    half = stage.half and native_bf16()
    work.mkdir(parents=True, exist_ok=True)
    best, error = math.inf, math.nan
    for step in range(stage.steps):
        rate = 0.5 * (1 + math.cos(math.pi * step / stage.steps))
        for group in optimiser.param_groups:
            group["lr"] = stage.learning_rate * rate * min(1, (step + 1) / stage.warm_up)
        optimiser.zero_grad(set_to_none=True)
        for _ in range(stage.patients):
            case = learnt[generator.integers(len(learnt))]
            with torch.autocast("cpu", torch.bfloat16, half):
                dose = dose_gy(network, case, drawn_turn(stage, generator))
            part = (dose - case.dose_gy).abs().mean()
            torch.autograd.backward(part / stage.patients)
            now = float(part.detach())
            error = now if math.isnan(error) else 0.99 * error + 0.01 * now
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        decay = min(stage.ema_decay, (1 + step) / (10 + step))
        for kept, value in zip(average.parameters(), network.parameters(), strict=True):
            kept.data.lerp_(value.data, 1 - decay)
        if (step + 1) % max(1, stage.steps // LOOKS) == 0 or step + 1 == stage.steps:
            held = score(average, judged, half) if judged else math.nan
            note(work / "log.jsonl", step + 1, error, held)
            if held < best or not judged:
                best = held
                save_file(named_weights(average, 0), work / "fluence.safetensors")
    return best


@torch.no_grad()
def score(network: FluenceNet, judged: Sequence[ViewCase], half: bool = False) -> float:
    """Return the mean over patients of the mean absolute error (Gy)."""
    with torch.autocast("cpu", torch.bfloat16, half):
        errors = [float((dose_gy(network, case) - case.dose_gy).abs().mean()) for case in judged]
    return float(np.mean(errors))
