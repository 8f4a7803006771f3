"""From the network's channels to the label and the uncertainty of each source voxel.

Softmax over channels i: p_i = exp(l_i) / sum_j exp(l_j).  Its entropy needs no p_i on the
source's grid: with m = max l, s = sum exp(l - m), t = sum l exp(l - m),
H = -sum p_i log p_i = m + log s - t / s, and the three sums grow channel by channel.
Thresholded channels: H = max_i of the binary entropy.  Both are given over their maximum,
log(channels) and log 2 (Shannon 1948).

Read next: `steps.py`, which brings maps back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.importers.description import Outputs
from models.importers.steps import Resample, Undo

FloatArray = NDArray[np.float32]
LabelMap = NDArray[np.uint16]
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Decided:
    """The label maps and the entropy of a case, on the source's grid.

    There is one map, or, where channels are decided on alone and may overlap, one of each
    channel: its number, counted from 1, or 0.
    """

    maps: tuple[LabelMap, ...]
    entropy: FloatArray


def decide(logits: FloatArray, outputs: Outputs, undo: Sequence[tuple[str, Undo]]) -> Decided:
    """Return label maps and entropy of a network's answer.

    Parameters
    ----------
    logits : (outputs, a, b, c) on the prepared grid.
    undo : the way back of each preprocessing step, in the order in which they were done.
    """
    early, late = _split(undo, outputs.activated == "after")
    if outputs.decision == "threshold":
        decided = _thresholded(logits, outputs, early)
    elif outputs.activated == "after" and outputs.activation == "softmax":
        decided = _softmax(logits, early)
    else:
        decided = _largest(activated(logits, outputs.activation), early)
    maps, entropy = decided.maps, decided.entropy
    for back in late:
        maps, entropy = tuple(back(labels) for labels in maps), back(entropy)
    whole = tuple(np.ascontiguousarray(labels) for labels in maps)
    return Decided(whole, np.ascontiguousarray(entropy, dtype=np.float32))


def masks(maps: Sequence[LabelMap], outputs: Outputs) -> dict[str, NDArray[np.bool_]]:
    """Return the mask of each label, with its largest part only where the model says so."""
    found = {}
    for label in outputs.labels:
        mask = np.any([np.isin(labels, label.values) for labels in maps], axis=0)
        if label.name in outputs.largest_component and mask.any():
            parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
            mask = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        found[label.name] = mask
    return found


def _split(
    undo: Sequence[tuple[str, Undo]], activated_after: bool
) -> tuple[list[Undo], list[Undo]]:
    """Return the ways back that come before the decision, and those after it.

    Whatever interpolates comes before, because labels cannot be interpolated.
    """
    backwards = list(reversed(undo))
    kinds = [kind for kind, _ in backwards]
    last = max((place for place, kind in enumerate(kinds) if kind == Resample.kind), default=-1)
    count = last + 1 if activated_after else len(backwards)
    return [back for _, back in backwards[:count]], [back for _, back in backwards[count:]]


def _brought_back(channels: FloatArray, early: Sequence[Undo]) -> Iterator[NDArray[Any]]:
    """Yield each channel after the early ways back, one at a time."""
    for channel in channels:
        found: NDArray[Any] = channel
        for back in early:
            found = back(found)
        yield found


def _softmax(logits: FloatArray, early: Sequence[Undo]) -> Decided:
    """Decide on logits that are activated after they were brought back."""
    count = len(logits)
    top = total = weighted = labels = None
    for index, channel in enumerate(_brought_back(logits, early)):
        values = channel.astype(np.float64)
        if top is None or total is None or weighted is None or labels is None:
            top, total, weighted = values, np.ones_like(values), values.copy()
            labels = np.zeros(values.shape, dtype=np.uint16)
            continue
        labels[values > top] = index
        highest = np.maximum(top, values)
        before, now = np.exp(top - highest), np.exp(values - highest)
        total = total * before + now
        weighted = weighted * before + values * now
        top = highest
    if top is None or total is None or weighted is None or labels is None:
        raise ValueError("expected output channels, found none")
    entropy = top + np.log(total) - weighted / total
    return Decided((labels,), _share(entropy, math.log(count)))


def _largest(probabilities: FloatArray, early: Sequence[Undo]) -> Decided:
    """Decide on probabilities: the channel with the largest one."""
    count = len(probabilities)
    best = entropy = labels = None
    for index, channel in enumerate(_brought_back(probabilities, early)):
        values = channel.astype(np.float64)
        part = -values * np.log(np.maximum(values, _TINY))
        if best is None or entropy is None or labels is None:
            best, entropy = values, part
            labels = np.zeros(values.shape, dtype=np.uint16)
            continue
        labels[values > best] = index
        best, entropy = np.maximum(best, values), entropy + part
    if entropy is None or labels is None:
        raise ValueError("expected output channels, found none")
    return Decided((labels,), _share(entropy, math.log(count)))


def _thresholded(logits: FloatArray, outputs: Outputs, early: Sequence[Undo]) -> Decided:
    """Decide on each channel alone; in a stated order later ones write over earlier ones."""
    after = outputs.activated == "after"
    channels = logits if after else activated(logits, outputs.activation)
    maps: list[LabelMap] = []
    entropy = None
    for index, channel in enumerate(_brought_back(channels, early)):
        found = activated(channel[None], outputs.activation)[0] if after else channel
        p = np.clip(found.astype(np.float64), _TINY, 1 - _TINY)
        part = -(p * np.log(p) + (1 - p) * np.log(1 - p))
        entropy = part if entropy is None else np.maximum(entropy, part)
        if not maps or not outputs.class_order:
            maps.append(np.zeros(p.shape, dtype=np.uint16))
        value = outputs.class_order[index] if outputs.class_order else index + 1
        maps[-1][found > outputs.threshold] = value
    if entropy is None:
        raise ValueError("expected output channels, found none")
    return Decided(tuple(maps), _share(entropy, math.log(2)))


def activated(channels: FloatArray, activation: str) -> FloatArray:
    """Return probabilities of channels (axis 0)."""
    if activation == "sigmoid":
        return np.asarray(1.0 / (1.0 + np.exp(-channels.astype(np.float64))), dtype=np.float32)
    if activation == "softmax":
        shifted = np.exp(channels - channels.max(axis=0, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=0, keepdims=True), dtype=np.float32)
    return channels


def _share(entropy: NDArray[np.float64], most: float) -> FloatArray:
    return np.clip(entropy / most, 0.0, 1.0).astype(np.float32)
