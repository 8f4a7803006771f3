"""Secondary capture: the overview picture, for every viewer that knows only pictures.

The picture carries no text about the patient, so Burned In Annotation is NO; it names
mode, plugin and run.

Source: PS3.3 A.8.1 (Secondary Capture Image IOD), C.8.6, C.7.6.1, C.7.6.3.
Read next: `adapters/documents/pictures.py`, which draws it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from adapters.rt.equipment import MANUFACTURER, Label, WritingContext, stamp


def write_capture(
    context: WritingContext, picture: NDArray[np.uint8], title: str, number: int = 1
) -> Dataset:
    """Return the secondary capture of a picture.

    Parameters
    ----------
    picture : uint8 (rows, columns, 3), red, green, blue.
    """
    label = Label("SC", number, title)
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    dataset.SecondaryCaptureDeviceManufacturerModelName = f"{MANUFACTURER} overview"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = label.series_description(context)
    dataset.ContentDate = dataset.ContentTime = None  # set by `stamp`
    dataset.PatientOrientation = None
    dataset.BurnedInAnnotation = "NO"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.LossyImageCompression = "00"
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = picture.shape[0], picture.shape[1]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    pixels = np.ascontiguousarray(picture, dtype=np.uint8).tobytes()
    dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)
    dataset["PixelData"].VR = "OB"
    return stamp(dataset, context, label)
