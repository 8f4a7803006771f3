"""How far two masks agree: overlap, distance of surfaces, length of contour to be redrawn.

DSC (Dice 1945); NSD, the surface Dice at a tolerance (Nikolov et al. 2021, doi
10.2196/26151); HD95 and ASSD (Metrics Reloaded, doi 10.1038/s41592-023-02151-z), both over
surface pieces weighted by their area; added path length (Vaassen et al. 2020, doi
10.1016/j.phro.2019.12.001).

Masks are bool (frames, rows, columns). Read next: `gamma.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.physics.distance import distance_mm, nearest_mm
from models.physics.surface import Spacing, extent, piece_areas, surface_pieces

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SurfaceDistances:
    """Hold how far each surface piece of two masks is from the other mask's surface.

    Parameters
    ----------
    first_mm, second_mm : distances, ascending; infinite where the other mask is empty.
    first_mm2, second_mm2 : area of each of these pieces.
    """

    first_mm: FloatArray
    first_mm2: FloatArray
    second_mm: FloatArray
    second_mm2: FloatArray


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a mask is from a reference on the same grid.

    Parameters
    ----------
    surface_dice : at ``tolerance_mm``; None, like ``hd95_mm``, where one mask is empty.
    """

    dsc: float
    surface_dice: float | None
    tolerance_mm: float
    hd95_mm: float | None
    added_path_length_mm: float
    volume_ml: float
    reference_volume_ml: float

    @property
    def volume_difference_ml(self) -> float:
        """Return how much larger the judged mask is."""
        return self.volume_ml - self.reference_volume_ml


def compare_masks(
    mask: BoolArray, reference: BoolArray, spacing_mm: Spacing, tolerance_mm: float
) -> Difference:
    """Return how a mask differs from the reference; two empty ones agree.

    Raises
    ------
    ValueError : the masks differ in shape.
    """
    _check(mask, reference)
    box = _box(mask, reference)
    mask, reference = mask[box], reference[box]
    distances = surface_distances(mask, reference, spacing_mm)
    measured = bool(len(distances.first_mm) and len(distances.second_mm))
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    volumes = [float(np.count_nonzero(one)) * voxel_ml for one in (mask, reference)]
    return Difference(
        dsc=dsc(mask, reference) if any(volumes) else 1.0,
        surface_dice=nsd(distances, tolerance_mm) if measured else None,
        tolerance_mm=tolerance_mm,
        hd95_mm=hausdorff_mm(distances) if measured else None,
        added_path_length_mm=added_path_length_mm(mask, reference, spacing_mm),
        volume_ml=volumes[0],
        reference_volume_ml=volumes[1],
    )


def centre_shift_mm(
    mask: BoolArray, reference: BoolArray, spacing_mm: Spacing
) -> tuple[float, float, float] | None:
    """Return how far the reference's centre of mass lies from the mask's; None where one is empty.

    A translation of the whole contour is this vector, whatever its shape; a contour that was
    extended on one side moves by less than the extension.

    Returns
    -------
    Signed millimetres along (frames, rows, columns): mean place of the reference's voxels minus
    that of the mask's.
    """
    _check(mask, reference)
    if not (mask.any() and reference.any()):
        return None
    shift = []
    for axis, step in enumerate(spacing_mm):
        others = tuple(other for other in range(3) if other != axis)
        profiles = [one.sum(axis=others, dtype=np.float64) for one in (mask, reference)]
        places = np.arange(mask.shape[axis])
        first, second = (float(profile @ places / profile.sum()) for profile in profiles)
        shift.append((second - first) * float(step))
    return shift[0], shift[1], shift[2]


def dsc(first: BoolArray, second: BoolArray) -> float:
    """Return 2 |A ∩ B| / (|A| + |B|); NaN where both are empty."""
    _check(first, second)
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return float(2 * np.count_nonzero(first & second) / total) if total else float("nan")


