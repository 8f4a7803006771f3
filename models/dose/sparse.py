"""Which voxels are asked, and what the others are given: the mean of those around.

A change of the plan is smooth where the plan is. So voxels in targets and where the plan is steep
are asked each, elsewhere one in four, which lie so that every other has some within one voxel along
each axis. Read `voxels.py` next.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled_reordering

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

STEEP = np.float32(2.5 / 70)
"""Change of the plan from a voxel to the next, in units of 70 Gy, from which on it is asked."""
FALL = np.float32(np.exp(-0.5 / 0.7**2))
"""Weight of a neighbour one voxel further along one axis."""


def asked(allowed: BoolArray, targets: BoolArray, plan: FloatArray) -> BoolArray:
    """Return the voxels to ask of those allowed; every other has one of them beside it."""
    out = np.zeros(allowed.shape, np.bool_)
    _choose(allowed, targets, plan, out)
    _add_lonely(allowed, out.copy(), out)
    return out


def filled(values: FloatArray, known: BoolArray, allowed: BoolArray) -> FloatArray:
    """Return the values with those of allowed voxels that are not known, from neighbours."""
    out = np.where(known, values, np.float32(0))
    _fill(values, known, allowed, out)
    return out


@compiled_reordering
def _choose(allowed: BoolArray, targets: BoolArray, plan: FloatArray, out: BoolArray) -> None:
    rows, columns, slices = allowed.shape
    for r in numba.prange(rows):
        for c in range(columns):
            for s in range(slices):
                if not allowed[r, c, s]:
                    continue
                if targets[r, c, s] or ((r + c) % 2 == 0 and s % 2 == 0):
                    out[r, c, s] = True
                    continue
                up, down = max(r - 1, 0), min(r + 1, rows - 1)
                left, right = max(c - 1, 0), min(c + 1, columns - 1)
                above, below = max(s - 1, 0), min(s + 1, slices - 1)
                steepest = max(
                    abs(plan[down, c, s] - plan[up, c, s]),
                    abs(plan[r, right, s] - plan[r, left, s]),
                    abs(plan[r, c, below] - plan[r, c, above]),
                )
                out[r, c, s] = steepest > STEEP + STEEP


@compiled_reordering
def _add_lonely(allowed: BoolArray, known: BoolArray, out: BoolArray) -> None:
    rows, columns, slices = allowed.shape
    for r in numba.prange(rows):
        for c in range(columns):
            for s in range(slices):
                if allowed[r, c, s] and not known[r, c, s]:
                    alone = True
                    for a in range(max(r - 1, 0), min(r + 2, rows)):
                        for b in range(max(c - 1, 0), min(c + 2, columns)):
                            for d in range(max(s - 1, 0), min(s + 2, slices)):
                                alone = alone and not known[a, b, d]
                    out[r, c, s] = alone


@compiled_reordering
def _fill(values: FloatArray, known: BoolArray, allowed: BoolArray, out: FloatArray) -> None:
    rows, columns, slices = allowed.shape
    for r in numba.prange(rows):
        for c in range(columns):
            for s in range(slices):
                if allowed[r, c, s] and not known[r, c, s]:
                    total, share = np.float32(0), np.float32(0)
                    for a in range(max(r - 1, 0), min(r + 2, rows)):
                        for b in range(max(c - 1, 0), min(c + 2, columns)):
                            for d in range(max(s - 1, 0), min(s + 2, slices)):
                                if known[a, b, d]:
                                    far = abs(a - r) + abs(b - c) + abs(d - s)
                                    weight = FALL**far
                                    total += weight * values[a, b, d]
                                    share += weight
                    out[r, c, s] = total / share
