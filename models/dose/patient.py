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
class Patient:
    """Hold one patient's arrays, all of the shape of the CT.

    Parameters
    ----------
    ct_hu : Hounsfield units.
    voxel_mm : spacing by axis (row, column, slice).
    possible_dose : where dose is reported; it is zero elsewhere.
    targets : prescription in Gy and mask of each target, in any number of levels.
    organs : masks by the names of `ORGANS`; any may be missing.
    """

    ct_hu: NDArray[np.int16]
    voxel_mm: tuple[float, float, float]
    possible_dose: BoolArray
    targets: tuple[tuple[float, BoolArray], ...]
    organs: Mapping[str, BoolArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.ct_hu.shape
        masks = [self.possible_dose, *(mask for _, mask in self.targets), *self.organs.values()]
        if self.ct_hu.ndim != 3 or any(mask.shape != shape for mask in masks):
            raise ValueError(f"expected masks of the CT's shape {shape}")
        if min(self.voxel_mm) <= 0:
            raise ValueError(f"expected a spacing above zero, found {self.voxel_mm}")
        if unknown := set(self.organs) - set(ORGANS):
            raise ValueError(f"expected organs among {ORGANS}, found {sorted(unknown)}")
        if not self.possible_dose.any() or not any(mask.any() for _, mask in self.targets):
            raise ValueError("expected a possible-dose mask and a target that are not empty")
        if any(not 1 <= gray <= 200 for gray, _ in self.targets):
            raise ValueError("expected prescriptions between 1 and 200 Gy")

    @property
    def top_gy(self) -> float:
        """Return the highest prescription of a target that is not empty."""
        return max(gray for gray, mask in self.targets if mask.any())

    @property
    def target(self) -> BoolArray:
        """Return the union of the targets."""
        return np.asarray(np.logical_or.reduce([mask for _, mask in self.targets]), bool)


def patient_from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Patient:
    """Return the patient of plain arrays named as in OpenKBP.

    `ct`, `voxel_mm` and `possible_dose_mask`, then one boolean array for each structure that
    exists (`Brainstem` … `Mandible`, `PTV56`, `PTV63`, `PTV70`); other names are not read.
    """
    for name in ("ct", "voxel_mm", "possible_dose_mask"):
        if name not in arrays:
            raise ValueError(f"expected an array named {name}, found {sorted(arrays)}")
    spacing = [float(step) for step in np.asarray(arrays["voxel_mm"], np.float64).ravel()]
    if len(spacing) != 3:
        raise ValueError(f"expected three spacings, found {len(spacing)}")
    masks = {
        name: np.asarray(arrays[name]).astype(bool)
        for name in (*LEVELS, *ORGANS)
        if name in arrays and np.asarray(arrays[name]).any()
    }
    return Patient(
        np.asarray(arrays["ct"]).astype(np.int16),
        (spacing[0], spacing[1], spacing[2]),
        np.asarray(arrays["possible_dose_mask"]).astype(bool),
        tuple((LEVELS[name], mask) for name, mask in masks.items() if name in LEVELS),
        {name: mask for name, mask in masks.items() if name in ORGANS},
    )
