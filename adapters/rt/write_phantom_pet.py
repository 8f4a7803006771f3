"""The PET part of a written phantom: series, isotope and image modules.

Source: PS3.3 C.8.9.1 (PET series), C.8.9.2 (PET isotope), C.8.9.4 (PET image).
Read next: `write_phantom.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from adapters.rt.write_frames import decimal

FRAME_DURATION_MS = 180_000


class Injection(Protocol):
    """What the isotope module states."""

    @property
    def acquired_at(self) -> datetime: ...
    @property
    def dose_bq(self) -> float: ...
    @property
    def half_life_s(self) -> float: ...
    @property
    def uptake_s(self) -> int: ...


def pet_series(dataset: Dataset, injection: Injection, slice_count: int) -> None:
    """Add PET series and isotope: activity corrected for decay to the series' start."""
    dataset.SeriesType = ["STATIC", "IMAGE"]
    dataset.Units, dataset.CountsSource = "BQML", "EMISSION"
    dataset.NumberOfSlices = slice_count
    dataset.CorrectedImage = ["DECY", "ATTN", "SCAT", "RAN", "NORM"]
    dataset.RandomsCorrectionMethod = "DLYD"
    dataset.AttenuationCorrectionMethod = "CT"
    dataset.ScatterCorrectionMethod = "Simulated"
    dataset.DecayCorrection = "START"
    dataset.ReconstructionMethod = "Analytic phantom"
    dataset.CollimatorType = "NONE"
    series_start = datetime.strptime(f"{dataset.SeriesDate}{dataset.SeriesTime}", "%Y%m%d%H%M%S")
    injected = series_start - timedelta(seconds=injection.uptake_s)
    isotope = Dataset()
    isotope.Radiopharmaceutical = "Fluorodeoxyglucose F^18^"
    isotope.RadiopharmaceuticalStartTime = injected.strftime("%H%M%S")
    isotope.RadiopharmaceuticalStartDateTime = injected.strftime("%Y%m%d%H%M%S")
    isotope.RadionuclideTotalDose = decimal(injection.dose_bq)
    isotope.RadionuclideHalfLife = decimal(injection.half_life_s)
    isotope.RadionuclidePositronFraction = "0.967"
    isotope.RadionuclideCodeSequence = [_code("77004003", "SCT", "^18^Fluorine")]
    isotope.RadiopharmaceuticalCodeSequence = [_code("35321007", "SCT", "Fluorodeoxyglucose F^18^")]
    dataset.RadiopharmaceuticalInformationSequence = [isotope]
    window = Dataset()
    window.EnergyWindowLowerLimit, window.EnergyWindowUpperLimit = "425", "650"
    dataset.EnergyWindowRangeSequence = [window]
    _orientation(dataset)


def pet_frame(
    dataset: Dataset, plane: NDArray[np.float32], index: int, activity: float, half_life_s: float
) -> None:
    """Add the PET image module and the pixels of one frame.

    Parameters
    ----------
    plane : SUV (rows, columns).
    activity : Bq/ml per unit of SUV.
    """
    slope = max(float(plane.max()) * activity, 1.0) / 32767.0
    written = decimal(slope)
    stored = np.clip(np.rint(plane * activity / float(written)), 0, 32767).astype("<i2")
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.ImageIndex = index + 1
    dataset.FrameReferenceTime = "0"
    dataset.ActualFrameDuration = FRAME_DURATION_MS
    # Decay over the frame's own duration, to first order: 2^(t/2 / half-life).
    dataset.DecayFactor = decimal(2.0 ** (FRAME_DURATION_MS / 2000.0 / half_life_s))
    dataset.RescaleIntercept, dataset.RescaleSlope = "0", written
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"


def _orientation(dataset: Dataset) -> None:
    """State how the patient lies in the gantry by codes, which then replace Patient Position
    (PS3.3 C.8.4.6 and C.7.3.1; PS3.16 CID 19, 20, 21)."""
    position = str(dataset.PatientPosition)
    modifier = {
        "S": ("40199007", "Supine"),
        "P": ("1240000", "Prone"),
        "DR": ("102536004", "Right lateral decubitus"),
        "DL": ("102535000", "Left lateral decubitus"),
    }[position[2:]]
    orientation = _code("102538003", "SCT", "Recumbent")
    orientation.PatientOrientationModifierCodeSequence = [_code(modifier[0], "SCT", modifier[1])]
    dataset.PatientOrientationCodeSequence = [orientation]
    head_first = position.startswith("HF")
    gantry = ("102540008", "Headfirst") if head_first else ("102541007", "Feet-first")
    dataset.PatientGantryRelationshipCodeSequence = [_code(gantry[0], "SCT", gantry[1])]
    del dataset.PatientPosition


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
