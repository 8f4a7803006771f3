"""Phantoms as DICOM: CT, PET and MR series that a scanner could have sent.

`encode_limb` turns the arrays of `validation.phantoms.limb` into Part 10 files of one
study: CT in HU, PET in Bq/ml with everything that SUV needs, MR as it is.  The patient is named
SYNTHETIC; nothing in it belongs to a person.  For each patient position the arrays are
turned so that patient coordinates stay the same and only rows and columns run otherwise.

CT numbers are rounded to whole HU, MR to whole units; PET keeps 15 bits of each frame's range.

Source: PS3.3 A.3 (CT IOD), A.4 (MR IOD), A.21 (PET IOD), C.8.9.1 and C.8.9.2 (PET series, isotope);
C.7.3.1.1.2 (patient position).
Read next: `validation/phantoms/limb.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage

from adapters.rt.equipment import encode, file_meta
from adapters.rt.phantom_sequences import SEQUENCES, T1, T2
from adapters.rt.write_frames import decimal
from adapters.rt.write_phantom_mr import mr_frame
from adapters.rt.write_phantom_pet import pet_frame, pet_series
from plugins.host.identity import uid_for
from validation.phantoms.limb import Grid, LimbPhantom

# Directions of increasing column and row in LPS for an axial image as the gantry sees it.
ORIENTATIONS = {
    "HFS": ((1, 0, 0), (0, 1, 0)),
    "HFP": ((-1, 0, 0), (0, -1, 0)),
    "HFDR": ((0, 1, 0), (-1, 0, 0)),
    "HFDL": ((0, -1, 0), (1, 0, 0)),
    "FFS": ((-1, 0, 0), (0, 1, 0)),
    "FFP": ((1, 0, 0), (0, -1, 0)),
    "FFDR": ((0, -1, 0), (-1, 0, 0)),
    "FFDL": ((0, 1, 0), (1, 0, 0)),
}
CT_SLOPE, CT_INTERCEPT = 1, -1024


@dataclass(frozen=True, slots=True)
class _Kind:
    """What tells a series apart; minutes after the study's start."""

    modality: str
    sop_class_uid: str
    series_number: int
    minutes: int


_KINDS = {
    "CT": _Kind("CT", CTImageStorage, 2, 0),
    "PT": _Kind("PT", PositronEmissionTomographyImageStorage, 3, 4),
    T1: _Kind("MR", MRImageStorage, 4, 45),
    T2: _Kind("MR", MRImageStorage, 5, 35),
}
"""Series by key, which is its modality or what weights it; file names begin with it."""


@dataclass(frozen=True, slots=True)
class PhantomStudy:
    """How the phantom is written.

    Parameters
    ----------
    patient_position : a key of `ORIENTATIONS`.
    name : of the study; another name gives other UIDs for the same arrays.
    acquired_at : local time at the scanner.
    weight_kg, dose_bq, half_life_s, uptake_s : what SUV is computed from (F-18).
    """

    patient_position: str = "HFS"
    name: str = "limb"
    patient_name: str = "SYNTHETIC^LIMB"
    patient_id: str = "SYN-LIMB"
    acquired_at: datetime = datetime(2026, 1, 15, 9, 30, 0)
    weight_kg: float = 72.0
    dose_bq: float = 3.6e8
    half_life_s: float = 6586.2
    uptake_s: int = 3600

    def uid(self, phantom: LimbPhantom, *parts: str | int) -> str:
        """Return a UID of this study that depends on name and seed only."""
        return uid_for("phantom", self.name, phantom.parameters.seed, *parts)


