"""Sample the dose inside contours.

1. The area of each contour plane is measured by scan lines, odd crossings to even ones, so
   that holes and keyholes need no special case.
2. Between planes the area is a parabola through three planes. A plane in between has the
   contours of the nearest drawn plane, scaled about its centre to that area: exact for
   ellipsoids and cylinders.
3. **End capping.** Beyond the last plane the parabola goes on where it falls to zero within
   one plane spacing (a rounded end); elsewhere the last contour goes on for half a spacing,
   as is usual (a flat end). A region of one plane is one spacing thick.
4. Doses are read trilinearly on lines in each of these planes. Each sample stands for its
   length on the line, each plane for its area times its thickness.

Contour planes are parallel; places are (plane, row, column) millimetres along the three axes of
the contours. Read next: `dvh.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled, compiled_parallel
from models.physics.dvh import DoseVolumeHistogram
from models.physics.interpolation import trilinear

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BIN_GY = 0.01
AREA_LINES = 400  # scan lines over the height of a plane's contours
SAMPLES = 400_000  # about that many for a region, at most
FINEST_MM = 0.25
PLANES_PER_GAP = (2, 6)  # sampled planes between two drawn ones: least and most
EDGE = 1e-6  # of a voxel
OVERSHOOT = 1.1  # a parabola may pass its neighbours by that


@dataclass(frozen=True, slots=True)
class ContourPlane:
    """Hold the closed contours of a region in one plane.

    Parameters
    ----------
    place_mm : along the normal of the planes.
    contours : each (N, 2), (row, column) millimetres; closed by themselves.
    """

    place_mm: float
    contours: tuple[FloatArray, ...]


@dataclass(frozen=True, slots=True)
class DoseGrid:
    """Hold a dose and how places of the contours become its indices.

    Parameters
    ----------
    dose_gy : (frames, rows, columns), float64, kept as it is.
    to_index : (3, 4); index = to_index @ (plane, row, column, 1).
    most_gy : the greatest dose.
    """

    dose_gy: FloatArray
    to_index: FloatArray
    most_gy: float

    @classmethod
    def of(cls, dose_gy: FloatArray, to_index: FloatArray) -> DoseGrid:
        """Return the grid, its dose checked once for all regions.

        Raises
        ------
        ValueError : the dose is not finite or has not three dimensions.
        """
        if dose_gy.ndim != 3 or not np.isfinite(dose_gy).all():
            raise ValueError("expected a finite dose in three dimensions")
        kept = np.ascontiguousarray(dose_gy, dtype=np.float64)
        return cls(kept, to_index, max(float(kept.max(initial=0.0)), 0.0))


@dataclass(frozen=True, slots=True)
class _Cut:
    """One plane that is sampled: where, whose contours, how scaled, how thick."""

    place_mm: float
    plane: int
    area_mm2: float
    thickness_mm: float


def dose_volume_histogram(
    planes: Sequence[ContourPlane],
    grid: DoseGrid,
    *,
    plane_spacing_mm: float | None = None,
    bin_gy: float = BIN_GY,
) -> DoseVolumeHistogram:
    """Return the histogram of the region inside the contours.

    Parameters
    ----------
    planes : in any order; planes without area are left out.
    plane_spacing_mm : distance of drawn planes; the median of what is found by default. A
        gap above 1.5 times it parts the region, each part with its own ends.

    Raises
    ------
    ValueError : two planes share a place, or one plane stands alone and no spacing is given.
    """
    drawn = sorted((plane for plane in planes if plane.contours), key=lambda p: p.place_mm)
    packed = [_pack(plane.contours) for plane in drawn]
    shapes = [_shape(points, starts, AREA_LINES) for points, starts in packed]
    kept = [index for index, (area, _, _) in enumerate(shapes) if area > 0]
    if not kept:
        return DoseVolumeHistogram(np.zeros(1), bin_gy, *(float("nan"),) * 3, 0.0)
    places = np.array([drawn[index].place_mm for index in kept])
    spacing = _spacing(places, plane_spacing_mm)
    held = [shapes[index] for index in kept]
    areas = np.array([area for area, _, _ in held])
    edge = max(FINEST_MM, float(np.cbrt(areas.sum() * spacing / SAMPLES)))
    fine = int(np.clip(round(spacing / edge), *PLANES_PER_GAP))
    cuts = [
        cut
        for part in _parts(places, spacing)
        for cut in _cuts(places[part], areas[part], part, spacing, fine)
    ]
    return _sample([packed[index] for index in kept], held, cuts, grid, (edge, bin_gy))


def _spacing(places: FloatArray, given: float | None) -> float:
    gaps = np.diff(places)
    if len(gaps) and gaps.min() < 1e-3:
        raise ValueError("expected one plane for each place, found two at the same")
    if given is not None:
        return given
    if not len(gaps):
        raise ValueError("expected a plane spacing for a region of one plane")
    return float(np.median(gaps))


def _parts(places: FloatArray, spacing: float) -> list[IntArray]:
    """Return the runs of planes that belong together."""
    breaks = np.flatnonzero(np.diff(places) > 1.5 * spacing) + 1
    return [part.astype(np.int64) for part in np.split(np.arange(len(places)), breaks)]


def _cuts(z: FloatArray, a: FloatArray, part: IntArray, spacing: float, fine: int) -> list[_Cut]:
    """Return the planes to sample in one run: between drawn planes, and at both ends."""
    if len(z) == 1:
        thin = spacing / fine
        at = z[0] + (np.arange(fine) + 0.5) * thin - spacing / 2
        return [_Cut(float(place), int(part[0]), float(a[0]), thin) for place in at]
    cuts = []
    for gap in range(len(z) - 1):
        thin = float(z[gap + 1] - z[gap]) / fine
        for step in range(fine):
            place = float(z[gap]) + (step + 0.5) * thin
            near = gap if step < fine / 2 else gap + 1
            cuts.append(_Cut(place, int(part[near]), _between(z, a, gap, place), thin))
    return cuts + _end(z[::-1], a[::-1], int(part[0]), fine) + _end(z, a, int(part[-1]), fine)


def _between(z: FloatArray, a: FloatArray, gap: int, place: float) -> float:
    """Return the area at a place: the mean of the parabolas through the planes around."""
    values = []
    for first in (gap - 1, gap):
        if first >= 0 and first + 2 < len(z):
            values.append(_parabola(z[first : first + 3], a[first : first + 3], place))
    low, high = sorted((a[gap], a[gap + 1]))
    if not values:
        share = (place - z[gap]) / (z[gap + 1] - z[gap])
        return float(a[gap] + share * (a[gap + 1] - a[gap]))
    return float(np.clip(np.mean(values), low / OVERSHOOT, high * OVERSHOOT))


def _parabola(z: FloatArray, a: FloatArray, place: float) -> float:
    """Return Lagrange's parabola through three points."""
    total = 0.0
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        total += a[i] * (place - z[j]) * (place - z[k]) / ((z[i] - z[j]) * (z[i] - z[k]))
    return float(total)


