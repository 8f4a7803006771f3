"""Volume and diameter of a mask, and the check that a stated measurement agrees with it.

Every object of a run is made from the mask (RTSTRUCT, SEG) or from the measurements that
the plugin states (SR, FHIR).  Before anything is written the two are compared, so that no
two objects of one run can disagree by more than these tolerances:

- volume: 0.1 % of the mask's volume (voxel count times voxel volume), at least one voxel;
- maximum 3D diameter: one voxel diagonal, because a diameter may be taken between voxel
  centres (as here) or between voxel corners.

Source: IBSI reference manual, morphological features (volume by voxel counting YEKZ,
maximum 3D diameter L0JK).
Read next: `composer.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from audit.errors import PluginOutputError
from plugins.host.findings import Segmentation

VOLUME_TOLERANCE = 1e-3
VOLUME_CODES = frozenset({"118565006", "YEKZ", "RNU0", "121217"})
DIAMETER_CODES = frozenset({"L0JK", "103339001"})
_ML_PER_UNIT = {"ml": 1.0, "mL": 1.0, "cm3": 1.0, "mm3": 1e-3}
_MM_PER_UNIT = {"mm": 1.0, "cm": 10.0}


def volume_ml(segmentation: Segmentation) -> float:
    """Return voxel count times voxel volume, in millilitres."""
    return float(np.count_nonzero(segmentation.mask)) * segmentation.geometry.voxel_volume_ml()


def maximum_diameter_mm(segmentation: Segmentation) -> float:
    """Return the largest distance between two voxel centres of the mask, in millimetres.

    The ends lie on the convex hull, so only its corners are compared; 0 for a mask of at
    most one voxel.
    """
    mask = segmentation.mask
    frames, lines = np.nonzero(mask.any(axis=2))
    if not len(frames):
        return 0.0
    rows = mask[frames, lines]
    ends = np.concatenate([rows.argmax(axis=1), mask.shape[2] - 1 - rows[:, ::-1].argmax(axis=1)])
    index = np.column_stack([np.tile(frames, 2), np.tile(lines, 2), ends]).astype(np.float64)
    points = np.unique(segmentation.geometry.to_patient(index), axis=0)
    if len(points) < 2:
        return 0.0
    try:
        points = points[ConvexHull(points).vertices]
    except QhullError:  # flat: all points in one plane or line
        points = _extremes(points)
    return float(pdist(points).max())


def check_agreement(segmentation: Segmentation) -> None:
    """Compare stated volume and diameter with the mask.

    Raises
    ------
    PluginOutputError : one of them differs by more than its tolerance.
    """
    for item in segmentation.measurements:
        if item.code.value in VOLUME_CODES and item.unit in _ML_PER_UNIT:
            expected = volume_ml(segmentation)
            found = item.value * _ML_PER_UNIT[item.unit]
            margin = max(VOLUME_TOLERANCE * expected, segmentation.geometry.voxel_volume_ml())
        elif item.code.value in DIAMETER_CODES and item.unit in _MM_PER_UNIT:
            expected = maximum_diameter_mm(segmentation)
            found = item.value * _MM_PER_UNIT[item.unit]
            margin = float(np.linalg.norm(segmentation.geometry.spacing_mm)) + 1e-6
        else:
            continue
        if abs(found - expected) > margin:
            raise PluginOutputError(
                f"expected a {item.code.meaning} of {expected:.3f} for {segmentation.name} "
                f"as in its mask (tolerance {margin:.3f}), found {found:.3f}"
            )


def _extremes(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the outermost points of a flat set in 180 directions of its plane, which hold
    its diameter to within one part in 6,000 (1 - cos 1 degree)."""
    centred = points - points.mean(axis=0)
    plane = np.linalg.svd(centred, full_matrices=False)[2][:2]
    flat = centred @ plane.T
    angles = np.deg2rad(np.arange(180.0))
    along = flat @ np.stack([np.cos(angles), np.sin(angles)])
    return np.asarray(
        points[np.unique(np.concatenate([along.argmax(axis=0), along.argmin(axis=0)]))]
    )
