"""What made an imported model outline its largest structure: one window around it, by voxel.

The number that is explained is the mean probability of the structure over its voxels in the
window.  Where autograd can follow the network: integrated gradients (captum).  Where it
cannot (ONNX): occlusion, the fall of the number while one block of the window at a time is
replaced (Zeiler and Fergus 2014, arXiv:1311.2901).  Absent means the mean of the channel
over the window.  Either is measured by deletion (`plugins/host/explain/faithfulness.py`).

Read next: `plugin.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.importers.decide import activated
from models.importers.description import Description, Label, Outputs
from models.importers.networks.runner import Runner
from models.importers.segment import Segmented, on_source
from plugins.host.explain.attribution import integrated_gradients
from plugins.host.explain.batches import in_batches
from plugins.host.explain.faithfulness import deletion
from plugins.host.findings import Explanation
from plugins.host.images import Volume

if TYPE_CHECKING:
    import torch

BLOCKS = 4
"""Occlusion cuts each axis of the window into so many blocks: 64 evaluations."""
SEED = 0

FloatArray = NDArray[np.float32]
Value = Callable[["torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True, slots=True)
class Question:
    """One window and what is asked of it.

    Parameters
    ----------
    box : place of the window in the prepared image, which may end before the window does.
    inputs : (channels, a, b, c).
    value : maps a batch of windows to the mean probability over the structure's voxels.
    """

    name: str
    box: tuple[slice, ...]
    inputs: torch.Tensor
    value: Value


def explain_work(
    description: Description, network: Runner, answer: Segmented, reference: Volume
) -> Explanation:
    """Return the explanation of the largest structure; empty where there is nothing to explain."""
    if description.explanation == "none":
        return Explanation("none", "not explained, as the release states", (), None, None, {})
    question = _question(description, network, answer)
    if question is None:
        return Explanation("none", "nothing was found", (), None, None, {})
    baseline = question.inputs.mean(dim=(1, 2, 3), keepdim=True).expand_as(question.inputs)
    measured: dict[str, float] = {}
    if description.explanation == "integrated-gradients":
        found = integrated_gradients(question.value, question.inputs[None], baseline[None])
        values, measured["completeness_error"] = found.values, found.completeness_error
    else:
        values = _occluded(question, baseline)
    voxels = np.asarray(values.sum(axis=0), dtype=np.float32)
    everywhere = np.ones(voxels.shape, dtype=np.bool_)
    orders = np.random.default_rng(SEED)
    told = deletion(question.value, question.inputs, baseline, voxels, everywhere, orders)
    measured |= {"deletion_auc": told.auc, "deletion_auc_random": told.auc_random}
    return Explanation(
        description.explanation,
        f"mean probability of {question.name} over its voxels in the window",
        _shares(description, values),
        _on_reference(voxels, question, answer),
        reference.geometry,
        measured,
    )


def _question(description: Description, network: Runner, answer: Segmented) -> Question | None:
    """Return the window around the structure with the most voxels on the prepared grid."""
    import torch

    outputs, patch = description.outputs, description.inference.patch
    masks = [
        (label.name, outputs.channel_of(label), _mask(answer.logits, outputs, label))
        for label in outputs.labels
    ]
    name, channel, mask = max(masks, key=lambda item: int(item[2].sum()))
    if not mask.any():
        return None
    margins = [(0, max(p - n, 0)) for n, p in zip(mask.shape, patch, strict=True)]
    image = np.pad(answer.prepared.image.array, [(0, 0), *margins])
    box = _window(np.pad(mask, margins), patch)
    inputs = torch.from_numpy(np.ascontiguousarray(image[(slice(None), *box)]))
    inner = torch.from_numpy(np.ascontiguousarray(np.pad(mask, margins)[box]))
    return Question(name, box, inputs, _value(description, network, channel, inner))


def _mask(logits: FloatArray, outputs: Outputs, label: Label) -> NDArray[np.bool_]:
    """Return the voxels of a structure on the prepared grid."""
    channel = outputs.channel_of(label)
    if outputs.decision == "argmax":
        return np.asarray(logits.argmax(axis=0) == channel)
    return np.asarray(activated(logits[channel][None], outputs.activation)[0] > outputs.threshold)


def _window(mask: NDArray[np.bool_], patch: tuple[int, int, int]) -> tuple[slice, ...]:
    """Return the window around the voxel of the mask that is nearest to its centre."""
    points = np.argwhere(mask)
    apart = ((points - points.mean(axis=0)) ** 2).sum(axis=1)
    middle = points[int(apart.argmin())]
    starts = [
        int(np.clip(place - size // 2, 0, whole - size))
        for place, size, whole in zip(middle, patch, mask.shape, strict=True)
    ]
    return tuple(slice(start, start + size) for start, size in zip(starts, patch, strict=True))


def _value(description: Description, network: Runner, channel: int, inner: torch.Tensor) -> Value:
    """Return the function of windows whose value is explained."""
    import torch

    outputs, planar = description.outputs, description.inference.planar

    def value(batch: torch.Tensor) -> torch.Tensor:
        seen = batch[:, :, 0] if planar else batch
        if network.gradients:
            logits = torch.stack([member(seen) for member in network.gradients]).mean(dim=0)
        else:
            logits = torch.from_numpy(network(seen.detach().numpy()))
        logits = logits[:, :, None] if planar else logits
        if outputs.activation == "softmax":
            probability = torch.softmax(logits, dim=1)[:, channel]
        elif outputs.activation == "sigmoid":
            probability = torch.sigmoid(logits[:, channel])
        else:
            probability = logits[:, channel]
        return probability[:, inner].mean(dim=1)

    return value


def _occluded(question: Question, baseline: torch.Tensor) -> FloatArray:
    """Return how the value falls without each block, spread over the block's voxels."""
    shape = question.inputs.shape[1:]
    edges = [np.linspace(0, size, BLOCKS + 1).astype(int) for size in shape]
    spans = [[slice(a, b) for a, b in pairwise(axis) if b > a] for axis in edges]
    boxes = list(product(*spans))
    images = [question.inputs]
    for box in boxes:
        image = question.inputs.clone()
        image[(slice(None), *box)] = baseline[(slice(None), *box)]
        images.append(image)
    whole, *rest = in_batches(question.value, images)
    found = np.zeros((1, *shape), dtype=np.float32)
    for box, value in zip(boxes, rest, strict=True):
        place = (slice(None), *box)
        found[place] = (whole - value) / found[place].size
    return found


def _shares(description: Description, values: FloatArray) -> tuple[tuple[str, float], ...]:
    """Return how much each input channel adds; occlusion takes all channels together."""
    if len(values) != len(description.channels):
        return (("all inputs", float(values.sum(dtype=np.float64))),)
    return tuple(
        (channel.role, float(part.sum(dtype=np.float64)))
        for channel, part in zip(description.channels, values, strict=True)
    )


def _on_reference(voxels: FloatArray, question: Question, answer: Segmented) -> FloatArray:
    """Return the attribution of the window on the grid of the reference image."""
    shape = answer.prepared.image.array.shape[1:]
    whole = np.zeros(shape, dtype=np.float32)
    inside = tuple(
        slice(span.start, min(span.stop, size))
        for span, size in zip(question.box, shape, strict=True)
    )
    part = tuple(slice(0, span.stop - span.start) for span in inside)
    whole[inside] = voxels[part]
    return on_source(whole, answer.prepared)