def _end(z: FloatArray, a: FloatArray, plane: int, fine: int) -> list[_Cut]:
    """Return the planes beyond the last of ``z``, which may run either way."""
    outward = float(np.sign(z[-1] - z[-2]))
    gap = abs(float(z[-1] - z[-2]))
    reach = _rounded_end(z, a, gap)
    height, rounded = (reach, True) if reach is not None else (gap / 2, False)
    thin = height / fine
    cuts = []
    for step in range(fine):
        place = float(z[-1]) + outward * (step + 0.5) * thin
        area = _parabola(z[-3:], a[-3:], place) if rounded else float(a[-1])
        if area > 0:
            cuts.append(_Cut(place, plane, area, thin))
    return cuts


def _rounded_end(z: FloatArray, a: FloatArray, gap: float) -> float | None:
    """Return how far beyond the last plane the parabola reaches zero; None if not within a gap."""
    if len(z) < 3 or not a[-1] < a[-2]:
        return None
    # In t = distance beyond the last plane: A(t) = c + b t + a t².
    t = np.abs(z[-3:] - z[-1]) * -1.0
    c2, c1, c0 = np.polyfit(t, a[-3:], 2)
    roots = np.roots([c2, c1, c0]) if abs(c2) > 1e-12 else np.array([-c0 / c1])
    ahead = [float(root.real) for root in roots if abs(root.imag) < 1e-9 and 0 < root.real <= gap]
    return min(ahead) if ahead else None


