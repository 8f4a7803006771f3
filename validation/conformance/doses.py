"""Dose cubes and contours whose histograms, scores and gamma are exact.

Read next: `curves.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from models.physics import dvh_sampling
from validation.conformance.known import Known
from validation.metrics import dose, gamma

EDGE_MM, PLANES, GAP_MM = 40.0, 11, 3.0
LOW_GY, HIGH_GY = 20.0, 60.0


def _scores() -> Mapping[str, float]:
    """Score a target 2 Gy too cold and an organ whose rising dose is foretold a tenth too high."""
    planned = np.zeros((10, 10, 20))
    planned[..., :10] = 60.0
    planned[..., 10:] = np.arange(1000.0).reshape(10, 10, 10) / 20.0
    predicted = planned.copy()
    predicted[..., :10] -= 2.0
    predicted[..., 10:] *= 1.1
    left = np.zeros(planned.shape, dtype=bool)
    left[..., :10] = True
    structures = ({"PTV": left}, {"Organ": ~left}, (5.0, 5.0, 4.0))
    found = dose.score_patient("a", planned, predicted, np.ones_like(left), structures)
    points = dose.dvh_points(planned, *structures)
    intervals = {("PTV", "D95%"): (59.0, 61.0), ("PTV", "D1%"): (60.5, 61.0)}
    return {
        "dose_score_gy": dose.dose_score([found]),
        "dvh_score_gy": dose.dvh_score([found]),
        "dvh_error_gy": dose.dvh_error(found),
        "dvh_covered_share": dose.covered_share(points, intervals),
    }


def _prism() -> Mapping[str, float]:
    """Return figures of a square prism in a dose that rises evenly across it."""
    half = EDGE_MM / 2
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    planes = [
        dvh_sampling.ContourPlane(GAP_MM * (index - PLANES // 2), (corners,))
        for index in range(PLANES)
    ]
    across = np.linspace(LOW_GY - 10.0, HIGH_GY + 10.0, 61)  # a voxel a millimetre
    cube = np.broadcast_to(across, (21, 61, 61)).astype(np.float32)
    to_index = np.array([
        [0.0, 0.0, 0.5, 10.0], [0.0, 1.0, 0.0, 30.0], [0.0, 0.0, 1.0, 30.0],
    ])  # fmt: skip
    grid = dvh_sampling.DoseGrid.of(cube, to_index)
    found = dvh_sampling.dose_volume_histogram(planes, grid, plane_spacing_mm=GAP_MM)
    return {
        "dvh_volume_ml": found.total_mm3 / 1000.0,
        "dvh_d95_gy": found.dose_at_percent_gy(95.0),
        "geud_gy": found.geud_gy(2.0),
    }


def _gamma(left_gy: float, right_gy: float) -> Mapping[str, float]:
    """Return the gamma of 50 Gy everywhere against one dose on each half; voxels of 5 mm."""
    reference = np.full((8, 8, 8), 50.0)
    evaluated = np.full(reference.shape, left_gy)
    evaluated[..., 4:] = right_gy
    return gamma.score_gamma(reference, evaluated, (5.0, 5.0, 5.0))


CASES = (
    Known(
        "a target 2 Gy too cold, an organ a tenth too high",
        {"dose_score_gy": (2.0 + 0.1 * 499.5 / 20) / 2,
         "dvh_score_gy": (3 * 2.0 + 0.1 * 499.5 / 20 + 0.1 * 998.001 / 20) / 5,
         "dvh_error_gy": (3 * 2.0 + 0.1 * 499.5 / 20 + 0.1 * 998.001 / 20) / 5,
         "dvh_covered_share": 0.5},
        _scores,
        "voxels of 100 cubic mm: D0.1cc is the percentile 99.9 of a thousand, at place 998.001",
        later={"dvh_error_gy": 2, "dvh_covered_share": 2},
    ),
    Known(
        "a square prism, dose rising by 1 Gy a millimetre",
        {"dvh_volume_ml": EDGE_MM**2 * PLANES * GAP_MM / 1000.0,
         "dvh_d95_gy": LOW_GY + 0.05 * (HIGH_GY - LOW_GY),
         "geud_gy": math.sqrt((HIGH_GY**3 - LOW_GY**3) / (3 * (HIGH_GY - LOW_GY)))},
        _prism,
        "volume of the prism with flat ends; integral of a straight line",
        tolerance=0.02,
    ),
    Known("50 against 51 Gy", {"gamma_pass_percent": 100.0, "gamma_mean": 1 / 1.5},
          lambda: _gamma(51.0, 51.0), "1 Gy of 3 % of 50 Gy", tolerance=1e-6),
    Known("50 against 52 Gy", {"gamma_pass_percent": 0.0, "gamma_mean": 2 / 1.5},
          lambda: _gamma(52.0, 52.0), "2 Gy of 3 % of 50 Gy", tolerance=1e-6),
    Known("50 against 50 Gy on one half, 52 Gy on the other", {"gamma_pass_percent": 50.0},
          lambda: _gamma(50.0, 52.0),
          "beside the step the nearest is 1.18: (1.107 mm / 2 mm)^2 + (1.557 Gy / 1.5 Gy)^2"),
)  # fmt: skip
