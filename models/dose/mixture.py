"""How much of the dose is the planning networks', and how much the voxel networks'.

The planning networks know more of what lies between structures, where whole rays cross; the voxel
networks more of a target or a small organ, since they are told what lies in it. The shares were
chosen on 40 held-back training patients, by the error of voxels and of points in each structure.
Beside a structure they change over three voxels, so that the dose does not jump at a contour.
Read `predict.py` next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter

from models.dose.box_mean import box_mean
from models.dose.inputs import CONTINUOUS, Prepared
from models.dose.patient import ORGANS

FloatArray = NDArray[np.float32]

ELSEWHERE, IN_TARGETS = 0.45, 0.2
IN_ORGANS = {
    "Brainstem": 0.1,
    "SpinalCord": 0.1,
    "Larynx": 0.1,
    "RightParotid": 0.2,
    "LeftParotid": 0.2,
}
"""Share of the planning networks; a target counts before an organ."""
OVER_VOXELS = 3


def planned_share(prepared: Prepared) -> FloatArray:
    """Return the share of the planning networks by voxel of the crop."""
    share = np.full(prepared.masks[0].shape, ELSEWHERE, np.float32)
    for name, mask in zip(ORGANS, prepared.masks[1:], strict=True):
        share[mask] = IN_ORGANS.get(name, ELSEWHERE)
    share[prepared.continuous[CONTINUOUS.index("prescription")] > 0] = IN_TARGETS
    return box_mean(minimum_filter(share, OVER_VOXELS), OVER_VOXELS)
