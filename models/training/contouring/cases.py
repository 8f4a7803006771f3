"""Read the sarcoma patients of `sts51` as arrays with their grids.

Data: TCIA Soft-tissue-Sarcoma (Vallières et al. 2015, doi 10.7937/K9/TCIA.2015.7GO2GSKS) as
described in the data folder's SOURCE.md. Arrays are [z, y, x], LPS; the CT is in HU, the PET in
SUV. The folder is `$OSTEON_TEST_DATA`, else `../shared/data` beside the repository.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.contouring.inputs import NETWORK_SPACING_MM, FloatArray, Grid, covered, resample

CACHE_SPACING_MM = 3.0


@dataclass(frozen=True, slots=True)
class Case:
    """Hold one patient: CT with its reference standard (GTV) and PET, each on its own grid."""

    patient_id: str
    ct_hu: FloatArray
    ct_grid: Grid
    gtv: npt.NDArray[np.bool_]
    pet_suv: FloatArray
    pet_grid: Grid

    @property
    def volume_ml(self) -> float:
        """Volume of the reference GTV in millilitres."""
        return float(self.gtv.sum() * np.prod(self.ct_grid.spacing_mm) / 1000.0)


@dataclass(frozen=True, slots=True)
class CachedCase:
    """Hold one patient on a common 3 mm grid, ready to be sampled.

    `volumes` is (4, D, H, W): CT in HU, PET in SUV, PET measured (0 or 1), GTV share (0 to 1).
    `tumour_mm` are centres of GTV voxels (n, 3), (z, y, x).
    """

    patient_id: str
    volumes: FloatArray
    grid: Grid
    ct_grid: Grid
    tumour_mm: FloatArray


def data_folder() -> Path:
    """Return the folder of the 34 patients; raise `FileNotFoundError` where it is absent."""
    repository = Path(__file__).resolve().parents[3]
    root = os.environ.get("OSTEON_TEST_DATA", str(repository.parent / "shared" / "data"))
    folder = Path(root) / "sts51"
    if not folder.is_dir():
        raise FileNotFoundError(f"expected the sts51 data in {folder}")
    return folder


def patient_ids(folder: Path) -> tuple[str, ...]:
    """Return the identifiers of all patients in the folder, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("STS_*.npz")))


def _grid(shape: Sequence[int], spacing: Sequence[float], origin_xyz: Sequence[float]) -> Grid:
    """Return the grid of an array; the files keep spacing as (z, y, x), origin as (x, y, z)."""
    x, y, z = (float(value) for value in origin_xyz)
    steps = [float(value) for value in spacing]
    sizes = [int(size) for size in shape]
    return Grid((sizes[0], sizes[1], sizes[2]), (steps[0], steps[1], steps[2]), (z, y, x))


def read_case(folder: Path, patient_id: str) -> Case:
    """Return one patient of the folder."""
    with np.load(folder / f"{patient_id}.npz", allow_pickle=False) as file:
        ct = file["ct"].astype(np.float32)
        gtv = np.unpackbits(file["ct_mask"])[: ct.size].reshape(ct.shape).astype(bool)
        pet = file["pet"].astype(np.float32) / 1000.0
        ct_grid = _grid(ct.shape, file["ct_spacing"], file["ct_origin"])
        pet_grid = _grid(pet.shape, file["pet_spacing"], file["pet_origin"])
    return Case(patient_id, ct, ct_grid, gtv, pet, pet_grid)


def cache_case(case: Case) -> CachedCase:
    """Return the case on a 3 mm grid, filtered as the network grid will be."""
    shape = [int(np.ceil(extent / CACHE_SPACING_MM)) for extent in case.ct_grid.extent_mm]
    origin = [
        first + ((size - 1) * step - (count - 1) * CACHE_SPACING_MM) / 2
        for first, size, step, count in zip(
            case.ct_grid.origin_mm,
            case.ct_grid.shape,
            case.ct_grid.spacing_mm,
            shape,
            strict=True,
        )
    ]
    grid = Grid(
        (shape[0], shape[1], shape[2]),
        (CACHE_SPACING_MM,) * 3,
        (origin[0], origin[1], origin[2]),
    )
    volumes = np.stack(
        [
            resample(case.ct_hu, case.ct_grid, grid, support_mm=NETWORK_SPACING_MM),
            resample(case.pet_suv, case.pet_grid, grid, support_mm=NETWORK_SPACING_MM),
            covered(case.pet_grid, grid).astype(np.float32),
            resample(case.gtv, case.ct_grid, grid, support_mm=NETWORK_SPACING_MM),
        ]
    )
    inside = np.argwhere(case.gtv) * case.ct_grid.spacing_mm + case.ct_grid.origin_mm
    return CachedCase(case.patient_id, volumes, grid, case.ct_grid, inside.astype(np.float32))
