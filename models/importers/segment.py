"""The path of one case through an imported model, from arrays to structures.

1. prepare   the model's preprocessing steps, in its own order
2. predict   windows, mirrored axes, the mean of all members
3. decide    probabilities and the label of each voxel, back on the grid of the source

The third step goes channel by channel, so that a model of a hundred labels needs no
hundred maps on the source's grid.

Read next: `windows.py`, `decide.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.importers import decide, windows
from models.importers.description import Description
from models.importers.fields import Triple
from models.importers.steps import Image, Undo
from models.importers.windows import Network

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image as the network wants it, and the way back of each step, in order."""

    image: Image
    undo: tuple[tuple[str, Undo], ...]


@dataclass(frozen=True, slots=True)
class Segmented:
    """The answer to one case.

    Parameters
    ----------
    masks : by name of the label, on the source's grid.
    entropy : (a, b, c) on the source's grid, Shannon's over its maximum, in [0, 1].
    logits : (outputs, ...) of the network on the prepared grid.
    """

    masks: Mapping[str, BoolArray]
    entropy: FloatArray
    prepared: Prepared
    logits: FloatArray


def segment(
    description: Description,
    network: Network,
    channels: FloatArray,
    spacing_mm: Triple,
    axes: NDArray[np.float64],
) -> Segmented:
    """Return the structures of one case.

    Parameters
    ----------
    channels : (channels, frames, rows, columns) in the order of the description, all on
        the grid of the first.
    axes : rows are LPS unit vectors along frames, rows, columns.
    """
    prepared = prepare(description, channels, spacing_mm, axes)
    logits = windows.predict(network, prepared.image.array, description.inference)
    if logits.shape[0] != description.outputs.channel_count:
        raise ValueError(
            f"expected {description.outputs.channel_count} output channels, found {len(logits)}"
        )
    decided = decide.decide(logits, description.outputs, prepared.undo)
    masks = decide.masks(decided.maps, description.outputs)
    return Segmented(masks, decided.entropy, prepared, logits)


def prepare(
    description: Description,
    channels: FloatArray,
    spacing_mm: Triple,
    axes: NDArray[np.float64],
) -> Prepared:
    """Return the image after all preprocessing steps, and how to undo them."""
    image = Image(np.asarray(channels, dtype=np.float32), spacing_mm, axes)
    undo: list[tuple[str, Undo]] = []
    for step in description.preprocessing:
        image, back = step.apply(image)
        undo.append((step.kind, back))
    return Prepared(image, tuple(undo))


def on_source(values: FloatArray, prepared: Prepared) -> FloatArray:
    """Return a map of the prepared grid on the source's grid; 0 outside of a crop."""
    found: NDArray[np.generic] = values
    for _, back in reversed(prepared.undo):
        found = back(found)
    return np.ascontiguousarray(found, dtype=np.float32)
