"""Stored pixel values to values of the modality, in one pass.

A volume is written once and larger than a cache, so that its time is that of memory; NumPy
converts in blocks and takes longer than the memory does.

Source: PS3.3 C.11.1 (Modality LUT).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled


def rescale(
    stored: NDArray[np.integer[Any]],
    slope: np.float32,
    intercept: np.float32,
    values: NDArray[np.float32],
) -> None:
    """Write ``stored * slope + intercept`` into ``values``, each step rounded to float32; an
    intercept of zero is not added, so that a negative zero stays one.

    Parameters
    ----------
    stored : 16 bits, signed or not; like ``values`` contiguous, and of its shape.
    """
    _rescale(stored.reshape(-1), slope, intercept, values.reshape(-1))


@compiled
def _rescale(
    stored: NDArray[np.integer[Any]],
    slope: np.float32,
    intercept: np.float32,
    values: NDArray[np.float32],
) -> None:
    if intercept == 0:
        for index in range(len(stored)):
            values[index] = np.float32(stored[index]) * slope
        return
    for index in range(len(stored)):
        values[index] = np.float32(stored[index]) * slope + intercept