def surface_distances(first: BoolArray, second: BoolArray, spacing_mm: Spacing) -> SurfaceDistances:
    """Return the distances between the surfaces of two masks, in both directions.

    Raises
    ------
    ValueError : the masks differ in shape, or a spacing is not positive.
    """
    _check(first, second)
    box = _box(first, second)
    spacing = (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
    areas = piece_areas(spacing)
    own, other = (surface_pieces(mask[box]) for mask in (first, second))
    sides = []
    for here, there in ((own, other), (other, own)):
        far = nearest_mm(here.places, there.marked, spacing)
        order = np.argsort(far)
        sides += [far[order], areas[here.codes][order]]
    return SurfaceDistances(*sides)


def nsd(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Return the share of both surfaces' area that lies within the tolerance of the other.

    Returns
    -------
    0 to 1; NaN where both masks are empty.
    """
    total = distances.first_mm2.sum() + distances.second_mm2.sum()
    if total == 0:
        return float("nan")
    near = sum(float(area[far <= tolerance_mm].sum()) for far, area in _sides(distances))
    return float(near / total)


def hausdorff_mm(distances: SurfaceDistances, percent: float = 95.0) -> float:
    """Return the greater of both directions' distances that `percent` of the area does not pass.

    Returns
    -------
    Millimetres; infinity where one mask is empty, NaN where both are.
    """
    if not 0 < percent <= 100:
        raise ValueError(f"expected a percentage above 0 and up to 100, found {percent}")
    if not len(distances.first_mm) or not len(distances.second_mm):
        both = len(distances.first_mm) == len(distances.second_mm)
        return float("nan") if both else float("inf")
    return max(_quantile(far, area, percent / 100) for far, area in _sides(distances))


def assd_mm(distances: SurfaceDistances) -> float:
    """Return the average symmetric surface distance, weighted by area.

    Returns
    -------
    Millimetres; infinity where one mask is empty, NaN where both are.
    """
    total = distances.first_mm2.sum() + distances.second_mm2.sum()
    if total == 0:
        return float("nan")
    return float(sum(float((far * area).sum()) for far, area in _sides(distances)) / total)


def added_path_length_mm(
    contour: BoolArray, reference: BoolArray, spacing_mm: Spacing, tolerance_mm: float = 0.0
) -> float:
    """Return the length of reference contour that has to be drawn anew, frame by frame.

    A contour pixel of a frame belongs to the mask and touches its outside by an edge. The
    length is the count of the reference's pixels with no pixel of the other contour within
    the tolerance, times the mean of the in-plane spacings.

    Raises
    ------
    ValueError : the masks differ in shape.
    """
    _check(contour, reference)
    drawn, wanted = _outline(contour), _outline(reference)
    added = wanted & ~drawn
    if tolerance_mm > 0:
        for frame in np.flatnonzero(added.any(axis=(1, 2)) & drawn.any(axis=(1, 2))):
            away = distance_mm(drawn[frame : frame + 1], spacing_mm)[0]
            added[frame] &= away > tolerance_mm
    return float(np.count_nonzero(added) * (spacing_mm[1] + spacing_mm[2]) / 2)


def _outline(mask: BoolArray) -> BoolArray:
    """Return the pixels of each frame that touch its outside by an edge."""
    around = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    inner = around[:, :-2, 1:-1] & around[:, 2:, 1:-1] & around[:, 1:-1, :-2] & around[:, 1:-1, 2:]
    return np.asarray(mask & ~inner, dtype=bool)


def _check(first: BoolArray, second: BoolArray) -> None:
    if first.ndim != 3 or first.shape != second.shape:
        raise ValueError(f"expected two masks of one shape, found {first.shape}, {second.shape}")


def _box(first: BoolArray, second: BoolArray) -> tuple[slice, ...]:
    """Return the smallest box that holds both masks; an empty one where nothing is marked."""
    ends = [extent(mask) for mask in (first, second)]
    low, high = np.min([e[0] for e in ends], axis=0), np.max([e[1] for e in ends], axis=0)
    return tuple(slice(int(a), max(int(b), int(a))) for a, b in zip(low, high, strict=True))


def _sides(distances: SurfaceDistances) -> tuple[tuple[FloatArray, FloatArray], ...]:
    return (
        (distances.first_mm, distances.first_mm2),
        (distances.second_mm, distances.second_mm2),
    )


def _quantile(far: FloatArray, area: FloatArray, share: float) -> float:
    """Return the first distance at which the area up to it reaches the share."""
    reached = np.cumsum(area)
    index = int(np.searchsorted(reached, share * reached[-1] * (1 - 1e-12)))
    return float(far[min(index, len(far) - 1)])
