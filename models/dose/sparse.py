"""Which voxels are asked, and what the others are given: the mean of those around.

A change of the plan is smooth where the plan is. So voxels in targets and one in four elsewhere are
asked, which lie so that every other has some within one voxel along each axis; and those where the
plan is steep. How steep it is decides how much their own answer counts beside that of their
neighbours, from nothing to all, so that a plan that differs a little gives a dose that does.
Read `voxels.py` next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

STEEP, STEEPER = np.float32(2.2 / 70), np.float32(3.2 / 70)
"""Change of the plan from a voxel to the next, in units of 70 Gy, from which on a voxel's own
answer counts, and from which on it alone."""
FALL = np.float32(np.exp(-0.5 / 0.7**2))
"""Weight of a neighbour one voxel further along one axis."""
ONE = np.float32(1)


def own_shares(allowed: BoolArray, targets: BoolArray, plan: FloatArray) -> FloatArray:
    """Return by voxel how much its own answer counts; where that is more than 0, it is asked.

    Every allowed voxel has 1, or one with 1 beside it.
    """
    shares = np.zeros(allowed.shape, np.float32)
    _count(allowed, targets, shares)
    always = shares == 1
    _add_steep(allowed, plan, always, shares)
    return shares


def filled(values: FloatArray, shares: FloatArray, allowed: BoolArray) -> FloatArray:
    """Return the values of allowed voxels, by their shares their own and their neighbours'."""
    out = np.where(shares == 1, values, np.float32(0))
    _fill(values, shares, allowed, out)
    return out


@compiled
def _count(allowed: BoolArray, targets: BoolArray, shares: FloatArray) -> None:
    """Give 1 to targets and one in four, and to those that have none of these beside them."""
    rows, columns, slices = allowed.shape
    for r in range(rows):
        for c in range(columns):
            for s in range(slices):
                if not allowed[r, c, s]:
                    continue
                if targets[r, c, s] or ((r + c) % 2 == 0 and s % 2 == 0):
                    shares[r, c, s] = ONE
                    continue
                alone = True
                for a in range(max(r - 1, 0), min(r + 2, rows)):
                    for b in range(max(c - 1, 0), min(c + 2, columns)):
                        for d in range(max(s - 1, 0), min(s + 2, slices)):
                            counts = targets[a, b, d] or ((a + b) % 2 == 0 and d % 2 == 0)
                            alone = alone and not (counts and allowed[a, b, d])
                if alone:
                    shares[r, c, s] = ONE


@compiled
def _add_steep(allowed: BoolArray, plan: FloatArray, always: BoolArray, shares: FloatArray) -> None:
    """Give the others a share by the steepness of the plan."""
    rows, columns, slices = allowed.shape
    for r in range(rows):
        for c in range(columns):
            for s in range(slices):
                if not allowed[r, c, s] or always[r, c, s]:
                    continue
                up, down = max(r - 1, 0), min(r + 1, rows - 1)
                left, right = max(c - 1, 0), min(c + 1, columns - 1)
                above, below = max(s - 1, 0), min(s + 1, slices - 1)
                steepest = np.float32(0.5) * max(
                    abs(plan[down, c, s] - plan[up, c, s]),
                    abs(plan[r, right, s] - plan[r, left, s]),
                    abs(plan[r, c, below] - plan[r, c, above]),
                )
                share = (steepest - STEEP) / (STEEPER - STEEP)
                shares[r, c, s] = min(max(share, np.float32(0)), ONE)


@compiled
def _fill(values: FloatArray, shares: FloatArray, allowed: BoolArray, out: FloatArray) -> None:
    rows, columns, slices = allowed.shape
    for r in range(rows):
        for c in range(columns):
            for s in range(slices):
                own = shares[r, c, s]
                if not allowed[r, c, s] or own == ONE:
                    continue
                total, whole = np.float32(0), np.float32(0)
                for a in range(max(r - 1, 0), min(r + 2, rows)):
                    for b in range(max(c - 1, 0), min(c + 2, columns)):
                        for d in range(max(s - 1, 0), min(s + 2, slices)):
                            far = abs(a - r) + abs(b - c) + abs(d - s)
                            if far:
                                weight = shares[a, b, d] * FALL**far
                                total += weight * values[a, b, d]
                                whole += weight
                out[r, c, s] = own * values[r, c, s] + (ONE - own) * total / whole
