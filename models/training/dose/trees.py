"""Grow boosted trees on the voxels that the voxel networks learn from: minutes on two cores.

Facts of the patient are not shown to them: trees would know each patient by these. Every other row
is mirrored left to right. Squares are minimised, since trees of medians took twice as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.ensemble import HistGradientBoostingRegressor

from models.dose.trees import Trees
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
    """Return what was grown as one row of nodes."""
    feature, threshold, left, right, value, roots = [], [], [], [], [], []
    count = 0
    for (tree,) in grower._predictors:
        nodes = tree.nodes
        own = np.arange(count, count + len(nodes))
        leaf = nodes["is_leaf"].astype(bool)
        roots.append(count)
        feature.append(np.where(leaf, 0, SHOWN[np.where(leaf, 0, nodes["feature_idx"])]))
        threshold.append(np.where(leaf, 0.0, nodes["num_threshold"]))
        left.append(np.where(leaf, own, nodes["left"].astype(np.int64) + count))
        right.append(np.where(leaf, own, nodes["right"].astype(np.int64) + count))
        value.append(np.where(leaf, nodes["value"], 0.0))
        count += len(nodes)
    return Trees(
        _whole(feature),
        np.concatenate(threshold).astype(np.float32),
        _whole(left),
        _whole(right),
        np.concatenate(value).astype(np.float32),
        np.asarray(roots, np.int32),
        float(np.ravel(grower._baseline_prediction)[0]),
    )


def _whole(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int32]:
    return np.concatenate(parts).astype(np.int32)


def _half_mirrored(rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([rows[::2], mirrored(rows[1::2])])


def _as_mirrored(values: torch.Tensor) -> torch.Tensor:
    """Return values in the order of `_half_mirrored`."""
    return torch.cat([values[::2], values[1::2]])
