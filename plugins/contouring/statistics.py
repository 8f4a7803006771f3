"""What monitoring keeps of a contouring run: numbers of image and answer, no voxel.

Read next: `governance/README.md` for what reads them; `plugins/host/findings.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plugins.host.case import Case
from plugins.host.envelope import extent_mm, oblique_deg, quality_flags
from plugins.host.findings import CaseStatistics
from plugins.host.images import Volume

ACQUISITION = (
    *("manufacturer", "manufacturer_model_name", "convolution_kernel", "slice_thickness_mm"),
    *("kvp", "reconstruction_method", "units", "radiopharmaceutical"),
)
BODY_HU = -300.0
PERCENTILES = (5, 50, 95)
SAMPLE_VOXELS = 2_000_000
"""Every n-th voxel of a larger volume is enough for a percentile."""


def case_statistics(
    case: Case, embedding: NDArray[np.float32], contour_volume_ml: float
) -> CaseStatistics:
    """Return acquisition, intensity, geometry, embedding and quality flags of a case."""
    ct, pet = case.images["ct"], case.images.get("pet")
    z, y, x = extent_mm(ct.geometry)
    frames, rows, columns = ct.geometry.spacing_mm
    geometry = {
        "extent_z_mm": z,
        "extent_y_mm": y,
        "extent_x_mm": x,
        "slice_spacing_mm": frames,
        "row_spacing_mm": rows,
        "column_spacing_mm": columns,
        "oblique_deg": oblique_deg(ct.geometry),
        "contour_volume_ml": contour_volume_ml,
        "pet_given": float(pet is not None),
        "seed_given": float(case.seed_point_mm is not None),
    }
    intensity = _intensity("ct_hu", ct.array, BODY_HU)
    if pet is not None:
        intensity |= _intensity("pet_suv", pet.array, 0.0)
        intensity["pet_suv_max"] = float(pet.array.max())
    acquisition: dict[str, str | float] = {}
    for role, volume in sorted(case.images.items()):
        acquisition |= _acquisition(role, volume)
    values = tuple(float(value) for value in embedding)
    return CaseStatistics(acquisition, intensity, values, geometry, quality_flags(case))


def _intensity(name: str, array: NDArray[np.float32], above: float) -> dict[str, float]:
    sample = array.ravel()[:: max(1, array.size // SAMPLE_VOXELS)]
    values = sample[sample > above]
    if not values.size:
        return {}
    found = {f"{name}_p{p}": float(np.percentile(values, p)) for p in PERCENTILES}
    return {**found, f"{name}_mean": float(values.mean()), f"{name}_std": float(values.std())}


def _acquisition(role: str, volume: Volume) -> dict[str, str | float]:
    return {
        f"{role}_{name}": volume.acquisition[name]
        for name in ACQUISITION
        if name in volume.acquisition
    }
