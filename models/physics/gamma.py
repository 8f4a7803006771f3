"""The gamma index of two dose distributions, in two or three dimensions.

Γ(r, x)² = |x - r|² / Δd² + (D(x) - D_ref(r))² / ΔD²,  γ(r) = min over x of Γ(r, x)

(Low et al. 1998, doi 10.1118/1.598248). The evaluated dose D is trilinear between its voxel
centres, and the minimum is sought over all x, not over samples of it (the idea of Ju et al.
2008, doi 10.1118/1.2836952, who do it on simplices). `gamma_minimum.py` says how.

Arrays are (frames, rows, columns); a plane is one frame. Read next: `gamma_minimum.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.physics.gamma_minimum import FLAT, cell_offsets, cell_ranges, search_minimum
from models.physics.gamma_samples import Doses, search_samples, shells

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GammaCriteria:
    """Say what agreement means.

    Parameters
    ----------
    dose_percent : ΔD in percent of the reference maximum (or of ``normalisation_gy``);
        with ``local``, of the reference dose at the point.
    distance_mm : Δd.
    cutoff_percent : points whose reference dose is below this share of the normalisation
        are not judged (AAPM TG-218: 10 %, doi 10.1002/mp.12810).
    local : whether ΔD follows the reference dose at the point.
    max_gamma : search limit; γ above it is given as this value.
    normalisation_gy : dose that 100 % stands for; the reference maximum when it is None.
    samples : None for the true minimum; a number for samples that many to Δd, see
        `gamma_samples.py`.
    passing_only : a point that is found to pass is left at the γ found, which may be above
        its least one; whether it passes is the same.

    Raises
    ------
    ValueError : a criterion is not positive, or the cutoff lies outside 0 to 100.
    """

    dose_percent: float
    distance_mm: float
    cutoff_percent: float = 10.0
    local: bool = False
    max_gamma: float = 2.0
    normalisation_gy: float | None = None
    samples: int | None = None
    passing_only: bool = False

    def __post_init__(self) -> None:
        values = (self.dose_percent, self.distance_mm, self.max_gamma)
        if not all(np.isfinite(values)) or min(values) <= 0:
            raise ValueError(f"expected positive dose, distance and limit, found {values}")
        if not 0 <= self.cutoff_percent < 100:
            raise ValueError(f"expected a cutoff from 0 to below 100, found {self.cutoff_percent}")
        if self.normalisation_gy is not None and not self.normalisation_gy > 0:
            raise ValueError(f"expected a positive normalisation, found {self.normalisation_gy}")


@dataclass(frozen=True, slots=True)
class Placement:
    """Place reference voxels in the evaluated grid.

    Parameters
    ----------
    step_mm : (3, 3); row i is the step in evaluated (frame, row, column) millimetres when
        reference index i grows by one.
    offset_mm : (3,); where reference voxel [0, 0, 0] lies, in millimetres from evaluated
        voxel [0, 0, 0].
    spacing_mm : spacing of the evaluated grid.
    """

    step_mm: FloatArray
    offset_mm: FloatArray
    spacing_mm: tuple[float, float, float]


def same_grid(spacing_mm: tuple[float, float, float]) -> Placement:
    """Return the placement of two distributions that share their grid."""
    return Placement(np.diag(np.asarray(spacing_mm, dtype=float)), np.zeros(3), spacing_mm)


def gamma_index(
    reference_gy: FloatArray,
    evaluated_gy: FloatArray,
    placement: Placement,
    criteria: GammaCriteria,
) -> FloatArray:
    """Return γ at every reference voxel, NaN where it is not judged.

    Returns
    -------
    Array of the reference's shape, float64: NaN below the cutoff (and, with ``local``, where
    the reference dose is not above zero); ``max_gamma`` where no point within reach gives
    less, as outside the evaluated grid.

    Raises
    ------
    ValueError : a dose is not three-dimensional or not finite, or the reference has no dose.
    """
    doses = _judged(reference_gy, evaluated_gy, placement, criteria)
    limits = (criteria.max_gamma, 1.0 if criteria.passing_only else -1.0)
    if criteria.samples is not None:
        planar = doses.evaluated.shape[0] == 1
        around = shells(criteria.samples, criteria.max_gamma, planar=planar)
        found = search_samples(doses, around, limits)
    else:
        found = _true_minimum(doses, limits)
    result = np.full(doses.reference.shape, np.nan)
    result.reshape(-1)[doses.judged] = found
    return result


def _judged(
    reference_gy: FloatArray,
    evaluated_gy: FloatArray,
    placement: Placement,
    criteria: GammaCriteria,
) -> Doses:
    """Return the doses in the units of the search, and which points are judged."""
    for name, dose in (("reference", reference_gy), ("evaluated", evaluated_gy)):
        if dose.ndim != 3 or not np.isfinite(dose).all():
            raise ValueError(f"expected a finite {name} dose in three dimensions, {dose.shape}")
    full = criteria.normalisation_gy or float(reference_gy.max(initial=0.0))
    if not full > 0:
        raise ValueError("expected a reference with dose, found none above zero")
    reference = np.ascontiguousarray(reference_gy, dtype=np.float64)
    judged = reference >= criteria.cutoff_percent / 100.0 * full
    if criteria.local:
        judged &= reference > 0
    points = np.flatnonzero(judged)
    norm = reference.reshape(-1)[points] if criteria.local else np.full(len(points), full)
    steps = np.vstack([placement.step_mm, placement.offset_mm]) / criteria.distance_mm
    return Doses(
        reference,
        np.ascontiguousarray(evaluated_gy, dtype=np.float64),
        points,
        criteria.dose_percent / 100.0 * norm,
        steps,
        np.asarray(placement.spacing_mm, dtype=np.float64) / criteria.distance_mm,
    )


def _true_minimum(doses: Doses, limits: tuple[float, float]) -> FloatArray:
    shape = doses.evaluated.shape
    spacing = np.where(np.array(shape) == 1, FLAT, doses.spacing)
    order = cell_offsets((spacing[0], spacing[1], spacing[2]), shape, limits[0])
    evaluated = doses.evaluated, cell_ranges(doses.evaluated), spacing
    return search_minimum(
        doses.judged, doses.reference, doses.allowed, doses.steps, evaluated, order, limits
    )
