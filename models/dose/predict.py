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

from models.dose import points, trees
from models.dose.inputs import PLAN, Prepared, prepare, uncrop
from models.dose.network import DoseNet
from models.dose.patient import TOP_GY, Patient
from models.dose.points import PointMachine
from models.dose.sharpen import sharpened
from models.dose.trees import Trees
from models.dose.uncertainty import expected_error
from models.dose.voxels import PREFIX, VoxelNet, corrected_plans, widths_of
from models.unet.processor import native_bf16

FloatArray = NDArray[np.float32]
Spacing = tuple[float, float, float]

SPACING_MM = ((1.9, 5.5), (1.9, 5.5), (1.5, 3.4))
"""Row, column and slice spacing of the 240 training and validation patients, from to."""


WEIGHTS = {"voxels": 0.8, "trees": 0.2, "shapes": 0.2}
"""Of voxel networks, trees and U-Net in their mean, as far as there are some; chosen on 40
held-back training patients. Networks multiply in bfloat16 where the processor does so itself."""


class DosePredictor:
    """Hold voxel networks, trees and a U-Net, of which any may be missing.

    Each kind corrects the quick plan on its own, and their mean is the answer: they err otherwise.
    What `points` foretells of whole structures moves that answer (`sharpen.py`).
    """

    def __init__(
        self,
        network: DoseNet | None = None,
        voxels: Sequence[VoxelNet] = (),
        trees: Trees | None = None,
        points: PointMachine | None = None,
    ) -> None:
        self.network = None if network is None else network.eval()
        self.voxels = tuple(one.eval() for one in voxels)
        self.trees, self.points = trees, points
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
        answers = self.answers(prepared)
        whole = sum(WEIGHTS[kind] for kind in answers)
        dose = np.zeros_like(prepared.continuous[PLAN])
        for kind, answer in answers.items():
            dose += np.float32(WEIGHTS[kind] / whole) * answer
        apart = np.ptp(np.stack(list(answers.values())), axis=0)
        return dose, np.asarray(apart, np.float32)

    def answers(self, prepared: Prepared) -> dict[str, FloatArray]:
        """Return what each kind of `WEIGHTS` answers, in units of the prescription's scale."""
        found: dict[str, FloatArray] = {}
        if self.voxels or self.trees is not None:
            plans = corrected_plans(self.voxels, self.trees, prepared)
            self._features = plans.features
            if plans.networks is not None:
                found["voxels"] = plans.networks
            if plans.trees is not None:
                found["trees"] = plans.trees
        if self.network is not None:
            found["shapes"] = self._shapes(self.network, prepared)
        return found or {"voxels": prepared.continuous[PLAN]}

    def _shapes(self, network: DoseNet, prepared: Prepared) -> FloatArray:
        """Return the U-Net's answer."""
        channels = np.concatenate([prepared.continuous, prepared.masks])
        given = torch.from_numpy(channels).float()[None]
        given = given.contiguous(memory_format=torch.channels_last_3d)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, native_bf16()):
            answer = network(given)[0].float().clamp(min=0).numpy()
        return np.asarray(answer, np.float32)


def _on_grid(values: FloatArray, prepared: Prepared, patient: Patient) -> FloatArray:
    """Return values of the crop in Gy on the whole grid, zero outside the mask."""
    values = values * np.float32(TOP_GY * prepared.scale)
    return np.asarray(uncrop(values, prepared.box, patient.ct_hu.shape), np.float32)


def parts_of(
    values: Mapping[str, torch.Tensor],
) -> tuple[DoseNet | None, tuple[VoxelNet, ...], Trees | None, PointMachine | None]:
    """Return what stored weights hold; names of all but the U-Net's begin with a prefix."""
    others = (PREFIX, trees.PREFIX, points.PREFIX)
    rest = {name: kept for name, kept in values.items() if not name.startswith(others)}
    if not values:
        raise ValueError("expected tensors, found none")
    network = None
    if rest:
        network = network_of(rest)
        network.load_state_dict(rest)
    return network, voxel_networks_of(values), trees.trees_of(values), points.machine_of(values)


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


def network_of(values: Mapping[str, torch.Tensor]) -> DoseNet:
    """Return an untrained network of the widths and depths that stored weights have."""
    levels = 1 + max(int(name.split(".")[1]) for name in values if name.startswith("narrow."))
    widths = [values["fold.weight"].shape[0]]
    widths += [values[f"narrow.{level}.weight"].shape[0] for level in range(levels)]
    depths = []
    for level in range(levels + 1):
        blocks = {name.split(".")[2] for name in values if name.startswith(f"down.{level}.")}
        depths.append(len(blocks))
    return DoseNet(widths, depths, values["detail.0.weight"].shape[0])


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
