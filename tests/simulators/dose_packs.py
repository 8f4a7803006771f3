"""Small packs in the form of OpenKBP's, for recipes and cohorts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.training.dose.packs import STRUCTURES


def write_pack(path: Path, shift: int) -> None:
    """Write a water cylinder with a target, a parotid and a dose of 70 and 20 Gy as a pack."""
    shape = (32, 40, 32)
    row, column, slices = np.ogrid[tuple(map(slice, shape))]
    body = (np.hypot(row - 16, column - 20) < 13) & (abs(slices - 16) < 7)
    target = (np.hypot(row - 16, column - 20 - shift) < 4) & (abs(slices - 16) < 4)
    parotid = (np.hypot(row - 16, column - 12) < 2) & (abs(slices - 16) < 4)
    bits = (body.astype(np.uint16) << 10) + (target.astype(np.uint16) << STRUCTURES.index("PTV70"))
    bits += parotid.astype(np.uint16) << STRUCTURES.index("RightParotid")
    steps = np.where(target, 3500, 1000)[body].astype(np.int64)
    jump = np.diff(steps, prepend=0)
    coded = np.where(jump < 0, -2 * jump - 1, 2 * jump)
    np.savez(
        path,
        bits=bits,
        dose_low=(coded & 255).astype(np.uint8),
        dose_high=(coded >> 8).astype(np.uint8),
        dose_step_mgy=np.asarray(20),
        ct_lut=np.asarray([-1000, 0], np.int16),
        ct_delta=np.diff((body).astype(np.uint8), axis=-1, prepend=0).astype(np.uint8),
        voxel_mm=np.asarray([4.0, 4.0, 3.0]),
    )
