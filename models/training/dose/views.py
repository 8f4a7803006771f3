"""Keep what the fluence network learns from, once, on disk: views, drawn voxels, planned dose.

The dose is linear in the fluence (`models/dose/beams.py`), so its derivative is one adjoint; a
few thousand voxels of each patient are enough for it. Read `fluence.py` next.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.dose.beams import Fields, Rays, dose_of, fluence_gradient
from models.dose.eye import View
from models.dose.inputs import crop, prepare
from models.training.dose.packs import read_pack

FloatArray = NDArray[np.float32]

DRAWN = 20_000
SEED = 1
RAYS = ("bixel", "along_u", "along_v", "primary", "scatter")


@dataclass(frozen=True, slots=True)
class ViewCase:
    """Hold one patient: what the fields see, rays to drawn voxels, and their planned dose (Gy)."""

    maps: torch.Tensor
    fluences: torch.Tensor
    fields: Fields
    rays: Rays
    dose_gy: torch.Tensor


class DoseOf(torch.autograd.Function):
    """The dose of a fluence at the drawn voxels, with its adjoint."""

    @staticmethod
    def forward(ctx: Any, fluence: torch.Tensor, case: ViewCase) -> torch.Tensor:
        """Return the dose (N,) in Gy."""
        ctx.case = case
        given = np.ascontiguousarray(fluence.detach().numpy())
        return torch.from_numpy(dose_of(case.fields, given, case.rays))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the derivative by the fluence."""
        case: ViewCase = ctx.case
        found = fluence_gradient(case.fields, gradients[0].numpy(), case.rays)
        return torch.from_numpy(found), None


def keep_view(path: Path, folder: Path) -> None:
    """Write the view of one pack to `folder`, unless it is there."""
    out = folder / f"{path.stem}.npz"
    if out.exists():
        return
    patient, dose = read_pack(path)
    prepared = prepare(patient)
    if not isinstance(prepared.view, View):
        raise ValueError(f"expected a view of {path.stem}, found none")
    rays, fields = prepared.view.rays, prepared.view.fields
    allowed = prepared.masks[0]
    order = np.random.default_rng(SEED).permutation(rays.bixel.shape[1])
    drawn = np.sort(order[:DRAWN])
    arrays = {name: getattr(rays, name)[:, drawn] for name in RAYS}
    for axis in (0, 1):
        arrays[f"penumbra_{axis}"], arrays[f"scatter_{axis}"] = (
            fields.penumbra[axis],
            fields.scatter[axis],
        )
    arrays["maps"] = prepared.view.maps.astype(np.float16)
    arrays["fluences"] = prepared.view.fluences
    arrays["dose_gy"] = crop(dose, prepared.box, 0.0)[allowed][drawn]
    arrays["voxel_mm"] = np.asarray(patient.voxel_mm)
    part = out.with_suffix(".part.npz")
    np.savez(part, allow_pickle=False, **arrays)
    part.rename(out)


def keep_views(packs: Path, folder: Path, workers: int = 1) -> None:
    """Write the view of every pack of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths, work = sorted(packs.glob("*.npz")), partial(keep_view, folder=folder)
    if workers == 1:
        for path in paths:
            work(path)
        return
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(work, paths))


def load_view(folder: Path, name: str) -> ViewCase:
    """Return a patient whose view was kept."""
    with np.load(folder / f"{name}.npz") as file:
        kept: Mapping[str, Any] = {key: file[key] for key in file.files}
    shape = kept["fluences"].shape[2:]
    spacing = [float(step) for step in kept["voxel_mm"]]
    fields = Fields(
        (0.0, 0.0, 0.0),
        (spacing[0], spacing[1], spacing[2]),
        (shape[0], shape[1]),
        np.empty(0, np.float32),
        (kept["penumbra_0"], kept["penumbra_1"]),
        (kept["scatter_0"], kept["scatter_1"]),
    )
    bixel, *weights = (np.ascontiguousarray(kept[name]) for name in RAYS)
    rays = Rays(bixel, weights[0], weights[1], weights[2], weights[3], (shape[0], shape[1]))
    maps = torch.from_numpy(kept["maps"])
    dose = torch.from_numpy(kept["dose_gy"].astype(np.float32))
    return ViewCase(maps, torch.from_numpy(kept["fluences"]), fields, rays, dose)
