"""What the stages of the training are: values that their weights name by digest.

First `voxels`, then `shapes` from its weights; further ones start from those before them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """State one stage.

    Parameters
    ----------
    steps : optimiser steps, one patient each; the learning rate follows a cosine over them.
    learning_rate : of AdamW at its top, after `warm_up` steps.
    slab : slices of a random part of the crop in the first `slab_share` of the steps; whole
        crops after it.
    dvh_weight : weight of the DVH difference beside the mean absolute error, on whole crops.
    ema_decay : of the averaged weights, which are what is kept.
    turn_degrees, stretch : most of a turn about the slice axis and of a change of size; half of
        the steps have both.
    half : multiply in bfloat16, with weights and sums in float32.
    """

    name: str = "shapes"
    steps: int = 6000
    learning_rate: float = 1e-3
    warm_up: int = 100
    weight_decay: float = 1e-4
    slab: int = 48
    slab_share: float = 0.7
    dvh_weight: float = 0.15
    ema_decay: float = 0.998
    widths: tuple[int, ...] = (32, 64, 128, 160)
    depths: tuple[int, ...] = (1, 1, 1, 2)
    detail: int = 16
    turn_degrees: float = 12.0
    stretch: float = 0.06
    half: bool = True
    seed: int = 20261126


@dataclass(frozen=True, slots=True)
class VoxelStage:
    """State the stage that trains the voxel network.

    Parameters
    ----------
    voxels : drawn once from each patient.
    lot : rows of one step.
    facts_dropped : share of rows whose facts of the patient are replaced by their mean, so that
        160 patients are not known by heart; `dropout` is that of the hidden layers.
    """

    name: str = "voxels"
    steps: int = 5000
    voxels: int = 10000
    lot: int = 8192
    facts_dropped: float = 0.6
    dropout: float = 0.25
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    ema_decay: float = 0.998
    widths: tuple[int, ...] = (256, 192, 96)
    seed: int = 20261126


def recipe_digest(stage: Stage | VoxelStage) -> str:
    """Return the digest of a stage's values, which its weights name."""
    text = json.dumps(asdict(stage), sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


VOXELS = VoxelStage()
STAGES = {stage.name: stage for stage in (Stage(),)}
