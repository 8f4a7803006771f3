"""Train a second member for each fold, starting from the committed first one.

A long recipe is staged: the second stage starts from the half-precision weights of the first
member of *the same fold* (so it never saw the fold's patients either) and goes on with other
random numbers, a fresh optimiser, fewer samples without PET, and batches of twins. Both members
then vote: two networks that erred differently are wrong together less often (Lakshminarayanan
et al. 2017, arXiv:1612.01474).

Twins are two augmentations of one patient in boxes of one size. They pass as one batch, because
torch 2.13 convolves a single small volume in float32 two to five times slower than two of them.
Number of steps, rate and the rule that both members vote were fixed before the outer folds were
looked at (README.md, "Looks"). Read next: `train.py`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import structlog
import torch

from models.training.contouring.cases import CachedCase, Case, cache_case
from models.training.contouring.recipe import Recipe
from models.training.contouring.sampling import draw_sample
from models.training.contouring.train import (
    CHECKPOINT_EVERY,
    LOG_EVERY,
    TensorTriple,
    TrainingState,
    load_checkpoint,
    save_checkpoint,
    train_step,
)
from models.unet.network import UNet3d

TWINS = 2
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SecondStage:
    """Hold what the second stage does otherwise than the first.

    The rate rises over `warmup_steps` and falls to zero at `step_count`.
    """

    step_count: int = 700
    patients_per_step: int = 2
    learning_rate: float = 1.0e-3
    warmup_steps: int = 30
    sampling: Recipe = field(
        default_factory=lambda: replace(
            Recipe(), pet_absent_rate=0.10, average_decay=0.99, seed=20261125
        )
    )

    def digest(self, first_digest: str) -> str:
        """`sha256:` of the stage and of the weights that it starts from."""
        value = {"first": first_digest, "stage": asdict(self)}
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        rise = min(1.0, (step + 1) / self.warmup_steps)
        return self.learning_rate * min(rise, 1 - step / self.step_count)


def continue_from(first: UNet3d, stage: SecondStage) -> TrainingState:
    """Return the state in which the second stage begins: the first member, a new optimiser."""
    networks = []
    for _ in range(2):
        network = UNet3d(first.in_channels, first.channels)
        network.load_state_dict(first.state_dict())
        networks.append(network)
    optimizer = torch.optim.AdamW(
        networks[0].parameters(), stage.learning_rate, weight_decay=stage.sampling.weight_decay
    )
    return TrainingState(networks[0], networks[1], optimizer)


def draw_twins(
    cases: Sequence[CachedCase], stage: SecondStage, fold: int, step: int
) -> list[TensorTriple]:
    """Return the twins of a step, each as (2, C, D, H, W) channels, target and weight."""
    seed = stage.sampling.seed
    batch = []
    count = stage.patients_per_step
    for place in range(step * count, (step + 1) * count):
        epoch, position = divmod(place, len(cases))
        order = np.random.default_rng([seed, fold, epoch]).permutation(len(cases))
        generator = np.random.default_rng([seed, fold, place, 1])
        case = cases[order[position]]
        twins = [draw_sample(case, generator, stage.sampling)]
        while len(twins) < TWINS:
            sizes = twins[0].target.shape[1:]
            twins.append(draw_sample(case, generator, stage.sampling, sizes))
        channels, target, weight = (
            torch.from_numpy(np.stack([getattr(twin, name) for twin in twins]))
            for name in ("channels", "target", "weight")
        )
        batch.append((channels, target, weight))
    return batch


def train_second_member(
    cases: Sequence[Case], first: UNet3d, stage: SecondStage, fold: int, checkpoint: Path
) -> TrainingState:
    """Return the trained second member of a fold, resuming from `checkpoint` where it exists."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    state = continue_from(first, stage)
    if checkpoint.exists():
        load_checkpoint(state, checkpoint)
        if state.step > stage.step_count:
            raise ValueError(f"the checkpoint is past step {stage.step_count}: {state.step}")
    cached = [cache_case(case) for case in cases]
    losses: list[float] = []
    while state.step < stage.step_count:
        batch = draw_twins(cached, stage, fold, state.step)
        rate = stage.rate(state.step)
        losses.append(train_step(state, batch, stage.sampling, bf16=False, rate=rate))
        if state.step % LOG_EVERY == 0:
            loss = round(float(np.mean(losses)), 4)
            log.info("training", stage=2, fold=fold, step=state.step, loss=loss)
            losses = []
        if state.step % CHECKPOINT_EVERY == 0 or state.step == stage.step_count:
            save_checkpoint(state, checkpoint)
    return state
