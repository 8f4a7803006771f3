"""What one stage of the training is: a value that its weights name by digest."""

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
    """

    name: str = "one"
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
    seed: int = 20261126

    def digest(self) -> str:
        """Return the digest of the stage's values."""
        text = json.dumps(asdict(self), sort_keys=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


STAGES = {stage.name: stage for stage in (Stage(),)}
