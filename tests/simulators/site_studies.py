"""A site's own studies as DICOM files: a CT with a bright box, and the approved contour of it.

`write_studies` writes good ones of several patients; `Study` says what one of them is like, so
that a test can spoil one thing.

Read next: `dicom_objects.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from tests.simulators.dicom_objects import (
    dose_grid,
    encode,
    image_series,
    set_pixels,
    structure_set,
    uid,
)

SHAPE, SPACING, ORIGIN = (16, 40, 40), (3.0, 2.0, 2.0), (-40.0, -40.0, 0.0)
BOX = (slice(5, 9), slice(12, 24), slice(14, 26))
PLAN: dict[str, Any] = {
    "name": "ours", "version": "1", "purpose": "tests", "reference_standard": "a box",
    "legal_basis": "tests", "de_identification": "nobody", "site": "site-a",
    "structures": {"GTV primary": "GTVp"},
    "provenance": {"made_by": "physicist", "made_on": "", "method": "a box", "origin": "manual"},
    "data_governance": dict.fromkeys("abcdefgh", "All."),
}  # fmt: skip


@dataclass(frozen=True)
class Study:
    """How one study is written.

    Parameters
    ----------
    sets : names of the regions, one structure set each.
    frames : of the box, relative to its own, that have a contour.
    shift_mm : of the contours along x.
    missing : numbers of CT files that are not there.
    """

    number: int
    sets: tuple[str, ...] = ("GTV Primary",)
    approval: str = "APPROVED"
    frames: tuple[int, ...] = (0, 1, 2, 3)
    shift_mm: float = 0.0
    missing: tuple[int, ...] = ()
    other_frame: bool = False
    age: str = "034Y"
    sex: str = "F"
    model: str = "Builder"
    patient_id: str = ""

    @property
    def name(self) -> str:
        """Return what its UIDs are made from."""
        return f"site-{self.number}"


def write_studies(folder: Path, *studies: Study) -> Path:
    """Write studies into a folder, each below the name of its patient; return the folder."""
    for study in studies:
        place = folder / f"Quillfeather {study.number}"
        place.mkdir(parents=True, exist_ok=True)
        images = _images(study)
        for number, image in enumerate(images):
            if number not in study.missing:
                (place / f"IM{number:03}.dcm").write_bytes(encode(image))
        for number, name in enumerate(study.sets):
            (place / f"RS{number}.dcm").write_bytes(encode(_drawn(study, images, number, name)))
    return folder


def write_dose(folder: Path, study: Study, *, frames: int = 16) -> None:
    """Add a planned dose on a grid twice as coarse, of a plan that is approved, to a study."""
    place = folder / f"Quillfeather {study.number}"
    values = np.full((frames, 20, 20), 60_000, dtype=np.uint32)
    dose = dose_grid(values, offsets=[3.0 * index for index in range(frames)])
    dose.ImagePositionPatient = [-39.0, -39.0, 0.0]
    dose.PixelSpacing = [4.0, 4.0]
    named = Dataset()
    named.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.5"
    named.ReferencedSOPInstanceUID = uid(study.name, "plan")
    dose.ReferencedRTPlanSequence = [named]
    plan = Dataset()
    _of_study(plan, study, "plan")
    plan.SOPClassUID, plan.Modality = named.ReferencedSOPClassUID, "RTPLAN"
    plan.SOPInstanceUID, plan.ApprovalStatus = named.ReferencedSOPInstanceUID, study.approval
    _of_study(dose, study, "dose")
    (place / "RD.dcm").write_bytes(encode(dose))
    (place / "RP.dcm").write_bytes(encode(plan))


def _images(study: Study) -> list[Dataset]:
    random = np.random.default_rng(study.number)
    values = np.full(SHAPE, -1000, dtype=np.int16)
    body = (slice(None), slice(6, 34), slice(6, 34))
    # Lumps of tissue of a patient's own: else all patients would be one, and told as that.
    lumps = np.kron(random.choice([-140.0, 200.0], size=(4, 10, 10)), np.ones((4, 4, 4)))
    values[body] = random.normal(lumps[body], 10.0).astype(np.int16)
    values[BOX] = 700
    images = image_series(
        shape=SHAPE, spacing_mm=SPACING, origin_mm=ORIGIN, study=study.name, series="ct"
    )
    for image, plane in zip(images, values, strict=True):
        set_pixels(image, plane)
        _of_study(image, study, "ct")
        image.PatientAge = study.age
        image.BodyPartExamined, image.ManufacturerModelName = "THIGH", study.model
        image.StationName = "CT-Quillfeather"
    return images


def _drawn(study: Study, images: list[Dataset], number: int, name: str) -> Dataset:
    frames, rows, columns = BOX
    contours = []
    for frame in study.frames:
        top, low = (ORIGIN[1] + SPACING[1] * (edge - 0.5) for edge in (rows.start, rows.stop))
        left, right = (
            ORIGIN[0] + SPACING[2] * (edge - 0.5) + study.shift_mm
            for edge in (columns.start, columns.stop)
        )
        z = ORIGIN[2] + SPACING[0] * (frames.start + frame)
        corners = [(left, top), (right, top), (right, low), (left, low)]
        contours.append(np.array([(x, y, z) for x, y in corners]))
    drawn = structure_set(contours, images=images)
    _of_study(drawn, study, f"structures-{number}")
    frame_uid = uid("elsewhere") if study.other_frame else images[0].FrameOfReferenceUID
    drawn.SOPInstanceUID = uid(study.name, "structures", number)
    drawn.StructureSetROISequence[0].ROIName = name
    drawn.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = frame_uid
    drawn.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = frame_uid
    drawn.FrameOfReferenceUID = frame_uid
    drawn.ApprovalStatus = study.approval
    return drawn


def _of_study(dataset: Dataset, study: Study, series: str) -> None:
    dataset.StudyInstanceUID = uid(study.name)
    dataset.SeriesInstanceUID = uid(study.name, series)
    dataset.FrameOfReferenceUID = uid(study.name, "frame of reference")
    dataset.PatientID = study.patient_id or f"PID-4711{study.number}"
    dataset.PatientName = "Quillfeather^Zzyzx"
    dataset.PatientSex = study.sex
    dataset.PatientBirthDate = f"{2024 - int(study.age[:3])}0203" if study.age else ""
