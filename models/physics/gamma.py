"""The gamma index of two dose distributions, in two or three dimensions.

Γ(r, x)² = |x - r|² / Δd² + (D(x) - D_ref(r))² / ΔD²,  γ(r) = min over x of Γ(r, x)

(Low et al. 1998, doi 10.1118/1.598248). The evaluated dose D is trilinear between its voxel
centres, and the minimum is sought over all x, not over samples of it (the idea of Ju et al.
2008, doi 10.1118/1.2836952, who do it on simplices):

1. The cells of the evaluated grid are visited by the least distance that each can have.
2. A cell is left out when its distance and the range of its eight doses, which bound a
   trilinear function, cannot give less than the least Γ found so far.
3. A cell in which the dose bends too much is cut into eight, each judged by rule 2 again.
4. In a box the dose is linearised and the quadratic problem is solved exactly; that is
   repeated at the place found. Γ is always taken from the true dose there, so γ is never
   below the true minimum.

Arrays are (frames, rows, columns); a plane is one frame. Read next: `gamma_report.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numba
import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled, compiled_parallel
from models.physics.gamma_samples import search_samples, shells

FloatArray = NDArray[np.float64]
Triple = tuple[float, float, float]
Polynomial = tuple[float, float, float, float, float, float, float, float]
ROUNDS = 5  # of linearising
STEPS = 30  # of Newton, at most; two or three are the rule
SETTLED = 1e-6  # of ΔD, in the equation for μ
STILL = 1e-3  # of Δd: Γ² is flat at its minimum, so the rest is below 1e-6
BENDING = 0.5  # of ΔD: above it a box is cut
FLAT = 1e-9  # of Δd: how thick a cell is along an axis of one voxel
DEPTH = 4  # cuts of a cell, at most


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
    points = np.argwhere(judged)
    doses = reference[judged]
    allowed = (
        criteria.dose_percent / 100.0 * (doses if criteria.local else np.full_like(doses, full))
    )
    evaluated = np.ascontiguousarray(evaluated_gy, dtype=np.float64)
    spacing = np.asarray(placement.spacing_mm, dtype=np.float64)
    places = (points @ placement.step_mm + placement.offset_mm) / criteria.distance_mm
    result = np.full(reference.shape, np.nan)
    spacing /= criteria.distance_mm
    limit = criteria.max_gamma
    if criteria.samples is not None:
        around = shells(criteria.samples, limit, planar=evaluated.shape[0] == 1)
        found = search_samples(places, doses, allowed, evaluated, spacing, *around, limit)
    else:
        spacing[np.array(evaluated.shape) == 1] = FLAT
        cells = _cell_ranges(evaluated)
        order = _offsets(spacing, evaluated.shape, limit)
        found = _search(places, doses, allowed, evaluated, *cells, spacing, *order, limit)
    result[judged] = found
    return result


def _offsets(
    spacing: FloatArray, shape: tuple[int, ...], reach: float
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return cell offsets from a point's own cell by their least distance, and that distance.

    The cell k steps away along an axis is at least (|k| - 1) spacings from the point.
    """
    axes = []
    for step, count in zip(spacing, shape, strict=True):
        most = min(int(np.floor(reach / step)) + 1, max(count - 2, 0))
        axes.append(range(-most, most + 1))
    offsets = np.array(list(product(*axes)), dtype=np.int64).reshape(-1, 3)
    least = np.sqrt((np.maximum(np.abs(offsets) - 1, 0) ** 2 * spacing**2).sum(axis=1))
    near = least <= reach
    offsets, least = offsets[near], least[near]
    order = np.lexsort((np.abs(offsets).sum(axis=1), least))
    return offsets[order], least[order]


