"""Exact Euclidean distance to the nearest marked place of a grid, spacing by axis.

Two sweeps along the columns give the distance within a row; along rows and frames the lower
envelope of parabolas gives min over q of (p - q)² s² + f(q) in linear time (Felzenszwalb and
Huttenlocher 2012, doi 10.4086/toc.2012.v008a019).

Where only some places matter and marked ones are mostly near, `nearest_mm` looks around each
by growing distance first.

Arrays are (frames, rows, columns). Read next: `surface.py`.
"""

from __future__ import annotations

from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled, compiled_parallel

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Spacing = tuple[float, float, float]
FAR = 1e30
NEAR_PLACES = 1500  # looked at around a place before the whole grid is worked out


def distance_mm(marked: BoolArray, spacing_mm: Spacing) -> FloatArray:
    """Return the distance of every place to the nearest marked one; infinity where none is.

    Raises
    ------
    ValueError : the array is not three-dimensional or a spacing is not positive.
    """
    if marked.ndim != 3 or min(spacing_mm) <= 0:
        raise ValueError(f"expected a grid of three axes, found {marked.shape}, {spacing_mm}")
    if not marked.any():
        return np.full(marked.shape, np.inf)
    z, y, x = (float(step) for step in spacing_mm)
    squared = _within_rows(np.ascontiguousarray(marked), x)
    _along(squared, y * y)
    _along(squared.transpose(1, 0, 2), z * z)
    return np.asarray(np.sqrt(squared))


def nearest_mm(places: NDArray[np.int64], marked: BoolArray, spacing_mm: Spacing) -> FloatArray:
    """Return the distance of some places (N, 3) of a grid to its nearest marked place.

    Returns
    -------
    What `distance_mm` gives there.
    """
    if not len(places) or not marked.any():
        return np.full(len(places), np.inf)
    offsets, away = _around(spacing_mm)
    found = _look(places, np.ascontiguousarray(marked), offsets, away)
    missing = found < 0
    if missing.any():
        found[missing] = distance_mm(marked, spacing_mm)[tuple(places[missing].T)]
    return found


@lru_cache(maxsize=64)
def _around(spacing_mm: Spacing) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the offsets nearest to a place, all up to some distance, and these distances."""
    reach = (NEAR_PLACES * np.prod(spacing_mm) * 3 / (4 * np.pi)) ** (1 / 3)
    axes = (np.arange(-(most := int(reach / step)), most + 1) for step in spacing_mm)
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    away = np.sqrt(((offsets * np.asarray(spacing_mm)) ** 2).sum(axis=1))
    order = np.argsort(away, kind="stable")
    order = order[away[order] <= reach]
    return offsets[order].astype(np.int64), away[order]


@compiled
def _look(
    places: NDArray[np.int64], marked: BoolArray, offsets: NDArray[np.int64], away: FloatArray
) -> FloatArray:
    """Return the distance of the first marked offset, -1 where none is marked."""
    frames, rows, columns = marked.shape
    found = np.full(len(places), -1.0)
    for index in range(len(places)):
        for near in range(len(away)):
            k = places[index, 0] + offsets[near, 0]
            j = places[index, 1] + offsets[near, 1]
            i = places[index, 2] + offsets[near, 2]
            if 0 <= k < frames and 0 <= j < rows and 0 <= i < columns and marked[k, j, i]:
                found[index] = away[near]
                break
    return found


@compiled_parallel
def _within_rows(marked: BoolArray, step: float) -> FloatArray:
    """Return the squared distance to the nearest marked place of the same row."""
    frames, rows, columns = marked.shape
    squared = np.empty(marked.shape)
    for frame in numba.prange(frames):
        for row in range(rows):
            away = FAR
            for column in range(columns):
                away = 0.0 if marked[frame, row, column] else away + step
                squared[frame, row, column] = away
            away = FAR
            for column in range(columns - 1, -1, -1):
                away = 0.0 if marked[frame, row, column] else away + step
                nearer = min(away, squared[frame, row, column])
                squared[frame, row, column] = nearer * nearer if nearer < FAR else FAR
    return squared


@compiled_parallel
def _along(squared: FloatArray, weight: float) -> None:
    """Lower the values along the middle axis, in place."""
    outer, count, columns = squared.shape
    if count == 1:
        return
    for frame in numba.prange(outer):
        line, place, border = np.empty(count), np.empty(count, np.int64), np.empty(count + 1)
        for column in range(columns):
            for row in range(count):
                line[row] = squared[frame, row, column]
            if _envelope(line, weight, place, border) < 0:
                continue
            part = 0
            for row in range(count):
                while border[part + 1] < row:
                    part += 1
                gap = row - place[part]
                squared[frame, row, column] = weight * gap * gap + line[place[part]]


@compiled
def _envelope(line: FloatArray, weight: float, place: NDArray[np.int64], border: FloatArray) -> int:
    """Write the parabolas of the lower envelope and their borders; return the last one."""
    last = -1
    for row in range(len(line)):
        if line[row] >= FAR:
            continue
        cut = -np.inf
        while last >= 0:
            other = place[last]
            cut = (line[row] - line[other]) / weight + row * row - other * other
            cut /= 2.0 * (row - other)
            if cut > border[last]:
                break
            last -= 1
        if last < 0:
            cut = -np.inf
        last += 1
        place[last] = row
        border[last] = cut
        border[last + 1] = np.inf
    return last