def write_limb(phantom: LimbPhantom, folder: Path, study: PhantomStudy | None = None) -> list[Path]:
    """Write the phantom's files into ``folder`` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in encode_limb(phantom, study).items():
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    return paths


def encode_limb(phantom: LimbPhantom, study: PhantomStudy | None = None) -> dict[str, bytes]:
    """Return file name -> Part 10 bytes of all instances, CT first."""
    chosen = study or PhantomStudy()
    files: dict[str, bytes] = {}
    for key, values, grid in (
        ("CT", phantom.ct_hu, phantom.ct_grid),
        ("PT", phantom.pet_suv, phantom.pet_grid),
        (T1, phantom.mr, phantom.mr_grid),
        (T2, phantom.t2, phantom.mr_grid),
    ):
        if values is None or grid is None:
            continue
        series = _series(phantom, chosen, values, grid, key)
        files |= {f"{key}-{n:03d}.dcm": encode(item) for n, item in enumerate(series, 1)}
    return files


def _series(
    phantom: LimbPhantom,
    study: PhantomStudy,
    values: NDArray[np.float32],
    grid: Grid,
    key: str,
) -> list[Dataset]:
    """Return the instances of one series, foot to head."""
    right, down = (np.asarray(item) for item in ORIENTATIONS[study.patient_position])
    turned, corner = _turn(values, grid, right, down)
    in_plane = grid.spacing_mm[1:] if abs(down[1]) == 1 else grid.spacing_mm[:0:-1]
    instances = []
    for index, plane in enumerate(turned):
        dataset = _common(phantom, study, key, index)
        height = corner[2] + index * grid.spacing_mm[0]
        dataset.ImagePositionPatient = [decimal(v) for v in (corner[0], corner[1], height)]
        dataset.ImageOrientationPatient = [decimal(float(v)) for v in (*right, *down)]
        dataset.SliceLocation = decimal(height)
        dataset.SliceThickness = decimal(grid.spacing_mm[0])
        dataset.PixelSpacing = [decimal(value) for value in in_plane]
        dataset.Rows, dataset.Columns = plane.shape
        if key == "CT":
            dataset.ImagesInAcquisition = len(turned)
            _ct_frame(dataset, plane)
        elif key in SEQUENCES:
            mr_frame(dataset, plane, grid.spacing_mm[0], key)
        else:
            pet_frame(dataset, plane, index, suv_to_activity(study), study.half_life_s)
            pet_series(dataset, study, len(turned))
        instances.append(dataset)
    return instances


def suv_to_activity(study: PhantomStudy) -> float:
    """Return Bq/ml per unit SUV at the start of the series: dose left over body weight.

    SUVbw = C [Bq/ml] * weight [g] / (dose [Bq] * 2^(-t / half-life)).
    """
    left = study.dose_bq * float(np.exp2(-study.uptake_s / study.half_life_s))
    return left / (study.weight_kg * 1000.0)


def _turn(
    values: NDArray[np.float32], grid: Grid, right: NDArray[np.int_], down: NDArray[np.int_]
) -> tuple[NDArray[np.float32], list[float]]:
    """Return the array with columns along ``right`` and rows along ``down``, and the LPS of
    its first voxel."""
    corner = list(grid.origin_mm)
    for axis, step, count in (
        (0, grid.spacing_mm[2], grid.shape[2]),
        (1, grid.spacing_mm[1], grid.shape[1]),
    ):
        if right[axis] + down[axis] < 0:
            values = np.flip(values, axis=2 - axis)
            corner[axis] += step * (count - 1)
    if abs(down[0]) == 1:
        values = np.swapaxes(values, 1, 2)
    return np.ascontiguousarray(values), corner


def _common(phantom: LimbPhantom, study: PhantomStudy, key: str, index: int) -> Dataset:
    """Return patient, study, series, equipment and SOP common attributes."""
    kind = _KINDS[key]
    acquired = study.acquired_at + timedelta(minutes=kind.minutes)
    date, time = acquired.strftime("%Y%m%d"), acquired.strftime("%H%M%S")
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = sop_class = kind.sop_class_uid
    dataset.SOPInstanceUID = study.uid(phantom, key, index)
    dataset.StudyInstanceUID = study.uid(phantom, "study")
    dataset.SeriesInstanceUID = study.uid(phantom, key)
    dataset.FrameOfReferenceUID = study.uid(phantom, "frame")
    dataset.PatientName, dataset.PatientID = study.patient_name, study.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "O"
    dataset.PatientAge, dataset.PatientWeight = "056Y", decimal(study.weight_kg)
    dataset.PatientSize = "1.75"
    dataset.StudyDate, dataset.StudyTime = (
        study.acquired_at.strftime("%Y%m%d"),
        study.acquired_at.strftime("%H%M%S"),
    )
    dataset.StudyID, dataset.AccessionNumber = "SYN1", f"SYN{phantom.parameters.seed:06d}"
    dataset.StudyDescription = "Synthetic limb sarcoma"
    dataset.ReferringPhysicianName = None
    dataset.Modality = kind.modality
    dataset.SeriesNumber = kind.series_number
    dataset.SeriesDescription = f"Synthetic {kind.modality} of a limb"
    dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = date
    dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = time
    dataset.BodyPartExamined, dataset.Laterality = "EXTREMITY", phantom.parameters.laterality
    dataset.PatientPosition = study.patient_position
    dataset.PositionReferenceIndicator = None
    dataset.Manufacturer, dataset.ManufacturerModelName = "Osteon", "Limb phantom"
    dataset.SoftwareVersions, dataset.DeviceSerialNumber = "1", "PHANTOM"
    dataset.AcquisitionNumber, dataset.InstanceNumber = 1, index + 1
    dataset.ImageComments = "Synthetic; no person"
    dataset.BurnedInAnnotation = "NO"
    dataset.file_meta = file_meta(str(sop_class), str(dataset.SOPInstanceUID))
    return dataset


def _ct_frame(dataset: Dataset, plane: NDArray[np.float32]) -> None:
    """Add the CT image module and its pixels (PS3.3 C.8.2.1)."""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.KVP, dataset.XRayTubeCurrent, dataset.ExposureTime = "120", 150, 500
    dataset.ConvolutionKernel = "STANDARD"
    dataset.GantryDetectorTilt = "0"
    dataset.DataCollectionDiameter = dataset.ReconstructionDiameter = "500"
    dataset.RescaleSlope, dataset.RescaleIntercept = str(CT_SLOPE), str(CT_INTERCEPT)
    dataset.RescaleType = "HU"
    dataset.WindowCenter, dataset.WindowWidth = "40", "400"
    stored = np.clip(np.rint((plane - CT_INTERCEPT) / CT_SLOPE), 0, 4095).astype("<u2")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
