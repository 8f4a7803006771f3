"""Folders as strangers bring them: one real patient's CT and PET, made hard in many ways.

Each case takes the headers and pixels of a study and returns files by name.  What only moves
or re-encodes voxels must lead to the same volume in the same place; what makes the input
worthless must be refused in words.

Read next: `tests/journeys/test_hard_cases.py`.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels import compress
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    generate_uid,
)

Files = dict[str, bytes]
TURNS = {"HFS": (1, 1, 1), "HFP": (-1, -1, 1), "FFS": (-1, 1, -1), "FFP": (1, -1, -1)}


@dataclass(frozen=True)
class HardCase:
    """One way to make a study hard.

    Parameters
    ----------
    make : the images of a study -> files by name.
    same : the answer lies where that of the plain study lies, with the same volume.
    status : how the run ends.
    reason : opening of the code that says why it is not done.
    """

    make: Callable[[Sequence[Dataset]], Files]
    same: bool = True
    status: str = "done"
    reason: str = ""


def of_study(images: Sequence[Dataset], name: str) -> list[Dataset]:
    """Return the images as a study of its own, so that no answer to another one is found."""
    found = [copy.deepcopy(item) for item in images]
    for item in found:
        for keyword in (
            *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"),
        ):
            item[keyword].value = generate_uid(entropy_srcs=[name, str(item[keyword].value)])
        item.file_meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID
    return found


def images_in(files: Iterable[bytes], modalities: Sequence[str] = ("CT", "PT")) -> list[Dataset]:
    """Return the images of some modalities, with their pixels."""
    found = [pydicom.dcmread(io.BytesIO(data)) for data in files]
    return [item for item in found if item.get("Modality") in modalities]


def encoded(dataset: Dataset) -> bytes:
    """Return a data set as a file, in the transfer syntax that it names."""
    sink = io.BytesIO()
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    encoding = {}
    if not syntax.is_encapsulated:
        encoding = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
    pydicom.dcmwrite(sink, dataset, enforce_file_format=True, **encoding)
    return sink.getvalue()


def plain(images: Sequence[Dataset]) -> Files:
    """Return the study as it is."""
    return {f"{number:04d}.dcm": encoded(item) for number, item in enumerate(images)}


def with_change(change: Callable[[Dataset], None], modality: str = "") -> Callable[..., Files]:
    """Return what changes each image of a modality (of all by default)."""

    def make(images: Sequence[Dataset]) -> Files:
        copies = [copy.deepcopy(item) for item in images]
        for item in copies:
            if modality in ("", item.Modality):
                change(item)
        return plain(copies)

    return make


def renamed(images: Sequence[Dataset]) -> Files:
    """Names without a convention, folders in folders, and files of others among them."""
    names = ("IM {0}", "sub/dir {0}/I{0}", "a/b/c/{0}.IMA", "ünïcode-{0}.pdf", "{0}", ".hidden{0}")
    files = {
        names[number % len(names)].format(number): encoded(item)
        for number, item in enumerate(images)
    }
    junk = {
        "Thumbs.db": b"\xd0\xcf\x11\xe0" + bytes(600),
        "DICOMDIR": b"not a directory",
        "empty": b"",
        "report.pdf": b"%PDF-1.4\n" + bytes(300),
        "sub/notes.txt": "Grüße".encode("latin-1"),
        "zeros": bytes(4096),
    }
    return files | junk


def doubled(images: Sequence[Dataset]) -> Files:
    """Each file twice, under another name."""
    files = plain(images)
    return files | {f"copy/{name}": data for name, data in files.items()}


def changed(files: Sequence[bytes], **tags: str) -> tuple[bytes, ...]:
    """Return the same instances with other header values, or else with pixels turned around."""
    found = []
    for data in files:
        dataset = pydicom.dcmread(io.BytesIO(data))
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        if not tags:
            pixels = np.frombuffer(dataset.PixelData, np.int16).reshape(dataset.Rows, -1)
            dataset.PixelData = pixels[::-1].tobytes()
        sink = io.BytesIO()
        pydicom.dcmwrite(sink, dataset, enforce_file_format=True)
        found.append(sink.getvalue())
    return tuple(found)


def recoded(syntax: UID) -> Callable[[Sequence[Dataset]], Files]:
    """Return what writes every image in another transfer syntax."""

    def change(dataset: Dataset) -> None:
        if not syntax.is_encapsulated:
            dataset.file_meta.TransferSyntaxUID = syntax
            if not syntax.is_little_endian and dataset.BitsAllocated == 16:
                values = np.frombuffer(dataset.PixelData, "<u2")
                dataset.PixelData = values.astype(">u2").tobytes()
            _explicit(dataset)
            return
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        _explicit(dataset)
        ratio = {"j2k_cr": [4]} if syntax == JPEG2000 else {}
        compress(dataset, syntax, generate_instance_uid=False, **ratio)

    return with_change(change)


def _explicit(dataset: Dataset) -> None:
    """Pixels read as implicit VR have the VR OW, or they could not be written explicitly."""
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"


def turned(position: str) -> Callable[[Sequence[Dataset]], Files]:
    """Return what stores the same voxels as for a patient lying otherwise.

    Rows and columns of each image are turned round where the direction is; origin and
    cosines follow, so that every voxel keeps its place in the patient.
    """

    def change(dataset: Dataset) -> None:
        along_row, along_column = _turns(dataset, position)
        values = _pixels(dataset)
        spacing = [float(value) for value in dataset.PixelSpacing]
        cosines = np.asarray([float(value) for value in dataset.ImageOrientationPatient])
        origin = np.asarray([float(value) for value in dataset.ImagePositionPatient])
        if along_row:
            origin = origin + cosines[:3] * spacing[1] * (values.shape[1] - 1)
            cosines[:3] *= -1
            values = values[:, ::-1]
        if along_column:
            origin = origin + cosines[3:] * spacing[0] * (values.shape[0] - 1)
            cosines[3:] *= -1
            values = values[::-1]
        dataset.PixelData = np.ascontiguousarray(values).tobytes()
        dataset.ImageOrientationPatient = [f"{value:g}" for value in cosines]
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in origin]
        dataset.PatientPosition = position

    return with_change(change)


def _turns(dataset: Dataset, position: str) -> tuple[bool, bool]:
    wanted = TURNS[position]
    found = dataset.ImageOrientationPatient
    return float(found[0]) * wanted[0] < 0, float(found[4]) * wanted[1] < 0


def _pixels(dataset: Dataset) -> NDArray[np.generic]:
    kind = "<i2" if dataset.PixelRepresentation else "<u2"
    return np.frombuffer(dataset.PixelData, kind).reshape(dataset.Rows, dataset.Columns)


def without(*keywords: str) -> Callable[..., Files]:
    """Return what leaves attributes out."""

    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            if keyword in dataset:
                del dataset[keyword]

    return with_change(change)


def untidy(dataset: Dataset) -> None:
    """Values that the standard forbids and archives hold all the same."""
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    dataset.StudyID = "A STUDY ID OF 20 CHR"
    dataset.StudyDate, dataset.StudyTime = "2001-02-03", "9:30"
    dataset.PatientAge, dataset.PatientSex = "45", "Female"
    dataset.PatientBirthDate = "unknown"
    dataset.AccessionNumber = "ACC-0123456789-0123456789"
    dataset.BodyPartExamined = "right thigh"
    dataset.SeriesNumber = None
    dataset.PatientID = "12345678901234567890123456789012345678901234567890123456789012345678"
    dataset.SliceThickness = "3.2700000000000000001"
    dataset.Manufacturer = "A" * 80


def latin(dataset: Dataset) -> None:
    """A name in Latin-1 that no Specific Character Set announces."""
    if "SpecificCharacterSet" in dataset:
        del dataset.SpecificCharacterSet
    dataset.add(pydicom.dataelem.DataElement(0x00100010, "PN", "M\u00fcller^J\u00f6rg"))
    dataset.SpecificCharacterSet = "ISO_IR 100"


def split(images: Sequence[Dataset]) -> Files:
    """The CT in two series: a stranger's export began a new one in the middle."""
    copies = [copy.deepcopy(item) for item in images]
    ct = sorted(
        (item for item in copies if item.Modality == "CT"),
        key=lambda item: float(item.ImagePositionPatient[2]),
    )
    second = generate_uid(entropy_srcs=["second half"])
    for item in ct[len(ct) * 2 // 3 :]:
        item.SeriesInstanceUID = second
    return plain(copies)


def every_second(images: Sequence[Dataset]) -> Files:
    """Every second slice of each series: spacing is another, thickness says what it was."""
    kept = []
    for modality in ("CT", "PT"):
        found = [item for item in images if item.Modality == modality]
        kept += sorted(found, key=lambda item: float(item.ImagePositionPatient[2]))[::2]
    return plain(kept)


def squeezed(dataset: Dataset) -> None:
    """Voxels that are not square: every second column left out."""
    values = _pixels(dataset)[:, ::2]
    dataset.PixelData = np.ascontiguousarray(values).tobytes()
    dataset.Columns = values.shape[1]
    row, column = (float(value) for value in dataset.PixelSpacing)
    dataset.PixelSpacing = [f"{row:.6f}", f"{2 * column:.6f}"]


def with_scout(images: Sequence[Dataset]) -> Files:
    """A localizer of another orientation in the CT series."""
    scout = copy.deepcopy(next(item for item in images if item.Modality == "CT"))
    scout.SOPInstanceUID = generate_uid(entropy_srcs=["scout"])
    scout.file_meta.MediaStorageSOPInstanceUID = scout.SOPInstanceUID
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    return plain([*images, scout])


def in_units(units: str, *, has_dose: bool = True) -> Callable[..., Files]:
    """Return what states the PET in other units than g/ml.

    BQML with dose, half-life, weight and decay correction gives the same SUV; without them
    the PET cannot be read.
    """

    def change(dataset: Dataset) -> None:
        weight_kg, dose_bq = 70.0, 3.7e8
        dataset.Units = units
        dataset.CorrectedImage = ["ATTN", "DECY"]
        dataset.DecayCorrection = "ADMIN"
        dataset.PatientWeight = f"{weight_kg:g}"
        if not has_dose:
            if "RadiopharmaceuticalInformationSequence" in dataset:
                del dataset.RadiopharmaceuticalInformationSequence
            return
        drug = Dataset()
        drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = f"{dose_bq:g}", "6586.2"
        drug.RadiopharmaceuticalStartTime = "080000"
        dataset.RadiopharmaceuticalInformationSequence = [drug]
        dataset.RescaleSlope = f"{float(dataset.RescaleSlope) * dose_bq / (weight_kg * 1000):.9g}"

    return with_change(change, "PT")


def in_high_bits(dataset: Dataset) -> None:
    """Twelve bits stored in sixteen, with something of an overlay in the four above."""
    if dataset.Modality != "CT":
        return
    slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
    hounsfield = _pixels(dataset).astype(float) * slope + intercept
    stored = np.clip(np.rint(hounsfield + 1024), 0, 4095).astype("<u2")
    dataset.PixelData = (stored | 0x8000).astype("<u2").tobytes()
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue"):
        if keyword in dataset:
            del dataset[keyword]


def two_patients(images: Sequence[Dataset]) -> Files:
    """Half of the CT names another patient: nobody knows whose it is."""
    copies = [copy.deepcopy(item) for item in images]
    for item in [item for item in copies if item.Modality == "CT"][::2]:
        item.PatientID, item.PatientName = "SOMEBODY-ELSE", "Else^Somebody"
    return plain(copies)


OPTIONAL = (
    "PatientPosition", "SliceThickness", "StudyID", "Manufacturer", "KVP", "BodyPartExamined",
    "PatientSex", "PatientAge", "PatientBirthDate", "ReferringPhysicianName", "AccessionNumber",
    "StudyDate", "StudyTime", "SeriesNumber", "InstanceNumber", "WindowCenter", "WindowWidth",
    "PositionReferenceIndicator", "SeriesDescription", "StudyDescription", "PatientName",
    "ContentDate", "ContentTime", "SeriesDate", "SeriesTime", "AcquisitionNumber", "ImageType",
    "PatientID", "SpecificCharacterSet", "Laterality", "ManufacturerModelName",
)  # fmt: skip

CASES: Mapping[str, HardCase] = {
    "plain": HardCase(plain),
    "renamed, with files of others": HardCase(renamed),
    "every file twice": HardCase(doubled),
    **{
        f"transfer syntax {syntax.name}": HardCase(recoded(syntax))
        for syntax in (
            *(ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian),
            *(ExplicitVRBigEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless),
        )
    },
    "JPEG-LS near lossless": HardCase(recoded(JPEGLSNearLossless)),
    "JPEG 2000 lossy": HardCase(recoded(JPEG2000), same=False),
    **{f"patient position {name}": HardCase(turned(name)) for name in TURNS},
    "optional attributes missing": HardCase(without(*OPTIONAL)),
    "untidy values": HardCase(with_change(untidy)),
    "a name in Latin-1": HardCase(with_change(latin)),
    "voxels that are not square": HardCase(with_change(squeezed, "CT"), same=False),
    "every second slice": HardCase(every_second, same=False),
    "series split": HardCase(split, same=False),
    "a localizer among the slices": HardCase(with_scout),
    "overlay in the high bits": HardCase(with_change(in_high_bits)),
    "PET in Bq/ml": HardCase(in_units("BQML")),
    "PET in Bq/ml without dose": HardCase(in_units("BQML", has_dose=False)),
    "PET in counts": HardCase(in_units("CNTS", has_dose=False)),
    "two patients in one series": HardCase(
        two_patients, same=False, status="refused", reason="INPUT_MIXED_PATIENTS"
    ),
}
