"""The two scores of the OpenKBP challenge, by patient and over a set.

Source: Babier et al. 2021, Med Phys 48:5549, and the challenge's code: the dose score sums the
absolute difference over the whole grid and divides by the voxels of the possible-dose mask; DVH
points are D99, D95, D1 of targets (percentiles 1, 5, 99), D0.1cc and mean of organs, percentiles
linear between order statistics; the DVH score is the mean absolute difference over all existing
(patient, structure, point) cells. Tests reproduce the score vectors of the test data.

Figures of a histogram from contours (D_x, V_x, gEUD) are those of `models/physics`.

Read next: `registry.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.metrics.terms import Metric

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]
TARGET_PERCENTILES = {"D99%": 1.0, "D95%": 5.0, "D1%": 99.0}
_KBP = "Babier et al. 2021, Med Phys 48:5549, doi 10.1002/mp.14845"

METRICS = (
    Metric("dose_score_gy", "Dose score", "Gy", "lower",
           "sum of |planned - predicted| over the grid by the voxels of the possible-dose mask; "
           "mean over patients", _KBP),
    Metric("dvh_score_gy", "DVH score", "Gy", "lower",
           "mean |difference| over D99%, D95%, D1% of targets, D0.1cc and mean of organs, all "
           "existing cells of all patients alike", _KBP),
    Metric("dvh_error_gy", "DVH error", "Gy", "lower",
           "mean |difference| over the existing cells of one patient; mean over patients", _KBP),
    Metric("dvh_covered_share", "DVH points in their interval", "", "higher",
           "share of a patient's DVH points whose planned value lies in the stated interval; of "
           "points that have one", "Lei et al. 2018, doi 10.1080/01621459.2017.1307116"),
    Metric("dvh_d95_gy", "D95%", "Gy", "none", "dose that 95 % of a region's volume receives at "
           "least, from contours", "AAPM TG-263, doi 10.1016/j.ijrobp.2017.12.013"),
    Metric("dvh_volume_ml", "Volume of a histogram", "ml", "none",
           "volume inside the contours, ends rounded or flat as stated", "models/physics/dvh.py"),
    Metric("geud_gy", "gEUD", "Gy", "none", "(mean of D^a)^(1/a) over the volume",
           "Niemierko 1999, Med Phys 26:1100"),
)  # fmt: skip


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
    planned_gy, predicted_gy = (np.asarray(one, np.float64) for one in (planned_gy, predicted_gy))
    error = float(np.abs(planned_gy - predicted_gy).sum() / possible_dose.sum())
    planned, predicted = dvh_points(planned_gy, *structures), dvh_points(predicted_gy, *structures)
    return PatientScore(name, error, {key: abs(planned[key] - predicted[key]) for key in planned})


def dvh_error(score: PatientScore) -> float:
    """Return the mean over one patient's cells (Gy)."""
    return float(np.mean(list(score.cells_gy.values())))


def covered_share(
    planned_gy: Mapping[tuple[str, str], float],
    intervals_gy: Mapping[tuple[str, str], tuple[float, float]],
) -> float:
    """Return the share of points with an interval that holds the planned value; NaN for none."""
    held = [
        low <= planned_gy[key] <= high
        for key, (low, high) in intervals_gy.items()
        if key in planned_gy
    ]
    return float(np.mean(held)) if held else float("nan")


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
