"""Small synthetic studies: a few slices of 16 x 16 CT, PET or MR with known values.

Each study has UIDs of its own under 2.25, so that tests may share a server.

Read next: `orthanc.py`.
"""

from __future__ import annotations

import itertools
import os
import uuid
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RTStructureSetStorage,
)

from adapters.pacs import InstanceReference

CLASSES = {
    "CT": CTImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
    "MR": MRImageStorage,
    "RTSTRUCT": RTStructureSetStorage,
}
_numbers = itertools.count(1)


def new_uid() -> str:
    """Return a UID that nothing else in this test session has."""
    return f"2.25.{uuid.uuid4().int}"


@dataclass(frozen=True)
class TinyStudy:
    """A study and its files, in the order in which they would be sent."""

    study_instance_uid: str
    patient_id: str
    references: tuple[InstanceReference, ...]
    files: tuple[bytes, ...]

    @property
    def series_instance_uids(self) -> tuple[str, ...]:
        """Return the series in the order of their first file."""
        return tuple(dict.fromkeys(item.series_instance_uid for item in self.references))

    def of_series(self, series_instance_uid: str) -> dict[str, bytes]:
        """Return SOP Instance UID -> file of one series."""
        return {
            reference.sop_instance_uid: data
            for reference, data in zip(self.references, self.files, strict=True)
            if reference.series_instance_uid == series_instance_uid
        }


def tiny_study(
    *modalities: str, slices: int = 4, announce: bool = False, added_to: TinyStudy | None = None
) -> TinyStudy:
    """Return a study with one series for each modality (one CT by default).

    Parameters
    ----------
    announce : the series say how many instances they have.
    added_to : a study that the new series belong to.
    """
    study = added_to.study_instance_uid if added_to else new_uid()
    patient = added_to.patient_id if added_to else f"T{os.getpid()}N{next(_numbers)}"
    frame = new_uid()
    references, files = [], []
    for modality in modalities or ("CT",):
        series = new_uid()
        for number in range(1 if modality == "RTSTRUCT" else slices):
            dataset = _instance(modality, study, series, frame, patient, number)
            if announce:
                dataset.ImagesInAcquisition = slices
                dataset.NumberOfTemporalPositions = 1
                if modality == "PT":
                    dataset.NumberOfSlices = slices
            files.append(file_of(dataset))
            references.append(
                InstanceReference(study, series, dataset.SOPInstanceUID, CLASSES[modality])
            )
    return TinyStudy(study, patient, tuple(references), tuple(files))


def file_of(dataset: Dataset) -> bytes:
    """Return the Part 10 file of a data set."""
    sink = BytesIO()
    dcmwrite(sink, dataset, enforce_file_format=True)
    return sink.getvalue()


def dataset_of(data: bytes) -> Dataset:
    """Return the data set of a file, fully decoded."""
    dataset = dcmread(BytesIO(data))
    dataset.decode()
    return dataset


def _instance(
    modality: str, study: str, series: str, frame: str, patient: str, number: int
) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CLASSES[modality]
    dataset.SOPInstanceUID = new_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.PatientID, dataset.PatientName = patient, "Synthetic^Nobody"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "O"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20260102", "101112", "1"
    dataset.AccessionNumber = f"A{patient[1:]}"[:16]
    dataset.ReferringPhysicianName = ""
    dataset.Modality, dataset.SeriesNumber = modality, 1
    dataset.SeriesDescription = f"tiny {modality}"
    dataset.BodyPartExamined, dataset.Manufacturer = "LEG", "Osteon tests"
    dataset.FrameOfReferenceUID = frame
    dataset.InstanceNumber = number + 1
    if modality != "RTSTRUCT":
        _pixels(dataset, number)
    return dataset


def _pixels(dataset: Dataset, number: int) -> None:
    dataset.PatientPosition = "HFS"
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-8, -8, 3 * number]
    dataset.PixelSpacing, dataset.SliceThickness = [1, 1], 3
    dataset.Rows = dataset.Columns = 16
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
    values = np.arange(256, dtype="<u2").reshape(16, 16) + 1000 + 7 * number
    dataset.PixelData = values.tobytes()
