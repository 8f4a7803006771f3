"""Train one member of the ensemble, with checkpoints from which it resumes exactly.

1. Cache the training patients.  2. For each step draw a batch from generators seeded by the step
number (so that a resumed run draws what an unbroken one would).  3. Dice and cross entropy on
two decoder levels.  4. AdamW with warm-up, constant rate, linear decay and one warm restart; the
weights are averaged exponentially.
The averaged weights of the last step are the member; no step is picked by a validation score
(README.md lists the looks that were taken). bf16 autocast is used only where the processor
computes it natively; a resumed run is then equal up to the last bits of one gradient kernel, in
float32 bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from torch.nn import functional

from models.contouring.inputs import CHANNELS
from models.training.contouring.cases import CachedCase, Case, cache_case
from models.training.contouring.recipe import Recipe
from models.training.contouring.sampling import draw_sample
from models.unet.network import UNet3d
from models.unet.processor import native_bf16

CHECKPOINT_EVERY = 100
TensorTriple = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
LOG_EVERY = 20
log = structlog.get_logger()


@dataclass(slots=True)
class TrainingState:
    """Hold what a checkpoint holds; the only mutable value of the training."""

    network: UNet3d
    average: UNet3d
    optimizer: torch.optim.AdamW
    step: int = 0


def new_state(recipe: Recipe, fold: int) -> TrainingState:
    """Return an untrained member; its first weights depend on the recipe's seed and the fold."""
    torch.manual_seed(recipe.seed + fold)
    network = UNet3d(len(CHANNELS), recipe.channels)
    average = UNet3d(len(CHANNELS), recipe.channels)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    return TrainingState(network, average, optimizer)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the rate of a step: warm-up, constant, fall, and the fall after the restart."""
    if step >= recipe.restart_step:
        left = (recipe.step_count - step) / (recipe.step_count - recipe.restart_step)
        return recipe.learning_rate * recipe.restart_rate * left
    rise = min(1.0, (step + 1) / recipe.warmup_steps)
    fall = min(1.0, (recipe.restart_step - step) / recipe.decay_steps)
    return recipe.learning_rate * min(rise, fall)


def segmentation_loss(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Return 1 - soft DSC plus cross entropy, over (N, 1, D, H, W).

    Source: Dice loss of Milletari et al. 2016 (arXiv:1606.04797), per sample; the sum with
    cross entropy as in nnU-Net. `weight` takes voxels outside the crop nearly out of account.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, target, weight)
    probability = torch.sigmoid(logits) * weight
    axes = (1, 2, 3, 4)
    shared = (probability * target).sum(axes)
    size = probability.sum(axes) + (target * weight).sum(axes)
    return entropy + (1 - (2 * shared + 1.0) / (size + 1.0)).mean()


def draw_batch(
    cases: Sequence[CachedCase], recipe: Recipe, fold: int, step: int
) -> list[TensorTriple]:
    """Return the samples of a step as (1, C, D, H, W) channels, target and weight.

    Each patient comes once per epoch.
    """
    batch = []
    for place in range(step * recipe.batch_size, (step + 1) * recipe.batch_size):
        epoch, position = divmod(place, len(cases))
        order = np.random.default_rng([recipe.seed, fold, epoch]).permutation(len(cases))
        generator = np.random.default_rng([recipe.seed, fold, place, 1])
        sample = draw_sample(cases[order[position]], generator, recipe)
        arrays = (sample.channels, sample.target, sample.weight)
        channels, target, weight = (torch.from_numpy(array)[None] for array in arrays)
        batch.append((channels, target, weight))
    return batch


def sample_loss(network: UNet3d, sample: TensorTriple, recipe: Recipe, bf16: bool) -> torch.Tensor:
    """Return the loss of one sample on both decoder levels."""
    channels, target, weight = sample
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        fine, coarse = network.forward_levels(channels)
    small = functional.avg_pool3d(target, 2), functional.avg_pool3d(weight, 2)
    loss = segmentation_loss(fine.float(), target, weight)
    return loss + recipe.coarse_loss_weight * segmentation_loss(coarse.float(), *small)


def train_step(
    state: TrainingState, batch: Sequence[TensorTriple], recipe: Recipe, *, bf16: bool
) -> float:
    """Advance the state by one step and return the loss.

    The samples pass one by one, because their boxes differ in size; as nothing is normalised
    over the batch, the gradient is that of the whole batch.
    """
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(recipe, state.step)
    state.optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for sample in batch:
        loss = sample_loss(state.network, sample, recipe, bf16) / len(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(
        state.network.parameters(), recipe.gradient_norm, error_if_nonfinite=True
    )
    state.optimizer.step()
    state.step += 1
    decay = min(recipe.average_decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for kept, new in zip(state.average.parameters(), state.network.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
    return total


def save_checkpoint(state: TrainingState, path: Path) -> None:
    """Write the state; a crash leaves either the old checkpoint or the new one."""
    temporary = path.with_suffix(".part")
    values = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "step": state.step,
    }
    torch.save(values, temporary)
    temporary.replace(path)


def load_checkpoint(state: TrainingState, path: Path) -> None:
    """Restore the state that `save_checkpoint` wrote."""
    values = torch.load(path, weights_only=True)
    state.network.load_state_dict(values["network"])
    state.average.load_state_dict(values["average"])
    state.optimizer.load_state_dict(values["optimizer"])
    state.step = int(values["step"])


def checkpoint_name(recipe: Recipe, fold: int) -> str:
    """Return the file name of a fold's checkpoint; a changed recipe gets another one."""
    return f"fold{fold}-{recipe.course_digest[7:15]}.pt"


def train_member(
    cases: Sequence[Case],
    recipe: Recipe,
    fold: int,
    folder: Path,
    *,
    bf16: bool | None = None,
) -> TrainingState:
    """Return the trained member of a fold, resuming from its checkpoint in `folder`."""
    bf16 = native_bf16() if bf16 is None else bf16
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / checkpoint_name(recipe, fold)
    state = new_state(recipe, fold)
    if checkpoint.exists():
        load_checkpoint(state, checkpoint)
        if state.step > recipe.step_count:
            raise ValueError(f"the checkpoint is past step {recipe.step_count}: {state.step}")
    losses: list[float] = []
    cached = [cache_case(case) for case in cases]
    while state.step < recipe.step_count:
        batch = draw_batch(cached, recipe, fold, state.step)
        losses.append(train_step(state, batch, recipe, bf16=bf16))
        if state.step % LOG_EVERY == 0:
            log.info("training", fold=fold, step=state.step, loss=round(np.mean(losses).item(), 4))
            losses = []
        if state.step % CHECKPOINT_EVERY == 0 or state.step == recipe.step_count:
            save_checkpoint(state, checkpoint)
    return state