def _pack(contours: Sequence[FloatArray]) -> tuple[FloatArray, IntArray]:
    """Return all points and where each contour starts, with the end as last value."""
    starts = np.cumsum([0, *(len(contour) for contour in contours)]).astype(np.int64)
    points = np.ascontiguousarray(np.concatenate(contours), dtype=np.float64)
    return points, starts


@compiled
def _crossings(points: FloatArray, starts: IntArray, row: float, found: FloatArray) -> int:
    """Write where the contours cross a scan line, ascending; return their count."""
    count = 0
    for contour in range(len(starts) - 1):
        before = starts[contour + 1] - 1
        for index in range(starts[contour], starts[contour + 1]):
            r0, r1 = points[before, 0], points[index, 0]
            if (r0 <= row) != (r1 <= row):
                share = (row - r0) / (r1 - r0)
                found[count] = points[before, 1] + share * (points[index, 1] - points[before, 1])
                count += 1
            before = index
    for index in range(1, count):
        value, place = found[index], index
        while place > 0 and found[place - 1] > value:
            found[place] = found[place - 1]
            place -= 1
        found[place] = value
    return count


@compiled
def _shape(points: FloatArray, starts: IntArray, lines: int) -> tuple[float, float, float]:
    """Return the area between odd and even crossings, and its centre (row, column)."""
    low, high = points[:, 0].min(), points[:, 0].max()
    found = np.empty(len(points))
    length, rows, columns = 0.0, 0.0, 0.0
    for line in range(lines):
        row = low + (line + 0.5) * (high - low) / lines
        count = _crossings(points, starts, row, found)
        for pair in range(0, count - 1, 2):
            chord = found[pair + 1] - found[pair]
            length += chord
            rows += chord * row
            columns += chord * (found[pair + 1] + found[pair]) / 2
    if length == 0:
        return 0.0, 0.0, 0.0
    return length * (high - low) / lines, rows / length, columns / length


@compiled_parallel
def _all_planes(
    points: FloatArray,
    starts: IntArray,
    begin: IntArray,
    planes: IntArray,
    cuts: FloatArray,
    grid: tuple[FloatArray, FloatArray],
    steps: tuple[float, float],
    bins: int,
) -> tuple[FloatArray, FloatArray]:
    """Return each cut's histogram in mm³, and its least, greatest, summed and missing dose.

    A cut is (place, scale, volume, centre row, centre column).
    """
    totals, sums = np.zeros((len(cuts), bins)), np.zeros((len(cuts), 4))
    for cut in numba.prange(len(cuts)):
        own = starts[begin[planes[cut]] : begin[planes[cut] + 1]]
        _one_plane(points, own, cuts[cut], grid, steps, totals[cut], sums[cut])
    return totals, sums


