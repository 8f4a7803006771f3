"""RT Dose: a predicted dose and its histograms, for planning systems to show beside a plan.

A predicted dose belongs to no treatment plan. Where the study has a plan, it is named as the one
whose geometry the prediction follows (Dose Summation Type PLAN asks for one); where it has none,
the object is a PLAN_OVERVIEW that names the structure set only. Series Description, Dose Comment
and the histograms' comment say in either case that it is predicted and not for treatment.

Pixels are 32-bit and scaled so that the maximum fills them: the rounding is below 1e-7 Gy.

Source: PS3.3 A.18 (RT Dose IOD), C.8.8.3 (RT Dose), C.8.8.4 (RT DVH).
Read next: `read_dose.py`, which reads it back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import RTDoseStorage
from pydicom.valuerep import format_number_as_ds

from adapters.rt.equipment import Label, WritingContext, stamp
from adapters.rt.repair import repair_long
from audit.errors import PluginOutputError
from models.physics.dvh import DoseVolumeHistogram
from plugins.host.images import Geometry

BITS = 32
MARK = "PREDICTED DOSE, NOT FOR TREATMENT"
RT_PLAN_STORAGE = "1.2.840.10008.5.1.4.1.1.481.5"
RT_STRUCTURE_SET_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"


@dataclass(frozen=True, slots=True)
class DoseObject:
    """Hold what one RT Dose object is made from.

    Parameters
    ----------
    dose_gy : float32 (frames, rows, columns) on ``geometry``, finite and not negative.
    structure_set_uid : the structure set that the prediction was made for.
    plan_uid : the study's plan whose fields the prediction follows, if it has one.
    histograms : by ROI Number of that structure set.
    """

    dose_gy: NDArray[np.float32]
    geometry: Geometry
    structure_set_uid: str
    plan_uid: str | None = None
    histograms: Sequence[tuple[int, DoseVolumeHistogram]] = ()

    def __post_init__(self) -> None:
        if self.dose_gy.shape != self.geometry.shape:
            raise PluginOutputError(
                f"expected a dose of {self.geometry.shape}, found {self.dose_gy.shape}"
            )
        if not np.all(np.isfinite(self.dose_gy)) or self.dose_gy.min() < 0:
            raise PluginOutputError("expected doses of 0 Gy or more, found another number")
        if not self.dose_gy.any():
            raise PluginOutputError("expected a dose above zero somewhere, found none")


def write_dose(context: WritingContext, dose: DoseObject, number: int = 1) -> Dataset:
    """Return the RT Dose object; `read_dose` gives the dose back within 1e-6 Gy."""
    label = Label("RTDOSE", number, "predicted dose")
    dataset = Dataset()
    dataset.SOPClassUID = RTDoseStorage
    dataset.Modality = "RTDOSE"
    dataset.OperatorsName = None
    dataset.FrameOfReferenceUID = dose.geometry.frame_of_reference_uid
    dataset.PositionReferenceIndicator = None
    dataset.DoseUnits = "GY"
    dataset.DoseType = "PHYSICAL"
    dataset.DoseComment = repair_long(f"{MARK}; run {context.request.run_id}")[0]
    dataset.ReferencedStructureSetSequence = [
        _reference(RT_STRUCTURE_SET_STORAGE, dose.structure_set_uid)
    ]
    if dose.plan_uid is not None:
        dataset.DoseSummationType = "PLAN"
        dataset.ReferencedRTPlanSequence = [_reference(RT_PLAN_STORAGE, dose.plan_uid)]
    else:
        dataset.DoseSummationType = "PLAN_OVERVIEW"
        dataset.PlanOverviewSequence = [_overview(dose)]
    _put_grid(dataset, dose)
    if dose.histograms:
        dataset.DVHSequence = [_histogram(roi, held) for roi, held in dose.histograms]
    return stamp(dataset, context, label)


def _overview(dose: DoseObject) -> Dataset:
    """Return the item that stands for the plan that does not exist (PS3.3 C.8.8.3)."""
    item = Dataset()
    item.PlanOverviewIndex = 1
    item.RTPlanLabel = "PREDICTED"
    item.ReferencedStructureSetSequence = [
        _reference(RT_STRUCTURE_SET_STORAGE, dose.structure_set_uid)
    ]
    return item


def _put_grid(dataset: Dataset, dose: DoseObject) -> None:
    """Write pixels, scaling and place; frames follow the normal of rows and columns."""
    geometry, values = dose.geometry, dose.dose_gy
    row_cosines, column_cosines = np.asarray(geometry.axes[2]), np.asarray(geometry.axes[1])
    backwards = float(np.cross(row_cosines, column_cosines) @ np.asarray(geometry.axes[0])) < 0
    first = np.asarray([geometry.shape[0] - 1 if backwards else 0, 0, 0], np.float64)
    if backwards:
        values = values[::-1]
    scaling = _scaling(float(values.max()))
    stored = np.rint(values.astype(np.float64) / float(scaling)).astype("<u4")
    dataset.ImagePositionPatient = [_decimal(value) for value in geometry.to_patient(first)]
    cosines = (*row_cosines, *column_cosines)
    dataset.ImageOrientationPatient = [_decimal(value) for value in cosines]
    dataset.PixelSpacing = [_decimal(value) for value in geometry.spacing_mm[1:]]
    dataset.SliceThickness = _decimal(geometry.spacing_mm[0])
    dataset.GridFrameOffsetVector = [
        _decimal(index * geometry.spacing_mm[0]) for index in range(geometry.shape[0])
    ]
    dataset.FrameIncrementPointer = 0x3004000C
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = geometry.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = BITS
    dataset.HighBit, dataset.PixelRepresentation = BITS - 1, 0
    dataset.DoseGridScaling = scaling
    dataset.PixelData = stored.tobytes()


def _scaling(most_gy: float) -> str:
    """Return the DS of a scaling with which the maximum just fits, rounded upwards."""
    exact = most_gy / (2**BITS - 1)
    digits = 8 - math.floor(math.log10(exact))
    return str(format_number_as_ds(math.ceil(exact * 10**digits) / 10**digits))


def _histogram(roi_number: int, held: DoseVolumeHistogram) -> Dataset:
    """Return a cumulative histogram in Gy and cm³ (PS3.3 C.8.8.4)."""
    edges, above = held.cumulative_mm3()
    last = int(np.flatnonzero(above > 0)[-1]) + 1 if above[0] > 0 else 1
    pairs: list[str] = []
    for volume in above[:last]:
        pairs += [_decimal(edges[1] - edges[0]), _decimal(volume / 1000.0)]
    contribution = Dataset()
    contribution.ReferencedROINumber = roi_number
    contribution.DVHROIContributionType = "INCLUDED"
    item = Dataset()
    item.DVHReferencedROISequence = [contribution]
    item.DVHType, item.DoseUnits, item.DoseType = "CUMULATIVE", "GY", "PHYSICAL"
    item.DVHDoseScaling, item.DVHVolumeUnits = "1", "CM3"
    item.DVHNumberOfBins = last
    item.DVHData = pairs
    item.DVHMinimumDose, item.DVHMaximumDose = _decimal(held.least_gy), _decimal(held.most_gy)
    item.DVHMeanDose = _decimal(held.mean_gy)
    return item


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _decimal(value: float) -> str:
    return str(format_number_as_ds(round(float(value), 9) + 0.0))
