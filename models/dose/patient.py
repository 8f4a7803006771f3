"""What a dose is predicted from: CT, targets with prescription, organs, dose mask, spacing.

Axes are those of OpenKBP: row (anterior to posterior), column (patient's right to left), slice
(superior to inferior). Source: Babier et al. 2021, Med Phys 48:5549 (OpenKBP).
Read `inputs.py` next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

ORGANS = (
    "Brainstem",
    "SpinalCord",
    "RightParotid",
    "LeftParotid",
    "Esophagus",
    "Larynx",
    "Mandible",
)
LEVELS = {"PTV56": 56.0, "PTV63": 63.0, "PTV70": 70.0}
"""Targets of OpenKBP and their prescription in Gy; the network is trained on these levels."""
TOP_GY = 70.0


@dataclass(frozen=True, slots=True)
class Beams:
    """Hold the beams of a plan, where they are known.

    Parameters
    ----------
    gantry_degrees : of each beam, around the patient: 0 is from in front, 90 from the patient's
        left; of a patient on the back, head to the gantry, the gantry angles of IEC 61217.
    isocentre_voxel : index in the CT's axes, fractions allowed; None: the centroid of the targets.
    otherwise : what sets the beams apart from static coplanar photon fields; "" where nothing.
    """

    gantry_degrees: tuple[float, ...]
    isocentre_voxel: tuple[float, float, float] | None = None
    otherwise: str = ""

    def __post_init__(self) -> None:
        numbers = (*self.gantry_degrees, *(self.isocentre_voxel or ()))
        if not (self.gantry_degrees or self.otherwise) or not np.isfinite(numbers).all():
            raise ValueError("expected gantry angles and an isocentre that are finite numbers")


@dataclass(frozen=True, slots=True)
class Patient:
    """Hold one patient's arrays, all of the shape of the CT.

    Parameters
    ----------
    ct_hu : Hounsfield units.
    voxel_mm : spacing by axis (row, column, slice).
    possible_dose : where dose is reported; it is zero elsewhere.
    targets : prescription in Gy and mask of each target, in any number of levels.
    organs : masks by the names of `ORGANS`; any may be missing.
    beams : those of a plan; where None, nine fields around the centroid of the targets are assumed.
    """

    ct_hu: NDArray[np.int16]
    voxel_mm: tuple[float, float, float]
    possible_dose: BoolArray
    targets: tuple[tuple[float, BoolArray], ...]
    organs: Mapping[str, BoolArray] = field(default_factory=dict)
    beams: Beams | None = None

    def __post_init__(self) -> None:
        shape = self.ct_hu.shape
        masks = [self.possible_dose, *(mask for _, mask in self.targets), *self.organs.values()]
        if self.ct_hu.ndim != 3 or any(mask.shape != shape for mask in masks):
            raise ValueError(f"expected masks of the CT's shape {shape}")
        if not all(0 < step < np.inf for step in self.voxel_mm):
            raise ValueError(f"expected a spacing above zero, found {self.voxel_mm}")
        if unknown := set(self.organs) - set(ORGANS):
            raise ValueError(f"expected organs among {ORGANS}, found {sorted(unknown)}")
        if not any((mask & self.possible_dose).any() for _, mask in self.targets):
            raise ValueError("expected a target in the possible-dose mask, found none")
        if any(not 1 <= gray <= 200 for gray, _ in self.targets):
            raise ValueError("expected prescriptions between 1 and 200 Gy")

    @property
    def top_gy(self) -> float:
        """Return the highest prescription of a target that is not empty."""
        return max(gray for gray, mask in self.targets if mask.any())

    @property
    def isocentre(self) -> tuple[float, float, float] | None:
        """Return the isocentre of the beams by index in the CT's axes, where it is known."""
        return None if self.beams is None else self.beams.isocentre_voxel

    @property
    def target(self) -> BoolArray:
        """Return the union of the targets."""
        return np.asarray(np.logical_or.reduce([mask for _, mask in self.targets]), bool)


def patient_from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Patient:
    """Return the patient of plain arrays named as in OpenKBP.

    `ct`, `voxel_mm` and `possible_dose_mask`, then one boolean array for each structure that
    exists (`Brainstem` … `Mandible`, `PTV56`, `PTV63`, `PTV70`), and where known `gantry_degrees`
    (one a beam) and `isocentre_voxel` (three indices); other names are not read.

    Raises
    ------
    ValueError : an array is missing, of another shape or kind, or a target has another name.
    """
    for name in ("ct", "voxel_mm", "possible_dose_mask"):
        if name not in arrays:
            raise ValueError(f"expected an array named {name}, found {sorted(arrays)}")
    others = [name for name in arrays if name.upper().startswith("PTV") and name not in LEVELS]
    if others:
        raise ValueError(f"expected targets among {', '.join(LEVELS)}, found {sorted(others)}")
    spacing = [float(step) for step in _numbers(arrays, "voxel_mm").ravel()]
    if len(spacing) != 3:
        raise ValueError(f"expected three spacings, found {len(spacing)}")
    ct, limits = _numbers(arrays, "ct"), np.iinfo(np.int16)
    if ct.size and not limits.min <= ct.min() <= ct.max() <= limits.max:
        raise ValueError(f"expected ct from {limits.min} to {limits.max}, found beyond")
    given = {name: _mask(arrays, name) for name in (*LEVELS, *ORGANS) if name in arrays}
    masks = {name: mask for name, mask in given.items() if mask.any() or mask.shape != ct.shape}
    return Patient(
        np.rint(ct).astype(np.int16),
        (spacing[0], spacing[1], spacing[2]),
        _mask(arrays, "possible_dose_mask"),
        tuple((LEVELS[name], mask) for name, mask in masks.items() if name in LEVELS),
        {name: mask for name, mask in masks.items() if name in ORGANS},
        _beams(arrays),
    )


def _beams(arrays: Mapping[str, NDArray[np.generic]]) -> Beams | None:
    """Return the beams that plain arrays tell of; None where they tell of none."""
    if "gantry_degrees" not in arrays:
        if "isocentre_voxel" in arrays:
            raise ValueError("expected gantry_degrees beside isocentre_voxel, found none")
        return None
    angles = tuple(float(angle) for angle in _numbers(arrays, "gantry_degrees").ravel())
    if "isocentre_voxel" not in arrays:
        return Beams(angles)
    place = [float(index) for index in _numbers(arrays, "isocentre_voxel").ravel()]
    if len(place) != 3:
        raise ValueError(f"expected three indices in isocentre_voxel, found {len(place)}")
    return Beams(angles, (place[0], place[1], place[2]))


def _numbers(arrays: Mapping[str, NDArray[np.generic]], name: str) -> NDArray[np.generic]:
    """Return an array of numbers that are all finite."""
    values = np.asarray(arrays[name])
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise ValueError(f"expected finite numbers in {name}, found others")
    return values


def _mask(arrays: Mapping[str, NDArray[np.generic]], name: str) -> BoolArray:
    """Return a boolean array; numbers are taken where they are all zero or one."""
    values = np.asarray(arrays[name])
    if values.dtype.kind != "b" and not np.isin(values, (0, 1)).all():
        raise ValueError(f"expected true and false in {name}, found other values")
    return values.astype(bool)
