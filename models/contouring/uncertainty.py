"""How far a contour can be trusted: a map for the eye, and figures for the case.

The case figures use only what a single member can give, its mirrored passes and its own
probabilities, and are averaged over the members in use. A cross-validated patient is judged by
one member, a new patient by five; so the figures mean the same for both and the calibration
from cross-validation applies. What the members disagree about enters the map alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from models.contouring.inputs import FloatArray, Grid, resample

CALIBRATION_PATH = Path(__file__).resolve().parent / "calibration.json"
NEIGHBOURHOOD_VOXELS = 3


@dataclass(frozen=True, slots=True)
class Spread:
    """Hold the figures of one case that foretell its DSC.

    `expected_dsc` is the soft DSC of the probabilities with their own contour, `pass_agreement`
    the mean DSC of the mirrored passes with the contour, `threshold_span` the volume between
    thresholds 0.3 and 0.7 over the volume at 0.5.
    """

    expected_dsc: float
    pass_agreement: float
    threshold_span: float

    def features(self) -> npt.NDArray[np.float64]:
        """Return the regressors: a constant and the three figures."""
        return np.array([1.0, self.expected_dsc, self.pass_agreement, self.threshold_span])


@dataclass(frozen=True, slots=True)
class ModalityCalibration:
    """Hold the regression and the conformal widths of one modality set."""

    coefficients: tuple[float, ...]
    dsc_margin: float
    log_volume_low: float
    log_volume_high: float
    patient_count: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Hold what cross-validation taught about the figures of `Spread`.

    `coverage` is the level of the intervals; below `abstain_below` a contour is withheld.
    """

    coverage: float
    abstain_below: float
    modality_sets: Mapping[str, ModalityCalibration]

    @classmethod
    def load(cls, path: Path = CALIBRATION_PATH) -> "Calibration":
        """Return the calibration of the committed weights."""
        return cls.decode(path.read_text(encoding="utf-8"))

    @classmethod
    def decode(cls, text: str) -> "Calibration":
        """Return the calibration that `encode` wrote."""
        value = json.loads(text)
        sets = {
            name: ModalityCalibration(**{**row, "coefficients": tuple(row["coefficients"])})
            for name, row in value["modality_sets"].items()
        }
        return cls(float(value["coverage"]), float(value["abstain_below"]), sets)

    def encode(self) -> str:
        """Return the calibration as JSON."""
        value = {
            "coverage": self.coverage,
            "abstain_below": self.abstain_below,
            "modality_sets": {name: asdict(row) for name, row in self.modality_sets.items()},
        }
        return json.dumps(value, indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Hold the trust in one contour: foretold DSC, its lower bound, a volume interval."""

    predicted_dsc: float
    dsc_at_least: float
    volume_low_ml: float
    volume_high_ml: float
    abstain: bool


def modality_set(pet_given: bool) -> str:
    """Return the name of the modality set, as used in the calibration and the card."""
    return "ct+pet" if pet_given else "ct"


def binary_entropy(probability: FloatArray) -> FloatArray:
    """Return -p log2 p - (1-p) log2 (1-p) in bits, 0 to 1."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)), dtype=np.float32)


def uncertainty_map(probabilities: FloatArray) -> FloatArray:
    """Return the predictive entropy (D, H, W) in bits of probabilities (members, D, H, W).

    The entropy of the members' mean is the mean of their entropies plus their disagreement (the
    mutual information; Depeweg et al. 2018, arXiv:1710.07283), so it shows both.
    """
    return binary_entropy(np.asarray(probabilities.mean(axis=0), dtype=np.float32))


def neighbourhood(mask: npt.NDArray[np.bool_], source: Grid, grid: Grid) -> npt.NDArray[np.bool_]:
    """Return the network voxels within 12 mm of a contour that lies on the CT grid."""
    near = resample(mask, source, grid, fill=0.0) > 0.05
    if not near.any():
        return near
    grown = ndimage.binary_dilation(near, iterations=NEIGHBOURHOOD_VOXELS)
    return np.asarray(grown, dtype=bool)


def measure_spread(passes: FloatArray, near: npt.NDArray[np.bool_]) -> Spread:
    """Return the figures of a case, averaged over the members.

    Parameters
    ----------
    passes
        Probabilities (members, passes, D, H, W) from `Ensemble.passes`.
    near
        The voxels that count (D, H, W), see `neighbourhood`; none counts as no agreement.
    """
    figures = []
    for member in passes[:, :, near].astype(np.float64):
        mean = member.mean(axis=0)
        mask = mean >= 0.5
        volume = max(1, int(np.count_nonzero(mask)))
        expected = 2 * mean[mask].sum() / max(1.0, mean.sum() + np.count_nonzero(mask))
        agreement = [_overlap(single >= 0.5, mask) for single in member]
        span = int(np.count_nonzero((mean >= 0.3) & (mean < 0.7))) / volume
        figures.append((float(expected), float(np.mean(agreement)), min(3.0, span)))
    expected, agreed, span = np.mean(figures, axis=0)
    return Spread(float(expected), float(agreed), float(span))


def _overlap(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Return the DSC of two sets of voxels; 0 where either is empty."""
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return float(2 * np.count_nonzero(first & second) / total) if total else 0.0


def judge(
    spread: Spread, contour_volume_ml: float, modalities: str, calibration: Calibration
) -> Judgement:
    """Return the trust in a contour of the given volume; an empty contour is withheld."""
    if modalities not in calibration.modality_sets:
        known: Sequence[str] = sorted(calibration.modality_sets)
        raise ValueError(f"expected a modality set of {known}, found {modalities}")
    fitted = calibration.modality_sets[modalities]
    predicted = float(np.clip(spread.features() @ np.array(fitted.coefficients), 0.0, 1.0))
    return Judgement(
        predicted,
        max(0.0, predicted - fitted.dsc_margin),
        contour_volume_ml * float(np.exp(fitted.log_volume_low)),
        contour_volume_ml * float(np.exp(fitted.log_volume_high)),
        contour_volume_ml <= 0.0 or predicted < calibration.abstain_below,
    )
