"""Measure a mask: volume and largest diameter.

Read next: `segment.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist


def volume_ml(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """Return the volume of a mask in millilitres."""
    return int(mask.sum()) * math.prod(spacing_mm) / 1000.0


def max_diameter_mm(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """Return the largest distance between two voxel centres of a mask in millimetres.

    Exact: its ends are corners of the convex hull, or of the hull of each line of voxels
    where the mask is flat.  0 for a single voxel.
    """
    box = ndimage.find_objects(mask.astype(np.uint8))
    if not box:
        return 0.0
    inner = mask[box[0]]
    points = np.argwhere(inner & ~ndimage.binary_erosion(inner))
    places = points * np.asarray(spacing_mm, dtype=np.float64)
    try:
        ends = places[ConvexHull(places).vertices]
    except (QhullError, ValueError):  # in one plane, on one line, or too few points
        ends = _ends_of_lines(points) * np.asarray(spacing_mm, dtype=np.float64)
    return float(pdist(ends).max()) if len(ends) > 1 else 0.0


def _ends_of_lines(points: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the first and the last voxel of every line along the longest axis."""
    axis = int(np.argmax(np.ptp(points, axis=0)))
    others = [place for place in range(3) if place != axis]
    _, line = np.unique(points[:, others], axis=0, return_inverse=True)
    order = np.lexsort((points[:, axis], line.ravel()))
    changes = np.flatnonzero(np.diff(line.ravel()[order]))
    firsts, lasts = np.r_[0, changes + 1], np.r_[changes, len(order) - 1]
    return np.asarray(points[order[np.unique(np.r_[firsts, lasts])]], dtype=np.float64)
