"""Overlap and surface metrics of one contour against its reference standard.

Definitions: DSC (Dice 1945); NSD, the surface Dice of Nikolov et al. 2021 (doi 10.2196/26151);
HD95 as the larger of the two 95th percentiles of directed surface distances (Metrics Reloaded,
doi 10.1038/s41592-023-02151-z). The surface is the voxels that touch the background by a face,
distances run between voxel centres. `validation/metrics` owns the certified implementation;
this one serves the recipe only. Masks are [z, y, x], lengths in millimetres.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

BoolArray = npt.NDArray[np.bool_]
NSD_TOLERANCE_MM = 3.0
_FACES = ndimage.generate_binary_structure(3, 1)


@dataclass(frozen=True, slots=True)
class ContourScore:
    """Hold the metrics of one case; HD95 is NaN where one of the masks is empty."""

    dsc: float
    nsd_3mm: float
    hd95_mm: float
    volume_error_percent: float


def dsc(mask: BoolArray, reference: BoolArray) -> float:
    """Return 2 |A and B| / (|A| + |B|); 1 where both are empty."""
    total = np.count_nonzero(mask) + np.count_nonzero(reference)
    return 1.0 if total == 0 else float(2 * np.count_nonzero(mask & reference) / total)


def _surface(mask: BoolArray) -> BoolArray:
    """Return the voxels of the mask that touch the background (or the border) by a face."""
    inner = np.asarray(ndimage.binary_erosion(mask, _FACES), dtype=bool)
    return np.asarray(mask & ~inner, dtype=bool)


def score_contour(
    mask: BoolArray, reference: BoolArray, spacing_mm: Sequence[float]
) -> ContourScore:
    """Return the metrics of `mask` against a reference that is not empty."""
    if mask.shape != reference.shape:
        raise ValueError(f"expected shape {reference.shape}, found {mask.shape}")
    if not reference.any():
        raise ValueError("expected a reference that is not empty")
    error = 100.0 * (np.count_nonzero(mask) / np.count_nonzero(reference) - 1.0)
    if not mask.any():
        return ContourScore(0.0, 0.0, float("nan"), float(error))
    box = ndimage.find_objects((mask | reference).astype(np.int8))[0]
    near, far = _surface(mask[box]), _surface(reference[box])
    to_reference = ndimage.distance_transform_edt(~far, sampling=spacing_mm)[near]
    to_mask = ndimage.distance_transform_edt(~near, sampling=spacing_mm)[far]
    close = np.count_nonzero(to_reference <= NSD_TOLERANCE_MM) + np.count_nonzero(
        to_mask <= NSD_TOLERANCE_MM
    )
    return ContourScore(
        dsc(mask, reference),
        float(close / (len(to_reference) + len(to_mask))),
        float(max(np.percentile(to_reference, 95), np.percentile(to_mask, 95))),
        float(error),
    )
