"""Read an RT Dose grid into a `Volume` in Gy.

Grid Frame Offset Vector comes in two forms (PS3.3 C.8.8.3.2): relative, its first value
zero, counted along the normal from Image Position (Patient); or absolute, its first value
the z coordinate of Image Position (Patient), allowed for axial grids only.

Standard: PS3.3 A.18, C.8.8.3 (RT Dose).

Read next: `read_plan.py`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from adapters.rt.read_checks import DEFAULT_LIMIT_BYTES, REQUIRED, check_series, check_size
from adapters.rt.read_facts import acquisition_facts
from adapters.rt.read_frames import Frame, numbers
from adapters.rt.read_geometry import check_spacing, uniform_step, unit_axes
from adapters.rt.read_part10 import Instance, Source, as_instance, readable_values
from adapters.rt.read_pixels import PixelFormat, decode, pixel_format
from adapters.rt.sources import SourceSeries
from audit.errors import GeometryError, MissingAttributeError, UnitsError
from audit.pseudonym import short
from plugins.host.images import Geometry, Vector3, Volume

OFFSET_TOLERANCE_MM = 0.01


@readable_values("the dose")
def read_dose(
    source: Source | Instance,
    *,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
    thickness_mm: float | None = None,
) -> tuple[Volume, SourceSeries]:
    """Return a dose grid in Gy and its header.

    Parameters
    ----------
    thickness_mm : of a single plane that states none; without it such a plane is refused.

    Raises
    ------
    UnitsError : the dose is not in Gy, or has no scaling.
    GeometryError : the planes are not uniform, or their offsets cannot be understood.
    ModalityError, MissingAttributeError, TruncatedError, TooLargeError : see `audit.errors`.
    """
    instance = as_instance(source)
    notes = check_series([instance], "RTDOSE", REQUIRED)
    check_size([instance], limit_bytes)
    dataset = instance.dataset
    scaling = _scaling(dataset)
    geometry, order = _grid(dataset, pixel_format(instance), thickness_mm)
    uid = str(dataset.SOPInstanceUID)
    place, cosines = geometry.origin_mm, (*geometry.axes[2], *geometry.axes[1])
    spacing = geometry.spacing_mm[1:]
    frames = [
        Frame(0, index, uid, place, cosines, spacing, None, scaling, 0.0, "", ()) for index in order
    ]
    volume = Volume(
        array=decode([instance], frames, [(scaling, 0.0)] * len(frames)),
        geometry=geometry,
        modality="RTDOSE",
        units="Gy",
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uids=(uid,),
        acquisition=acquisition_facts(dataset),
        notes=notes,
    )
    frame_numbers = tuple(index + 1 for index in order) if len(order) > 1 else ()
    return volume, SourceSeries(volume.series_instance_uid, (dataset,), frame_numbers)


def _grid(
    dataset: Dataset, layout: PixelFormat, thickness_mm: float | None
) -> tuple[Geometry, tuple[int, ...]]:
    """Return the grid, and the stored index of each plane in the order of the grid."""
    uid = str(dataset.SOPInstanceUID)
    words = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    position, cosines, spacing = (
        numbers(dataset.get(word), word, uid, count)
        for word, count in zip(words, (3, 6, 2), strict=True)
    )
    column_axis, row_axis, normal = unit_axes(cosines, uid)
    corner = np.array(position)
    offsets = _offsets(dataset, corner, normal)
    order = np.argsort(offsets, kind="stable")
    depth = offsets[order]
    geometry = Geometry(
        shape=(len(order), layout.rows, layout.columns),
        spacing_mm=(
            _step(dataset, depth, thickness_mm),
            check_spacing(spacing[0], "Pixel Spacing"),
            check_spacing(spacing[1], "Pixel Spacing"),
        ),
        origin_mm=_vector(corner + depth[0] * normal),
        axes=(_vector(normal), _vector(row_axis), _vector(column_axis)),
        frame_of_reference_uid=str(dataset.FrameOfReferenceUID),
    )
    return geometry, tuple(int(index) for index in order)


def _scaling(dataset: Dataset) -> float:
    units = str(dataset.get("DoseUnits") or "")
    if units != "GY":
        raise UnitsError(f"expected DoseUnits GY, found {units[:16] or 'none'}")
    if str(dataset.get("DoseType") or "") == "ERROR":
        raise UnitsError("expected a dose, found DoseType ERROR (a difference of doses)")
    try:
        scaling = float(dataset.get("DoseGridScaling") or math.nan)
    except (TypeError, ValueError):
        scaling = math.nan
    if not scaling > 0 or math.isinf(scaling):
        raise UnitsError("expected a positive DoseGridScaling, found none")
    return scaling


def _offsets(
    dataset: Dataset, position: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the place of each plane along the normal, from Image Position (Patient)."""
    uid = str(dataset.SOPInstanceUID)
    count = int(dataset.get("NumberOfFrames") or 1)
    stated = dataset.get("GridFrameOffsetVector")
    if count == 1:
        return np.zeros(1)
    values = np.array(numbers(stated, "GridFrameOffsetVector", uid, count))
    if len(stated) != count:
        raise GeometryError(
            f"expected {count} values of GridFrameOffsetVector in instance {short(uid)}, found "
            f"{len(stated)}"
        )
    if abs(values[0]) <= OFFSET_TOLERANCE_MM:
        return values
    if abs(abs(normal[2]) - 1) <= 1e-3 and abs(values[0] - position[2]) <= OFFSET_TOLERANCE_MM:
        return np.asarray((values - position[2]) * np.sign(normal[2]))
    raise GeometryError(
        f"expected GridFrameOffsetVector to start at 0 or at the z of ImagePositionPatient in "
        f"instance {short(uid)}, found {values[0]:g}"
    )


def _step(dataset: Dataset, depth: NDArray[np.float64], otherwise: float | None) -> float:
    if len(depth) > 1:
        return uniform_step(depth)
    vector = dataset.get("GridFrameOffsetVector")
    if vector is not None and not isinstance(vector, (str, float)) and len(vector) > 1:
        return check_spacing(abs(float(vector[1]) - float(vector[0])), "plane spacing")
    if dataset.get("SliceThickness"):
        return check_spacing(float(dataset.SliceThickness), "slice thickness")
    if otherwise is not None:
        return otherwise
    raise MissingAttributeError("expected SliceThickness of a single dose plane, found none")


def _vector(values: NDArray[np.float64]) -> Vector3:
    return (float(values[0]) + 0.0, float(values[1]) + 0.0, float(values[2]) + 0.0)
