"""Give targets back their extremes.

A network trained on the mean absolute error answers the middle of what may happen, so the hottest
and coldest voxels of a target come out too near to its median. The voxels of each target are
ordered by predicted dose, and those at its ends are moved by the median of what the DVH points of
40 held-back training patients were off (U-Net and voxel networks, 27 November 2026; printed by
`models.training.dose.calibrate --constants`): D1% of 56 Gy by 2.6 Gy, others by less. Shares
between the ends stay as they are. Read `predict.py` next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.dose.patient import LEVELS, TOP_GY

FloatArray = NDArray[np.float32]

SHARES = (0.0, 0.01, 0.05, 0.25, 0.9, 0.99, 1.0)
"""Of a target's voxels with less dose; D99% is 0.01, D95% is 0.05, D1% is 0.99."""
SHIFTS_GY = {
    "PTV56": (-0.3, -0.3, 0.0, 0.0, 0.0, 2.6, 2.6),
    "PTV63": (-0.4, -0.4, -1.0, 0.0, 0.0, 1.6, 1.6),
    "PTV70": (1.6, 1.6, 0.7, 0.0, 0.0, 0.5, 0.5),
}


def sharpened(dose: FloatArray, prescription: FloatArray) -> FloatArray:
    """Return the dose with the ends of each target moved; both in units of 70 Gy."""
    result = dose.copy()
    inside = prescription > 0
    known = np.asarray(list(LEVELS.values()), np.float32) / np.float32(TOP_GY)
    nearest = np.abs(prescription[inside][:, None] - known).argmin(axis=1)
    level = np.full(dose.shape, -1, np.int8)
    level[inside] = nearest
    for index, name in enumerate(LEVELS):
        chosen = level == index
        count = int(chosen.sum())
        if count > 1:
            place = np.empty(count)
            place[np.argsort(dose[chosen], kind="stable")] = np.arange(count) / (count - 1)
            moved = np.interp(place, SHARES, SHIFTS_GY[name]) / TOP_GY
            result[chosen] = np.maximum(dose[chosen] + moved, 0)
    return result
