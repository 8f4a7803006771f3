"""The label map of a CT with as few windows and as little resampling as it needs.

What nnU-Net's predictor does in full is left out where it cannot matter, or hardly does:

1. The body is found (above ``air``); only its box is resampled, on the same grid.
2. Windows without a voxel of the body are left out; outside of the body all is background.
3. No mirrored copies, and windows overlap by a quarter instead of a half (Gaussian weights).
4. The label is decided before logits are brought back: where all voxels around a place have
   one label, every mean of their logits has it too. Only at the edges of structures are logits
   interpolated, so that the map is the one that bringing back all channels gives.

1 and 4 change nothing in the body; 2 makes air background; 3 is an approximation whose effect
is measured (`validation/benchmarks`). Read next: `models/importers/windows.py`, `resampling.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from audit.errors import ModelImportError
from models.importers import resampling, windows
from models.importers.description import Description, Inference, Shape
from models.importers.fields import Triple
from models.importers.steps import Image, Normalise, Resample, Undo
from models.importers.windows import Network
from models.physics.compiled import compiled
from models.physics.surface import extent

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
LabelMap = NDArray[np.uint16]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True)
class Sparing:
    """Say what is left out.

    Parameters
    ----------
    overlap : share of a window that the next one covers at least.
    air : values of the first channel up to this are outside of the body (HU).
    margin : voxels of the network's grid that are kept around the body.
    """

    overlap: float = 0.25
    air: float = -500.0
    margin: int = 4

    def __post_init__(self) -> None:
        if not 0.0 <= self.overlap < 1.0 or self.margin < 0 or not math.isfinite(self.air):
            found = (self.overlap, self.air, self.margin)
            raise ValueError(f"expected an overlap from 0 to below 1 and a margin, found {found}")


def segment_labels(
    description: Description,
    network: Network,
    channels: FloatArray,
    spacing_mm: Triple,
    axes: NDArray[np.float64],
    sparing: Sparing | None = None,
) -> LabelMap:
    """Return the label of each voxel of the source's grid.

    Parameters
    ----------
    channels : (channels, frames, rows, columns), the first a CT in HU.
    axes : rows are LPS unit vectors along frames, rows, columns.

    Raises
    ------
    ModelImportError : the model does not resample last as nnU-Net does, or does not decide by
        the largest of its channels.
    """
    sparing, last = sparing or Sparing(), _resampling_of(description)
    image = Image(np.asarray(channels, dtype=np.float32), spacing_mm, axes)
    undo: list[Undo] = []
    body = image.array[0] > sparing.air
    for step in description.preprocessing[:-1]:
        if isinstance(step, Normalise):
            body = image.array[0] > sparing.air
        image, back = step.apply(image)
        undo.append(back)
    labels: LabelMap = np.zeros(image.array.shape[1:], dtype=np.uint16)
    if body.any():
        _fill(labels, image, body, (last, description.inference, network, sparing))
    for back in reversed(undo):
        labels = back(labels)
    return np.ascontiguousarray(labels, dtype=np.uint16)


def _resampling_of(description: Description) -> Resample:
    steps, outputs = description.preprocessing, description.outputs
    last = steps[-1] if steps else None
    if not isinstance(last, Resample) or last.method != "nnunet" or last.back_order != 1:
        raise ModelImportError("preprocessing", "nnU-Net's resampling as last step", "another")
    if outputs.decision != "argmax" or description.inference.planar:
        raise ModelImportError("outputs", "the largest channel of a network of volumes", "another")
    return last


def _fill(
    labels: LabelMap,
    image: Image,
    body: BoolArray,
    how: tuple[Resample, Inference, Network, Sparing],
) -> None:
    """Write the labels of the body on the image's grid."""
    step, inference, network, sparing = how
    shape, old = image.array.shape[1:], image.spacing_mm
    new = [w or o for w, o in zip(step.spacing_mm, old, strict=True)]
    target = resampling.box_shape(shape, old, new)
    box, inside = _body_box(body, target, sparing.margin)
    there = resampling.Splines(
        step.order, step.order_z, resampling.separate_axis(old, new, step.separate)
    )
    parts = [resampling.part_between_boxes(c, target, there, box) for c in image.array]
    logits = predict_inside(network, np.stack(parts), inside, inference, sparing)
    coarse = resampling.separate_axis(new, old, step.separate)
    places = [
        _places(size, count, axis == coarse and step.back_order_z == 0, part)
        for axis, (size, count, part) in enumerate(zip(target, shape, box, strict=True))
    ]
    decided = logits.argmax(axis=0).astype(np.uint16)
    _bring_back(logits, decided, places[0], places[1], places[2], labels)
    labels[~body] = 0


