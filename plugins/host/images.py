"""Images and radiotherapy objects as typed values.

Arrays are (frames, rows, columns); patient coordinates are LPS millimetres (DICOM
PS3.3 C.7.6.2.1.1).  `Geometry` carries one uniform grid; `Volume` a decoded series in
modality units; `Radiograph` one projection image; `StructureSet`, `Plan` the RT objects a
plugin may ask for.

Read next: `case.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from audit.errors import GeometryError

Vector3 = tuple[float, float, float]
SPACING_MEANINGS = ("detector", "geometry", "fiducial", "calibrated", "unknown")


@dataclass(frozen=True, slots=True)
class Code:
    """Name a concept by value, coding scheme and meaning (PS3.3 Section 8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Geometry:
    """Place a uniform grid of voxels in the patient.

    Parameters
    ----------
    shape : (frames, rows, columns).
    spacing_mm : distance between voxel centres along (frames, rows, columns).
    origin_mm : LPS (x, y, z) of the centre of voxel [0, 0, 0].
    axes : LPS unit vectors along increasing (frame, row, column) index.
    frame_of_reference_uid : grids with different ones are not comparable.

    Raises
    ------
    GeometryError : a spacing is not positive, or the axes are not orthonormal
        (tolerance 1e-3).
    """

    shape: tuple[int, int, int]
    spacing_mm: Vector3
    origin_mm: Vector3
    axes: tuple[Vector3, Vector3, Vector3]
    frame_of_reference_uid: str

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or min(self.spacing_mm) <= 0:
            raise GeometryError(
                f"expected positive shape and spacing, found {self.shape} and {self.spacing_mm}"
            )
        matrix = np.asarray(self.axes, dtype=np.float64)
        if not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-3):
            raise GeometryError("expected orthonormal axes, found a sheared or scaled grid")

    def affine(self) -> NDArray[np.float64]:
        """Return the 4 x 4 matrix from (frame, row, column, 1) indices to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = (np.asarray(self.axes) * np.asarray(self.spacing_mm)[:, None]).T
        matrix[:3, 3] = self.origin_mm
        return matrix

    def to_patient(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return LPS mm (..., 3) of fractional (frame, row, column) indices (..., 3)."""
        affine = self.affine()
        return np.asarray(index @ affine[:3, :3].T + affine[:3, 3])

    def to_index(self, point_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return fractional (frame, row, column) indices of LPS points (..., 3); inverse of
        `to_patient`."""
        inverse = np.linalg.inv(self.affine())
        return np.asarray(point_mm @ inverse[:3, :3].T + inverse[:3, 3])

    def voxel_volume_ml(self) -> float:
        """Return the volume of one voxel in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000.0


@dataclass(frozen=True, slots=True)
class Volume:
    """Hold one decoded series in modality units.

    Parameters
    ----------
    array : (frames, rows, columns); HU for CT, SUV body weight (g/ml) for PET, stored
        values for MR, Gy for dose.
    geometry : the grid; frame 0 has the smallest position along ``geometry.axes[0]``.
    modality : DICOM modality (CT, PT, MR, RTDOSE).
    units : UCUM code ([hnsf'U], g/ml, 1, Gy).
    sop_instance_uids : one per frame for single-frame objects, else one for all.
    acquisition : facts for envelope and drift, e.g. ``manufacturer``,
        ``convolution_kernel``, ``slice_thickness_mm``, ``kvp``.
    notes : what the reader repaired or noticed, as stable codes.
    """

    array: NDArray[np.float32]
    geometry: Geometry
    modality: str
    units: str
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uids: tuple[str, ...]
    acquisition: Mapping[str, str | float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise GeometryError(
                f"expected an array of {self.geometry.shape}, found {self.array.shape}"
            )


@dataclass(frozen=True, slots=True)
class Radiograph:
    """Hold one projection image (CR, DX); it has no place in the patient.

    Parameters
    ----------
    array : float32 (rows, columns); larger is brighter when shown as the object asks
        (PS3.3 C.7.6.3.1.2), so that more absorbed is larger.
    spacing_mm : between rows, between columns; None where nobody states it.
    spacing_meaning : where that spacing holds (PS3.3 10.7): at the ``detector``, on which
        the patient is magnified; in the patient, calibrated by ``geometry``, by a
        ``fiducial`` or by means not stated (``calibrated``); or ``unknown``.
    patient_orientation : where a row and a column lead, as A, P, R, L, H, F (C.7.6.1.1.1);
        empty where not stated, as are view and laterality.
    acquisition, notes : as for `Volume`.
    """

    array: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None
    spacing_meaning: str
    modality: str
    view_position: str
    laterality: str
    patient_orientation: tuple[str, str]
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    acquisition: Mapping[str, str | float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array.ndim != 2 or min(self.array.shape) < 1:
            raise GeometryError(f"expected rows and columns, found {self.array.shape}")
        if self.spacing_meaning not in SPACING_MEANINGS:
            raise GeometryError(f"expected one of {SPACING_MEANINGS}, found another meaning")
        if self.spacing_mm is not None and min(self.spacing_mm) <= 0:
            raise GeometryError(f"expected a positive spacing, found {self.spacing_mm}")


@dataclass(frozen=True, slots=True)
class Contour:
    """One contour of a region: (points, 3) LPS mm and its geometric type."""

    points_mm: NDArray[np.float64]
    geometric_type: str = "CLOSED_PLANAR"
    referenced_sop_instance_uid: str | None = None


@dataclass(frozen=True, slots=True)
class RegionOfInterest:
    """One region of a structure set with its contours (PS3.3 C.8.8.5, C.8.8.6)."""

    number: int
    name: str
    interpreted_type: str
    contours: tuple[Contour, ...]


@dataclass(frozen=True, slots=True)
class StructureSet:
    """An RT Structure Set as typed values."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    frame_of_reference_uid: str
    referenced_series_instance_uids: tuple[str, ...]
    approval_status: str
    rois: tuple[RegionOfInterest, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ControlPoint:
    """One control point of a beam; angles in degrees, leaf and jaw positions in mm."""

    index: int
    cumulative_meterset_weight: float
    gantry_angle_deg: float | None
    collimator_angle_deg: float | None
    couch_angle_deg: float | None
    isocentre_mm: Vector3 | None
    device_positions_mm: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Beam:
    """One beam with its control points; meterset in MU where the plan states it.

    ``delivery_type`` is the Treatment Delivery Type (300A,00CE), e.g. TREATMENT or SETUP;
    ``patient_position`` that of the beam's patient setup (PS3.3 C.7.3.1.1.2), e.g. HFS; both
    empty where not stated.
    """

    number: int
    name: str
    radiation_type: str
    machine: str
    meterset: float | None
    control_points: tuple[ControlPoint, ...]
    delivery_type: str = ""
    patient_position: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """An RT Plan or RT Ion Plan as typed values; doses in Gy.

    ``target_doses`` are the ROI Number and Target Prescription Dose of each target of the
    structure set that the plan refers to (PS3.3 C.8.8.10); ``prescriptions_gy`` all doses.
    ``intent`` is the Plan Intent (C.8.8.9), ``replaces`` the plans of which it says that they
    are its predecessors; these and ``frame_of_reference_uid`` are empty where not stated.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    approval_status: str
    fraction_count: int | None
    prescriptions_gy: tuple[float, ...]
    referenced_structure_set_uid: str | None
    beams: tuple[Beam, ...]
    notes: tuple[str, ...] = ()
    target_doses: tuple[tuple[int, float], ...] = ()
    intent: str = ""
    frame_of_reference_uid: str = ""
    replaces: tuple[str, ...] = ()
