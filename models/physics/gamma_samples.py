"""γ by samples on shells around each point: the convention that pass rates in use rest on.

Most programs read the evaluated dose at points on circles or spheres whose radii grow by a
tenth of Δd, the points of a shell no further apart than that (Wendling et al. 2007, doi
10.1118/1.2721657, for the search by growing distance). γ by samples is never below the true
minimum that `gamma.py` finds; near γ = 1 it fails some points that the true minimum passes.

Read next: `gamma_report.py`.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled, compiled_parallel
from models.physics.interpolation import trilinear

FloatArray = NDArray[np.float64]
EDGE = 1e-9  # of a voxel: what rounding may put beyond the last centre


def shells(
    samples: int, reach: float, *, planar: bool
) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
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


@compiled_parallel
def search_samples(
    places: FloatArray,
    doses: FloatArray,
    allowed: FloatArray,
    evaluated: FloatArray,
    spacing: FloatArray,
    offsets: FloatArray,
    starts: NDArray[np.int64],
    radii: FloatArray,
    limit: float,
) -> FloatArray:
    """Return γ of each point; places, spacing, offsets and radii are in units of Δd."""
    result = np.empty(len(doses))
    for index in numba.prange(len(doses)):
        # A plane off the evaluated one is that far from each of its points.
        off = places[index, 0] if evaluated.shape[0] == 1 else 0.0
        best = limit * limit
        scale = 1.0 / allowed[index]
        for shell in range(len(radii)):
            distance = radii[shell] * radii[shell] + off * off
            if distance >= best:
                break
            nearest = np.inf
            for sample in range(starts[shell], starts[shell + 1]):
                read = _read(
                    evaluated,
                    (places[index, 0] - off + offsets[sample, 0]) / spacing[0],
                    (places[index, 1] + offsets[sample, 1]) / spacing[1],
                    (places[index, 2] + offsets[sample, 2]) / spacing[2],
                )
                nearest = min(nearest, abs(read - doses[index]))
            best = min(best, distance + (nearest * scale) ** 2)
        result[index] = np.sqrt(best)
    return result


@compiled
def _read(dose: FloatArray, z: float, y: float, x: float) -> float:
    """Return the trilinear dose at index coordinates, infinity outside the grid."""
    frames, rows, columns = dose.shape
    low, more = -EDGE, EDGE - 1.0
    if not (low <= z <= frames + more and low <= y <= rows + more and low <= x <= columns + more):
        return np.inf
    return trilinear(dose, z, y, x)
