"""Whether what is called left lies on the patient's left.

In patient coordinates (LPS) x grows towards the patient's left, whatever the position on the
table (DICOM PS3.3 C.7.6.2.1.1).  The midline is taken at the level of the structure itself,
from the spinal cord or brainstem, else from the body outline, so that a tilted or shifted
head is no contradiction.

A structure that lies on the other side, or too near the midline to tell, is refused together
with its partner: when sides are swapped, both are wrong.

Read next: `targets.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from plugins.host.images import RegionOfInterest

LATERALITY, UNCHECKED = "LATERALITY", "LATERALITY_UNCHECKED"
MIDLINE = ("SpinalCord", "Brainstem", "SpinalCanal")
"""Structures in the middle of the body; the first that is there counts."""
CLEAR_MM = 5.0
"""A paired organ's centroid lies at least so far from the midline.  The 385 parotids of the 200
OpenKBP training patients lie 46 to 70 mm from it, all on their own side."""
LEVEL_MM = 20.0
"""Slices of the midline structure within this distance count as the structure's own level."""


def misplaced(
    placed: Mapping[str, RegionOfInterest], external: RegionOfInterest | None = None
) -> dict[str, str]:
    """Return TG-263 name -> code of paired structures that are refused or unchecked.

    Parameters
    ----------
    placed : regions by TG-263 name, with contours in LPS millimetres.
    external : the body outline, if known.

    Returns
    -------
    LATERALITY for both of a pair of which one contradicts its name; LATERALITY_UNCHECKED where
    nothing says where the middle is and the partner is missing too.
    """
    middle = next((placed[name] for name in MIDLINE if name in placed), external)
    found: dict[str, str] = {}
    pairs = {name[:-2] for name in placed if name.endswith(("_L", "_R")) and name[:3] != "PTV"}
    for pair in sorted(pairs):
        sides = {side: placed[name] for side in "LR" if (name := f"{pair}_{side}") in placed}
        code = _fault(sides, middle)
        if code:
            found |= {f"{pair}_{side}": code for side in sides}
    return found


def _fault(sides: Mapping[str, RegionOfInterest], middle: RegionOfInterest | None) -> str:
    """Return the code of a pair, or of the one of it that is there; empty where it is right."""
    towards_left = {side: _centroid_mm(roi)[0] for side, roi in sides.items()}
    if middle is not None:
        offsets = (
            (towards_left[side] - _middle_x(middle, roi)) * (1 if side == "L" else -1)
            for side, roi in sides.items()
        )
        return LATERALITY if min(offsets) < CLEAR_MM else ""
    if len(sides) < 2:
        return UNCHECKED
    return LATERALITY if towards_left["L"] - towards_left["R"] < 2 * CLEAR_MM else ""


def _middle_x(middle: RegionOfInterest, roi: RegionOfInterest) -> float:
    """Return where the midline lies at the level of a structure; of all where none is near."""
    levels = np.concatenate([item.points_mm[:, 2] for item in roi.contours if item.points_mm.size])
    low, high = float(levels.min()) - LEVEL_MM, float(levels.max()) + LEVEL_MM
    near = [(centre, area) for centre, area in _parts(middle) if low <= centre[2] <= high]
    return float(_mean(near or _parts(middle))[0])


def _centroid_mm(roi: RegionOfInterest) -> NDArray[np.float64]:
    return _mean(_parts(roi))


def _mean(parts: list[tuple[NDArray[np.float64], float]]) -> NDArray[np.float64]:
    centres = np.array([centre for centre, _ in parts])
    areas = np.array([area for _, area in parts])
    weights = areas if areas.sum() > 0 else np.ones_like(areas)
    return np.asarray(np.average(centres, axis=0, weights=weights))


def _parts(roi: RegionOfInterest) -> list[tuple[NDArray[np.float64], float]]:
    """Return centroid and area of each closed contour.

    The centroid is that of the polygon; of one without area, the mean of its points.
    """
    found = []
    for item in roi.contours:
        points = np.asarray(item.points_mm, dtype=np.float64)
        if not item.geometric_type.startswith("CLOSED") or len(points) < 3:
            continue
        shifted = points - points[0]
        following = np.roll(shifted, -1, axis=0)
        # twice the signed area of each triangle with the first point, along its normal
        normals = np.cross(shifted, following)
        normal = normals.sum(axis=0)
        length = float(np.linalg.norm(normal))
        if length < 1e-9:
            found.append((points.mean(axis=0), 0.0))
            continue
        weights = normals @ (normal / length)
        centre = (weights[:, None] * (shifted + following)).sum(axis=0) / (3.0 * length)
        found.append((centre + points[0], length / 2.0))
    return found
