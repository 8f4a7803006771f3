"""What both sides of the numerics benchmark work on: made once, seeded, as files.

    ct/*.dcm      200 slices of 512 x 512, uncompressed
    RS.dcm        ten regions drawn as smooth contours, one with a hole, one of two islands
    RD.dcm        a dose on a grid of 3 mm
    rois.npy      the same ten regions as masks (10, frames, rows, columns)
    drawn.npy     the same as bits, each with a hole and an island of one voxel: to be written
    masks.npz     two masks that resemble each other, and their spacing
    doses.npz     two doses on one grid of 2.5 mm, and its spacing

Read next: `numerics.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from scipy import ndimage, optimize

SHAPE = (200, 512, 512)
SPACING_MM = (2.5, 1.0, 1.0)
DOSE_MM = 3.0
DOSE_GY = 40.0  # in the middle
SLOPES = (0.08, 0.05, 0.03)  # Gy/mm along z, y, x
ROOT = "2.25.20261126"
CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "RTDOSE": "1.2.840.10008.5.1.4.1.1.481.2",
}
Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Centre and half axes (z, y, x) in mm from the middle of the grid."""

SOLID: tuple[Ellipsoid, ...] = (
    ((0.0, 0.0, 0.0), (150.0, 140.0, 150.0)),
    ((0.0, 40.0, -60.0), (60.0, 30.0, 40.0)),
    ((20.0, -30.0, 60.0), (45.0, 45.0, 45.0)),
    ((-60.0, 10.0, 20.0), (25.0, 20.0, 30.0)),
    ((80.0, 0.0, 0.0), (20.0, 20.0, 20.0)),
    ((90.0, 60.0, 30.0), (15.0, 12.0, 18.0)),
    ((-100.0, -40.0, -20.0), (12.0, 10.0, 9.0)),
    ((40.0, 80.0, 80.0), (30.0, 15.0, 15.0)),
)


def regions() -> tuple[tuple[Ellipsoid, ...], ...]:
    """Return ten regions as ellipsoids: eight solid, a shell (the second is a hole), a pair."""
    shell = (((0.0, -60.0, -60.0), (50.0, 40.0, 40.0)), ((0.0, -60.0, -60.0), (30.0, 20.0, 20.0)))
    pair = (((-40.0, 70.0, -80.0), (20.0, 15.0, 15.0)), ((-40.0, 70.0, 0.0), (20.0, 15.0, 15.0)))
    return (*((one,) for one in SOLID), shell, pair)


def make(folder: Path) -> None:
    """Write everything into a folder."""
    (folder / "ct").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20261126)
    noise = random.integers(-200, 1800, size=SHAPE[1:], dtype=np.int16)
    for index in range(SHAPE[0]):
        _save(_slice(index, np.roll(noise, index, axis=0)), folder / "ct" / f"{index:04d}.dcm")
    _save(_structures(), folder / "RS.dcm")
    _save(_dose(), folder / "RD.dcm")
    masks = np.stack([_mask(parts) for parts in regions()])
    np.save(folder / "rois.npy", masks)
    np.save(folder / "drawn.npy", np.packbits(_pierced(masks), axis=-1))
    first = _mask((((0.0, 0.0, 0.0), (75.0, 70.0, 60.0)),))
    second = _mask((((2.5, -2.0, 3.0), (73.0, 71.0, 58.0)),))
    np.savez(folder / "masks.npz", first=first, second=second, spacing=np.array(SPACING_MM))
    reference, evaluated = _doses(random)
    np.savez(
        folder / "doses.npz", reference=reference, evaluated=evaluated, spacing=np.full(3, 2.5)
    )


def _pierced(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the masks with a hole of one voxel in their middle frame, and an island of one
    voxel in a corner of it."""
    for mask in masks:
        planes = np.flatnonzero(mask.any(axis=(1, 2)))
        middle = mask[planes[len(planes) // 2]]
        inside = np.argwhere(ndimage.binary_erosion(middle))
        row, column = inside[len(inside) // 2]
        middle[row, column], middle[2, 3] = False, True
    return masks


def volume_mm3(parts: tuple[Ellipsoid, ...]) -> float:
    """Return the exact volume of a region."""
    volumes = [4 / 3 * math.pi * math.prod(axes) for _, axes in parts]
    return volumes[0] - volumes[1] if _is_shell(parts) else sum(volumes)


def near_maximum_gy(parts: tuple[Ellipsoid, ...]) -> float | None:
    """Return the exact D0.1cc of a single ellipsoid in the linear dose; None of others.

    In units of the half axes it is a sphere, and the dose rises along one direction: the part
    above u of it has the share (2 + u) (1 - u)² / 4.
    """
    if len(parts) > 1:
        return None
    (centre, half), share = parts[0], 100.0 / volume_mm3(parts)
    u = float(optimize.brentq(lambda u: (2 + u) * (1 - u) ** 2 / 4 - share, -1.0, 1.0))
    swing = math.hypot(*(slope * axis for slope, axis in zip(SLOPES, half, strict=True)))
    return DOSE_GY + sum(s * c for s, c in zip(SLOPES, centre, strict=True)) + u * swing


def _is_shell(parts: tuple[Ellipsoid, ...]) -> bool:
    return len(parts) == 2 and parts[0][0] == parts[1][0]


def _mask(parts: tuple[Ellipsoid, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(SHAPE, SPACING_MM, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij", sparse=True)
    for centre, half in parts:
        terms = [((a - c) / h) ** 2 for a, c, h in zip(grid, centre, half, strict=True)]
        mask ^= terms[0] + terms[1] + terms[2] <= 1.0
    return mask


def _doses(random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two doses of which 90 % agree at 3 % and 3 mm; no γ is above 2."""
    z, y, x = np.meshgrid(*[(np.arange(48) - 23.5) * 2.5] * 3, indexing="ij")
    far = np.sqrt(z**2 + y**2 + x**2)
    moved = np.sqrt((z - 2.2) ** 2 + (y + 1.8) ** 2 + (x - 1.0) ** 2)
    noise = ndimage.gaussian_filter(random.normal(size=far.shape), 1.0)
    reference = 60 / (1 + np.exp((far - 42) / 4)) + 8 * np.exp(-far / 60)
    evaluated = 61 / (1 + np.exp((moved - 42.8) / 4)) + 8 * np.exp(-far / 60) + 3 * noise
    return reference, evaluated


def _common(kind: str, uid: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CLASSES[kind], f"{ROOT}.{uid}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (
        f"{ROOT}.1",
        f"{ROOT}.2.{kind_number(kind)}",
    )
    dataset.FrameOfReferenceUID, dataset.Modality = f"{ROOT}.3", kind
    dataset.PatientName, dataset.PatientID = "SYNTHETIC^BENCH", "SYN-BENCH"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.StudyDate = dataset.StudyTime = ""
    dataset.StudyID = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.Manufacturer, dataset.SeriesNumber = "osteon", 1
    return dataset


def kind_number(kind: str) -> int:
    """Return the number of a modality in the UIDs."""
    return list(CLASSES).index(kind) + 1


def _save(dataset: Dataset, path: Path) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)


