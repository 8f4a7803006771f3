"""γ as the true minimum over the trilinear dose: the search that `gamma.py` describes.

1. The cells of the evaluated grid are visited by the least distance that each can have.
2. A cell is left out when its distance and the range of its eight doses, which bound a
   trilinear function, cannot give less than the least Γ found so far; or when the steepest of
   its edges cannot (`_slope`).
3. In a box the dose is linearised and the quadratic problem is solved exactly; the step is
   repeated at the place found. Γ is always taken from the true dose there, so γ is never
   below the true minimum.
4. A cell in which the dose bends too much may have several minima: it is cut into eight, each
   judged by rules 2 and 3 again.

Places and spacing are in units of Δd, doses in units of ΔD. Read next: `gamma_samples.py`.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numba
import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled, compiled_parallel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Triple = tuple[float, float, float]
Polynomial = tuple[float, float, float, float, float, float, float, float]
ROUNDS = 6  # of linearising
STEPS = 30  # of Newton, at most; one or two are the rule
SETTLED = 1e-6  # of ΔD, in the equation for μ
STILL = 1e-3  # of Δd: Γ² is flat at its minimum, so the rest is below 1e-6
TRUST = 2.0  # times the error of the linear dose: what another step may gain
LESS = 1e-7  # share of Γ²: a smaller gain is none
BENDING = 1.0  # of ΔD: above it a box is cut
FLAT = 1e-9  # of Δd: how thick a cell is along an axis of one voxel
DEPTH = 4  # cuts of a cell, at most
BLOCK = 64  # points that one thread takes at a time


@lru_cache(maxsize=16)
def cell_offsets(
    spacing: Triple, shape: tuple[int, ...], reach: float
) -> tuple[IntArray, FloatArray]:
    """Return cell offsets from a point's own cell by their least distance, and that squared.

    The cell k steps away along an axis is at least (|k| - 1) spacings from the point.
    """
    axes = []
    for step, count in zip(spacing, shape, strict=True):
        most = min(int(np.floor(reach / step)) + 1, max(count - 2, 0))
        axes.append(range(-most, most + 1))
    offsets = np.array(list(product(*axes)), dtype=np.int64).reshape(-1, 3)
    least = (np.maximum(np.abs(offsets) - 1, 0) ** 2 * np.square(spacing)).sum(axis=1)
    near = least <= reach * reach
    offsets, least = offsets[near], least[near]
    order = np.lexsort((np.abs(offsets).sum(axis=1), least))
    return offsets[order], least[order]


@compiled_parallel
def cell_ranges(dose: FloatArray) -> FloatArray:
    """Return the least and the greatest corner of every cell, (…, 2); one frame is one cell."""
    frames, rows, columns = dose.shape
    cells = max(frames - 1, 1), max(rows - 1, 1), max(columns - 1, 1)
    found = np.empty((cells[0], cells[1], cells[2], 2))
    for k in numba.prange(cells[0]):
        k1 = min(k + 1, frames - 1)
        for j in range(cells[1]):
            j1 = min(j + 1, rows - 1)
            for i in range(cells[2]):
                i1 = min(i + 1, columns - 1)
                a, b, c, d = dose[k, j, i], dose[k, j, i1], dose[k, j1, i], dose[k, j1, i1]
                e, f, g, h = dose[k1, j, i], dose[k1, j, i1], dose[k1, j1, i], dose[k1, j1, i1]
                found[k, j, i, 0] = min(min(min(a, b), min(c, d)), min(min(e, f), min(g, h)))
                found[k, j, i, 1] = max(max(max(a, b), max(c, d)), max(max(e, f), max(g, h)))
    return found


@compiled_parallel
def search_minimum(
    points: IntArray,
    reference: FloatArray,
    allowed: FloatArray,
    steps: FloatArray,
    evaluated: tuple[FloatArray, FloatArray, FloatArray],
    order: tuple[IntArray, FloatArray],
    limits: tuple[float, float],
) -> FloatArray:
    """Return γ of each point.

    Parameters
    ----------
    points : flat indices of the reference.
    allowed : ΔD of each point.
    steps : (4, 3); what one step along each axis adds to a place, and the first voxel's place.
    evaluated : dose, range of each cell, spacing.
    order : from `cell_offsets`.
    limits : where the search ends, and the Γ² at which a point needs no better one.
    """
    count = len(points)
    result = np.empty(count)
    flat = reference.reshape(-1)
    rows, columns = reference.shape[1], reference.shape[2]
    for part in numba.prange((count + BLOCK - 1) // BLOCK):
        block = np.int64(part)
        boxes = np.empty((8 * DEPTH, 4))
        for step in range(BLOCK):
            index = block * BLOCK + step
            if index >= count:
                break
            at = points[index]
            k, j, i = at // (rows * columns), at // columns % rows, at % columns
            place = (
                k * steps[0, 0] + j * steps[1, 0] + i * steps[2, 0] + steps[3, 0],
                k * steps[0, 1] + j * steps[1, 1] + i * steps[2, 1] + steps[3, 1],
                k * steps[0, 2] + j * steps[1, 2] + i * steps[2, 2] + steps[3, 2],
            )
            scale = 1.0 / allowed[index]
            result[index] = _point(place, flat[at], scale, evaluated, order, limits, boxes)
    return result


@compiled
def _point(
    place: Triple,
    dose: float,
    scale: float,
    evaluated: tuple[FloatArray, FloatArray, FloatArray],
    order: tuple[IntArray, FloatArray],
    limits: tuple[float, float],
    boxes: FloatArray,
) -> float:
    """Return γ of one point: cells by distance, until no cell can give less."""
    grid, ranges, spacing = evaluated
    offsets, reach = order
    step = (spacing[0], spacing[1], spacing[2])
    inverse = (1.0 / step[0], 1.0 / step[1], 1.0 / step[2])
    z, y, x = place[0] * inverse[0], place[1] * inverse[1], place[2] * inverse[2]
    frames, rows, columns = grid.shape
    cells_z, cells_y, cells_x, _ = ranges.shape
    own_z = min(max(int(np.floor(z)), 0), cells_z - 1)
    own_y = min(max(int(np.floor(y)), 0), cells_y - 1)
    own_x = min(max(int(np.floor(x)), 0), cells_x - 1)
    # A place on a border lies in both cells: the one whose dose comes nearer is first.
    if z == own_z > 0 and own_z + 1 < frames:
        ahead = abs(grid[own_z + 1, own_y, own_x] - dose)
        own_z -= abs(grid[own_z - 1, own_y, own_x] - dose) < ahead
    if y == own_y > 0 and own_y + 1 < rows:
        ahead = abs(grid[own_z, own_y + 1, own_x] - dose)
        own_y -= abs(grid[own_z, own_y - 1, own_x] - dose) < ahead
    if x == own_x > 0 and own_x + 1 < columns:
        ahead = abs(grid[own_z, own_y, own_x + 1] - dose)
        own_x -= abs(grid[own_z, own_y, own_x - 1] - dose) < ahead
    best = limits[0] * limits[0]
    for index in range(len(reach)):
        if reach[index] >= best or best <= limits[1]:
            break
        k, j, i = own_z + offsets[index, 0], own_y + offsets[index, 1], own_x + offsets[index, 2]
        if k < 0 or j < 0 or i < 0 or k >= cells_z or j >= cells_y or i >= cells_x:
            continue
        gap = max(ranges[k, j, i, 0] - dose, 0.0, dose - ranges[k, j, i, 1]) * scale
        least = gap * gap
        point = (z - k, y - j, x - i)
        least += _outside(point[0], step[0], frames)
        least += _outside(point[1], step[1], rows)
        least += _outside(point[2], step[2], columns)
        if least < best * (1.0 - LESS):
            cell = _polynomial(grid, k, j, i, dose, scale)
            best = _cell(cell, point, step, inverse, best, boxes)
    return float(np.sqrt(best))


@compiled
def _outside(point: float, step: float, count: int) -> float:
    """Return the squared distance along one axis from a place to a cell that begins at 0."""
    gap = max(-point, 0.0, point - (1.0 if count > 1 else 0.0)) * step
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
def _cell(
    c: Polynomial, point: Triple, step: Triple, inverse: Triple, best: float, boxes: FloatArray
) -> float:
    """Return the least Γ² of one cell, or ``best`` when that is less."""
    best, bending = _box(c, point, step, inverse, best)
    if bending <= BENDING:
        return best
    waiting = _cut(boxes, 0, (0.0, 0.0, 0.0), 0.5, point)
    while waiting:
        waiting -= 1
        low, size = (boxes[waiting, 0], boxes[waiting, 1], boxes[waiting, 2]), boxes[waiting, 3]
        place = (
            (point[0] - low[0]) / size,
            (point[1] - low[1]) / size,
            (point[2] - low[2]) / size,
        )
        steps = (step[0] * size, step[1] * size, step[2] * size)
        inverses = (inverse[0] / size, inverse[1] / size, inverse[2] / size)
        best, bending = _box(_part(c, low, size), place, steps, inverses, best)
        if bending > BENDING and size > 0.5**DEPTH:
            waiting = _cut(boxes, waiting, low, size / 2, point)
    return best


@compiled
def _cut(boxes: FloatArray, waiting: int, low: Triple, half: float, point: Triple) -> int:
    """Add the eight parts of a box to those that wait, the nearest last; return how many wait."""
    near = 4 * (point[0] > low[0] + half)
    near += 2 * (point[1] > low[1] + half) + (point[2] > low[2] + half)
    for far in range(7, -1, -1):
        part = far ^ near
        boxes[waiting, 0] = low[0] + half * (part >> 2 & 1)
        boxes[waiting, 1] = low[1] + half * (part >> 1 & 1)
        boxes[waiting, 2] = low[2] + half * (part & 1)
        boxes[waiting, 3] = half
        waiting += 1
    return waiting


@compiled
def _part(c: Polynomial, low: Triple, size: float) -> Polynomial:
    """Return the polynomial of a part of a cell, which again runs from 0 to 1."""
    z, y, x = low
    square = size * size
    return (
        _at(c, z, y, x),
        (c[1] + y * (c[4] + x * c[7]) + x * c[5]) * size,
        (c[2] + z * (c[4] + x * c[7]) + x * c[6]) * size,
        (c[3] + z * (c[5] + y * c[7]) + y * c[6]) * size,
        (c[4] + x * c[7]) * square,
        (c[5] + y * c[7]) * square,
        (c[6] + z * c[7]) * square,
        c[7] * square * size,
    )


@compiled
def _box(
    c: Polynomial, point: Triple, step: Triple, inverse: Triple, best: float
) -> tuple[float, float]:
    """Return the least Γ² in a box, or ``best`` when that is less, and how the dose bends.

    With y the place and r the point, the linearised problem is min |y - r|² + (e + a·(y - p))²
    over the box (`_clamped`). The step is repeated at the place found until Γ² stands still,
    or until it would have to fall by more than the linear dose was wrong to be below ``best``.
    A box that cannot give less than ``best`` (`_slope`) does not bend.
    """
    sz, sy, sx = step
    iz, iy, ix = inverse
    rz, ry, rx = point[0] * sz, point[1] * sy, point[2] * sx
    pz, py, px = min(max(rz, 0.0), sz), min(max(ry, 0.0), sy), min(max(rx, 0.0), sx)
    z, y, x = pz * iz, py * iy, px * ix
    error = _at(c, z, y, x)
    away = (pz - rz) ** 2 + (py - ry) ** 2 + (px - rx) ** 2
    slope = _slope(c, error, (z, y, x), inverse)
    least = away + error * error / (1.0 + slope)
    if least >= best * (1.0 - LESS):
        return best, 0.0
    here = away + error * error
    best = min(best, here)
    for _ in range(ROUNDS):
        # 1. The gradient at the place, and the solution of the linearised problem.
        a = (
            (c[1] + y * (c[4] + x * c[7]) + x * c[5]) * iz,
            (c[2] + z * (c[4] + x * c[7]) + x * c[6]) * iy,
            (c[3] + z * (c[5] + y * c[7]) + y * c[6]) * ix,
        )
        offset = error + a[0] * (rz - pz) + a[1] * (ry - py) + a[2] * (rx - px)
        nz, ny, nx = _clamped((rz, ry, rx), a, offset, step)
        linear = offset + a[0] * (nz - rz) + a[1] * (ny - ry) + a[2] * (nx - rx)
        away = (nz - rz) ** 2 + (ny - ry) ** 2 + (nx - rx) ** 2
        moved = abs(nz - pz) + abs(ny - py) + abs(nx - px)
        # 2. Γ² there, from the true dose.
        pz, py, px = nz, ny, nx
        z, y, x = pz * iz, py * iy, px * ix
        error = _at(c, z, y, x)
        before, here = here, away + error * error
        best = min(best, here)
        if moved < STILL or abs(before - here) <= LESS * best:
            break
        if here - TRUST * abs(error * error - linear * linear) > best:
            break
    return best, abs(c[4]) + abs(c[5]) + abs(c[6]) + abs(c[7])


@compiled
def _slope(
    c: Polynomial,
    error: float,
    place: Triple,
    inverse: Triple,
) -> float:
    """Return the squared slope at which a dose's difference can shrink at most, over a cell.

    Along an axis the dose changes most along one of the cell's four edges, and from a place on
    the border only one way leads into the cell. On a path of length t the difference e falls to
    |e| - g t at best, and the least of t² + (|e| - g t)² is e² / (1 + g²).
    """
    sign = -1.0 if error > 0 else 1.0
    total = 0.0
    for axis in range(3):
        if axis == 0:
            first, one, two = c[1], c[4], c[5]
        elif axis == 1:
            first, one, two = c[2], c[4], c[6]
        else:
            first, one, two = c[3], c[5], c[6]
        both = one + two + c[7]
        most = sign * first + max(max(0.0, sign * one), max(sign * two, sign * both))
        least = sign * first + min(min(0.0, sign * one), min(sign * two, sign * both))
        ahead = most if place[axis] < 1.0 else 0.0
        back = -least if place[axis] > 0.0 else 0.0
        steep = max(ahead, back, 0.0) * inverse[axis]
        total += steep * steep
    return total


@compiled
def _clamped(r: Triple, a: Triple, offset: float, size: Triple) -> Triple:
    """Return the place of a box where |y - r|² + (offset + a·(y - r))² is least.

    It is y(μ) = clamp(r - μ a) with μ = offset + a·(y(μ) - r): one equation, piecewise linear
    in μ, whose left side outgrows its right side. Newton's steps are kept between the values
    known to be too small and too great.
    """
    az, ay, ax = a
    mu, small, great = offset / (1.0 + az * az + ay * ay + ax * ax), -np.inf, np.inf
    z, y, x = r
    for _ in range(STEPS):
        z, y, x = r[0] - mu * az, r[1] - mu * ay, r[2] - mu * ax
        slope = 1.0
        slope += az * az if 0.0 < z < size[0] else 0.0
        slope += ay * ay if 0.0 < y < size[1] else 0.0
        slope += ax * ax if 0.0 < x < size[2] else 0.0
        z = min(max(z, 0.0), size[0])
        y = min(max(y, 0.0), size[1])
        x = min(max(x, 0.0), size[2])
        wrong = mu - offset - az * (z - r[0]) - ay * (y - r[1]) - ax * (x - r[2])
        if abs(wrong) < SETTLED:
            break
        small, great = (mu, great) if wrong < 0 else (small, mu)
        mu -= wrong / slope
        if not small < mu < great:
            mu = (small + great) / 2
    return z, y, x
