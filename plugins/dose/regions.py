"""What is told of each structure: histogram, points with intervals, goals.

Points are those of OpenKBP (Babier et al. 2021, Med Phys 48:5549) with split-conformal intervals,
and whatever the goals name. All are taken from the voxels of the networks' grid, as the intervals
were. Read next: `models/dose/uncertainty.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.dose.patient import LEVELS, TOP_GY, Patient
from models.dose.uncertainty import Calibration, structure_name
from plugins.dose.goals import code_of, judged, of_structure, unit_of, value_of
from plugins.dose.structures import MODEL_ORGANS
from plugins.host.findings import Histogram, Measurement, RegionDose
from plugins.host.prescription import DoseGoal

POINTS_OF_TARGETS = ("D99%[Gy]", "D95%[Gy]", "D1%[Gy]", "Mean[Gy]")
POINTS_OF_ORGANS = ("D0.1cc[Gy]", "Mean[Gy]")
CALIBRATED = {
    **{"D99%[Gy]": "D99%", "D95%[Gy]": "D95%", "D1%[Gy]": "D1%"},
    **{"D0.1cc[Gy]": "D0.1cc", "Mean[Gy]": "mean"},
}
"""Metrics of TG-263 and the points that have intervals."""
BIN_GY = 0.1


@dataclass(frozen=True, slots=True)
class Structure:
    """One structure: its TG-263 name, ROI Number, mask, and prescription where it is a target."""

    name: str
    roi_number: int
    mask: NDArray[np.bool_]
    prescribed_gy: float | None = None


def regions(
    dose_gy: NDArray[np.float32],
    patient: Patient,
    structures: Sequence[Structure],
    calibration: Calibration,
    goals: Sequence[DoseGoal],
) -> Iterator[RegionDose]:
    """Yield every structure that has a voxel in the grid.

    Parameters
    ----------
    dose_gy : in the networks' order.
    """
    voxel_mm3 = float(np.prod(patient.voxel_mm))
    scale = patient.top_gy / TOP_GY
    for item in structures:
        values = dose_gy[item.mask]
        if not values.size:
            continue
        target = item.prescribed_gy is not None
        own = of_structure(goals, item.name)
        standard = POINTS_OF_TARGETS if target else POINTS_OF_ORGANS
        reference = item.prescribed_gy or patient.top_gy
        trained = _trained_name(item, patient)
        measured = {}
        for metric in dict.fromkeys((*standard, *(goal.metric for goal in own))):
            value = value_of(metric, values, voxel_mm3, reference)
            interval = _interval(metric, value, trained, calibration, scale)
            measured[metric] = Measurement(code_of(metric), value, unit_of(metric), interval)
        yield RegionDose(
            item.name,
            item.roi_number,
            "PTV" if target else "ORGAN",
            histogram(values, voxel_mm3),
            tuple(measured.values()),
            tuple(judged(goal, measured[goal.metric]) for goal in own),
        )


def target_name(dose_gy: float) -> str:
    """Return the TG-263 name of a target by its prescription in cGy.

    Examples
    --------
    >>> target_name(56)
    'PTV_5600'
    """
    return f"PTV_{round(dose_gy * 100)}"


def histogram(values_gy: NDArray[np.float32], voxel_mm3: float) -> Histogram:
    """Return the differential histogram of voxels."""
    bins = np.floor(values_gy.astype(np.float64) / BIN_GY).astype(np.int64)
    volume = np.bincount(bins, minlength=1) * voxel_mm3
    return Histogram(
        BIN_GY,
        volume.astype(np.float64),
        float(values_gy.min()),
        float(values_gy.max()),
        float(values_gy.mean(dtype=np.float64)),
    )


def _trained_name(item: Structure, patient: Patient) -> str:
    if item.prescribed_gy is None:
        return MODEL_ORGANS.get(item.name, "")
    name = structure_name(item.prescribed_gy, patient.top_gy)
    return name if name in LEVELS else ""


def _interval(
    metric: str, value: float, trained: str, calibration: Calibration, scale: float
) -> tuple[float, float] | None:
    point: Mapping[tuple[str, str], float] = {(trained, CALIBRATED.get(metric, "")): value}
    return next(iter(calibration.intervals(point, scale).values()), None)
