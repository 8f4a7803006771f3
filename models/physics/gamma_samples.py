"""γ by samples on shells around each point: the convention that pass rates in use rest on.

Most programs read the evaluated dose at points on circles or spheres whose radii grow by a
tenth of Δd, the points of a shell no further apart than that (Wendling et al. 2007, doi
10.1118/1.2721657, for the search by growing distance). γ by samples is never below the true
minimum that `gamma.py` finds; near γ = 1 it fails some points that the true minimum passes.

Where both grids share their axes and spacing, a sample lies at the same place in a cell for all
points: its eight weights are worked out once, and neighbouring points of a row are read
together. The rest is read point by point.

Read next: `dvh.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled, compiled_parallel, compiled_vector
from models.physics.interpolation import trilinear

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Shells = tuple[FloatArray, IntArray, FloatArray]
EDGE = 1e-9  # of a voxel: what rounding may put beyond the last centre
LANES = 16  # points of a row that are read together


@lru_cache(maxsize=8)
def shells(samples: int, reach: float, *, planar: bool) -> Shells:
    """Return the sample points around a point, in units of Δd.

    Returns
    -------
    Offsets (N, 3) in (frame, row, column) order; where each shell starts in them, with the
    end as last value; the radius of each shell. A plane has circles, space has spheres.
    """
    if samples < 1:
        raise ValueError(f"expected at least one sample per distance, found {samples}")
    step = 1.0 / samples
    radii = np.arange(int(np.floor(reach / step + 1e-9)) + 1, dtype=np.float64) * step
    points = [_circle(r, step) if planar else _sphere(r, step) for r in radii]
    starts = np.cumsum([0, *(len(part) for part in points)])
    return np.concatenate(points), starts.astype(np.int64), radii


def _circle(radius: float, step: float) -> FloatArray:
    angle = _turn(radius, step)
    return np.stack([np.zeros_like(angle), radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _turn(radius: float, step: float) -> FloatArray:
    """Return angles of a full turn whose arcs are shorter than ``step``."""
    count = int(np.ceil(2 * np.pi * radius / step)) + 1 if radius > 0 else 1
    return np.linspace(0.0, 2 * np.pi, count, endpoint=False)


def _sphere(radius: float, step: float) -> FloatArray:
    if radius == 0:
        return np.zeros((1, 3))
    rings = []
    for polar in np.linspace(0.0, np.pi, int(np.ceil(np.pi * radius / step)) + 1):
        angle = _turn(radius * abs(np.sin(polar)), step)
        rings.append(
            np.stack(
                [
                    radius * np.sin(polar) * np.cos(angle),
                    radius * np.sin(polar) * np.sin(angle),
                    np.full_like(angle, radius * np.cos(polar)),
                ],
                axis=1,
            )
        )
    return np.concatenate(rings)


@dataclass(frozen=True, slots=True)
class Doses:
    """Hold what is compared, in the units of the search.

    Parameters
    ----------
    reference, evaluated : doses, C-contiguous.
    judged : flat indices of the reference, ascending.
    allowed : ΔD of each judged point.
    steps : (4, 3); what one step along each axis of the reference adds to a place, and the
        place of its first voxel, in units of Δd.
    spacing : of the evaluated grid, in units of Δd.
    """

    reference: FloatArray
    evaluated: FloatArray
    judged: IntArray
    allowed: FloatArray
    steps: FloatArray
    spacing: FloatArray

    @property
    def aligned(self) -> bool:
        """Return whether both grids share their axes and spacing."""
        same = np.abs(self.steps[:3] - np.diag(self.spacing)) * np.array(self.reference.shape)
        single = np.array(self.reference.shape) == 1
        return bool((same.max(axis=1)[~single] <= EDGE * self.spacing.min()).all())


def search_samples(doses: Doses, around: Shells, limits: tuple[float, float]) -> FloatArray:
    """Return γ of each judged point.

    Parameters
    ----------
    limits : where the search ends, and the Γ² at which a point needs no better one.
    """
    best = np.full(len(doses.judged), limits[0] * limits[0])
    first = np.zeros(len(best), dtype=np.int64)
    if doses.aligned:
        shape = np.array(doses.evaluated.shape)
        weights, cells, bounds = _placed(around, doses.steps[3], doses.spacing, shape)
        guard = int(np.abs(cells).max()) + int(shape[1] * shape[2]) + int(shape[2]) + LANES + 1
        flat = np.pad(doses.evaluated.reshape(-1), guard)
        _together(
            (doses.judged, doses.reference, doses.allowed),
            (flat, guard, shape),
            (weights, cells, bounds, around[1], around[2]),
            float(doses.steps[3, 0]) if doses.evaluated.shape[0] == 1 else 0.0,
            limits[1],
            (best, first),
        )
    return _alone(
        (doses.judged, doses.reference, doses.allowed, doses.steps),
        (doses.evaluated, 1.0 / doses.spacing),
        around,
        limits[1],
        best,
        first,
    )


@compiled
def _placed(
    around: Shells, origin: FloatArray, spacing: FloatArray, shape: IntArray
) -> tuple[FloatArray, IntArray, IntArray]:
    """Return of each sample its corners' weights and cell, and the reach of each shell.

    Returns
    -------
    Weights (N, 8); flat offset of the cell's first corner (N,); least and greatest index that
    a shell reads, counted from the point's own, (shells, 2, 3).
    """
    offsets, starts, radii = around
    weights, cells = np.ones((len(offsets), 8)), np.zeros(len(offsets), np.int64)
    bounds = np.zeros((len(radii), 2, 3), np.int64)
    strides = (shape[1] * shape[2], shape[2], 1)
    for shell in range(len(radii)):
        for sample in range(starts[shell], starts[shell + 1]):
            for axis in range(3):
                index = (offsets[sample, axis] + origin[axis]) / spacing[axis]
                index = index if shape[axis] > 1 else 0.0
                low = int(np.floor(index + EDGE))
                share = max(index - low, 0.0)
                bounds[shell, 0, axis] = min(bounds[shell, 0, axis], low)
                bounds[shell, 1, axis] = max(bounds[shell, 1, axis], low + (shape[axis] > 1))
                cells[sample] += low * strides[axis]
                for corner in range(8):
                    side = corner >> (2 - axis) & 1
                    weights[sample, corner] *= share if side else 1.0 - share
    return weights, cells, bounds


@compiled_parallel
def _together(
    points: tuple[IntArray, FloatArray, FloatArray],
    grid: tuple[FloatArray, int, IntArray],
    samples: tuple[FloatArray, IntArray, IntArray, IntArray, FloatArray],
    off: float,
    enough: float,
    found: tuple[FloatArray, IntArray],
) -> None:
    """Write Γ² of the points whose samples lie inside the grid, and each one's next shell."""
    judged, reference, _ = points
    rows, columns = reference.shape[1], reference.shape[2]
    lines = reference.shape[0] * rows
    starts = np.searchsorted(judged, np.arange(lines + 1) * columns)
    half = (lines + 1) // 2
    for part in numba.prange(lines):
        # Threads take runs of parts: even lines first, then odd ones, share the work evenly.
        line = 2 * np.int64(part) if part < half else 2 * (np.int64(part) - half) + 1
        lanes = (np.zeros(LANES), np.zeros(LANES))
        place = np.array([line // rows, line % rows, 0])
        index = starts[line]
        while index < starts[line + 1]:
            place[2] = judged[index] - line * columns
            index = _segment(
                place, index, starts[line + 1], points, grid, samples, off, enough, found, lanes
            )


@compiled
def _segment(
    place: IntArray,
    first: int,
    end: int,
    points: tuple[IntArray, FloatArray, FloatArray],
    grid: tuple[FloatArray, int, IntArray],
    samples: tuple[FloatArray, IntArray, IntArray, IntArray, FloatArray],
    off: float,
    enough: float,
    found: tuple[FloatArray, IntArray],
    lanes: tuple[FloatArray, FloatArray],
) -> int:
    """Work out the points of a row from one on, as many as fit; return the next."""
    judged, reference, allowed = points
    flat, guard, shape = grid
    strides = (
        1 if shape[2] > 1 else 0,
        shape[2] if shape[1] > 1 else 0,
        shape[1] * shape[2] if shape[0] > 1 else 0,
    )
    weights, cells, bounds, starts, radii = samples
    best, shell_of = found
    dose, near = lanes
    begin = judged[first] - place[2]
    last = first
    while last < end and judged[last] - begin - place[2] < LANES:
        dose[judged[last] - begin - place[2]] = reference.reshape(-1)[judged[last]]
        last += 1
    base = guard + (place[0] * shape[1] + place[1]) * shape[2] + place[2]
    for shell in range(len(radii)):
        low, high = bounds[shell, 0], bounds[shell, 1]
        if place[0] + low[0] < 0 or place[0] + high[0] >= shape[0]:
            break
        if place[1] + low[1] < 0 or place[1] + high[1] >= shape[1]:
            break
        distance = radii[shell] * radii[shell] + off * off
        waiting = 0
        for index in range(first, last):
            column = judged[index] - begin
            inside = column + low[2] >= 0 and column + high[2] < shape[2]
            if inside and shell_of[index] == shell and enough < best[index] > distance:
                waiting += 1
        if not waiting:
            break
        near[:] = np.inf
        _nearest(
            flat,
            strides,
            base,
            weights[starts[shell] : starts[shell + 1]],
            cells[starts[shell] : starts[shell + 1]],
            dose,
            near,
        )
        for index in range(first, last):
            column = judged[index] - begin
            inside = column + low[2] >= 0 and column + high[2] < shape[2]
            if inside and shell_of[index] == shell:
                error = near[column - place[2]] / allowed[index]
                best[index] = min(best[index], distance + error * error)
                shell_of[index] = shell + 1
    return last


@compiled_vector
def _nearest(
    flat: FloatArray,
    strides: tuple[int, int, int],
    base: int,
    weights: FloatArray,
    cells: IntArray,
    dose: FloatArray,
    near: FloatArray,
) -> None:
    """Lower ``near`` to the least difference of the samples' dose to each point's own."""
    # Unsigned indices have no wrap-around, which would keep the loop from vectors.
    x, y, z = np.uint64(strides[0]), np.uint64(strides[1]), np.uint64(strides[2])
    for sample in range(len(weights)):
        w = weights[sample]
        w0, w1, w2, w3, w4, w5, w6, w7 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
        start = np.uint64(base + cells[sample])
        for count in range(LANES):
            lane = np.uint64(count)
            at = start + lane
            read = (
                w0 * flat[at]
                + w1 * flat[at + x]
                + w2 * flat[at + y]
                + w3 * flat[at + y + x]
                + w4 * flat[at + z]
                + w5 * flat[at + z + x]
                + w6 * flat[at + z + y]
                + w7 * flat[at + z + y + x]
            )
            away = abs(read - dose[lane])
            near[lane] = away if away < near[lane] else near[lane]


@compiled_parallel
def _alone(
    points: tuple[IntArray, FloatArray, FloatArray, FloatArray],
    grid: tuple[FloatArray, FloatArray],
    around: Shells,
    enough: float,
    best: FloatArray,
    first: IntArray,
) -> FloatArray:
    """Return γ of each point, its shells from the next one on read point by point."""
    judged, reference, allowed, steps = points
    rows, columns = reference.shape[1], reference.shape[2]
    result = np.empty(len(judged))
    for index in numba.prange(len(judged)):
        at = judged[index]
        k, j, i = at // (rows * columns), at // columns % rows, at % columns
        place = (
            k * steps[0, 0] + j * steps[1, 0] + i * steps[2, 0] + steps[3, 0],
            k * steps[0, 1] + j * steps[1, 1] + i * steps[2, 1] + steps[3, 1],
            k * steps[0, 2] + j * steps[1, 2] + i * steps[2, 2] + steps[3, 2],
        )
        doses = reference.reshape(-1)[at], allowed[index]
        least = _shells_of(place, doses, grid, around, enough, (best[index], first[index]))
        result[index] = np.sqrt(least)
    return result


@compiled
def _shells_of(
    place: tuple[float, float, float],
    doses: tuple[float, float],
    grid: tuple[FloatArray, FloatArray],
    around: Shells,
    enough: float,
    found: tuple[float, int],
) -> float:
    """Return Γ² of one point, its shells searched from one on."""
    evaluated, inverse = grid
    offsets, starts, radii = around
    least, first = found
    # A plane off the evaluated one is that far from each of its points.
    off = place[0] if evaluated.shape[0] == 1 else 0.0
    for shell in range(first, len(radii)):
        distance = radii[shell] * radii[shell] + off * off
        if distance >= least or least <= enough:
            break
        nearest = np.inf
        for sample in range(starts[shell], starts[shell + 1]):
            read = _read(
                evaluated,
                (place[0] - off + offsets[sample, 0]) * inverse[0],
                (place[1] + offsets[sample, 1]) * inverse[1],
                (place[2] + offsets[sample, 2]) * inverse[2],
            )
            nearest = min(nearest, abs(read - doses[0]))
        error = nearest / doses[1]
        least = min(least, distance + error * error)
    return least


@compiled
def _read(dose: FloatArray, z: float, y: float, x: float) -> float:
    """Return the trilinear dose at index coordinates, infinity outside the grid."""
    frames, rows, columns = dose.shape
    low, more = -EDGE, EDGE - 1.0
    if not (low <= z <= frames + more and low <= y <= rows + more and low <= x <= columns + more):
        return np.inf
    return trilinear(dose, z, y, x)
