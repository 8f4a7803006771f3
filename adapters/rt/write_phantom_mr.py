"""The MR part of a written phantom: T1-weighted after contrast, and T2-weighted.

Source: PS3.3 C.8.3.1 (MR image), C.7.6.4 (contrast).
Read next: `phantom_sequences.py`, `write_phantom.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from adapters.rt.phantom_sequences import SEQUENCES, T1
from adapters.rt.write_frames import decimal


def mr_frame(
    dataset: Dataset, plane: NDArray[np.float32], between_mm: float, sequence: str = T1
) -> None:
    """Add the MR image and contrast modules and the pixels of one frame.

    Parameters
    ----------
    plane : arbitrary units (rows, columns), stored as whole numbers without a rescale.
    between_mm : from the centre of a frame to the next one's.
    sequence : a key of `SEQUENCES`.
    """
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    for keyword, value in SEQUENCES[sequence].items():
        setattr(dataset, keyword, value)
    dataset.MRAcquisitionType, dataset.NumberOfAverages = "2D", "1"
    dataset.MagneticFieldStrength, dataset.ImagingFrequency = "1.5", "63.87"
    dataset.ImagedNucleus, dataset.EchoNumbers = "1H", 1
    dataset.SpacingBetweenSlices = decimal(between_mm)
    stored = np.clip(np.rint(plane), 0, 4095).astype("<u2")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
