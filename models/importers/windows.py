"""Lay windows over an image, run a network on each, put the answers together again.

Two placements: nnU-Net v2 (``compute_steps_for_sliding_window``: equal steps of at most
(1 - overlap) of the window) and MONAI 1.6 (``sliding_window_inference``: fixed steps, the
last window pushed back to the edge).  An image smaller than the window is padded with 0 on
both sides, the odd voxel behind, in both.  Gaussian weights have a deviation of one eighth
of the window; the two tools centre and floor them differently.

Read next: `networks/runner.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.importers.description import Inference, Shape

FloatArray = NDArray[np.float32]
Network = Callable[[FloatArray], FloatArray]
"""Maps a batch (n, channels, a, b, c) to (n, outputs, a, b, c)."""

SIGMA = 1 / 8
_MONAI_FLOOR = 1e-3


def predict(network: Network, array: FloatArray, inference: Inference) -> FloatArray:
    """Return the network's answer over the whole image, (outputs, a, b, c).

    Parameters
    ----------
    array : (channels, a, b, c), prepared.
    """
    shape = (array.shape[1], array.shape[2], array.shape[3])
    patch = inference.patch
    before = [max(size - own, 0) // 2 for own, size in zip(shape, patch, strict=True)]
    whole = [max(own, size) for own, size in zip(shape, patch, strict=True)]
    margins = [(b, w - own - b) for b, w, own in zip(before, whole, shape, strict=True)]
    padded = np.pad(array, [(0, 0), *margins])
    weight = weights(patch, inference.blend)
    total = np.zeros(0, dtype=np.float32)
    count = np.zeros(padded.shape[1:], dtype=np.float32)
    for places in _batches(windows(whole, inference), inference.batch):
        boxes = [_box(place, patch) for place in places]
        batch = np.stack([padded[(slice(None), *box)] for box in boxes])
        answers = mirrored(network, batch, inference)
        if not total.size:
            total = np.zeros((answers.shape[1], *padded.shape[1:]), dtype=np.float32)
        for box, answer in zip(boxes, answers, strict=True):
            total[(slice(None), *box)] += answer * weight
            count[box] += weight
    total /= count
    inner = tuple(slice(b, b + own) for b, own in zip(before, shape, strict=True))
    return total[(slice(None), *inner)]


def mirrored(network: Network, batch: FloatArray, inference: Inference) -> FloatArray:
    """Return the mean answer over all combinations of mirrored axes, none included."""
    chosen = [axis + 2 for axis in inference.mirror_axes]
    sets = [axes for count in range(len(chosen) + 1) for axes in combinations(chosen, count)]
    total = _planar(network, batch, inference.planar)
    for axes in sets[1:]:
        flipped = np.ascontiguousarray(np.flip(batch, axes))
        total = total + np.flip(_planar(network, flipped, inference.planar), axes)
    return np.asarray(total / np.float32(len(sets)), dtype=np.float32)


def windows(shape: Sequence[int], inference: Inference) -> list[Shape]:
    """Return the first corner of every window, in array order."""
    starts = even_starts if inference.placement == "even" else interval_starts
    axes = [
        starts(size, window, inference.overlap)
        for size, window in zip(shape, inference.patch, strict=True)
    ]
    if inference.planar:
        axes[0] = list(range(shape[0]))
    return [(first, second, third) for first, second, third in product(*axes)]


def even_starts(size: int, window: int, overlap: float) -> list[int]:
    """Return starts at equal steps of at most (1 - overlap) of the window (nnU-Net v2)."""
    count = math.ceil((size - window) / (window * (1.0 - overlap))) + 1
    if count == 1:
        return [0]
    step = (size - window) / (count - 1)
    return [int(np.round(step * index)) for index in range(count)]


def interval_starts(size: int, window: int, overlap: float) -> list[int]:
    """Return starts at steps of int(window (1 - overlap)), the last at the edge (MONAI)."""
    if size == window:
        return [0]
    step = max(int(window * (1 - overlap)), 1)
    count = next(n for n in range(size) if n * step + window >= size) + 1
    return [min(index * step, size - window) for index in range(count)]


def weights(patch: Shape, blend: str) -> FloatArray:
    """Return the weight of each voxel of a window, all above 0."""
    if blend == "constant":
        return np.ones(patch, dtype=np.float32)
    if blend == "gaussian-monai":
        sides = [
            np.exp(((np.arange(n) - (n - 1) / 2.0) ** 2) / (-2 * (n * SIGMA) ** 2)) for n in patch
        ]
        found = np.einsum("a,b,c->abc", *sides).astype(np.float32)
        return np.asarray(np.clip(found, max(float(found.min()), _MONAI_FLOOR), None))
    middle = np.zeros(patch)
    middle[tuple(size // 2 for size in patch)] = 1.0
    spread = ndimage.gaussian_filter(middle, [size * SIGMA for size in patch], mode="constant")
    found = np.asarray(spread / spread.max(), dtype=np.float32)
    return np.asarray(np.clip(found, found[found > 0].min(), None))


def _planar(network: Network, batch: FloatArray, planar: bool) -> FloatArray:
    """Run a two-dimensional network on windows that are one slice thick."""
    if not planar:
        return network(batch)
    return network(batch[:, :, 0])[:, :, None]


def _box(place: Shape, patch: Shape) -> tuple[slice, ...]:
    return tuple(slice(start, start + size) for start, size in zip(place, patch, strict=True))


def _batches(places: list[Shape], count: int) -> Iterator[list[Shape]]:
    for start in range(0, len(places), count):
        yield places[start : start + count]
