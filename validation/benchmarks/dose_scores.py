"""The two scores of the OpenKBP challenge, by patient and over a set.

Source: Babier et al. 2021, Med Phys 48:5549, and the challenge's code: the dose score sums the
absolute difference over the whole grid and divides by the voxels of the possible-dose mask; DVH
points are D99, D95, D1 of targets (percentiles 1, 5, 99), D0.1cc and mean of organs, percentiles
linear between order statistics; the DVH score is the mean absolute difference over all existing
(patient, structure, point) cells. Checked against `shared/data/openkbp/score_vectors.json`.

Read next: `dose.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]
TARGET_PERCENTILES = {"D99%": 1.0, "D95%": 5.0, "D1%": 99.0}


@dataclass(frozen=True, slots=True)
class PatientScore:
    """Hold one patient's dose error and the absolute difference of each DVH point, in Gy."""

    name: str
    dose_gy: float
    cells_gy: Mapping[tuple[str, str], float]


def dvh_points(
    dose_gy: FloatArray,
    targets: Mapping[str, BoolArray],
    organs: Mapping[str, BoolArray],
    voxel_mm: Sequence[float],
) -> dict[tuple[str, str], float]:
    """Return the DVH points by (structure, point) in Gy; empty masks have none."""
    small = max(1, round(100.0 / float(np.prod(voxel_mm))))
    points: dict[tuple[str, str], float] = {}
    for name, mask in targets.items():
        if mask.any():
            values = np.percentile(dose_gy[mask], list(TARGET_PERCENTILES.values()))
            for point, value in zip(TARGET_PERCENTILES, values, strict=True):
                points[name, point] = float(value)
    for name, mask in organs.items():
        values = dose_gy[mask]
        if values.size:
            share = max(100 - small / values.size * 100, 0.0)
            points[name, "D0.1cc"] = float(np.percentile(values, share))
            points[name, "mean"] = float(values.mean())
    return points


def score_patient(
    name: str,
    planned_gy: FloatArray,
    predicted_gy: FloatArray,
    possible_dose: BoolArray,
    structures: tuple[Mapping[str, BoolArray], Mapping[str, BoolArray], Sequence[float]],
) -> PatientScore:
    """Return the scores of one patient; `structures` is targets, organs and spacing."""
    error = float(np.abs(planned_gy - predicted_gy).sum(dtype=np.float64) / possible_dose.sum())
    planned, predicted = dvh_points(planned_gy, *structures), dvh_points(predicted_gy, *structures)
    return PatientScore(name, error, {key: abs(planned[key] - predicted[key]) for key in planned})


def dose_score(scores: Sequence[PatientScore]) -> float:
    """Return the mean over patients (Gy)."""
    return float(np.mean([score.dose_gy for score in scores]))


def dvh_score(scores: Sequence[PatientScore]) -> float:
    """Return the mean over all cells of all patients (Gy)."""
    return float(np.mean([value for score in scores for value in score.cells_gy.values()]))


def interval(
    scores: Sequence[PatientScore], generator: np.random.Generator, draws: int = 2000
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the 95 % bootstrap intervals of dose and DVH score, patients drawn with return."""
    sums = np.asarray([sum(score.cells_gy.values()) for score in scores])
    counts = np.asarray([len(score.cells_gy) for score in scores])
    errors = np.asarray([score.dose_gy for score in scores])
    chosen = generator.integers(len(scores), size=(draws, len(scores)))
    doses = np.percentile(errors[chosen].mean(axis=1), [2.5, 97.5])
    points = np.percentile(sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1), [2.5, 97.5])
    return (float(doses[0]), float(doses[1])), (float(points[0]), float(points[1]))
