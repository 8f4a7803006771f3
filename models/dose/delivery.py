"""Bring a predicted dose nearer to one that the nine fields can deliver.

The fluence that comes nearest to the prediction is looked for in the simplified beam model
(`beams.py`), from the quick plan's; its dose and the prediction are averaged. A network's error
that no fluence could make is halved so: on ten held-back training patients the dose error went from
3.10 to 3.04 Gy and that of the DVH points from 2.13 to 1.96 Gy. Read `predict.py` next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.dose.beams import dose_of
from models.dose.inputs import Prepared
from models.dose.patient import TOP_GY
from models.dose.plan import Objective, optimise

FloatArray = NDArray[np.float32]

TARGET_WEIGHT = 3.0
STEPS = 30
SHARE = 0.5
"""Of the delivered dose in the answer; 0, a half and 1 were compared on the ten patients."""


def delivered(dose: FloatArray, prepared: Prepared, steps: int = STEPS) -> FloatArray:
    """Return the dose on the crop (units of 70 Gy) that the nine fields give nearest to this."""
    beams = prepared.beams
    allowed = prepared.masks[0]
    goal = np.asarray(dose[tuple(beams.samples.T)] * TOP_GY, np.float32)
    weight = beams.share * np.where(beams.target, np.float32(TARGET_WEIGHT), np.float32(1))
    aim = Objective(goal, weight, weight, np.zeros_like(weight))
    fluence = optimise(beams.fields, beams.rays, aim, beams.target, steps, beams.fluence)
    result = np.zeros(allowed.shape, np.float32)
    result[allowed] = dose_of(beams.fields, fluence, beams.everywhere) / np.float32(TOP_GY)
    return result


def nearer_to_delivered(dose: FloatArray, prepared: Prepared) -> FloatArray:
    """Return the mean of a predicted dose and the nearest one that can be delivered."""
    return np.asarray((1 - SHARE) * dose + SHARE * delivered(dose, prepared), np.float32)
