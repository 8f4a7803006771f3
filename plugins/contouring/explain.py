"""Explain a contour: which source made it, which voxels, and is the explanation true.

Shares of CT, PET and seed point are exact Shapley values of how far the probability map is
this contour and no other (their soft DSC: tumour seen everywhere counts as little as
tumour seen nowhere); "absent" is the form of absence that the networks were trained with.
The map is integrated gradients of the contrast between contour and surroundings, against
the same patient without the tumour: within 12 mm of the contour the baseline has plain
soft tissue (50 HU) and the uptake of the rest.  (A baseline of zero would not do: instance
normalisation takes out the scale of the input, and with it the whole path.  Nor would the
soft DSC: it jumps along the path, where the contrast of logits is nearly straight.)
The effort is bounded by counting passes, not by a clock: the same
case is always explained in the same way.

Read next: `plugins/host/explain/`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from models.contouring.inputs import CHANNEL_GROUPS, CHANNELS, resample, without
from models.contouring.uncertainty import neighbourhood
from plugins.host.explain.attribution import integrated_gradients
from plugins.host.explain.batches import in_batches
from plugins.host.explain.faithfulness import FRACTIONS, deletion, randomised, rank_correlation
from plugins.host.explain.shapley import Shares, exact_shapley
from plugins.host.findings import Explanation

if TYPE_CHECKING:
    from plugins.contouring.plugin import Work

METHOD = "exact-shapley+integrated-gradients"
TARGET = (
    "shares and deletion: soft DSC of the tumour probability with the contour (1); "
    "attribution: mean logit inside the contour less that of the 12 mm around it (1)"
)
CT_CHANNELS = ("ct_soft_tissue", "ct_wide")
PET_CHANNELS = ("pet_suv", "pet_relative")
INTEGRATION_STEPS = 12
RANDOM_ORDERS = 2
SEED = 20261124

VOXEL_PASSES = 5_000_000
"""Voxels times forward passes that an explanation may cost: about 5 s on two cores."""
BACKWARD = 2.5
"""A forward and backward pass costs as much as this many forward passes."""

NOTHING_EXPLAINED = Explanation(METHOD, TARGET, (), None, None, {})
"""The explanation of a case in which no tumour was found."""

Value = Callable[[torch.Tensor], torch.Tensor]


def explain_contour(work: Work) -> Explanation:
    """Return shares of the sources, voxel attribution on the CT, and its faithfulness."""
    started = time.monotonic()
    channels, grid = work.contour.channels, work.contour.network
    groups = [name for name, places in CHANNEL_GROUPS.items() if channels[list(places)].any()]
    count = members_explained(channels[0].size, len(groups), len(work.ensemble.networks))
    networks = work.ensemble.networks[:count]
    measured = channels[CHANNELS.index("ct_measured")] > 0
    near = neighbourhood(work.contour.mask, work.grid, grid) & measured
    mask = _contour_on_network(work)
    value = agreement(networks, mask, measured)
    generator = np.random.default_rng(SEED)
    shuffled = [randomised(networks[0], generator)]
    contrasts = contrast(networks, mask, near), contrast(shuffled, mask, near)

    shares = _shares(value, channels, groups)
    voxels, faithfulness = _attribution(value, contrasts, channels, near, generator)
    peak = max(float(np.abs(voxels).max()), 1e-12)
    on_ct = work.on_ct(resample(voxels / peak, grid, work.grid))
    return Explanation(
        METHOD,
        TARGET,
        shares.contributions,
        on_ct.astype(np.float32),
        work.case.images["ct"].geometry,
        {
            "value_present": shares.value_present,
            "value_absent": shares.value_absent,
            "members_explained": float(count),
            **faithfulness,
        },
        time.monotonic() - started,
    )


def _attribution(
    value: Value,
    contrasts: tuple[Value, Value],
    channels: NDArray[np.float32],
    near: NDArray[np.bool_],
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """Return the attribution (D, H, W) and the measures of its faithfulness.

    ``contrasts`` is what is attributed, in the networks and in a shuffled one.
    """
    inputs = torch.from_numpy(channels)
    baseline = torch.from_numpy(without_tumour(channels, near))
    found, other = (
        integrated_gradients(item, inputs[None], baseline[None], INTEGRATION_STEPS)
        for item in contrasts
    )
    voxels = found.voxels()
    deleted = deletion(value, inputs, baseline, voxels, near, generator, RANDOM_ORDERS)
    return voxels, {
        "completeness_error": found.completeness_error,
        "deletion_auc": deleted.auc,
        "deletion_auc_random": deleted.auc_random,
        "randomisation_rank_correlation": rank_correlation(voxels, other.voxels(), near),
    }


def members_explained(voxel_count: int, group_count: int, member_count: int) -> int:
    """Return how many members the budget of passes allows to explain, at least one."""
    gradient = BACKWARD * INTEGRATION_STEPS
    deletions = 1 + len(FRACTIONS) * (1 + RANDOM_ORDERS)
    each = 2**group_count + gradient + deletions
    budget = VOXEL_PASSES / voxel_count - gradient  # less the randomised twin
    return int(np.clip(budget // each, 1, member_count))


def agreement(
    networks: Sequence[torch.nn.Module], contour: NDArray[np.float32], measured: NDArray[np.bool_]
) -> Value:
    """Return the function that is shared out: batch (N, C, D, H, W) to soft DSC (N,).

    Soft DSC = 2 sum(p m) / (sum(p) + sum(m)) over the measured voxels, with the mean
    probability p of the networks and the contour m (Milletari et al. 2016,
    arXiv:1606.04797, with sums of first order).
    """
    mask = torch.from_numpy(contour * measured)
    inside = torch.from_numpy(measured.astype(np.float32))

    def value(batch: torch.Tensor) -> torch.Tensor:
        each = [torch.sigmoid(network(batch))[:, 0] for network in networks]
        probability = torch.stack(each).mean(dim=0) * inside
        axes = (1, 2, 3)
        result: torch.Tensor = 2 * (probability * mask).sum(axes)
        return result / (probability.sum(axes) + mask.sum())

    return value


def contrast(
    networks: Sequence[torch.nn.Module], contour: NDArray[np.float32], near: NDArray[np.bool_]
) -> Value:
    """Return the function that is attributed: batch (N, C, D, H, W) to logit contrast (N,).

    It is the mean logit inside the contour less the mean logit of the rest of ``near``.
    """
    around = (near & (contour < 0.5)).astype(np.float32)
    weights = contour / contour.sum() - around / max(1.0, float(around.sum()))
    share = torch.from_numpy(weights.astype(np.float32))

    def value(batch: torch.Tensor) -> torch.Tensor:
        logits = torch.stack([network(batch)[:, 0] for network in networks]).mean(dim=0)
        result: torch.Tensor = (logits * share).sum(dim=(1, 2, 3))
        return result

    return value


def without_tumour(channels: NDArray[np.float32], near: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the channels with plain soft tissue, and the uptake of the rest, in a region.

    Zero in the CT channels is 50 HU.  The uptake of the rest is its median where PET was
    measured; what says where an image was measured stays.
    """
    baseline = channels.copy()
    rest = (channels[CHANNELS.index("pet_measured")] > 0) & ~near
    for name in CT_CHANNELS:
        baseline[CHANNELS.index(name)][near] = 0.0
    for name in PET_CHANNELS:
        uptake = channels[CHANNELS.index(name)]
        background = float(np.median(uptake[rest])) if rest.any() else 0.0
        baseline[CHANNELS.index(name)][near] = background
    return baseline


def _contour_on_network(work: Work) -> NDArray[np.float32]:
    """Return the contour on the network's grid, where even a small one keeps a voxel."""
    share = resample(work.contour.mask, work.grid, work.contour.network, fill=0.0)
    return (share >= min(0.5, float(share.max()))).astype(np.float32)


def _shares(value: Value, channels: NDArray[np.float32], groups: Sequence[str]) -> Shares:
    def values(coalitions: Sequence[frozenset[str]]) -> list[float]:
        inputs = []
        for there in coalitions:
            kept = channels
            for name in groups:
                if name not in there:
                    kept = without(kept, name)
            inputs.append(torch.from_numpy(kept))
        return [float(number) for number in in_batches(value, inputs)]

    return exact_shapley(groups, values)
