"""Turn the results of the cross-validation into the figures that the model card quotes.

Every figure has its n (patients) and a 95 % percentile bootstrap interval over patients (Efron
1979; 10,000 resamples, fixed seed). HD95 is infinite where nothing was found and is then left
out, with the number of patients left out beside it.
"""

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy
import torch

from models.contouring.uncertainty import Calibration, judge
from models.training.contouring.calibrate import GOOD_DSC, foretell
from models.training.contouring.evaluate import JITTER_COUNT, JITTER_MM, NEAREST_CUT_MM, CaseResult

BOOTSTRAP_COUNT = 10_000
BOOTSTRAP_SEED = 20261126
SIZES: tuple[tuple[str, float, float], ...] = (
    ("below 100 ml", 0.0, 100.0),
    ("100 to 500 ml", 100.0, 500.0),
    ("above 500 ml", 500.0, float("inf")),
)
METRICS = ("dsc", "nsd_3mm", "hd95_mm", "volume_error_percent", "absolute_volume_error_percent")
Row = dict[str, Any]


def case_rows(results: Sequence[CaseResult]) -> list[Row]:
    """Return one row for each patient and condition, its metrics the means over the crops."""
    groups: dict[tuple[str, str, bool], list[CaseResult]] = {}
    for row in results:
        groups.setdefault((row.patient_id, row.modalities, row.seed_given), []).append(row)
    rows = []
    for (patient, modalities, seed_given), found in sorted(groups.items()):
        error = [item.score.volume_error_percent for item in found]
        rows.append(
            {
                "patient_id": patient,
                "fold": found[0].fold,
                "modalities": modalities,
                "seed_given": seed_given,
                "reference_ml": round(found[0].reference_ml, 1),
                "dsc": round(float(np.mean([item.score.dsc for item in found])), 4),
                "dsc_lowest_crop": round(min(item.score.dsc for item in found), 4),
                "nsd_3mm": round(float(np.mean([item.score.nsd_3mm for item in found])), 4),
                "hd95_mm": _finite_mean([item.score.hd95_mm for item in found]),
                "volume_error_percent": round(float(np.mean(error)), 1),
                "absolute_volume_error_percent": round(float(np.mean(np.abs(error))), 1),
            }
        )
    return rows


def _finite_mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None where a value is not finite (nothing was found)."""
    mean = float(np.mean(values))
    return round(mean, 2) if np.isfinite(mean) else None


def interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean."""
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    picks = generator.integers(0, len(values), (BOOTSTRAP_COUNT, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def summarise(rows: Sequence[Row]) -> Row:
    """Return mean, median, range and interval of every metric over the given rows."""
    summary: Row = {"n": len(rows)}
    for metric in METRICS:
        values = np.array([row[metric] for row in rows if row[metric] is not None], dtype=float)
        if not len(values):
            continue
        low, high = interval(values)
        summary[metric] = {
            "n": len(values),
            "mean": round(float(values.mean()), 4),
            "interval_95": [round(low, 4), round(high, 4)],
            "median": round(float(np.median(values)), 4),
            "lowest": round(float(values.min()), 4),
            "highest": round(float(values.max()), 4),
        }
    return summary


def _strata(rows: Sequence[Row]) -> Row:
    """Return the summary of all rows and of each tumour size."""
    strata: Row = {"all": summarise(rows)}
    for name, low, high in SIZES:
        members = [row for row in rows if low <= row["reference_ml"] < high]
        if members:
            strata[name] = summarise(members)
    return strata


def trust(results: Sequence[CaseResult], calibration: Calibration) -> Row:
    """Return how foretold DSC, intervals and abstention fare, each patient left out in turn."""
    report: Row = {}
    for name, fitted in calibration.modality_sets.items():
        rows = [row for row in results if row.modalities == name]
        dsc = np.array([row.score.dsc for row in rows])
        foretold = foretell(rows)
        kept = foretold >= calibration.abstain_below
        judged = [judge(row.spread, row.contour_ml, name, calibration) for row in rows]
        within = [
            item.volume_low_ml <= row.reference_ml <= item.volume_high_ml
            for item, row in zip(judged, rows, strict=True)
        ]
        report[name] = {
            "contours": len(rows),
            "patients": fitted.patient_count,
            "correlation_foretold_dsc": round(float(np.corrcoef(foretold, dsc)[0, 1]), 3),
            "mean_absolute_error_of_foretold_dsc": round(float(np.abs(foretold - dsc).mean()), 4),
            "coverage_of_lower_bound": round(
                float(np.mean(dsc >= foretold - fitted.dsc_margin)), 3
            ),
            "coverage_of_volume_interval_in_sample": round(float(np.mean(within)), 3),
            "kept_share": round(float(kept.mean()), 3),
            "mean_dsc_kept": _mean_where(dsc, kept),
            "mean_dsc_withheld": _mean_where(dsc, ~kept),
            "good_share_kept": _mean_where((dsc >= GOOD_DSC).astype(float), kept),
        }
    return report


def _mean_where(values: npt.NDArray[np.float64], chosen: npt.NDArray[np.bool_]) -> float | None:
    """Return the mean of the chosen values, None where none is chosen."""
    return round(float(values[chosen].mean()), 4) if chosen.any() else None


def _condition(row: Row) -> str:
    """Return the name of what a row was given."""
    return str(row["modalities"]) + (" with seed point" if row["seed_given"] else "")


def cross_validation(results: Sequence[CaseResult], calibration: Calibration, facts: Row) -> Row:
    """Return the whole report; `facts` are recipe, digests and experiments."""
    rows = case_rows(results)
    names = sorted({_condition(row) for row in rows})
    return {
        "schema": "osteon.contouring.cross_validation/1",
        "method": "cross-fitted: each patient judged by the one member that never saw it",
        "jitter": {
            "crops_per_patient": JITTER_COUNT,
            "cut_mm": [0.0, JITTER_MM],
            "nearest_to_tumour_mm": NEAREST_CUT_MM,
            "sides": "one side of each axis at random",
            "centre_offset_mm": [0.0, JITTER_MM / 2],
        },
        "software": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        **facts,
        "summary": {
            name: _strata([row for row in rows if _condition(row) == name]) for name in names
        },
        "trust": trust(results, calibration),
        "calibration": {
            "abstain_below": calibration.abstain_below,
            "coverage": calibration.coverage,
        },
        "cases": rows,
    }
