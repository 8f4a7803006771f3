"""How good an image registration is, in the figures and with the tolerances of AAPM TG-132.

Target registration error and mean distance to agreement want at most the voxel's largest edge,
overlap at least 0.8 to 0.9 (0.8 is judged here), the Jacobian above zero everywhere, and
inverse consistency at most a voxel.

Source: Brock et al. 2017, Med Phys 44:e43, doi 10.1002/mp.12256, table V.

Read next: `gamma.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.physics import agreement
from validation.metrics.terms import Metric

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Spacing = tuple[float, float, float]
LEAST_DSC = 0.8

_TG132 = "AAPM TG-132, Brock et al. 2017, doi 10.1002/mp.12256"
METRICS = (
    Metric("tre_mm", "Target registration error", "mm", "lower",
           "mean distance of landmarks from where the registration takes them; at most a voxel",
           _TG132),
    Metric("tre_max_mm", "Largest target registration error", "mm", "lower",
           "largest distance of a landmark", _TG132),
    Metric("registered_dsc", "DSC after registration", "", "higher",
           "overlap of a structure with its moved counterpart; at least 0.8", _TG132),
    Metric("mda_mm", "Mean distance to agreement", "mm", "lower",
           "mean distance of both surfaces; at most a voxel", _TG132),
    Metric("jacobian_min", "Least Jacobian", "", "none",
           "least determinant of the deformation's gradient; above zero, or it folds", _TG132),
    Metric("inverse_consistency_mm", "Inverse consistency", "mm", "lower",
           "mean distance of points from where going there and back brings them; at most a voxel",
           _TG132),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judged:
    """Hold a figure, its tolerance and whether it was kept."""

    value: float
    tolerance: float
    kept: bool


def target_errors_mm(moved_mm: FloatArray, fixed_mm: FloatArray) -> FloatArray:
    """Return the distance of each landmark (N, 3) from its counterpart.

    Raises
    ------
    ValueError : the landmarks are not points in space, or differ in number.
    """
    if moved_mm.shape != fixed_mm.shape or moved_mm.ndim != 2 or moved_mm.shape[1] != 3:
        raise ValueError(f"expected landmarks (N, 3) alike, found {moved_mm.shape}")
    return np.asarray(np.linalg.norm(moved_mm - fixed_mm, axis=1), np.float64)


def jacobian(displacement_mm: FloatArray, spacing_mm: Spacing) -> FloatArray:
    """Return the determinant of 1 + grad u for a displacement (3, Z, Y, X), all in (z, y, x)."""
    slopes = [np.gradient(part, *spacing_mm, edge_order=1) for part in displacement_mm]
    matrix = np.moveaxis(np.asarray(slopes), (0, 1), (-2, -1)) + np.eye(3)
    return np.asarray(np.linalg.det(matrix), np.float64)


def score_registration(
    moved_mm: FloatArray,
    fixed_mm: FloatArray,
    structures: tuple[BoolArray, BoolArray],
    spacing_mm: Spacing,
    displacement_mm: FloatArray | None = None,
    returned_mm: FloatArray | None = None,
) -> dict[str, float]:
    """Return the figures of TG-132 by name; those without material are left out.

    Parameters
    ----------
    moved_mm, fixed_mm : landmarks (N, 3) after registration and where they belong.
    structures : the moved structure and its counterpart, on one grid.
    displacement_mm : (3, Z, Y, X) in (z, y, x).
    returned_mm : the landmarks after going there and back.
    """
    errors = target_errors_mm(moved_mm, fixed_mm)
    far = agreement.surface_distances(*structures, spacing_mm)
    found = {
        "tre_mm": float(errors.mean()),
        "tre_max_mm": float(errors.max()),
        "registered_dsc": agreement.dsc(*structures),
        "mda_mm": agreement.assd_mm(far),
    }
    if displacement_mm is not None:
        found["jacobian_min"] = float(jacobian(displacement_mm, spacing_mm).min())
    if returned_mm is not None:
        found["inverse_consistency_mm"] = float(target_errors_mm(returned_mm, fixed_mm).mean())
    return found


def judge_registration(found: Mapping[str, float], spacing_mm: Spacing) -> dict[str, Judged]:
    """Return each figure with the tolerance of TG-132; NaN never keeps one."""
    voxel = float(max(spacing_mm))
    judged = {}
    for name, value in found.items():
        if name == "registered_dsc":
            judged[name] = Judged(value, LEAST_DSC, value >= LEAST_DSC)
        elif name == "jacobian_min":
            judged[name] = Judged(value, 0.0, value > 0.0)
        elif name != "tre_max_mm":
            judged[name] = Judged(value, voxel, value <= voxel)
    return judged
