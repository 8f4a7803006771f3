"""Where a mask has voxels, and how many, in one pass over its memory.

Eight voxels are looked at at once where the rows allow it: their bytes are 0 or 1, so that a
word is zero where all eight are empty, and its bytes are summed by one product.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled, thread_count

_SUM_OF_BYTES = np.uint64(0x0101010101010101)


@dataclass(frozen=True, slots=True)
class Extents:
    """Voxels of each frame, and the box that holds them.

    Parameters
    ----------
    counts : voxels of each frame.
    boxes : (frames, 4): first row, end row, first column, end column; zeros where empty.
    """

    counts: NDArray[np.int64]
    boxes: NDArray[np.int64]

    @property
    def planes(self) -> list[int]:
        """Return the frames that hold a voxel, from 0."""
        return [int(plane) for plane in np.flatnonzero(self.counts)]

    def cut(self, mask: NDArray[np.bool_], plane: int) -> NDArray[np.bool_]:
        """Return the part of a frame of the mask inside its box."""
        first, end, left, right = self.boxes[plane]
        return mask[plane, first:end, left:right]


def extents_of(masks: Sequence[NDArray[np.bool_]]) -> list[Extents]:
    """Return the extents of several masks, on as many threads as numba was given."""
    count = min(thread_count(), len(masks))
    if count < 2:
        return [extents(mask) for mask in masks]
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(extents, masks))


def extents(mask: NDArray[np.bool_]) -> Extents:
    """Return the extents of a mask (frames, rows, columns)."""
    frames, _, columns = mask.shape
    wide = np.ascontiguousarray(mask).view(np.uint8)
    words: NDArray[Any] = wide.view(np.uint64) if columns % 8 == 0 else wide
    counts, boxes = np.zeros(frames, dtype=np.int64), np.zeros((frames, 4), dtype=np.int64)
    seen = np.zeros((frames, words.shape[2]), dtype=words.dtype)
    if columns % 8 == 0:
        _scan(words, _SUM_OF_BYTES, np.uint64(56), counts, boxes, seen)
    else:
        _scan(words, np.uint64(1), np.uint64(0), counts, boxes, seen)
    held = seen.view(np.bool_)
    boxes[:, 2] = held.argmax(axis=1)
    boxes[:, 3] = np.where(counts > 0, columns - held[:, ::-1].argmax(axis=1), 0)
    return Extents(counts, boxes)


@compiled
def _scan(
    words: NDArray[Any],
    factor: np.uint64,
    shift: np.uint64,
    counts: NDArray[np.int64],
    boxes: NDArray[np.int64],
    seen: NDArray[Any],
) -> None:
    frames, rows, width = words.shape
    for frame in range(frames):
        for row in range(rows):
            line = words[frame, row]
            every = line[0]
            for place in range(1, width):
                every |= line[place]
            if every == 0:
                continue
            if counts[frame] == 0:
                boxes[frame, 0] = row
            boxes[frame, 1] = row + 1
            for place in range(width):
                seen[frame, place] |= line[place]
                counts[frame] += np.int64((np.uint64(line[place]) * factor) >> shift)
