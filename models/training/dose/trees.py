"""Grow boosted trees on the voxels that the voxel networks learn from: minutes on two cores.

Facts of the patient are not shown to them: trees would know each patient by these. Every other row
is mirrored left to right. Squares are minimised, since trees of medians took twice as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.ensemble import HistGradientBoostingRegressor

from models.dose.trees import LEAVES, Trees
from models.dose.voxels import FACTS, FEATURES, PLAIN
from models.training.dose.recipe import TreeStage
from models.training.dose.voxels import Rows, mirrored

SHOWN = np.asarray(
    [index for index in range(len(FEATURES)) if not PLAIN - len(FACTS) <= index < PLAIN], np.int32
)
"""Features that the trees may ask for."""


def grow(stage: TreeStage, drawn: Mapping[str, Rows], names: Sequence[str], work: Path) -> None:
    """Grow trees on these patients and write ``trees.safetensors``."""
    rows = torch.cat([_half_mirrored(drawn[name][0][: stage.voxels]) for name in names])
    change = torch.cat([_as_mirrored(drawn[name][1][: stage.voxels]) for name in names])
    grower = HistGradientBoostingRegressor(
        loss="squared_error",
        learning_rate=stage.learning_rate,
        max_iter=stage.trees,
        max_leaf_nodes=stage.leaves,
        min_samples_leaf=stage.least,
        l2_regularization=stage.penalty,
        max_features=stage.shown,
        early_stopping=False,
        random_state=stage.seed,
    )
    grower.fit(rows.numpy()[:, SHOWN], change.numpy())
    work.mkdir(parents=True, exist_ok=True)
    save_file(as_trees(grower).named(), work / f"{stage.name}.safetensors")


def as_trees(grower: HistGradientBoostingRegressor) -> Trees:
    """Return what was grown, of each inner node the leaves that are kept by going right."""
    feature: list[int] = []
    threshold: list[float] = []
    kept: list[int] = []
    starts = [0]
    leaves = np.zeros((len(grower._predictors), LEAVES), np.float32)
    for number, (tree,) in enumerate(grower._predictors):
        nodes = tree.nodes
        found: list[float] = []

        def below(index: int, nodes: Any = nodes, found: list[float] = found) -> int:
            """Return the bits of the leaves below a node; leaves are numbered from the left."""
            node = nodes[index]
            if node["is_leaf"]:
                found.append(float(node["value"]))
                return 1 << (len(found) - 1)
            low = below(int(node["left"]))
            feature.append(int(SHOWN[node["feature_idx"]]))
            threshold.append(float(node["num_threshold"]))
            kept.append(~low)
            return low | below(int(node["right"]))

        below(0)
        leaves[number, : len(found)] = found
        starts.append(len(feature))
    return Trees(
        np.asarray(feature, np.int32),
        np.asarray(threshold, np.float32),
        np.asarray([bits if bits >= -(2**63) else bits + 2**64 for bits in kept], np.int64),
        np.asarray(starts, np.int32),
        leaves,
        float(np.ravel(grower._baseline_prediction)[0]),
    )


def _half_mirrored(rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([rows[::2], mirrored(rows[1::2])])


def _as_mirrored(values: torch.Tensor) -> torch.Tensor:
    """Return values in the order of `_half_mirrored`."""
    return torch.cat([values[::2], values[1::2]])
