"""The surface of a mask as small pieces with a place and an area.

A piece lies at each corner where eight voxels meet that are not all inside or all outside.
Its area is that of the polygons that part the inside from the outside there: they run through
the middles of the cube's cut edges, as in marching cubes (Lorensen and Cline 1987, doi
10.1145/37402.37422). So a metric of the surface counts area and not voxels, whatever the
spacing (Nikolov et al. 2021, doi 10.2196/26151).

Arrays are (frames, rows, columns). Read next: `agreement.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Spacing = tuple[float, float, float]
CORNERS = tuple(product((0, 1), repeat=3))  # corner n has bit 7 - n of a code
_FACES = tuple((axis, side) for axis in range(3) for side in (0, 1))


@lru_cache(maxsize=64)
def piece_areas(spacing_mm: Spacing) -> FloatArray:
    """Return the area in mm² of the piece of each of the 256 codes of eight voxels.

    A code and its complement have one area: polygons are drawn around the fewer corners.
    """
    fewer = (code if code.bit_count() <= 4 else 255 - code for code in range(256))
    return np.array([_area(code, spacing_mm) for code in fewer])


def _area(code: int, spacing_mm: Spacing) -> float:
    """Return the area of the polygons through the middles of the cut edges."""
    return sum(_polygon_area(points * np.asarray(spacing_mm)) for points in _polygons(code))


@lru_cache(maxsize=256)
def _polygons(code: int) -> tuple[FloatArray, ...]:
    """Return the points of each polygon, in units of the spacing."""
    inside = {corner: bool(code >> (7 - n) & 1) for n, corner in enumerate(CORNERS)}
    links: dict[frozenset[tuple[int, ...]], list[frozenset[tuple[int, ...]]]] = {}
    for axis, side in _FACES:
        for first, second in _face_links(inside, axis, side):
            links.setdefault(first, []).append(second)
            links.setdefault(second, []).append(first)
    polygons, left = [], set(links)
    while left:
        loop = [left.pop()]
        while True:
            ahead = [edge for edge in links[loop[-1]] if edge in left]
            if not ahead:
                break
            loop.append(ahead[0])
            left.remove(ahead[0])
        polygons.append(np.array([np.mean([list(c) for c in edge], axis=0) for edge in loop]))
    return tuple(polygons)


def _face_links(
    inside: dict[tuple[int, ...], bool], axis: int, side: int
) -> list[tuple[frozenset[tuple[int, ...]], frozenset[tuple[int, ...]]]]:
    """Return the pairs of cut edges that a polygon joins across one face.

    Four cut edges are joined around the two corners that are inside.
    """
    around = [(0, 0), (0, 1), (1, 1), (1, 0)]
    corners = [tuple(np.insert(place, axis, side).tolist()) for place in around]
    edges = [frozenset((corners[n], corners[(n + 1) % 4])) for n in range(4)]
    cut = [n for n in range(4) if inside[corners[n]] != inside[corners[(n + 1) % 4]]]
    if len(cut) == 2:
        return [(edges[cut[0]], edges[cut[1]])]
    if len(cut) == 4:
        return [(edges[n - 1], edges[n]) for n in range(4) if inside[corners[n]]]
    return []


def _polygon_area(points: FloatArray) -> float:
    """Return the area of a closed polygon cut into triangles from one of its points.

    A polygon that is not flat has another area from each point; their mean depends on
    neither the first point nor the sense of rotation.
    """
    count = np.arange(len(points))
    fans = points[(count[:, None] + count) % len(points)]
    first, second = fans[:, 1:-1] - fans[:, :1], fans[:, 2:] - fans[:, :1]
    return float(np.linalg.norm(np.cross(first, second), axis=2).sum() / (2 * len(points)))


@dataclass(frozen=True, slots=True)
class Pieces:
    """Hold the surface pieces of a mask.

    Parameters
    ----------
    places : (N, 3) corner indices; corner [k, j, i] lies between voxels k - 1 and k, j - 1
        and j, i - 1 and i.
    codes : (N,) which of the eight voxels there are inside.
    marked : (frames + 1, rows + 1, columns + 1) whether a corner has a piece.
    """

    places: NDArray[np.int64]
    codes: NDArray[np.uint8]
    marked: BoolArray


def surface_pieces(mask: BoolArray) -> Pieces:
    """Return the pieces of a mask (frames, rows, columns), outside of which nothing is inside."""
    return Pieces(*_pieces(np.ascontiguousarray(mask)))


@compiled
def _pieces(mask: BoolArray) -> tuple[NDArray[np.int64], NDArray[np.uint8], BoolArray]:
    frames, rows, columns = mask.shape
    codes = np.zeros((frames + 1, rows + 1, columns + 1), np.uint8)
    for k in range(frames):
        for j in range(rows):
            for i in range(columns):
                if mask[k, j, i]:
                    codes[k + 1, j + 1, i + 1] |= 128
                    codes[k + 1, j + 1, i] |= 64
                    codes[k + 1, j, i + 1] |= 32
                    codes[k + 1, j, i] |= 16
                    codes[k, j + 1, i + 1] |= 8
                    codes[k, j + 1, i] |= 4
                    codes[k, j, i + 1] |= 2
                    codes[k, j, i] |= 1
    flat = codes.reshape(-1)
    count = 0
    for index in range(len(flat)):
        count += 0 < flat[index] < 255
    places, found = np.empty((count, 3), np.int64), np.empty(count, np.uint8)
    marked = np.zeros(codes.shape, np.bool_)
    count = 0
    for k in range(frames + 1):
        for j in range(rows + 1):
            for i in range(columns + 1):
                code = codes[k, j, i]
                if 0 < code < 255:
                    places[count, 0], places[count, 1], places[count, 2] = k, j, i
                    found[count] = code
                    marked[k, j, i] = True
                    count += 1
    return places, found, marked


def extent(mask: BoolArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first marked index of each axis and the one after the last.

    Returns
    -------
    Of a mask without any: the shape, and 0.
    """
    values = np.ascontiguousarray(mask).view(np.uint8)
    whole = values.shape[2] % 8 == 0 and values.size > 0
    return _extent(values.view(np.uint64) if whole else values.astype(np.uint64), values)


@compiled
def _extent(
    words: NDArray[np.uint64], mask: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Look at eight voxels at once; ``words`` are the same values."""
    frames, rows, columns = mask.shape
    low, high = np.array([frames, rows, columns]), np.zeros(3, np.int64)
    held = np.zeros(columns, np.bool_)
    for k in range(frames):
        for j in range(rows):
            any_marked = np.uint64(0)
            for word in range(words.shape[2]):
                any_marked |= words[k, j, word]
            if any_marked:
                low[0], low[1] = min(low[0], k), min(low[1], j)
                high[0], high[1] = max(high[0], k + 1), max(high[1], j + 1)
                for i in range(columns):
                    held[i] |= mask[k, j, i] != 0
    for i in range(columns):
        if held[i]:
            low[2] = min(low[2], i)
            high[2] = max(high[2], i + 1)
    return low, high
