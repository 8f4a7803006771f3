"""Give targets back their extremes, and their middle.

A network trained on the mean absolute error answers the middle of what may happen, so the hottest
and coldest voxels of a target come out too near to its median, and what a planner gave one patient
it gives to none. The voxels of each target are ordered by predicted dose, and the dose at given
shares of them is moved to what is expected there: for one part the prediction less its usual error
(`SHIFTS_GY`), for the other what `points.py` foretells of this patient (`TRUST`). Both are from the
200 training patients in five parts (networks of all kinds that had not seen the part, 28 November
2026; printed by `models.training.dose.calibrate --constants`). Read `predict.py` next.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.dose.inputs import Prepared
from models.dose.patient import LEVELS, TOP_GY
from models.dose.points import TARGET_PERCENT, PointMachine, points_of, structures

FloatArray = NDArray[np.float32]
Places = NDArray[np.int64]

SHIFTS_GY: dict[str, dict[str, float]] = {
    "PTV56": {"D99%": -0.2, "D95%": -0.2, "D50%": -0.2, "D1%": 2.3},
    "PTV63": {"D99%": -0.8, "D95%": -1.1, "D50%": -0.8, "D1%": 0.8},
    "PTV70": {"D99%": 0.6, "D95%": 0.7, "D50%": 0.1, "D1%": 0.0},
}
TRUST: dict[str, dict[str, float]] = {
    "PTV56": {"D99%": 0.4, "D95%": 0.6, "D50%": 0.0, "D1%": 0.5},
    "PTV63": {"D99%": 0.1, "D95%": 0.0, "D50%": 0.3, "D1%": 0.6},
    "PTV70": {"D99%": 0.9, "D95%": 1.0, "D50%": 0.8, "D1%": 0.7},
}
"""Part that what is foretold has in each point; the rest is the prediction's own."""
SHARES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.9, 0.99, 1.0)
"""Of a target's voxels with less dose, where moves are known: D99% is 0.01, D1% is 0.99. From a
quarter to nine tenths all are moved as the middle is."""


def sharpened(
    dose: FloatArray, prepared: Prepared, machine: PointMachine | None = None
) -> FloatArray:
    """Return the dose with the points of each target moved; both in units of 70 Gy."""
    places = {n: there for n, there in structures(prepared).items() if n in LEVELS}
    found = points_of(dose * np.float32(TOP_GY), places, float(np.prod(prepared.voxel_mm)))
    foretold = {} if machine is None else machine.foretold_gy(prepared)
    result = dose.ravel().copy()
    for name, there in places.items():
        moves = {}
        for point in TARGET_PERCENT:
            usual, key = SHIFTS_GY[name][point], (name, point)
            trust = TRUST[name][point] if key in foretold else 0.0
            moves[point] = (1 - trust) * usual + trust * (foretold.get(key, 0.0) - found[key])
        _move(result, there, moves)
    return np.maximum(result, 0).reshape(dose.shape)


def _move(dose: FloatArray, there: Places, moves_gy: Mapping[str, float]) -> None:
    """Move a target's voxels by their place among them."""
    if len(there) < 2:
        return
    low, cold, middle, hot = (moves_gy[point] for point in TARGET_PERCENT)
    moves = np.asarray((low, low, cold, middle, middle, middle, hot, hot)) / TOP_GY
    place = np.empty(len(there))
    place[np.argsort(dose[there], kind="stable")] = np.arange(len(there)) / (len(there) - 1)
    dose[there] += np.interp(place, SHARES, moves).astype(np.float32)
