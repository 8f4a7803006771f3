"""Fit the machine that foretells points of a plan's histograms: seconds, on whole patients.

1. Facts and points of each patient, and of the same patient mirrored left to right.
2. For each point a support vector regression of what the planner added to the quick plan's point,
   in units of its spread over patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.svm import SVR

from models.dose.inputs import CONTINUOUS
from models.dose.patient import LEVELS, TOP_GY
from models.dose.points import (
    POINTS,
    PointMachine,
    facts_of,
    mean_and_scale,
    mirrored_facts,
    points_of,
    standardised,
    structures,
)
from models.training.dose.packs import load_case
from models.training.dose.recipe import PointStage

FloatArray = NDArray[np.float32]


def known_of(folder: Path, names: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Return facts (patients, facts), and planned less quick-plan points (patients, points) in Gy.

    A point of a structure that a patient has not is NaN.
    """
    facts, added = [], []
    for name in names:
        case = load_case(folder, name)
        prepared = case.prepared
        places = structures(prepared)
        voxel_mm3 = float(np.prod(case.voxel_mm))
        facts.append(facts_of(prepared, places))
        places = {n: there for n, there in places.items() if n in LEVELS}
        planned = points_of(case.dose_gy.astype(np.float32), places, voxel_mm3)
        plan = points_of(prepared.continuous[CONTINUOUS.index("plan")], places, voxel_mm3)
        missing = float("nan")
        added.append(
            [planned.get(key, missing) - TOP_GY * plan.get(key, missing) for key in POINTS]
        )
    return np.stack(facts), np.asarray(added, np.float32)


def fitted(facts: FloatArray, added: FloatArray, stage: PointStage) -> PointMachine:
    """Return the machine of these patients and their mirror images."""
    mean, scale = mean_and_scale(facts)
    both = np.concatenate([facts, mirrored_facts(facts)])
    support = standardised(both, mean, scale)
    wanted = np.concatenate([added, added])
    weights = np.zeros((len(support), len(POINTS)), np.float32)
    offset = np.zeros(len(POINTS), np.float32)
    for column in range(len(POINTS)):
        known = np.flatnonzero(np.isfinite(wanted[:, column]))
        if len(known) < stage.least:
            continue
        values = wanted[known, column]
        spread = max(float(values.std()), 1e-3)
        machine = SVR(C=stage.bound, epsilon=stage.tolerance, gamma=stage.narrowness)
        machine.fit(support[known], values / spread)
        weights[known[machine.support_], column] = machine.dual_coef_[0] * spread
        offset[column] = machine.intercept_[0] * spread
    used = np.flatnonzero(weights.any(axis=1))
    return PointMachine(mean, scale, support[used], weights[used], offset, stage.narrowness)


def fit_points(stage: PointStage, folder: Path, names: Sequence[str], work: Path) -> None:
    """Fit on these patients and write ``points.safetensors``."""
    work.mkdir(parents=True, exist_ok=True)
    machine = fitted(*known_of(folder, names), stage)
    save_file(machine.named(), work / f"{stage.name}.safetensors")
