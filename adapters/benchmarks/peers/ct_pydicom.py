"""pydicom: a folder of CT slices as one array in HU, in slice order."""

import sys
from pathlib import Path

import numpy as np
import pydicom
from serve import serve

folder = Path(sys.argv[1])
paths = sorted((folder / "ct").glob("*.dcm"))


def _work() -> object:
    slices = [pydicom.dcmread(path) for path in paths]
    slices.sort(key=lambda item: float(item.ImagePositionPatient[2]))
    return np.stack(
        [
            item.pixel_array * np.float32(item.RescaleSlope) + np.float32(item.RescaleIntercept)
            for item in slices
        ]
    )


serve(_work, lambda found: np.save(folder / "ct-pydicom.npy", found))
