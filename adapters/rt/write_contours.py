"""Outlines of a mask: closed polygons along the edges of its voxels.

A contour follows voxel edges, half a voxel outside the centres that it encloses, so that
the mask comes back voxel by voxel from any rasteriser that asks whether a centre lies
inside, the enclosed area equals the voxel count, and an island of one voxel survives.

Voxels that meet at a corner only belong to separate polygons.  A hole is joined to the
polygon around it by a channel of no width along voxel edges: the keyhole of PS3.3
C.8.8.6.3, the one way to hollow a CLOSED_PLANAR contour that readers which unite contours
(plastimatch) and readers which take their exclusive or (planning systems) understand alike.

Read next: `write_structure_set.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.physics.outlines import outlines, turns

Corner = tuple[int, int]
"""(row, column) of a voxel corner: corner (r, c) is the point (r - 0.5, c - 0.5)."""


def trace(plane: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the outlines of a plane as polygons with keyholes.

    Parameters
    ----------
    plane : bool (rows, columns).

    Returns
    -------
    Arrays (points, 2) of (row, column) indices in voxels, odd multiples of a half; not
    closed (the last point is not the first).  The even-odd rule gives ``plane`` back.
    """
    outer: list[list[Corner]] = []
    holes: list[list[Corner]] = []
    loops = outlines(plane)
    if all(around for around, _ in loops):
        return [turns(loop) - np.float64(0.5) for _, loop in loops]
    for around, loop in loops:
        (outer if around else holes).append([(row, column) for row, column in loop.tolist()])
    joined = _join(outer, sorted(holes, key=min))
    return [turns(np.asarray(loop)) - np.float64(0.5) for loop in joined]


def enclosed_area(polygon: NDArray[np.float64]) -> float:
    """Return the area inside a polygon of (points, 2), keyholes taken out; the shoelace rule
    sum(x_i * y_(i+1) - x_(i+1) * y_i) / 2."""
    following = np.roll(polygon, -1, axis=0)
    return abs(float(np.sum(polygon[:, 1] * following[:, 0] - following[:, 1] * polygon[:, 0])) / 2)


def _join(outer: list[list[Corner]], holes: list[list[Corner]]) -> list[list[Corner]]:
    """Return the outer loops with a keyhole to each hole.

    1. From the topmost corner of a hole a channel runs up its column to the first corner of
    an outer loop or of a hole above, which is joined already.  2. Holes are then written
    into the loop that they hang on, the lowest first.
    """
    loops = [*outer, *holes]
    where: dict[Corner, tuple[int, int]] = {}
    for index, loop in enumerate(outer):
        where.update({corner: (index, position) for position, corner in enumerate(loop)})
    hanging: dict[int, list[tuple[int, int, int]]] = {}
    # 1.
    for index, hole in enumerate(holes, start=len(outer)):
        row, column = min(hole)
        top = row
        while (top, column) not in where:
            top -= 1
        parent, position = where[(top, column)]
        hanging.setdefault(parent, []).append((position, index, top))
        for place, corner in enumerate(hole):
            where.setdefault(corner, (index, place))
    # 2.
    for parent in sorted(hanging, reverse=True):
        for position, index, top in sorted(hanging[parent], reverse=True):
            detour = _detour(holes[index - len(outer)], loops[index], top)
            loops[parent][position + 1 : position + 1] = detour
    return loops[: len(outer)]


def _detour(hole: list[Corner], path: list[Corner], top: int) -> list[Corner]:
    """Return the way from corner (top, column) down to the hole, around ``path`` (the hole
    with what hangs on it), and back."""
    row, column = min(hole)
    place = path.index((row, column))
    circuit = [*path[place + 1 :], *path[:place], (row, column)]
    if top == row:
        return circuit
    channel = [(step, column) for step in range(top + 1, row)]
    return [*channel, (row, column), *circuit, *channel[::-1], (top, column)]
