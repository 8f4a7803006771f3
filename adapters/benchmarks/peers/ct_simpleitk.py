"""SimpleITK (GDCM): a folder of CT slices as one array in HU."""

import sys
from pathlib import Path

import numpy as np
import SimpleITK
from serve import serve

folder = Path(sys.argv[1])


def _work() -> object:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "ct")))
    return SimpleITK.GetArrayFromImage(reader.Execute())


serve(_work, lambda found: np.save(folder / "ct-simpleitk.npy", found))