@compiled
def _one_plane(
    points: FloatArray,
    starts: IntArray,
    cut: FloatArray,
    grid: tuple[FloatArray, FloatArray],
    steps: tuple[float, float],
    total: FloatArray,
    sums: FloatArray,
) -> None:
    """Fill one cut's histogram and sums."""
    dose, to_index = grid
    step, bin_gy = steps
    place, scale, volume, centre_row, centre_column = cut
    own = points[starts[0] : starts[-1], 0]
    low, high = own.min(), own.max()
    lines = max(int(np.ceil((high - low) * scale / step)), 1)
    found = np.empty(starts[-1] - starts[0])
    sums[0], sums[1] = np.inf, -np.inf
    length = 0.0
    for line in range(lines):
        drawn = low + (line + 0.5) * (high - low) / lines
        row = centre_row + (drawn - centre_row) * scale
        count = _crossings(points, starts, drawn, found)
        for pair in range(0, count - 1, 2):
            chord = (found[pair + 1] - found[pair]) * scale
            samples = int(np.ceil(chord / step))
            left = centre_column + (found[pair] - centre_column) * scale
            length += chord
            weight = chord / samples
            at = _index(to_index, place, row, left + weight / 2)
            for sample in range(samples):
                value = _read(
                    dose,
                    at[0] + sample * weight * to_index[0, 2],
                    at[1] + sample * weight * to_index[1, 2],
                    at[2] + sample * weight * to_index[2, 2],
                )
                if value < 0:
                    sums[3] += weight
                    value = 0.0
                sums[0], sums[1] = min(sums[0], value), max(sums[1], value)
                sums[2] += weight * value
                total[min(int(value / bin_gy), len(total) - 1)] += weight
    if length > 0:
        total *= volume / length
        sums[2:] *= volume / length


@compiled
def _index(m: FloatArray, plane: float, row: float, column: float) -> tuple[float, float, float]:
    """Return the dose indices of a place."""
    return (
        m[0, 0] * plane + m[0, 1] * row + m[0, 2] * column + m[0, 3],
        m[1, 0] * plane + m[1, 1] * row + m[1, 2] * column + m[1, 3],
        m[2, 0] * plane + m[2, 1] * row + m[2, 2] * column + m[2, 3],
    )


@compiled
def _read(dose: FloatArray, z: float, y: float, x: float) -> float:
    """Return the trilinear dose at indices, -1 outside the grid of voxel centres."""
    frames, rows, columns = dose.shape
    low, more = -EDGE, EDGE - 1.0
    if not (low <= z <= frames + more and low <= y <= rows + more and low <= x <= columns + more):
        return -1.0
    return max(trilinear(dose, z, y, x), 0.0)


def _sample(
    packed: list[tuple[FloatArray, IntArray]],
    shapes: list[tuple[float, float, float]],
    cuts: list[_Cut],
    grid: DoseGrid,
    steps: tuple[float, float],
) -> DoseVolumeHistogram:
    """Return the histogram of all planes; steps are that on a line and the bin."""
    first = np.cumsum([0, *(len(part) for part, _ in packed)])
    spans = [starts + offset for (_, starts), offset in zip(packed, first, strict=False)]
    rows = [
        (
            cut.place_mm,
            np.sqrt(cut.area_mm2 / shapes[cut.plane][0]),
            cut.area_mm2 * cut.thickness_mm,
            *shapes[cut.plane][1:],
        )
        for cut in cuts
    ]
    totals, sums = _all_planes(
        np.concatenate([part for part, _ in packed]),
        np.concatenate(spans),
        np.cumsum([0, *(len(starts) for starts in spans)]).astype(np.int64),
        np.array([cut.plane for cut in cuts], dtype=np.int64),
        np.array(rows),
        (grid.dose_gy, np.ascontiguousarray(grid.to_index, dtype=np.float64)),
        steps,
        int(grid.most_gy / steps[1]) + 1,
    )
    histogram = totals.sum(axis=0)
    return DoseVolumeHistogram(
        volume_mm3=histogram,
        bin_gy=steps[1],
        least_gy=float(sums[:, 0].min()),
        most_gy=float(sums[:, 1].max()),
        mean_gy=float(sums[:, 2].sum() / histogram.sum()),
        outside_mm3=float(sums[:, 3].sum()),
    )
