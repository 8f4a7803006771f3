"""What the stages of the training are: values that their weights name by digest.

`voxels`, `paths`, `trees` and `points` hang on nothing; the U-Net's `turns` goes on from the
weights of `shapes`.
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
    field_turns : share of the steps turned by a multiple of 40 degrees, the angle between the
        nine fields, so that they come to lie on one another.
    upside_down : share of the steps with the slices in reverse: no field tells the ends apart.
    as_they_are : what is left of mirrors, turns over fields and reverses on whole crops. Planners
        spared left parotids 1.3 Gy more than right ones (mean dose beside the quick plan's, 100
        learning patients), which a mirror hides.
    plan_mixed : spread of the part of the sparing plan's difference that is added to the plan.
    left_out : probability that a residual block is passed by.
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
    field_turns: float = 0.0
    upside_down: float = 0.0
    as_they_are: float = 1.0
    plan_mixed: float = 0.0
    left_out: float = 0.0
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
    half : multiply in bfloat16.
    paths : whether it reads what the rays cross, too (`inputs.RAYS`).
    """

    name: str = "voxels"
    steps: int = 2000
    voxels: int = 10000
    lot: int = 8192
    facts_dropped: float = 0.6
    dropout: float = 0.25
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    ema_decay: float = 0.998
    widths: tuple[int, ...] = (256, 192, 96)
    half: bool = True
    paths: bool = False
    seed: int = 20261126


@dataclass(frozen=True, slots=True)
class TreeStage:
    """State the stage that grows boosted trees.

    Parameters
    ----------
    voxels : of those drawn from each patient.
    leaves, least : most leaves of a tree, fewest rows of a leaf.
    penalty : on the squares of leaf values.
    shown : share of the features that each split may choose from.
    """

    name: str = "trees"
    trees: int = 250
    voxels: int = 6000
    learning_rate: float = 0.07
    leaves: int = 48
    least: int = 300
    penalty: float = 50.0
    shown: float = 0.25
    seed: int = 20261126


@dataclass(frozen=True, slots=True)
class PointStage:
    """State the stage that fits what histograms' points are foretold by.

    Parameters
    ----------
    bound : C of the support vector regression, for points in units of their spread.
    tolerance : errors below this are none, in the same unit.
    narrowness : of the Gaussian kernel, by the squared distance of standardised facts.
    least : patients, mirror images included, below which a point gets none.
    """

    name: str = "points"
    bound: float = 0.5
    tolerance: float = 0.1
    narrowness: float = 0.006
    least: int = 40


def recipe_digest(*stages: Stage | VoxelStage | TreeStage | PointStage) -> str:
    """Return the digest of the values of one or more stages, which their weights name."""
    values = [asdict(stage) for stage in stages]
    text = json.dumps(values[0] if len(values) == 1 else values, sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


VOXELS = VoxelStage()
PATHS = VoxelStage(name="paths", dropout=0.3, paths=True)
VOXEL_STAGES = {stage.name: stage for stage in (VOXELS, PATHS)}
TREES, POINTS = TreeStage(), PointStage()
STAGES = {
    stage.name: stage
    for stage in (
        Stage(),
        Stage(
            name="turns",
            steps=14000,
            learning_rate=6e-4,
            weight_decay=0.02,
            slab_share=0.6,
            ema_decay=0.999,
            field_turns=0.6,
            upside_down=0.3,
            as_they_are=0.15,
            plan_mixed=0.15,
            left_out=0.1,
            seed=20261128,
        ),
    )
}