def _corner() -> list[float]:
    """Return Image Position of the first voxel: the grid lies around the origin."""
    z, y, x = (-(n - 1) / 2 * s for n, s in zip(SHAPE, SPACING_MM, strict=True))
    return [x, y, z]


def _slice(index: int, values: NDArray[np.int16]) -> Dataset:
    dataset = _common("CT", f"4.{index + 1}")
    corner = _corner()
    dataset.InstanceNumber = index + 1
    dataset.ImagePositionPatient = [corner[0], corner[1], corner[2] + index * SPACING_MM[0]]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = list(SPACING_MM[1:]), SPACING_MM[0]
    dataset.ImageType, dataset.PatientPosition = ["ORIGINAL", "PRIMARY", "AXIAL"], "HFS"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = SHAPE[1], SHAPE[2], 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -24, "HU"
    dataset.KVP = 120
    dataset.PixelData = values.tobytes()
    return dataset


def _structures() -> Dataset:
    dataset = _common("RTSTRUCT", "5")
    dataset.StructureSetLabel = "BENCH"
    dataset.StructureSetDate = dataset.StructureSetTime = ""
    dataset.ReferencedFrameOfReferenceSequence = [_referenced()]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    dataset.RTROIObservationsSequence = []
    for number, parts in enumerate(regions(), start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName = number, f"R{number}"
        roi.ReferencedFrameOfReferenceUID, roi.ROIGenerationAlgorithm = f"{ROOT}.3", "MANUAL"
        dataset.StructureSetROISequence.append(roi)
        drawn = Dataset()
        drawn.ReferencedROINumber, drawn.ContourSequence = number, list(_contours(parts))
        drawn.ROIDisplayColor = [255, 0, 0]
        dataset.ROIContourSequence.append(drawn)
        seen = Dataset()
        seen.ObservationNumber = seen.ReferencedROINumber = number
        seen.RTROIInterpretedType, seen.ROIInterpreter = "ORGAN", ""
        dataset.RTROIObservationsSequence.append(seen)
    return dataset


def _referenced() -> Dataset:
    image_items = []
    for index in range(SHAPE[0]):
        image_items.append(_image(index))
    series = Dataset()
    series.SeriesInstanceUID, series.ContourImageSequence = f"{ROOT}.2.1", image_items
    study = Dataset()
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID, study.RTReferencedSeriesSequence = f"{ROOT}.1", [series]
    frame = Dataset()
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = f"{ROOT}.3", [study]
    return frame


def _image(index: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = CLASSES["CT"]
    item.ReferencedSOPInstanceUID = f"{ROOT}.4.{index + 1}"
    return item


def _contours(parts: tuple[Ellipsoid, ...]) -> Iterator[Dataset]:
    corner = _corner()
    turn = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    for index in range(SHAPE[0]):
        z = corner[2] + index * SPACING_MM[0]
        for (cz, cy, cx), (hz, hy, hx) in parts:
            left = 1 - ((z - cz) / hz) ** 2
            if left <= 0:
                continue
            r = math.sqrt(left)
            ring = np.stack(
                [cx + hx * r * np.cos(turn), cy + hy * r * np.sin(turn), np.full(len(turn), z)],
                axis=1,
            )
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(ring)
            item.ContourImageSequence = [_image(index)]
            item.ContourData = [f"{value:.6f}" for value in ring.ravel()]
            yield item


def _dose() -> Dataset:
    count = [int(n * s / DOSE_MM) for n, s in zip(SHAPE, SPACING_MM, strict=True)]
    axes: list[Any] = [(np.arange(n) - (n - 1) / 2) * DOSE_MM for n in count]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    dose = np.maximum(DOSE_GY + SLOPES[0] * z + SLOPES[1] * y + SLOPES[2] * x, 0.0)
    dataset = _common("RTDOSE", "6")
    dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    dataset.ImagePositionPatient = [float(axes[2][0]), float(axes[1][0]), float(axes[0][0])]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [DOSE_MM, DOSE_MM]
    dataset.GridFrameOffsetVector = [index * DOSE_MM for index in range(count[0])]
    dataset.FrameIncrementPointer = 0x3004000C
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = count
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 32, 32, 31
    dataset.PixelRepresentation, dataset.DoseGridScaling = 0, 1e-6
    dataset.PixelData = np.round(dose * 1e6).astype("<u4").tobytes()
    return dataset