def _cell_ranges(dose: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the least and the greatest corner of every cell; a single frame is one cell."""
    low, high = dose, dose
    for axis in range(3):
        count = dose.shape[axis]
        if count > 1:
            first = np.take(low, range(count - 1), axis), np.take(high, range(count - 1), axis)
            low = np.minimum(first[0], np.take(low, range(1, count), axis))
            high = np.maximum(first[1], np.take(high, range(1, count), axis))
    return np.ascontiguousarray(low), np.ascontiguousarray(high)


@compiled_parallel
def _search(
    places: FloatArray,
    doses: FloatArray,
    allowed: FloatArray,
    evaluated: FloatArray,
    low: FloatArray,
    high: FloatArray,
    spacing: FloatArray,
    offsets: NDArray[np.int64],
    reach: FloatArray,
    limit: float,
) -> FloatArray:
    """Return γ of each point; places and spacing are in units of Δd."""
    count = len(doses)
    result = np.empty(count)
    for index in numba.prange(count):
        result[index] = _point(
            places[index, 0],
            places[index, 1],
            places[index, 2],
            doses[index],
            1.0 / allowed[index],
            evaluated,
            low,
            high,
            spacing,
            offsets,
            reach,
            limit,
        )
    return result


@compiled
def _point(
    z: float,
    y: float,
    x: float,
    dose: float,
    scale: float,
    evaluated: FloatArray,
    low: FloatArray,
    high: FloatArray,
    spacing: FloatArray,
    offsets: NDArray[np.int64],
    reach: FloatArray,
    limit: float,
) -> float:
    """Return γ of one point: cells by distance, until no cell can give less."""
    cells_z, cells_y, cells_x = low.shape
    own_z = min(max(int(np.floor(z / spacing[0])), 0), cells_z - 1)
    own_y = min(max(int(np.floor(y / spacing[1])), 0), cells_y - 1)
    own_x = min(max(int(np.floor(x / spacing[2])), 0), cells_x - 1)
    best = limit * limit
    for index in range(len(reach)):
        if reach[index] * reach[index] >= best:
            break
        k, j, i = own_z + offsets[index, 0], own_y + offsets[index, 1], own_x + offsets[index, 2]
        if k < 0 or j < 0 or i < 0 or k >= cells_z or j >= cells_y or i >= cells_x:
            continue
        gap = max(low[k, j, i] - dose, 0.0, dose - high[k, j, i]) * scale
        least = (
            _outside(z, k, spacing[0], evaluated.shape[0])
            + _outside(y, j, spacing[1], evaluated.shape[1])
            + _outside(x, i, spacing[2], evaluated.shape[2])
            + gap * gap
        )
        if least < best:
            point = (
                z / spacing[0] - k,
                y / spacing[1] - j,
                x / spacing[2] - i,
            )
            step = (spacing[0], spacing[1], spacing[2])
            best = _cell(_polynomial(evaluated, k, j, i, dose, scale), point, step, best)
    return float(np.sqrt(best))


@compiled
def _outside(place: float, cell: int, step: float, count: int) -> float:
    """Return the squared distance along one axis from a place to a cell."""
    start = cell * step
    end = start + (step if count > 1 else 0.0)
    gap = max(start - place, 0.0, place - end)
    return gap * gap


@compiled
def _polynomial(dose: FloatArray, k: int, j: int, i: int, zero: float, scale: float) -> Polynomial:
    """Return a cell's dose less ``zero``, in units of ΔD, as a polynomial.

    c[0] + c[1] z + c[2] y + c[3] x + c[4] zy + c[5] zx + c[6] yx + c[7] zyx, where the cell
    runs from 0 to 1 along each axis; along an axis of one frame nothing changes.
    """
    k1 = min(k + 1, dose.shape[0] - 1)
    j1 = min(j + 1, dose.shape[1] - 1)
    i1 = min(i + 1, dose.shape[2] - 1)
    o, x, y, yx = dose[k, j, i], dose[k, j, i1], dose[k, j1, i], dose[k, j1, i1]
    z, zx, zy, zyx = dose[k1, j, i], dose[k1, j, i1], dose[k1, j1, i], dose[k1, j1, i1]
    return (
        (o - zero) * scale,
        (z - o) * scale,
        (y - o) * scale,
        (x - o) * scale,
        (zy - z - y + o) * scale,
        (zx - z - x + o) * scale,
        (yx - y - x + o) * scale,
        (zyx - zy - zx - yx + z + y + x - o) * scale,
    )


@compiled
def _at(c: Polynomial, z: float, y: float, x: float) -> float:
    """Return the polynomial's value."""
    return c[0] + z * (c[1] + y * (c[4] + x * c[7]) + x * c[5]) + y * (c[2] + x * c[6]) + x * c[3]


@compiled
def _cell(c: Polynomial, point: Triple, step: Triple, best: float) -> float:
    """Return the least Γ² of one cell, or ``best`` when that is less."""
    bending = abs(c[4]) + abs(c[5]) + abs(c[6]) + abs(c[7])
    if bending <= BENDING:
        return _box(c, point, step, (0.0, 0.0, 0.0), 1.0, best)
    boxes = np.empty((8 * DEPTH, 4))
    boxes[0] = 0.0, 0.0, 0.0, 1.0
    waiting = 1
    while waiting:
        waiting -= 1
        low, size = (boxes[waiting, 0], boxes[waiting, 1], boxes[waiting, 2]), boxes[waiting, 3]
        if _least(c, point, step, low, size) >= best:
            continue
        if bending * size * size <= BENDING or size <= 0.5**DEPTH:
            best = _box(c, point, step, low, size, best)
            continue
        half = size / 2
        for part in range(8):
            boxes[waiting, 0] = low[0] + half * (part >> 2 & 1)
            boxes[waiting, 1] = low[1] + half * (part >> 1 & 1)
            boxes[waiting, 2] = low[2] + half * (part & 1)
            boxes[waiting, 3] = half
            waiting += 1
    return best


@compiled
def _least(c: Polynomial, point: Triple, step: Triple, low: Triple, size: float) -> float:
    """Return what Γ² cannot be below in a box: its distance and its eight corners' doses."""
    least, most = np.inf, -np.inf
    for part in range(8):
        value = _at(
            c,
            low[0] + size * (part >> 2 & 1),
            low[1] + size * (part >> 1 & 1),
            low[2] + size * (part & 1),
        )
        least, most = min(least, value), max(most, value)
    gap = max(least, 0.0, -most)
    total = gap * gap
    for axis in range(3):
        away = max(low[axis] - point[axis], 0.0, point[axis] - low[axis] - size) * step[axis]
        total += away * away
    return total


@compiled
def _box(
    c: Polynomial, point: Triple, step: Triple, low: Triple, size: float, best: float
) -> float:
    """Return the least Γ² in a box, or ``best`` when that is less.

    With y the place and r the point, the linearised problem is min |y - r|² + (e + a·(y - p))²
    over the box. Its solution is y(μ) = clamp(r - μ a) with μ = e + a·(y(μ) - p): one
    equation, piecewise linear in μ, whose left side outgrows its right side.
    """
    sz, sy, sx = step
    z0, y0, x0 = low[0] * sz, low[1] * sy, low[2] * sx
    z1, y1, x1 = z0 + size * sz, y0 + size * sy, x0 + size * sx
    rz, ry, rx = point[0] * sz, point[1] * sy, point[2] * sx
    pz, py, px = min(max(rz, z0), z1), min(max(ry, y0), y1), min(max(rx, x0), x1)
    for _ in range(ROUNDS):
        # 1. Γ² at the place, from the true dose.
        z, y, x = pz / sz, py / sy, px / sx
        error = _at(c, z, y, x)
        best = min(best, (pz - rz) ** 2 + (py - ry) ** 2 + (px - rx) ** 2 + error * error)
        # 2. The gradient there.
        az = (c[1] + y * (c[4] + x * c[7]) + x * c[5]) / sz
        ay = (c[2] + z * (c[4] + x * c[7]) + x * c[6]) / sy
        ax = (c[3] + z * (c[5] + y * c[7]) + y * c[6]) / sx
        # 3. μ by Newton's steps, kept between the values known to be too small and too great.
        mu, small, great = error, -np.inf, np.inf
        nz, ny, nx = pz, py, px
        for _ in range(STEPS):
            nz, ny, nx = rz - mu * az, ry - mu * ay, rx - mu * ax
            slope = 1.0 + (az * az if z0 < nz < z1 else 0.0)
            slope += (ay * ay if y0 < ny < y1 else 0.0) + (ax * ax if x0 < nx < x1 else 0.0)
            nz, ny, nx = min(max(nz, z0), z1), min(max(ny, y0), y1), min(max(nx, x0), x1)
            wrong = mu - error - az * (nz - pz) - ay * (ny - py) - ax * (nx - px)
            if abs(wrong) < SETTLED:
                break
            small, great = (mu, great) if wrong < 0 else (small, mu)
            mu -= wrong / slope
            if not small < mu < great:
                mu = (small + great) / 2
        moved = abs(nz - pz) + abs(ny - py) + abs(nx - px)
        pz, py, px = nz, ny, nx
        if moved < STILL:
            break
    error = _at(c, pz / sz, py / sy, px / sx)
    return min(best, (pz - rz) ** 2 + (py - ry) ** 2 + (px - rx) ** 2 + error * error)
