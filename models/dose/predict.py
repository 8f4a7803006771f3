"""From a patient to the dose in Gy on the CT's grid: channels, network, limits.

A grid within the spacings of the training data is used as it is; another one is brought to the
nearest of these spacings first, and the dose back after it. Start here, then `inputs.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file
from scipy.ndimage import map_coordinates

from models.dose import fluence, points
from models.dose.fluence import FluenceNet, planned
from models.dose.inputs import PLAN, Prepared, prepare, uncrop
from models.dose.mixture import planned_share
from models.dose.patient import TOP_GY, Patient
from models.dose.points import PointMachine
from models.dose.sharpen import sharpened
from models.dose.uncertainty import expected_error
from models.dose.voxels import PREFIX, VoxelNet, corrected_plan, widths_of

FloatArray = NDArray[np.float32]
Spacing = tuple[float, float, float]

SPACING_MM = ((1.9, 5.5), (1.9, 5.5), (1.5, 3.4))
"""Row, column and slice spacing of the 240 training and validation patients, from to."""


class DosePredictor:
    """Hold voxel networks and planning networks, of which either may be missing.

    Each kind corrects the quick plan on its own, and their mean is the answer (`mixture.py`): they
    err otherwise.
    What `points` foretells of whole structures moves that answer (`sharpen.py`).
    """

    def __init__(
        self,
        voxels: Sequence[VoxelNet] = (),
        planners: Sequence[FluenceNet] = (),
        points: PointMachine | None = None,
    ) -> None:
        self.voxels = tuple(one.eval() for one in voxels)
        self.planners = tuple(one.eval() for one in planners)
        self.points = points
        self._features: FloatArray = np.zeros(0, np.float32)

    @classmethod
    def load(cls, weights: Path) -> DosePredictor:
        """Return a predictor with the weights of a safetensors file, whatever its widths.

        Raises ValueError where the file is not one of these networks.
        """
        return cls._of(lambda: load_file(weights))

    @classmethod
    def from_bytes(cls, content: bytes) -> DosePredictor:
        """Return a predictor with the weights in the bytes of such a file; see `load`."""
        return cls._of(lambda: load_bytes(content))

    @classmethod
    def _of(cls, read: Callable[[], Mapping[str, torch.Tensor]]) -> DosePredictor:
        try:
            values = {n: v.float() if v.is_floating_point() else v for n, v in read().items()}
            return cls(*parts_of(values))
        except (SafetensorError, KeyError, IndexError, RuntimeError, ValueError) as error:
            raise ValueError(f"expected weights of the dose networks, found {error}") from error

    def warm(self) -> None:
        """Predict for a small patient of water, so that everything is compiled and in memory."""
        shape = (32, 32, 16)
        target = np.zeros(shape, bool)
        target[12:20, 12:20, 6:10] = True
        body = np.ones(shape, bool)
        water = np.zeros(shape, np.int16)
        self.predict_with_spread(Patient(water, (4.0, 4.0, 2.5), body, ((TOP_GY, target),)))

    def embedding(self, size: int) -> FloatArray:
        """Return the mean features of the last prediction's first network, at most `size`."""
        return self._features[:size]

    def predict(
        self, patient: Patient, priorities: Mapping[str, float] | None = None
    ) -> FloatArray:
        """Return the dose in Gy, float32, of the CT's shape; zero outside the mask.

        Parameters
        ----------
        priorities : factors on the weight of organs in the quick plan that is corrected.
        """
        spacing = trained_spacing(patient.voxel_mm)
        if spacing == patient.voxel_mm:
            return self.dose_of(prepare(patient, priorities), patient)
        there = resampled(patient, spacing)
        return back(self.dose_of(prepare(there, priorities), there), there.voxel_mm, patient)

    def predict_with_spread(
        self, patient: Patient, priorities: Mapping[str, float] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the dose and, voxel by voxel, the error that is to be expected (Gy).

        Both have the CT's shape and are zero outside the mask; see `uncertainty.expected_error`.

        Parameters
        ----------
        priorities : factors on the weight of organs in the quick plan that is corrected.
        """
        spacing = trained_spacing(patient.voxel_mm)
        there = patient if spacing == patient.voxel_mm else resampled(patient, spacing)
        prepared = prepare(there, priorities)
        dose, apart = self._both(prepared)
        spread = expected_error(dose, apart, prepared)
        found = (_on_grid(dose, prepared, there), _on_grid(spread, prepared, there))
        if there is patient:
            return found
        return back(found[0], there.voxel_mm, patient), back(found[1], there.voxel_mm, patient)

    def dose_of(self, prepared: Prepared, patient: Patient) -> FloatArray:
        """Return the dose of prepared channels on the patient's grid."""
        return _on_grid(self._both(prepared)[0], prepared, patient)

    def _both(self, prepared: Prepared) -> tuple[FloatArray, FloatArray]:
        """Return the dose and how far the kinds of answers lie apart, in units of 70 Gy."""
        dose, apart = self.mean_of(prepared)
        return sharpened(dose, prepared, self.points) if self.voxels else dose, apart

    def mean_of(self, prepared: Prepared) -> tuple[FloatArray, FloatArray]:
        """Return the mean of the answers, structures not moved, and how far they lie apart."""
        by_voxels, by_fluence = self.answers(prepared)
        share = planned_share(prepared)
        dose = by_voxels + share * (by_fluence - by_voxels)
        return dose, np.abs(by_voxels - by_fluence)

    def answers(self, prepared: Prepared) -> tuple[FloatArray, FloatArray]:
        """Return the voxel networks' answer and the planning networks', in units of 70 Gy.

        Where one kind is missing, the other's stands for it; where both are, the quick plan.
        """
        by_voxels = by_fluence = None
        if self.voxels:
            by_voxels, self._features = corrected_plan(self.voxels, prepared)
        if self.planners and prepared.view is not None:
            by_fluence = np.zeros_like(prepared.continuous[PLAN])
            by_fluence[prepared.masks[0]] = planned(self.planners, prepared.view)
        plan = prepared.continuous[PLAN]
        first = next((kept for kept in (by_voxels, by_fluence) if kept is not None), plan)
        return (
            first if by_voxels is None else by_voxels,
            first if by_fluence is None else by_fluence,
        )


def _on_grid(values: FloatArray, prepared: Prepared, patient: Patient) -> FloatArray:
    """Return values of the crop in Gy on the whole grid, zero outside the mask."""
    values = values * np.float32(TOP_GY * prepared.scale)
    return np.asarray(uncrop(values, prepared.box, patient.ct_hu.shape), np.float32)


def parts_of(
    values: Mapping[str, torch.Tensor],
) -> tuple[tuple[VoxelNet, ...], tuple[FluenceNet, ...], PointMachine | None]:
    """Return what stored weights hold; names begin with the prefix of their kind."""
    kinds = (PREFIX, fluence.PREFIX, points.PREFIX)
    unknown = sorted(name for name in values if not name.startswith(kinds))
    if unknown or not values:
        raise ValueError(f"names that begin with one of {kinds}, {unknown or 'nothing'}")
    return (
        voxel_networks_of(values),
        fluence.networks_of(values),
        points.machine_of(values),
    )


def voxel_networks_of(values: Mapping[str, torch.Tensor]) -> tuple[VoxelNet, ...]:
    """Return the voxel networks of stored weights, in the order of their numbers."""
    own: dict[str, dict[str, torch.Tensor]] = {}
    for name, kept in values.items():
        if name.startswith(PREFIX):
            number, _, inner = name.removeprefix(PREFIX).partition(".")
            own.setdefault(number, {})[inner] = kept
    networks = []
    for _, part in sorted(own.items()):
        networks.append(VoxelNet(widths_of(part), given=len(part["mean"])))
        networks[-1].load_state_dict(part)
    return tuple(networks)


def trained_spacing(voxel_mm: Spacing) -> Spacing:
    """Return the spacing nearest to this one that training patients had."""
    near = [
        min(max(step, low), high) for step, (low, high) in zip(voxel_mm, SPACING_MM, strict=True)
    ]
    return near[0], near[1], near[2]


def resampled(patient: Patient, spacing: Spacing) -> Patient:
    """Return the patient on a grid of another spacing with the same first voxel centre.

    The CT is read linearly, a mask is true where its linear reading is a half or more; a
    structure too small for the new grid keeps the voxel nearest to its centroid.
    """
    factor = np.asarray(spacing) / np.asarray(patient.voxel_mm)
    shape = tuple(
        int(np.floor((size - 1) / step)) + 1
        for size, step in zip(patient.ct_hu.shape, factor, strict=True)
    )
    grid = np.indices(shape, dtype=np.float32) * factor[:, None, None, None]

    def mask(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        out = np.asarray(_read(values.astype(np.float32), grid) >= 0.5)
        if values.any() and not out.any():
            centre = np.round(np.argwhere(values).mean(axis=0) / factor).astype(int)
            out[tuple(np.minimum(centre, np.asarray(shape) - 1))] = True
        return out

    beams = patient.beams
    if beams is not None and beams.isocentre_voxel is not None:
        row, column, index = (np.asarray(beams.isocentre_voxel) / factor).tolist()
        beams = replace(beams, isocentre_voxel=(row, column, index))
    return Patient(
        np.round(_read(patient.ct_hu.astype(np.float32), grid)).astype(np.int16),
        spacing,
        mask(patient.possible_dose),
        tuple((gray, mask(values)) for gray, values in patient.targets),
        {name: mask(values) for name, values in patient.organs.items()},
        beams,
    )


def back(dose: FloatArray, spacing: Spacing, patient: Patient) -> FloatArray:
    """Return a dose of another spacing on the patient's grid, zero outside its mask."""
    places = np.argwhere(patient.possible_dose).T
    factor = np.asarray(patient.voxel_mm) / np.asarray(spacing)
    out = np.zeros(patient.ct_hu.shape, np.float32)
    out[patient.possible_dose] = _read(dose, places * factor[:, None])
    return out


def _read(values: FloatArray, places: NDArray[np.float64]) -> FloatArray:
    return np.asarray(map_coordinates(values, places, order=1, mode="nearest"), np.float32)
