"""DICOM objects made for reading tests: good ones, and ones that are wrong in one way.

Every object carries a patient's name, number and birth date (`PATIENT_WORDS`), so that a
test can prove that no message lets one out.  Values are functions of their place, so that
a voxel that ends up elsewhere is seen.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PATIENT_WORDS = ("Zzyzx", "Quillfeather", "PID-47110815", "19610203")
CLASSES = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "RTDOSE": "1.2.840.10008.5.1.4.1.1.481.2",
    "RTPLAN": "1.2.840.10008.5.1.4.1.1.481.5",
}
ENHANCED_CLASSES = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "CT": "1.2.840.10008.5.1.4.1.1.2.1",
    "MR": "1.2.840.10008.5.1.4.1.1.4.1",
    "PT": "1.2.840.10008.5.1.4.1.1.130",
}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ORIENTATIONS = {
    "HFS": AXIAL,
    "HFP": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "FFS": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "FFP": (1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "HFDR": (0.0, -1.0, 0.0, 1.0, 0.0, 0.0),
    "HFDL": (0.0, 1.0, 0.0, -1.0, 0.0, 0.0),
    "FFDR": (0.0, -1.0, 0.0, -1.0, 0.0, 0.0),
    "FFDL": (0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
    "sagittal": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
}
"""Direction cosines that scanners write for each patient position (axial unless named)."""


def uid(*parts: object) -> str:
    """Return a UID that follows from ``parts``."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


def stored_values(shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """Return int16 values that differ at every voxel of a small volume."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 200


def header(modality: str, study: str = "study", series: str = "series") -> Dataset:
    """Return patient, study, series and equipment attributes of an object."""
    dataset = Dataset()
    dataset.SOPClassUID = CLASSES[modality]
    dataset.SOPInstanceUID = uid(study, series, modality)
    dataset.PatientName = "Quillfeather^Zzyzx"
    dataset.PatientID = "PID-47110815"
    dataset.PatientBirthDate = "19610203"
    dataset.PatientSex = "F"
    dataset.StudyDate, dataset.StudyTime = "20240305", "093000"
    dataset.SeriesDate, dataset.SeriesTime = "20240305", "100000"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = "1"
    dataset.StudyInstanceUID = uid(study)
    dataset.SeriesInstanceUID = uid(study, series)
    dataset.SeriesNumber = 1
    dataset.FrameOfReferenceUID = uid(study, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.Modality = modality
    dataset.Manufacturer = "Osteon Tests"
    dataset.ManufacturerModelName = "Builder"
    return dataset


def image_series(
    modality: str = "CT",
    *,
    shape: tuple[int, int, int] = (6, 5, 7),
    spacing_mm: tuple[float, float, float] = (3.0, 1.5, 1.25),
    origin_mm: Sequence[float] = (-10.0, 20.0, 30.0),
    orientation: Sequence[float] = AXIAL,
    study: str = "study",
    series: str = "series",
    **attributes: Any,
) -> list[Dataset]:
    """Return a good single-frame series; frame k lies at origin + k * step * normal."""
    normal = np.cross(orientation[:3], orientation[3:])
    values = stored_values(shape)
    datasets = []
    for index in range(shape[0]):
        dataset = header(modality, study, series)
        dataset.SOPInstanceUID = uid(study, series, index)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.InstanceNumber = index + 1
        dataset.AcquisitionNumber = 1
        dataset.AcquisitionDate, dataset.AcquisitionTime = "20240305", "100000"
        dataset.PatientPosition = "HFS"
        dataset.ImageOrientationPatient = [f"{value:.12g}" for value in orientation]
        position = np.asarray(origin_mm) + index * spacing_mm[0] * normal
        dataset.ImagePositionPatient = [f"{value:.12g}" for value in position]
        dataset.PixelSpacing = [f"{spacing_mm[1]:.12g}", f"{spacing_mm[2]:.12g}"]
        dataset.SliceThickness = f"{spacing_mm[0]:.12g}"
        set_pixels(dataset, values[index])
        if modality != "MR":
            dataset.RescaleSlope, dataset.RescaleIntercept = "1", "0"
        if modality == "PT":
            _add_pet(dataset)
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        datasets.append(dataset)
    return datasets


def radiograph(
    modality: str = "CR", *, number: int = 1, shape: tuple[int, int] = (24, 20), **attributes: Any
) -> Dataset:
    """Return one view of a radiograph, stored as MONOCHROME1 with twelve bits."""
    dataset = header(modality, series="radiographs")
    dataset.SOPInstanceUID = uid("radiograph", modality, number)
    dataset.InstanceNumber = number
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.BodyPartExamined, dataset.ViewPosition = "LEG", "AP"
    dataset.Laterality = "L"
    dataset.PatientOrientation = ["L", "F"]
    set_pixels(dataset, np.arange(np.prod(shape), dtype=np.uint16).reshape(shape))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.ImagerPixelSpacing = ["0.2", "0.1"]
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def set_pixels(dataset: Dataset, values: NDArray[Any]) -> None:
    """Store 8, 16 or 32-bit values and describe them."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = values.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    dataset["PixelData"].VR = "OW"


def _add_pet(dataset: Dataset) -> None:
    isotope = Dataset()
    isotope.Radiopharmaceutical = "Fludeoxyglucose F^18^"
    isotope.RadiopharmaceuticalStartTime = "090000"
    isotope.RadionuclideTotalDose = "370000000"
    isotope.RadionuclideHalfLife = "6586.2"
    dataset.RadiopharmaceuticalInformationSequence = Items([isotope])
    dataset.PatientWeight = "70"
    dataset.PatientAge = "063Y"
    dataset.Units = "BQML"
    dataset.DecayCorrection = "START"
    dataset.CorrectedImage = ["DECY", "ATTN"]
    dataset.SeriesType = ["STATIC", "IMAGE"]


def enhanced(datasets: Sequence[Dataset]) -> Dataset:
    """Return the series as one enhanced multi-frame object (PS3.3 C.7.6.16)."""
    first = datasets[0]
    result = Dataset()
    result.update(
        {
            element.tag: element
            for element in first
            if element.keyword
            not in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
                    "SliceThickness", "RescaleSlope", "RescaleIntercept", "PixelData")
        }
    )  # fmt: skip
    result.SOPClassUID = ENHANCED_CLASSES[str(first.Modality)]
    result.NumberOfFrames = len(datasets)
    shared = Dataset()
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, first.SliceThickness
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    shared.PixelMeasuresSequence = Items([measures])
    shared.PlaneOrientationSequence = Items([orientation])
    groups = []
    for item in datasets:
        group, position, scale = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = item.ImagePositionPatient
        scale.RescaleSlope = item.get("RescaleSlope", "1")
        scale.RescaleIntercept = item.get("RescaleIntercept", "0")
        scale.RescaleType = "HU" if item.Modality == "CT" else "US"
        group.PlanePositionSequence = Items([position])
        group.PixelValueTransformationSequence = Items([scale])
        groups.append(group)
    result.SharedFunctionalGroupsSequence = Items([shared])
    result.PerFrameFunctionalGroupsSequence = Items(groups)
    result.PixelData = b"".join(item.PixelData for item in datasets)
    result["PixelData"].VR = "OW"
    return result


