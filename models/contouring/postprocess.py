"""From probabilities to one solid contour, its volume and its largest diameter.

A GTV is drawn as one solid region, so holes are filled and one component is kept. Arrays are
[z, y, x]. The largest diameter is the greatest distance between any two points of the surface
(three-dimensional Feret diameter, IBSI reference manual, code L0JK).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from models.contouring.inputs import FloatArray

BoolArray = npt.NDArray[np.bool_]
THRESHOLD = 0.5
MINIMUM_VOLUME_ML = 1.0
SEED_TOLERANCE_MM = 12.0
_FACES = ndimage.generate_binary_structure(3, 1)


def contour_mask(
    prob_on_ct_grid: FloatArray,
    threshold: float = THRESHOLD,
    seed_index: Sequence[int] | None = None,
    min_volume_ml: float = MINIMUM_VOLUME_ML,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
) -> BoolArray:
    """Return the contour as a mask; an empty one says that no tumour was found.

    Parameters
    ----------
    prob_on_ct_grid
        Probability [z, y, x] on the CT grid.
    seed_index
        Voxel (z, y, x) inside the tumour: the component that holds it, or else the nearest one
        within 12 mm, is kept. Without it the component with the largest sum of probability is.
    min_volume_ml
        A component below this volume is no finding (1 ml: a sphere of 12 mm, far below the
        smallest training tumour of 18 ml).
    """
    mask = np.asarray(prob_on_ct_grid) >= threshold
    labels, count = ndimage.label(mask, structure=_FACES)
    if count == 0:
        return np.zeros(mask.shape, dtype=bool)
    if seed_index is None:
        sums = ndimage.sum_labels(prob_on_ct_grid, labels, np.arange(1, count + 1))
        chosen = int(np.argmax(sums)) + 1
    else:
        chosen = _component_at(labels, seed_index, spacing_mm)
    kept = labels == chosen if chosen else np.zeros(mask.shape, dtype=bool)
    if volume_ml(kept, spacing_mm) < min_volume_ml:
        return np.zeros(mask.shape, dtype=bool)
    return fill_holes(kept)


def _component_at(
    labels: npt.NDArray[np.int32], seed_index: Sequence[int], spacing_mm: Sequence[float]
) -> int:
    """Return the label at the seed, else the nearest within 12 mm, else 0."""
    seed = np.asarray(seed_index, dtype=np.int64)
    if seed.shape != (3,) or (seed < 0).any() or (seed >= labels.shape).any():
        raise ValueError(f"expected a seed inside {labels.shape}, found {tuple(seed_index)}")
    if labels[tuple(seed)]:
        return int(labels[tuple(seed)])
    candidates = np.argwhere(labels > 0)
    distance = np.linalg.norm((candidates - seed) * np.asarray(spacing_mm), axis=1)
    nearest = int(np.argmin(distance))
    if distance[nearest] > SEED_TOLERANCE_MM:
        return 0
    return int(labels[tuple(candidates[nearest])])


def fill_holes(mask: BoolArray) -> BoolArray:
    """Return the mask with enclosed holes filled, in three dimensions and in every slice."""
    solid = ndimage.binary_fill_holes(mask)
    for index in np.flatnonzero(solid.any(axis=(1, 2))):
        solid[index] = ndimage.binary_fill_holes(solid[index])
    return np.asarray(solid, dtype=bool)


def volume_ml(mask: BoolArray, spacing_mm: Sequence[float]) -> float:
    """Return the volume in millilitres: voxel count times voxel volume."""
    return float(np.count_nonzero(mask) * np.prod(spacing_mm) / 1000.0)


def max_diameter_mm(mask: BoolArray, spacing_mm: Sequence[float]) -> float:
    """Return the largest distance between two voxel centres of the mask, in millimetres.

    The two ends are corners of the convex hull, so only those are compared (exact). 0 for an
    empty mask or a single voxel.
    """
    points = np.argwhere(mask & ~ndimage.binary_erosion(mask, _FACES))
    if len(points) < 2:
        return 0.0
    places = points * np.asarray(spacing_mm, dtype=np.float64)
    try:
        places = places[ConvexHull(places).vertices]
    except QhullError:  # all points in one plane or line: compare the ends of its rows
        rows = np.unique(points[:, :2], axis=0, return_inverse=True)[1].ravel()
        ends = [points[rows == row] for row in range(rows.max() + 1)]
        places = np.concatenate([np.stack((row[0], row[-1])) for row in ends]).astype(np.float64)
        places = places * np.asarray(spacing_mm, dtype=np.float64)
    return float(pdist(places).max())
