"""What a predicted dose is worth against the dose of the plan.

Scores are those of OpenKBP (`validation/metrics/dose.py`), on the grid of the planned dose, by
structures of TG-263's names.  Outside the region where the plan has dose both are zero.

Read next: `evaluate.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from plugins.host.findings import DoseGrid, Prediction
from plugins.host.images import Geometry
from validation.harness.cases import PlannedDose
from validation.metrics.dose import covered_share, dvh_error, dvh_points, score_patient

POSSIBLE = "possibledose"
"""Name, in small letters, of the region where the plan reports dose."""
POINTS = {"D99": "D99%", "D95": "D95%", "D1": "D1%", "D0.1cc": "D0.1cc", "Mean": "mean"}
"""Points of a finding by the value of their code, and of the score."""
Point = tuple[str, str]


def dose_of(prediction: Prediction) -> DoseGrid | None:
    """Return the first dose of an answer; None where it gives none."""
    return next((item for item in prediction.findings if isinstance(item, DoseGrid)), None)


def score_dose(found: DoseGrid, planned: PlannedDose) -> dict[str, float]:
    """Return dose and DVH error in Gy, and how many intervals hold what was planned."""
    regions = planned.structures.regions
    geometry = planned.dose.geometry
    predicted = on_grid(found.dose_gy, found.geometry, geometry)
    possible = next(
        (item.mask for item in regions if item.name.lower() == POSSIBLE), planned.dose.array > 0
    )
    targets = {item.name: item.mask for item in regions if item.prescribed_gy is not None}
    organs = {item.name: item.mask for item in regions if item.interpreted_type == "ORGAN"}
    measured = (targets, organs, geometry.spacing_mm)
    score = score_patient("case", planned.dose.array, predicted, possible, measured)
    points = dvh_points(planned.dose.array, *measured)
    names = {number: item.name for number, item in enumerate(regions, start=1)}
    return {
        "dose_score_gy": score.dose_gy,
        "dvh_error_gy": dvh_error(score),
        "dvh_covered_share": covered_share(points, _intervals(found, names)),
    }


def on_grid(
    values: NDArray[np.float32], geometry: Geometry, target: Geometry
) -> NDArray[np.float32]:
    """Return values read linearly at the voxels of another grid; zero outside."""
    if geometry == target:
        return values
    index = np.indices(target.shape, dtype=np.float64).reshape(3, -1).T
    places = geometry.to_index(target.to_patient(index)).T
    read = map_coordinates(values, places, order=1, mode="constant", cval=0.0)
    return np.asarray(read.reshape(target.shape), np.float32)


def _intervals(found: DoseGrid, names: Mapping[int, str]) -> dict[Point, tuple[float, float]]:
    return {
        (names[region.roi_number], POINTS[item.code.value]): item.interval
        for region in found.regions
        for item in region.measurements
        if item.interval is not None and item.code.value in POINTS
    }
