"""A patient for the dose networks: a cylinder of water with a target, a parotid and a cord."""

import numpy as np

from models.dose.patient import Patient

SHAPE = (40, 44, 24)


def water_patient() -> Patient:
    """Return a water cylinder with a target, a right parotid and a cord."""
    row, column, slices = np.ogrid[tuple(map(slice, SHAPE))]
    body = np.hypot(row - 20, column - 21.5) < 17 + 0 * slices
    target = (np.hypot(row - 20, column - 18) < 5) & (abs(slices - 11) < 5)
    parotid = (np.hypot(row - 20, column - 30) < 3) & (abs(slices - 12) < 4)
    cord = (np.hypot(row - 30, column - 22) < 2) & (slices >= 0)
    return Patient(
        np.where(body, 0, -1000).astype(np.int16) * np.ones(SHAPE, np.int16),
        (4.0, 4.0, 3.0),
        body & (abs(slices - 12) < 9),
        ((70.0, target),),
        {"RightParotid": parotid, "SpinalCord": cord & body},
    )
