"""Boosted trees on the features of a voxel: they err otherwise than the voxel networks.

The trees are grown by scikit-learn's histogram gradient boosting. Here no tree is walked: of each
inner node it is known which leaves a voxel can no longer come to when it goes right, and the first
leaf that is left after all nodes is the voxel's (Lucchese et al. 2015, QuickScorer, SIGIR, doi
10.1145/2766462.2767733), for a block of voxels at a time. So a release needs no pickle, and no
stored number can lead astray. Read `voxels.py` for the features and `predict.py` next.
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
BitArray = NDArray[np.int64]

PREFIX = "trees."
"""Of the names of these weights in a file."""
TOP_GY = np.float32(70)
BLOCK = 64
LEAVES = 64
"""Most leaves of a tree: one bit each."""
EVERY = np.int64(-1)
DE_BRUIJN = 0x03F79D71B4CB0A89
"""Times a power of two, its upper six bits are all different (Leiserson et al. 1998)."""
PLACE = np.zeros(LEAVES, np.int64)
PLACE[[(DE_BRUIJN << bit) % 2**64 >> 58 for bit in range(LEAVES)]] = np.arange(LEAVES)


@dataclass(frozen=True, slots=True)
class Trees:
    """Hold the inner nodes of all trees in one row, and the leaves by tree.

    Parameters
    ----------
    feature, threshold : of a node; a voxel goes right where the feature is above the threshold.
    kept : bits of the leaves that it can still come to when it goes right, the first leaf lowest.
    starts : where the nodes of each tree begin, and the end of the last.
    leaves : values (trees, 64) in Gy.
    start_gy : what the trees add to.
    """

    feature: IntArray
    threshold: FloatArray
    kept: BitArray
    starts: IntArray
    leaves: FloatArray
    start_gy: float

    def change(self, rows: FloatArray) -> FloatArray:
        """Return the change of the plan (N,) in units of 70 Gy by features (N, features)."""
        out = np.empty(len(rows), np.float32)
        nodes = (self.feature, self.threshold, self.kept)
        _score(rows.T, nodes, self.starts, self.leaves, PLACE, out)
        return np.asarray((out + np.float32(self.start_gy)) / TOP_GY, np.float32)

    def named(self) -> dict[str, torch.Tensor]:
        """Return the tensors that a weights file holds; `trees_of` gives the trees back."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays["start_gy"] = np.asarray([self.start_gy], np.float32)
        return {
            PREFIX + name: torch.from_numpy(np.ascontiguousarray(values))
            for name, values in arrays.items()
        }


ARRAYS = ("feature", "threshold", "kept", "starts", "leaves")


def trees_of(values: Mapping[str, torch.Tensor]) -> Trees | None:
    """Return the trees of stored weights, None where there are none; ValueError by their sizes."""
    if not any(name.startswith(PREFIX) for name in values):
        return None
    feature, threshold, kept, starts, leaves = (values[PREFIX + name].numpy() for name in ARRAYS)
    count = len(feature)
    ordered = (
        len(starts) and starts[0] == 0 and starts[-1] == count and (np.diff(starts) >= 0).all()
    )
    if not ordered or not len(threshold) == len(kept) == count or feature.min(initial=0) < 0:
        raise ValueError("expected trees whose nodes have a feature, a threshold and leaves")
    if leaves.shape != (len(starts) - 1, LEAVES):
        raise ValueError(f"expected {LEAVES} leaves of each tree, found {leaves.shape}")
    start_gy = float(values[PREFIX + "start_gy"][0])
    return Trees(
        feature.astype(np.int32),
        threshold.astype(np.float32),
        kept.astype(np.int64),
        starts.astype(np.int32),
        leaves.astype(np.float32),
        start_gy,
    )


@compiled_reordering
def _score(
    rows: FloatArray,
    nodes: tuple[IntArray, FloatArray, BitArray],
    starts: IntArray,
    leaves: FloatArray,
    place: BitArray,
    out: FloatArray,
) -> None:
    """Sum the leaves that every voxel, a column of `rows`, comes to."""
    feature, threshold, kept = nodes
    features, count = rows.shape
    for job in numba.prange((count + BLOCK - 1) // BLOCK):
        first = job * BLOCK
        size = min(BLOCK, count - first)
        near = np.zeros((features, BLOCK), np.float32)
        for k in range(features):
            for j in range(size):
                near[k, j] = rows[k, first + j]
        total = np.zeros(BLOCK, np.float32)
        left = np.empty(BLOCK, np.int64)
        for tree in range(len(starts) - 1):
            left[:] = EVERY
            for node in range(starts[tree], starts[tree + 1]):
                values, limit, rest = near[feature[node]], threshold[node], kept[node]
                for j in range(BLOCK):
                    left[j] &= rest if values[j] > limit else EVERY
            for j in range(BLOCK):
                lowest = np.uint64(left[j] & -left[j])
                total[j] += leaves[tree, place[(lowest * np.uint64(DE_BRUIJN)) >> np.uint64(58)]]
        for j in range(size):
            out[first + j] = total[j]
