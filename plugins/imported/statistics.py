"""What monitoring keeps of a run of an imported model: numbers of image and answer, no voxel.

Read next: `plugins/host/findings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from plugins.host.case import Case
from plugins.host.envelope import extent_mm, oblique_deg, quality_flags
from plugins.host.findings import CaseStatistics

ACQUISITION = (
    *("manufacturer", "manufacturer_model_name", "convolution_kernel", "slice_thickness_mm"),
    *("kvp", "reconstruction_method", "units", "radiopharmaceutical"),
)
PERCENTILES = (5, 50, 95)
SAMPLE_VOXELS = 2_000_000
"""Every n-th voxel of a larger volume is enough for a percentile."""


def case_statistics(
    case: Case, volumes_ml: Mapping[str, float], numbers: Mapping[str, float]
) -> CaseStatistics:
    """Return acquisition, intensities, geometry and quality flags of a case and its answer."""
    acquisition: dict[str, str | float] = {}
    intensity: dict[str, float] = {}
    geometry: dict[str, float] = dict(numbers)
    for role, volume in sorted(case.images.items()):
        acquisition |= {
            f"{role}_{name}": volume.acquisition[name]
            for name in ACQUISITION
            if name in volume.acquisition
        }
        intensity |= _intensity(role, volume.array)
        frames, rows, columns = volume.geometry.spacing_mm
        z, y, x = extent_mm(volume.geometry)
        geometry |= {
            f"{role}_slice_spacing_mm": frames, f"{role}_row_spacing_mm": rows,
            f"{role}_column_spacing_mm": columns, f"{role}_extent_z_mm": z,
            f"{role}_extent_y_mm": y, f"{role}_extent_x_mm": x,
            f"{role}_oblique_deg": oblique_deg(volume.geometry),
        }  # fmt: skip
    geometry |= {f"{name}_volume_ml": value for name, value in sorted(volumes_ml.items())}
    return CaseStatistics(acquisition, intensity, (), geometry, quality_flags(case))


def _intensity(role: str, array: NDArray[np.float32]) -> dict[str, float]:
    sample = array.ravel()[:: max(1, array.size // SAMPLE_VOXELS)]
    found = {f"{role}_p{p}": float(np.percentile(sample, p)) for p in PERCENTILES}
    return {**found, f"{role}_mean": float(sample.mean()), f"{role}_std": float(sample.std())}