def dose_grid(
    values: NDArray[np.uint32], *, offsets: Sequence[float], orientation: Sequence[float] = AXIAL
) -> Dataset:
    """Return an RT Dose in Gy with a scaling of 0.001."""
    dataset = header("RTDOSE")
    dataset.ImageOrientationPatient = list(orientation)
    dataset.ImagePositionPatient = [-10.0, 20.0, 30.0]
    dataset.PixelSpacing = [2.0, 2.5]
    dataset.NumberOfFrames = len(values)
    dataset.FrameIncrementPointer = 0x3004000C
    dataset.GridFrameOffsetVector = list(offsets)
    dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    dataset.DoseGridScaling = "0.001"
    set_pixels(dataset, values)
    return dataset


def structure_set(
    contours: Sequence[NDArray[np.float64]], *, images: Sequence[Dataset] = ()
) -> Dataset:
    """Return a structure set with one region named GTVp."""
    dataset = header("RTSTRUCT", series="structures")
    dataset.StructureSetLabel = "TEST"
    roi, observation, drawn, frame = Dataset(), Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = 1, "GTVp", "MANUAL"
    roi.ReferencedFrameOfReferenceUID = dataset.FrameOfReferenceUID
    observation.ObservationNumber, observation.ReferencedROINumber = 1, 1
    observation.RTROIInterpretedType, observation.ROIInterpreter = "GTV", ""
    drawn.ReferencedROINumber = 1
    drawn.ContourSequence = Items([_contour(points, images) for points in contours])
    frame.FrameOfReferenceUID = dataset.FrameOfReferenceUID
    if images:
        study, series = Dataset(), Dataset()
        series.SeriesInstanceUID = images[0].SeriesInstanceUID
        series.ContourImageSequence = Items([_reference(image) for image in images])
        study.RTReferencedSeriesSequence = Items([series])
        frame.RTReferencedStudySequence = Items([study])
    dataset.ReferencedFrameOfReferenceSequence = Items([frame])
    dataset.StructureSetROISequence = Items([roi])
    dataset.ROIContourSequence = Items([drawn])
    dataset.RTROIObservationsSequence = Items([observation])
    return dataset


