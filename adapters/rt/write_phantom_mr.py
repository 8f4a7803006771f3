"""The MR part of a written phantom: a T1-weighted spin echo after contrast.

Source: PS3.3 C.8.3.1 (MR image), C.7.6.4 (contrast); sequence and times as usual at 1.5 T.
Read next: `write_phantom.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from adapters.rt.write_frames import decimal


def mr_frame(dataset: Dataset, plane: NDArray[np.float32], between_mm: float) -> None:
    """Add the MR image and contrast modules and the pixels of one frame.

    Parameters
    ----------
    plane : arbitrary units (rows, columns), stored as whole numbers without a rescale.
    between_mm : from the centre of a frame to the next one's.
    """
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "SK", None
    dataset.MRAcquisitionType = "2D"
    dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength = "550", "12", 1
    dataset.FlipAngle, dataset.NumberOfAverages = "90", "1"
    dataset.MagneticFieldStrength, dataset.ImagingFrequency = "1.5", "63.87"
    dataset.ImagedNucleus, dataset.EchoNumbers = "1H", 1
    dataset.SpacingBetweenSlices = decimal(between_mm)
    dataset.ContrastBolusAgent, dataset.ContrastBolusRoute = "Simulated", "IV"
    stored = np.clip(np.rint(plane), 0, 4095).astype("<u2")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
