"""What monitoring keeps of a dose run: numbers of image, structures and dose, no voxel.

Read next: `plugins/host/findings.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.dose.patient import Patient
from plugins.dose.regions import Structure
from plugins.host.case import Case
from plugins.host.envelope import quality_flags
from plugins.host.findings import CaseStatistics, RegionDose

ACQUISITION = (
    *("manufacturer", "manufacturer_model_name", "convolution_kernel", "slice_thickness_mm"),
    *("kvp", "reconstruction_method"),
)
BODY_HU = -300
PERCENTILES = (5, 50, 95)


def case_statistics(
    case: Case,
    patient: Patient,
    structures: Sequence[Structure],
    regions: Sequence[RegionDose],
    embedding: NDArray[np.float32],
) -> CaseStatistics:
    """Return acquisition, intensity, geometry with the predicted points, embedding, flags."""
    ct = case.images["ct"]
    acquisition = {
        f"ct_{name}": ct.acquisition[name] for name in ACQUISITION if name in ct.acquisition
    }
    body = patient.ct_hu[patient.possible_dose & (patient.ct_hu > BODY_HU)]
    intensity = {}
    if body.size:
        intensity = {f"ct_hu_p{p}": float(np.percentile(body, p)) for p in PERCENTILES}
        intensity |= {"ct_hu_mean": float(body.mean()), "ct_hu_std": float(body.std())}
    millilitres = float(np.prod(patient.voxel_mm)) / 1000.0
    geometry = {
        "slice_spacing_mm": ct.geometry.spacing_mm[0],
        "row_spacing_mm": ct.geometry.spacing_mm[1],
        "column_spacing_mm": ct.geometry.spacing_mm[2],
        "target_volume_ml": float(patient.target.sum()) * millilitres,
        "possible_dose_ml": float(patient.possible_dose.sum()) * millilitres,
        "highest_prescription_gy": patient.top_gy,
        "levels": float(len(patient.targets)),
        "organs": float(len(patient.organs)),
    }
    for item in structures:
        geometry[f"volume_{item.name.lower()}_ml"] = float(item.mask.sum()) * millilitres
    for region in regions:
        for point in region.measurements:
            name = f"dose_{region.name}_{point.code.value}".lower().replace(".", "_")
            geometry[name] = point.value
    values = tuple(float(value) for value in embedding)
    return CaseStatistics(acquisition, intensity, values, geometry, quality_flags(case))
