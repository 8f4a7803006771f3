"""The planes that a histogram is taken in: between drawn planes and beyond the last ones.

Between planes the area is a parabola through three planes. **End capping**: beyond the last plane
the parabola goes on where it falls to zero within one plane spacing (a rounded end); elsewhere
the last contour goes on for half a spacing, as is usual (a flat end). A region of one plane is
one spacing thick. Exact for ellipsoids and cylinders.

Read next: `dvh_sampling.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled

FloatArray = NDArray[np.float64]
OVERSHOOT = 1.1  # a parabola may pass its neighbours by that
PARTED = 1.5  # times the spacing: a larger gap parts a region


@compiled
def cuts(places: FloatArray, areas: FloatArray, spacing: float, fine: int) -> FloatArray:
    """Return the planes to sample: place, index of the drawn plane, area, thickness.

    Parameters
    ----------
    places : of the drawn planes, ascending.
    fine : planes between two drawn ones.
    """
    found = np.empty(((len(places) + 1) * fine * 2, 4))
    count, first = 0, 0
    for last in range(len(places)):
        if last + 1 < len(places) and places[last + 1] - places[last] <= PARTED * spacing:
            continue
        own = slice(first, last + 1)
        count = _part(places[own], areas[own], first, (spacing, fine), found, count)
        first = last + 1
    return found[:count]


@compiled
def _part(
    z: FloatArray,
    a: FloatArray,
    first: int,
    steps: tuple[float, int],
    found: FloatArray,
    count: int,
) -> int:
    """Add the planes of one part of a region; return how many there are."""
    spacing, fine = steps
    if len(z) == 1:
        thin = spacing / fine
        for step in range(fine):
            found[count] = z[0] + (step + 0.5) * thin - spacing / 2, float(first), a[0], thin
            count += 1
        return count
    for gap in range(len(z) - 1):
        thin = (z[gap + 1] - z[gap]) / fine
        for step in range(fine):
            place = z[gap] + (step + 0.5) * thin
            near = gap if step < fine / 2 else gap + 1
            found[count] = place, float(first + near), _between(z, a, gap, place), thin
            count += 1
    count = _end(z[::-1], a[::-1], first, fine, found, count)
    return _end(z, a, first + len(z) - 1, fine, found, count)


@compiled
def _between(z: FloatArray, a: FloatArray, gap: int, place: float) -> float:
    """Return the area at a place: the mean of the parabolas through the planes around."""
    total, count = 0.0, 0
    for first in range(max(gap - 1, 0), min(gap, len(z) - 3) + 1):
        total += _parabola(z[first : first + 3], a[first : first + 3], place)
        count += 1
    if not count:
        return float(a[gap] + (place - z[gap]) / (z[gap + 1] - z[gap]) * (a[gap + 1] - a[gap]))
    low, high = min(a[gap], a[gap + 1]), max(a[gap], a[gap + 1])
    return float(min(max(total / count, low / OVERSHOOT), high * OVERSHOOT))


@compiled
def _parabola(z: FloatArray, a: FloatArray, place: float) -> float:
    """Return Lagrange's parabola through three points."""
    total = 0.0
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        total += a[i] * (place - z[j]) * (place - z[k]) / ((z[i] - z[j]) * (z[i] - z[k]))
    return total


@compiled
def _end(z: FloatArray, a: FloatArray, plane: int, fine: int, found: FloatArray, count: int) -> int:
    """Add the planes beyond the last of ``z``, which may run either way."""
    outward = 1.0 if z[-1] > z[-2] else -1.0
    gap = abs(z[-1] - z[-2])
    reach = _rounded_end(z, a, gap)
    thin = (reach if reach > 0 else gap / 2) / fine
    for step in range(fine):
        place = z[-1] + outward * (step + 0.5) * thin
        area = _parabola(z[-3:], a[-3:], place) if reach > 0 else a[-1]
        if area > 0:
            found[count] = place, float(plane), area, thin
            count += 1
    return count


@compiled
def _rounded_end(z: FloatArray, a: FloatArray, gap: float) -> float:
    """Return how far beyond the last plane the parabola reaches zero; 0 if not within a gap."""
    if len(z) < 3 or not a[-1] < a[-2]:
        return 0.0
    # In t = distance beyond the last plane: A(t) = c + b t + s t², through three planes.
    t1, t2 = -abs(z[-2] - z[-1]), -abs(z[-3] - z[-1])
    c = a[-1]
    s = ((a[-3] - c) / t2 - (a[-2] - c) / t1) / (t2 - t1)
    b = (a[-2] - c) / t1 - s * t1
    if abs(s) <= 1e-12:
        ahead = (-c / b, np.inf)
    else:
        root = b * b - 4 * s * c
        if root < 0:
            return 0.0
        ahead = ((-b - np.sqrt(root)) / (2 * s), (-b + np.sqrt(root)) / (2 * s))
    least = np.inf
    for value in ahead:
        if 0 < value <= gap:
            least = min(least, value)
    return least if least < np.inf else 0.0