def _contour(points: NDArray[np.float64], images: Sequence[Dataset]) -> Dataset:
    item = Dataset()
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.6f}" for value in points.reshape(-1)]
    if images:
        item.ContourImageSequence = Items([_reference(images[0])])
    return item


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return item


def encode(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return Part 10 bytes; pixel data are swapped for big endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "1.2.3")
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
    meta.TransferSyntaxUID = transfer_syntax
    written = Dataset()
    written.update(dataset)
    if transfer_syntax == "1.2.840.10008.1.2.2" and "PixelData" in written:
        words = np.frombuffer(dataset.PixelData, f"<u{dataset.BitsAllocated // 8}")
        written.PixelData = words.byteswap().tobytes()
        written["PixelData"].VR = "OW"
    written.file_meta = meta
    sink = io.BytesIO()
    dcmwrite(sink, written, enforce_file_format=True)
    return sink.getvalue()


def encode_all(datasets: Sequence[Dataset]) -> list[bytes]:
    """Return Part 10 bytes of every object."""
    return [encode(dataset) for dataset in datasets]


# One builder for each way in which a series goes wrong (issue 2, section 7).


def missing_slice() -> list[bytes]:
    """Return a series whose fourth frame never arrived."""
    datasets = image_series()
    return encode_all([*datasets[:3], *datasets[4:]])


def duplicate_position() -> list[bytes]:
    """Return a series with two objects at one position and other pixels."""
    datasets = image_series()
    again = image_series()[2]
    again.SOPInstanceUID = uid("again")
    again.PixelData = bytes(len(again.PixelData))
    return encode_all([*datasets, again])


def two_acquisitions() -> list[bytes]:
    """Return one series that holds two acquisitions of the same region."""
    second = image_series(AcquisitionNumber=2)
    for number, dataset in enumerate(second):
        dataset.SOPInstanceUID = uid("second acquisition", number)
    return encode_all([*image_series(), *second])


def interleaved_acquisitions() -> list[bytes]:
    """Return two acquisitions whose frames lie exactly half a step apart."""
    second = image_series(AcquisitionNumber=2, origin_mm=(-10.0, 20.0, 31.5))
    for number, dataset in enumerate(second):
        dataset.SOPInstanceUID = uid("interleaved", number)
    return encode_all([*image_series(), *second])


def gantry_tilt(degrees: float = 12.0) -> list[bytes]:
    """Return frames that are sheared along their rows' normal direction, as a tilt does."""
    datasets = image_series()
    for index, dataset in enumerate(datasets):
        x, y, z = map(float, dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y + index * 3.0 * np.tan(np.radians(degrees)), z]
        dataset.GantryDetectorTilt = degrees
    return encode_all(datasets)


def truncated_pixels() -> list[bytes]:
    """Return a series whose last file ends inside its pixel data."""
    files = encode_all(image_series())
    return [*files[:-1], files[-1][:-20]]


def truncated_header() -> list[bytes]:
    """Return a series whose last file ends inside its header."""
    files = encode_all(image_series())
    return [*files[:-1], files[-1][:700]]


def absurd_spacing(row_mm: str = "0", column_mm: str = "1.25") -> list[bytes]:
    """Return a series with a Pixel Spacing that cannot be."""
    return encode_all(image_series(PixelSpacing=[row_mm, column_mm]))


def absurd_slice_spacing() -> list[bytes]:
    """Return a series with half a metre between frames."""
    return encode_all(image_series(spacing_mm=(500.0, 1.5, 1.25)))


def without(keyword: str, modality: str = "CT") -> list[bytes]:
    """Return a series in which one attribute is absent."""
    datasets = image_series(modality)
    for dataset in datasets:
        delattr(dataset, keyword)
    return encode_all(datasets)


def wrong_modality() -> list[bytes]:
    """Return an MR series."""
    return encode_all(image_series("MR"))


def pet_without_dose() -> list[bytes]:
    """Return a PET series in Bq/ml that does not say how much was injected."""
    datasets = image_series("PT")
    for dataset in datasets:
        del dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose
    return encode_all(datasets)


def not_dicom() -> list[bytes]:
    """Return a series in which one object is a text."""
    files = encode_all(image_series())
    return [*files[:-1], b"Dear colleague, thank you for referring Zzyzx Quillfeather.\n" * 8]


def two_gigabytes() -> list[bytes]:
    """Return headers that announce 2 GiB of pixels; the pixels themselves are not there."""
    dataset = enhanced(image_series())
    dataset.Rows = dataset.Columns = 13107
    return [encode(dataset)]
