"""Does an attribution tell the truth about the network?  Two measured answers.

*Deletion* (Petsiuk et al. 2018, arXiv:1806.07421): where the most important blocks of the
input are deleted first, the value must fall faster than in random order.  *Model
randomisation* (Adebayo et al. 2018, arXiv:1810.03292): a network whose weights were
shuffled must be explained differently.

Read next: `plugins/contouring/explain.py`, which uses all three.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from plugins.host.explain.batches import in_batches

if TYPE_CHECKING:
    import torch
    from torch import nn

    Value = Callable[[torch.Tensor], torch.Tensor]

FRACTIONS = (0.01, 0.03, 0.1, 0.25, 0.5)
"""Shares of the blocks deleted; dense at the start, where a good order falls steeply."""
BLOCK_VOXELS = 2
RANDOM_ORDERS = 2

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Deletion:
    """Hold the areas under the deletion curves, the value of the whole input being 1.

    ``auc`` in the order of attribution, ``auc_random`` the mean over random orders; a
    faithful attribution has ``auc`` below ``auc_random``.
    """

    auc: float
    auc_random: float
    curve: tuple[float, ...]
    curve_random: tuple[float, ...]


def deletion(
    value: Value,
    inputs: torch.Tensor,
    baseline: torch.Tensor,
    attribution: FloatArray,
    region: NDArray[np.bool_],
    generator: np.random.Generator,
    random_orders: int = RANDOM_ORDERS,
) -> Deletion:
    """Return how the value falls while blocks of the input are set to the baseline.

    Parameters
    ----------
    value : maps a batch (N, C, D, H, W) to one number each (N,).
    inputs, baseline : (C, D, H, W).
    attribution : (D, H, W); blocks are ranked by their sum.
    region : (D, H, W); only blocks that touch it are deleted, in either order.
    generator : draws the random orders.
    """
    import torch

    scores = _block_sums(attribution)
    candidates = np.flatnonzero(_block_sums(region.astype(np.float32)).ravel() > 0)
    ranked = candidates[np.argsort(-scores.ravel()[candidates], kind="stable")]
    orders = [ranked, *(generator.permutation(candidates) for _ in range(random_orders))]
    images = [inputs]
    for order in orders:
        for fraction in FRACTIONS:
            deleted = np.zeros(scores.size, dtype=bool)
            deleted[order[: max(1, round(fraction * len(order)))]] = True
            mask = _as_voxels(deleted.reshape(scores.shape), attribution.shape)
            images.append(torch.where(torch.from_numpy(mask), baseline, inputs))
    whole, *rest = in_batches(value, images)
    curves = np.reshape(rest, (len(orders), len(FRACTIONS))) / max(float(whole), 1e-6)
    curves = np.concatenate([np.ones((len(orders), 1)), curves], axis=1)
    told, random = curves[0], curves[1:].mean(axis=0)
    return Deletion(
        area_under(told), area_under(random), tuple(told.tolist()), tuple(random.tolist())
    )


def area_under(curve: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the trapezoidal area under a curve over (0, *FRACTIONS), per unit of width."""
    places = (0.0, *FRACTIONS)
    return float(np.trapezoid(np.asarray(curve), places) / places[-1])


def rank_correlation(first: FloatArray, second: FloatArray, region: NDArray[np.bool_]) -> float:
    """Return Spearman's rank correlation of two maps over the blocks that touch a region.

    Sums of blocks are compared, as in `deletion`; 0 where one of the maps is constant.
    """
    inside = _block_sums(region.astype(np.float32)) > 0
    one, other = _block_sums(first)[inside], _block_sums(second)[inside]
    if one.size < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one, other).statistic)


def randomised(network: nn.Module, generator: np.random.Generator) -> nn.Module:
    """Return a copy of the network in which the values of every parameter are shuffled.

    Each layer keeps its distribution of weights and loses what it has learned.
    """
    import torch

    twin = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in twin.parameters():
            order = torch.from_numpy(generator.permutation(parameter.numel()))
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    return twin


def _block_sums(values: FloatArray) -> FloatArray:
    """Return sums over blocks of 2 x 2 x 2 voxels; the last block of an axis may be smaller."""
    for axis in range(values.ndim):
        starts = np.arange(0, values.shape[axis], BLOCK_VOXELS)
        values = np.add.reduceat(values, starts, axis=axis)
    return values


def _as_voxels(blocks: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    for axis, size in enumerate(shape):
        blocks = blocks.repeat(BLOCK_VOXELS, axis=axis).take(np.arange(size), axis=axis)
    return blocks
