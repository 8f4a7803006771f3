"""Studies of MR alone, as a scanner and a planning system would leave them: limb phantoms.

Read next: `site_studies.py`, whose patients have a CT.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from adapters.rt.write_phantom import PhantomStudy, encode_limb
from tests.simulators.dicom_objects import encode, structure_set, uid
from validation.phantoms.limb import LimbParameters, limb, vary

CORNERS = 90


@dataclass(frozen=True)
class MrStudy:
    """How one study is written; ``name`` is that of the region in its structure set."""

    number: int
    t2: bool = False
    name: str = "GTV Primary"
    other_frame: bool = False
    approval: str = "APPROVED"
    copy_of: int | None = None

    @property
    def parameters(self) -> LimbParameters:
        """Return the phantom of the study, without PET and small."""
        seed = self.number if self.copy_of is None else self.copy_of
        return replace(
            vary(seed, has_pet=False), margin_mm=(25.0, 25.0, 25.0), has_mr=True, has_t2=self.t2
        )


def write_mr_studies(folder: Path, *studies: MrStudy) -> Path:
    """Write studies into a folder, MR and contours and no CT; return the folder."""
    for study in studies:
        place = folder / f"Quillfeather {study.number}"
        place.mkdir(parents=True, exist_ok=True)
        written = PhantomStudy(
            name=f"site-{study.number}", patient_name="Quillfeather^Zzyzx",
            patient_id=f"PID-4711{study.number}",
        )  # fmt: skip
        files = encode_limb(limb(study.parameters), written)
        kept = {name: raw for name, raw in files.items() if not name.startswith("CT-")}
        for number, raw in enumerate(kept.values()):
            (place / f"IM{number:03}.dcm").write_bytes(raw)
        images = [dcmread(BytesIO(raw)) for name, raw in kept.items() if name.startswith("MR-")]
        (place / "RS0.dcm").write_bytes(encode(_drawn(study, images)))
    return folder


def _drawn(study: MrStudy, images: list[Dataset]) -> Dataset:
    """Return the lesion's contours on the frames that cut it."""
    places = [float(image.ImagePositionPatient[2]) for image in images]
    contours = [c for z in places if (c := _ellipse(study.parameters, z)) is not None]
    drawn = structure_set(contours, images=images)
    first = images[0]
    frame = uid("elsewhere") if study.other_frame else first.FrameOfReferenceUID
    for word in ("StudyInstanceUID", "PatientID", "PatientName", "PatientSex", "PatientBirthDate"):
        setattr(drawn, word, first.get(word))
    drawn.SeriesInstanceUID = uid(f"mr-{study.number}", "structures")
    drawn.SOPInstanceUID = uid(f"mr-{study.number}", "structures", 1)
    region = drawn.StructureSetROISequence[0]
    region.ROIName, region.ReferencedFrameOfReferenceUID = study.name, frame
    drawn.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = frame
    drawn.FrameOfReferenceUID, drawn.ApprovalStatus = frame, study.approval
    return drawn


def _ellipse(of: LimbParameters, z: float) -> NDArray[np.float64] | None:
    """Return the edge of the lesion in an axial plane, in LPS mm; None where it cuts nothing."""
    (cx, cy, cz), (a, b, c) = of.centre_mm, of.semi_axes_mm
    left = 1.0 - ((z - cz) / c) ** 2
    if left <= 0.01:
        return None
    angle, tilt = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False), np.deg2rad(of.tilt_deg)
    x, y = a * np.sqrt(left) * np.cos(angle), b * np.sqrt(left) * np.sin(angle)
    turned = (np.cos(tilt) * x - np.sin(tilt) * y, np.sin(tilt) * x + np.cos(tilt) * y)
    return np.column_stack([cx + turned[0], cy + turned[1], np.full(CORNERS, z)])