def _body_box(body: BoolArray, target: Sequence[int], margin: int) -> tuple[Box, BoolArray]:
    """Return the body's box on the network's grid, and the body in it, each voxel's nearest."""
    low, high = extent(body)
    boxes, nearest = [], []
    for axis, count in enumerate(target):
        share = body.shape[axis] / count
        first = max(int(low[axis] / share) - margin, 0)
        last = min(int(np.ceil(high[axis] / share)) + margin, count)
        boxes.append(slice(first, last))
        index = ((np.arange(first, last) + 0.5) * share).astype(np.int64)
        nearest.append(np.minimum(index, body.shape[axis] - 1))
    return (boxes[0], boxes[1], boxes[2]), body[np.ix_(*nearest)]


def predict_inside(
    network: Network,
    array: FloatArray,
    inside: BoolArray,
    inference: Inference,
    sparing: Sparing,
) -> FloatArray:
    """Return the network's answer (outputs, a, b, c) from windows that hold some of ``inside``.

    Returns
    -------
    Where no window was laid channel 0 is 1 and the others are 0.
    """
    patch = inference.patch
    before, whole = [], []
    for own, size in zip(inside.shape, patch, strict=True):
        before.append(max(size - own, 0) // 2)
        whole.append(max(own, size))
    margins = [(b, w - o - b) for b, w, o in zip(before, whole, inside.shape, strict=True)]
    padded, held = np.pad(array, [(0, 0), *margins]), np.pad(inside, margins)
    spread = replace(inference, placement="even", overlap=sparing.overlap)
    weight = windows.weights(patch, "gaussian-nnunet")
    total, count = np.zeros(0, dtype=np.float32), np.zeros(tuple(whole), dtype=np.float32)
    for place in windows.windows(whole, spread):
        box = _window(place, patch)
        if not held[box].any():
            continue
        answer = network(padded[(None, slice(None), *box)])[0]
        if not total.size:
            total = np.zeros((len(answer), *whole), dtype=np.float32)
        total[(slice(None), *box)] += answer * weight
        count[box] += weight
    seen = count > 0
    total /= np.where(seen, count, 1.0)
    total[0][~seen] = 1.0
    inner = tuple(slice(b, b + own) for b, own in zip(before, inside.shape, strict=True))
    return np.ascontiguousarray(total[(slice(None), *inner)])


def _window(place: Shape, patch: Shape) -> Box:
    first, second, third = (
        slice(start, start + size) for start, size in zip(place, patch, strict=True)
    )
    return first, second, third


def _places(
    size: int, count: int, nearest: bool, part: slice
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Return of each of ``count`` voxels its two neighbours in the box and the second's share.

    x(i) = (i + 1/2) size / count - 1/2, edges repeated; -1 where the box is a voxel away.
    """
    places = np.clip((np.arange(count) + 0.5) * (size / count) - 0.5, 0, size - 1)
    if nearest:
        places = np.floor(places + 0.5).clip(0, size - 1)
    low = np.floor(places).astype(np.int64)
    share = (places - low).astype(np.float32)
    high = np.minimum(low + 1, size - 1)
    away = (high < part.start) | (low >= part.stop)
    first, last = (np.clip(index, part.start, part.stop - 1) - part.start for index in (low, high))
    return np.where(away, -1, first), np.where(away, -1, last), share


@compiled
def _bring_back(
    logits: FloatArray,
    decided: LabelMap,
    frames: tuple[NDArray[np.int64], NDArray[np.int64], FloatArray],
    rows: tuple[NDArray[np.int64], NDArray[np.int64], FloatArray],
    columns: tuple[NDArray[np.int64], NDArray[np.int64], FloatArray],
    labels: LabelMap,
) -> None:
    """Write the label of each voxel: the one around it, or of the largest interpolated logit."""
    for k in range(labels.shape[0]):
        k0, k1, z = frames[0][k], frames[1][k], frames[2][k]
        if k0 < 0:
            continue
        for j in range(labels.shape[1]):
            j0, j1, y = rows[0][j], rows[1][j], rows[2][j]
            if j0 < 0:
                continue
            for i in range(labels.shape[2]):
                i0, i1, x = columns[0][i], columns[1][i], columns[2][i]
                if i0 < 0:
                    continue
                own = decided[k0, j0, i0]
                same = own == decided[k0, j0, i1] and own == decided[k0, j1, i0]
                same = same and own == decided[k0, j1, i1] and own == decided[k1, j0, i0]
                same = same and own == decided[k1, j0, i1] and own == decided[k1, j1, i0]
                if same and own == decided[k1, j1, i1]:
                    labels[k, j, i] = own
                    continue
                most = np.float32(-np.inf)
                for c in range(logits.shape[0]):
                    one = logits[c]
                    a = one[k0, j0, i0] * (1 - x) + one[k0, j0, i1] * x
                    b = one[k0, j1, i0] * (1 - x) + one[k0, j1, i1] * x
                    d = one[k1, j0, i0] * (1 - x) + one[k1, j0, i1] * x
                    e = one[k1, j1, i0] * (1 - x) + one[k1, j1, i1] * x
                    value = (a * (1 - y) + b * y) * (1 - z) + (d * (1 - y) + e * y) * z
                    if value > most:
                        most = value
                        labels[k, j, i] = c
