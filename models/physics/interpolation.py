"""Read a grid between its voxel centres.

Arrays are (frames, rows, columns). Read next: `dvh_sampling.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled


@compiled
def trilinear(
    grid: NDArray[np.float32] | NDArray[np.float64], z: float, y: float, x: float
) -> float:
    """Return the value at index coordinates inside the grid; beyond it the edge cell goes on."""
    frames, rows, columns = grid.shape
    k = min(max(int(z), 0), max(frames - 2, 0))
    j = min(max(int(y), 0), max(rows - 2, 0))
    i = min(max(int(x), 0), max(columns - 2, 0))
    k1, j1, i1 = min(k + 1, frames - 1), min(j + 1, rows - 1), min(i + 1, columns - 1)
    z, y, x = z - k, y - j, x - i
    c00 = grid[k, j, i] + x * (grid[k, j, i1] - grid[k, j, i])
    c01 = grid[k, j1, i] + x * (grid[k, j1, i1] - grid[k, j1, i])
    c10 = grid[k1, j, i] + x * (grid[k1, j, i1] - grid[k1, j, i])
    c11 = grid[k1, j1, i] + x * (grid[k1, j1, i1] - grid[k1, j1, i])
    c0, c1 = c00 + y * (c01 - c00), c10 + y * (c11 - c10)
    return float(c0 + z * (c1 - c0))
