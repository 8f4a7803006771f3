"""A predicted dose on the limb phantom as a run: structures, dose, answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from plugins.host.findings import (
    CaseStatistics,
    DoseGrid,
    Goal,
    Histogram,
    Measurement,
    Prediction,
    RegionDose,
    Uncertainty,
)
from plugins.host.images import Code, Contour, Geometry, RegionOfInterest, StructureSet
from plugins.host.ports import Answer
from tests.simulators.limb_case import LimbRun, limb_run

STRUCTURE_SET_UID = "1.2.826.0.1.3680043.8.498.77"
D95 = Code("D95", "99OSTEON", "D95: dose that 95 % of the volume receives at least")
MEAN = Code("Dmean", "99OSTEON", "Mean dose")


def square(geometry: Geometry, half: float, number: int, name: str, kind: str) -> RegionOfInterest:
    """Return a square column in the middle of a grid, on every frame."""
    frames, rows, columns = geometry.shape
    contours = []
    for frame in range(frames):
        middle = np.asarray([frame, (rows - 1) / 2, (columns - 1) / 2])
        corners = [(0, -half, -half), (0, -half, half), (0, half, half), (0, half, -half)]
        contours.append(Contour(geometry.to_patient(middle + np.asarray(corners, float))))
    return RegionOfInterest(number, name, kind, tuple(contours))


def dose_finding(geometry: Geometry, structure: StructureSet) -> DoseGrid:
    """Return a dose that falls off from the middle, on every second voxel of a grid."""
    shape = tuple((size + 1) // 2 for size in geometry.shape)
    spacing = tuple(2 * step for step in geometry.spacing_mm)
    grid = replace(geometry, shape=shape, spacing_mm=spacing)
    rows, columns = np.ogrid[: shape[1], : shape[2]]
    away = np.hypot(rows - shape[1] / 2, columns - shape[2] / 2)
    dose = np.broadcast_to(70.0 * np.exp(-((away / 8) ** 2)), shape).astype(np.float32)
    inside = Measurement(D95, 66.2, "Gy", (63.0, 69.4))
    mean = Measurement(MEAN, 21.5, "Gy")
    held = Histogram(0.5, np.asarray([10.0, 0.0, 40.0, 950.0]), 0.1, 1.9, 1.7)
    regions = (
        RegionDose(
            "PTV_7000", 1, "PTV", held, (inside,), (Goal(inside, 66.5, False, "uncertain", "hn"),)
        ),
        RegionDose("Parotid_L", 2, "ORGAN", held, (mean,), (Goal(mean, 26.0, True, "met", "hn"),)),
    )
    return DoseGrid(
        "PredictedDose", dose, grid, "ct", "structures", regions, None, dose * np.float32(0.05)
    )


def dose_run() -> LimbRun:
    """Return a run on the phantom whose answer is a dose."""
    run = limb_run()
    geometry = run.case.images["ct"].geometry
    structures = StructureSet(
        run.case.study_instance_uid,
        "1.2.826.0.1.3680043.8.498.78",
        STRUCTURE_SET_UID,
        geometry.frame_of_reference_uid,
        (run.case.images["ct"].series_instance_uid,),
        "APPROVED",
        (square(geometry, 4, 1, "PTV70", "PTV"), square(geometry, 2, 2, "Parotid L", "ORGAN")),
    )
    case = replace(run.case, structure_sets={"structures": structures})
    sure = Uncertainty("expected-dose-error-share", 0.03, (0.01, 0.06))
    prediction = Prediction((dose_finding(geometry, structures),), sure, CaseStatistics())
    answer = Answer(prediction, None, {"python": "3.11"}, 1.0)
    return replace(run, case=case, answer=answer)
