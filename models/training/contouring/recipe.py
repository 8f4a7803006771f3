"""Every number of the contouring training in one frozen value, with its digest.

The digest stands in each weight file, so that weights and recipe cannot drift apart unseen.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

FOLD_COUNT = 5


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hold what decides the weights; lengths in millimetres, intensities in HU or SUV.

    The learning rate is constant and falls to zero over `decay_steps` before `restart_step`;
    there it rises to `restart_rate` of its height and falls to zero at `step_count` (a warm
    restart, Loshchilov and Hutter 2017, arXiv:1608.03983).  Before the first fall a course does
    not depend on these numbers.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128)
    step_count: int = 3300
    restart_step: int = 2400
    restart_rate: float = 0.7
    decay_steps: int = 700
    batch_size: int = 2
    box_voxels_most: tuple[int, int, int] = (64, 48, 48)
    learning_rate: float = 1.5e-3
    warmup_steps: int = 60
    weight_decay: float = 0.02
    gradient_norm: float = 5.0
    average_decay: float = 0.995
    coarse_loss_weight: float = 0.3
    pet_absent_rate: float = 0.25
    ct_absent_rate: float = 0.05
    seed_given_rate: float = 0.4
    rotation_z_deg: float = 15.0
    rotation_tilt_deg: float = 12.0
    scale_range: float = 1.25
    stretch_range: float = 1.08
    centre_jitter_mm: float = 14.0
    crop_cut_mm: float = 42.0
    crop_cut_rate: float = 0.4
    warp_rate: float = 0.3
    warp_mm: float = 5.0
    ct_offset_hu: float = 6.0
    ct_noise_hu: float = 8.0
    pet_scale_range: float = 1.6
    pet_noise: float = 0.12
    pet_shift_mm: float = 1.5
    seed: int = 20261124

    @property
    def digest(self) -> str:
        """`sha256:` of the recipe as JSON with sorted keys."""
        return _digest(asdict(self))

    @property
    def course_digest(self) -> str:
        """Digest without the numbers of the final decay.

        Checkpoints carry it: a course may be lengthened without starting again.
        """
        kept = asdict(self)
        for name in ("step_count", "decay_steps", "restart_step", "restart_rate"):
            del kept[name]
        return _digest(kept)


def _digest(value: dict[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def assign_folds(volumes_ml: dict[str, float], seed: int) -> dict[str, int]:
    """Return the outer fold of each patient, stratified by tumour volume.

    Patients in order of volume are dealt in blocks of five, each block to the five folds in
    random order, so that each fold holds small and large tumours.
    """
    generator = np.random.default_rng(seed)
    ordered = sorted(volumes_ml, key=lambda patient: (volumes_ml[patient], patient))
    folds: dict[str, int] = {}
    for start in range(0, len(ordered), FOLD_COUNT):
        block: Sequence[str] = ordered[start : start + FOLD_COUNT]
        for patient, fold in zip(block, generator.permutation(FOLD_COUNT), strict=False):
            folds[patient] = int(fold)
    return folds
