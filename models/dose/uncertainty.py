"""Intervals of DVH points, and the error to be expected of each voxel.

Split-conformal: the interval of a point is the prediction plus and minus the quantile of the
absolute errors that calibration patients (held-back training patients) had at that point of that
structure, at rank ⌈(n + 1)(1 - α)⌉ (Lei et al. 2018, doi 10.1080/01621459.2017.1307116). It
covers the planned value of a new, exchangeable patient with probability 1 - α or more. A structure
with too few calibration patients has no interval. Read next: `envelope.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from models.dose.inputs import CONTINUOUS, Prepared
from models.dose.patient import LEVELS, Patient
from models.dose.patient import TOP_GY as SCALE_GY

FloatArray = NDArray[np.floating]
Point = tuple[str, str]

SCHEMA = "osteon.dose-calibration/1"
FILE = Path(__file__).with_name("calibration.json")
TARGET_PERCENT = {"D99%": 1.0, "D95%": 5.0, "D1%": 99.0}
SMALL_VOLUME_MM3 = 100.0
ERROR_GY = (0.28, 3.29, 0.28, -2.12)
"""Of a voxel's expected error: always, at 15 Gy and more, by each Gy that the answers lie apart,
inside a target. Least squares on the 200 training patients in five parts, 28 November 2026, with
networks that had not seen the part; on 20 it correlated by 0.47 with the error before."""
FULL_GY = 15.0
NEAR = 5
"""Voxels along the edge of the box over which the difference of the networks is smoothed."""


def structure_name(gray: float, top_gy: float) -> str:
    """Return the trained target whose share of the highest prescription is nearest."""
    scaled = gray / top_gy * LEVELS["PTV70"]
    return min(LEVELS, key=lambda name: abs(LEVELS[name] - scaled))


def dvh_points(dose_gy: FloatArray, patient: Patient) -> dict[Point, float]:
    """Return D99%, D95%, D1% of targets, D0.1cc and mean of organs, in Gy.

    Source: the definitions of OpenKBP, Babier et al. 2021, Med Phys 48:5549.
    """
    small = max(1, round(SMALL_VOLUME_MM3 / float(np.prod(patient.voxel_mm))))
    points: dict[Point, float] = {}
    for gray, mask in patient.targets:
        if mask.any():
            name = structure_name(gray, patient.top_gy)
            values = np.percentile(dose_gy[mask], list(TARGET_PERCENT.values()))
            for point, value in zip(TARGET_PERCENT, values, strict=True):
                points[name, point] = float(value)
    for name, mask in patient.organs.items():
        values = dose_gy[mask]
        if values.size:
            share = max(100 - small / values.size * 100, 0.0)
            points[name, "D0.1cc"] = float(np.percentile(values, share))
            points[name, "mean"] = float(values.mean())
    return points


@dataclass(frozen=True, slots=True)
class Calibration:
    """Hold the half-widths of the intervals in Gy, and how they were made."""

    alpha: float
    weights_digest: str
    half_width_gy: Mapping[Point, float]
    patients: Mapping[Point, int]

    @classmethod
    def load(cls, path: Path = FILE) -> Calibration:
        """Return the calibration of a file; raises ValueError where it is another schema."""
        text = json.loads(path.read_text(encoding="utf-8"))
        if text.get("schema") != SCHEMA:
            raise ValueError(f"expected schema {SCHEMA}, found {text.get('schema')}")
        rows = text["points"]
        return cls(
            float(text["alpha"]),
            str(text["weights_digest"]),
            {(row["structure"], row["point"]): float(row["half_width_gy"]) for row in rows},
            {(row["structure"], row["point"]): int(row["n"]) for row in rows},
        )

    def save(self, path: Path = FILE) -> None:
        """Write the calibration; `load` gives it back."""
        rows = [
            {
                "structure": structure,
                "point": point,
                "half_width_gy": round(width, 4),
                "n": self.patients[structure, point],
            }
            for (structure, point), width in sorted(self.half_width_gy.items())
        ]
        document = {
            "schema": SCHEMA,
            "alpha": self.alpha,
            "weights_digest": self.weights_digest,
            "points": rows,
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def intervals(
        self, points: Mapping[Point, float], scale: float = 1.0
    ) -> dict[Point, tuple[float, float]]:
        """Return the interval of each point that has one; `scale` is that of the prescription."""
        found = {}
        for key, value in points.items():
            if key in self.half_width_gy:
                width = self.half_width_gy[key] * scale
                found[key] = (max(value - width, 0.0), value + width)
        return found


def expected_error(dose: FloatArray, apart: FloatArray, prepared: Prepared) -> FloatArray:
    """Return the absolute error to be expected of each voxel; all in units of 70 Gy.

    Parameters
    ----------
    dose, apart : the prediction and the absolute difference of the two kinds of networks.
    """
    allowed = prepared.masks[0]
    terms = zip(ERROR_GY, error_terms(dose, apart, prepared), strict=True)
    error = np.maximum(sum(weight * term for weight, term in terms), 0.0) * allowed
    return np.asarray(error / SCALE_GY, np.float32)


def error_terms(
    dose: FloatArray, apart: FloatArray, prepared: Prepared
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return what the expected error is a sum of, by voxel, in order of `ERROR_GY`."""
    target = prepared.continuous[CONTINUOUS.index("prescription")] > 0
    near = uniform_filter(apart * prepared.masks[0], NEAR) * SCALE_GY
    level = np.minimum(dose * SCALE_GY, FULL_GY) / FULL_GY
    return np.ones_like(dose), level, near, target.astype(np.float32)


def calibrate(
    errors_gy: Mapping[Point, Sequence[float]], alpha: float, weights_digest: str
) -> Calibration:
    """Return the calibration of absolute errors by point; points with too few have none."""
    widths = {}
    for point, errors in errors_gy.items():
        rank = math.ceil((len(errors) + 1) * (1 - alpha))
        if rank <= len(errors):
            widths[point] = float(np.sort(np.asarray(errors))[rank - 1])
    counts = {point: len(errors_gy[point]) for point in widths}
    return Calibration(alpha, weights_digest, widths, counts)
