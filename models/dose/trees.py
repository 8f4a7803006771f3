"""Boosted trees on the features of a voxel: they err otherwise than the voxel networks.

The trees are grown by scikit-learn's histogram gradient boosting (Ke et al. 2017, LightGBM, is its
model) and walked here, a block of voxels at a time, so that a release needs no pickle. Read
`voxels.py` for the features and `predict.py` next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from models.physics.compiled import compiled_reordering

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

PREFIX = "trees."
"""Of the names of these weights in a file."""
TOP_GY = np.float32(70)
BLOCK = 64


@dataclass(frozen=True, slots=True)
class Trees:
    """Hold the nodes of all trees in one row; a leaf is its own left and right child.

    Parameters
    ----------
    feature, threshold : of a node; to the left where the feature is at most the threshold.
    left, right : indices of the children.
    value : of a leaf, in Gy.
    roots : the first node of each tree.
    start_gy : what the trees add to.
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    value: FloatArray
    roots: IntArray
    start_gy: float

    def change(self, rows: FloatArray) -> FloatArray:
        """Return the change of the plan (N,) in units of 70 Gy by features (N, features)."""
        out = np.empty(len(rows), np.float32)
        nodes = (self.feature, self.threshold, self.left, self.right, self.value)
        _walk(rows.T, nodes, self.roots, out)
        return np.asarray((out + np.float32(self.start_gy)) / TOP_GY, np.float32)

    def named(self) -> dict[str, torch.Tensor]:
        """Return the tensors that a weights file holds; `trees_of` gives the trees back."""
        return {
            PREFIX + name: torch.from_numpy(np.ascontiguousarray(values))
            for name, values in (
                ("feature", self.feature),
                ("threshold", self.threshold),
                ("children", np.stack([self.left, self.right])),
                ("value", self.value),
                ("roots", self.roots),
                ("start_gy", np.asarray([self.start_gy], np.float32)),
            )
        }


def trees_of(values: Mapping[str, torch.Tensor]) -> Trees | None:
    """Return the trees of stored weights; None where there are none.

    Raises ValueError where a node has a child or a feature that does not exist, or no way ends.
    """
    own = {name.removeprefix(PREFIX): kept for name, kept in values.items() if PREFIX in name[:6]}
    if not own:
        return None
    feature = own["feature"].int().numpy()
    left, right = own["children"].int().numpy()
    roots = own["roots"].int().numpy()
    _check(left, right, roots, feature)
    threshold, value = own["threshold"].float().numpy(), own["value"].float().numpy()
    start_gy = float(own["start_gy"][0])
    return Trees(feature, threshold, left, right, value, roots, start_gy)


def _check(left: IntArray, right: IntArray, roots: IntArray, features: IntArray) -> None:
    """Raise ValueError where a node does not exist or no leaf is ever reached."""
    count = len(left)
    every = np.concatenate([left, right, roots])
    if not count or every.min() < 0 or every.max() >= count or features.min() < 0:
        raise ValueError("expected trees whose nodes exist, found others")
    reached = roots
    for _ in range(count):
        reached = reached[left[reached] != reached]
        if not len(reached):
            return
        reached = np.concatenate([left[reached], right[reached]])
        if len(reached) > count:
            break
    raise ValueError("expected trees that end in leaves, found a circle")


@compiled_reordering
def _walk(
    rows: FloatArray,
    nodes: tuple[IntArray, FloatArray, IntArray, IntArray, FloatArray],
    roots: IntArray,
    out: FloatArray,
) -> None:
    """Sum the leaves that every voxel, a column of `rows`, comes to."""
    feature, threshold, left, right, value = nodes
    features, count = rows.shape
    for job in numba.prange((count + BLOCK - 1) // BLOCK):
        first = job * BLOCK
        size = min(BLOCK, count - first)
        near = np.empty((BLOCK, features), np.float32)
        for k in range(features):
            for j in range(size):
                near[j, k] = rows[k, first + j]
        total = np.zeros(BLOCK, np.float32)
        for tree in range(len(roots)):
            for j in range(size):
                node = roots[tree]
                while left[node] != node:
                    low = near[j, feature[node]] <= threshold[node]
                    node = left[node] if low else right[node]
                total[j] += value[node]
        for j in range(size):
            out[first + j] = total[j]
