"""Take the histogram of a dose inside contours.

1. The area of each contour plane is measured by scan lines (`scan_lines.py`).
2. Planes are laid between the drawn ones and beyond the last ones (`dvh_planes.py`, with the rule
   of end capping). Each has the contours of the nearest drawn plane, scaled about its centre to
   its area.
3. In each plane the dose is read along scan lines. Along a line that is parallel to an axis of
   the dose grid a trilinear dose is straight between voxel centres, so each piece's volume is
   spread evenly from the dose at its one end to that at its other: nothing is sampled along the
   line. Along other lines pieces are half a voxel long.
4. Each plane stands for its area times its thickness.

Contour planes are parallel; places are (plane, row, column) millimetres along the three axes of
the contours. Read next: `dvh.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from models.physics.compiled import compiled
from models.physics.dvh import DoseVolumeHistogram
from models.physics.dvh_planes import cuts
from models.physics.interpolation import trilinear
from models.physics.scan_lines import crossings, pack, shape

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
DoseArray = NDArray[np.float32] | NDArray[np.float64]
BIN_GY = 0.01
AREA_LINES = 400  # scan lines over the height of a plane's contours
CELLS = 40_000  # of a region, whose edge is the distance of lines
LINES_MM = (0.4, 3.0)  # distance of lines: least and most
PLANES_PER_GAP = (1, 6)  # planes between two drawn ones: least and most
EDGE = 1e-6  # of a voxel
EVEN = 1e-3  # of a bin: a piece with less difference of dose is all at one dose


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
    dose_gy : (frames, rows, columns), single or double precision, kept as it is.
    to_index : (3, 4); index = to_index @ (plane, row, column, 1).
    most_gy : the greatest dose.
    """

    dose_gy: DoseArray
    to_index: FloatArray
    most_gy: float

    @classmethod
    def of(cls, dose_gy: DoseArray, to_index: FloatArray) -> DoseGrid:
        """Return the grid, its dose checked once for all regions.

        Raises
        ------
        ValueError : the dose is not finite or has not three dimensions.
        """
        kept = cast("DoseArray", np.ascontiguousarray(dose_gy))
        if kept.ndim != 3 or not kept.size or kept.dtype.kind != "f":
            raise ValueError(f"expected a dose in three dimensions, found {dose_gy.shape}")
        least, most = float(kept.min()), float(kept.max())  # NaN where any dose is
        if not np.isfinite([least, most]).all():
            raise ValueError("expected a finite dose, found others")
        return cls(kept, to_index, max(most, 0.0))


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
    packed = [pack(plane.contours) for plane in drawn]
    shapes = [shape(points, starts, AREA_LINES) for points, starts in packed]
    kept = [index for index, (area, _, _) in enumerate(shapes) if area > 0]
    if not kept:
        return DoseVolumeHistogram(np.zeros(1), bin_gy, *(float("nan"),) * 3, 0.0)
    places = np.array([drawn[index].place_mm for index in kept])
    spacing = _spacing(places, plane_spacing_mm)
    held = np.array([shapes[index] for index in kept])
    edge = float(np.clip(np.cbrt(held[:, 0].sum() * spacing / CELLS), *LINES_MM))
    fine = int(np.clip(round(spacing / edge), *PLANES_PER_GAP))
    points, spans, begin = _joined([packed[index] for index in kept])
    total, sums = _all_planes(
        (points, spans, begin),
        cuts(places, held[:, 0].copy(), spacing, fine),
        held,
        (grid.dose_gy, np.ascontiguousarray(grid.to_index, dtype=np.float64)),
        (edge, bin_gy),
        int(grid.most_gy / bin_gy) + 1,
    )
    histogram = np.maximum(np.cumsum(total)[:-2], 0.0)
    return DoseVolumeHistogram(
        volume_mm3=histogram,
        bin_gy=bin_gy,
        least_gy=float(sums[0]),
        most_gy=float(sums[1]),
        mean_gy=float(sums[2] / histogram.sum()),
        outside_mm3=float(sums[3]),
    )


def _spacing(places: FloatArray, given: float | None) -> float:
    gaps = np.diff(places)
    if len(gaps) and gaps.min() < 1e-3:
        raise ValueError("expected one plane for each place, found two at the same")
    if given is not None:
        return given
    if not len(gaps):
        raise ValueError("expected a plane spacing for a region of one plane")
    return float(np.median(gaps))


def _joined(
    packed: list[tuple[FloatArray, IntArray]],
) -> tuple[FloatArray, IntArray, IntArray]:
    """Return all points, where contours start in them, and where each plane starts in those."""
    first = np.cumsum([0, *(len(part) for part, _ in packed)])
    spans = [starts + offset for (_, starts), offset in zip(packed, first, strict=False)]
    begin = np.cumsum([0, *(len(starts) for starts in spans)]).astype(np.int64)
    return np.concatenate([part for part, _ in packed]), np.concatenate(spans), begin


@compiled
def _all_planes(
    contours: tuple[FloatArray, IntArray, IntArray],
    planes: FloatArray,
    shapes: FloatArray,
    grid: tuple[DoseArray, FloatArray],
    steps: tuple[float, float],
    bins: int,
) -> tuple[FloatArray, FloatArray]:
    """Return the histogram, and least, greatest, summed and missing dose.

    One thread: ten regions take it 20 ms, and threads that wait for each other on a busy machine
    took ten times that.

    Returns
    -------
    What each bin has more than the one before it, mm³ (bins + 2); sums (4).
    """
    total, sums = np.zeros(bins + 2), np.zeros(4)
    points, spans, begin = contours
    sums[0], sums[1] = np.inf, -np.inf
    for cut in planes:
        drawn = int(cut[1])
        own = spans[begin[drawn] : begin[drawn + 1]]
        _one_plane(points, own, cut, shapes[drawn], grid, steps, total, sums)
    return total, sums


@compiled
def _one_plane(
    points: FloatArray,
    starts: IntArray,
    cut: FloatArray,
    drawn: FloatArray,
    grid: tuple[DoseArray, FloatArray],
    steps: tuple[float, float],
    total: FloatArray,
    sums: FloatArray,
) -> None:
    """Add one plane's dose to a histogram and its sums."""
    dose, m = grid
    place, _, area, thickness = cut
    scale = np.sqrt(area / drawn[0])
    own = points[starts[0] : starts[-1], 0]
    low, high = own.min(), own.max()
    lines = max(int(np.ceil((high - low) * scale / steps[0])), 1)
    begin, found = crossings(points, starts, low, (high - low) / lines, lines)
    length = 0.0
    for line in range(lines):
        for pair in range(begin[line], begin[line + 1] - 1, 2):
            length += found[pair + 1] - found[pair]
    if length == 0.0:
        return
    weight = area * thickness / (length * scale)  # mm³ for a millimetre of line
    straight = abs(m[0, 2]) < EDGE and abs(m[1, 2]) < EDGE
    for line in range(lines):
        row = drawn[1] + (low + (line + 0.5) * (high - low) / lines - drawn[1]) * scale
        for pair in range(begin[line], begin[line + 1] - 1, 2):
            left = drawn[2] + (found[pair] - drawn[2]) * scale
            chord = (found[pair + 1] - found[pair]) * scale
            at = (
                m[0, 0] * place + m[0, 1] * row + m[0, 2] * left + m[0, 3],
                m[1, 0] * place + m[1, 1] * row + m[1, 2] * left + m[1, 3],
                m[2, 0] * place + m[2, 1] * row + m[2, 2] * left + m[2, 3],
            )
            if straight:
                _along_axis(dose, at, chord * m[2, 2], chord * weight, steps[1], total, sums)
            else:
                step = (chord * m[0, 2], chord * m[1, 2], chord * m[2, 2])
                _across(dose, at, step, chord * weight, steps[1], total, sums)


@compiled
def _along_axis(
    dose: DoseArray,
    at: tuple[float, float, float],
    run: float,
    volume: float,
    bin_gy: float,
    total: FloatArray,
    sums: FloatArray,
) -> None:
    """Add a chord along the columns of the dose grid, voxel by voxel."""
    frames, rows, columns = dose.shape
    z, y, start = at
    end = start + run
    start, end = min(start, end), max(start, end)
    low, high = max(start, 0.0), min(end, columns - 1.0)
    inside = -EDGE <= z <= frames - 1 + EDGE and -EDGE <= y <= rows - 1 + EDGE and low < high
    each = volume / (end - start) if end > start else 0.0
    out = each * ((low - start) + (end - high)) if inside else volume
    if out > 0.0:
        sums[3] += out
        _spread(0.0, 0.0, out, bin_gy, total, sums)
    if not inside:
        return
    k, j = min(max(int(z), 0), max(frames - 2, 0)), min(max(int(y), 0), max(rows - 2, 0))
    k1, j1 = min(k + 1, frames - 1), min(j + 1, rows - 1)
    z, y = z - k, y - j
    a, b, c, d = dose[k, j], dose[k, j1], dose[k1, j], dose[k1, j1]
    wa, wb, wc, wd = (1 - z) * (1 - y), (1 - z) * y, z * (1 - y), z * y
    i = min(int(low), max(columns - 2, 0))
    near = wa * a[i] + wb * b[i] + wc * c[i] + wd * d[i]
    here, value = low, -1.0
    while here < high:
        i1 = min(i + 1, columns - 1)
        far = wa * a[i1] + wb * b[i1] + wc * c[i1] + wd * d[i1]
        if value < 0.0:
            value = max(near + (here - i) * (far - near), 0.0)
        ahead = min(high, i + 1.0)
        after = max(near + (ahead - i) * (far - near), 0.0)
        _spread(value, after, each * (ahead - here), bin_gy, total, sums)
        here, value, near, i = ahead, after, far, i + 1


@compiled
def _across(
    dose: DoseArray,
    at: tuple[float, float, float],
    run: tuple[float, float, float],
    volume: float,
    bin_gy: float,
    total: FloatArray,
    sums: FloatArray,
) -> None:
    """Add a chord of any direction in pieces of at most half a voxel."""
    most = max(abs(run[0]), max(abs(run[1]), abs(run[2])))
    pieces = max(int(np.ceil(2 * most)), 1)
    before = _read(dose, at[0], at[1], at[2])
    for piece in range(pieces):
        share = (piece + 1) / pieces
        after = _read(dose, at[0] + share * run[0], at[1] + share * run[1], at[2] + share * run[2])
        for value in (before, after):
            if value < 0:
                sums[3] += volume / pieces / 2
        if before < 0 or after < 0:
            _spread(max(before, 0.0), max(before, 0.0), volume / pieces / 2, bin_gy, total, sums)
            _spread(max(after, 0.0), max(after, 0.0), volume / pieces / 2, bin_gy, total, sums)
        else:
            _spread(before, after, volume / pieces, bin_gy, total, sums)
        before = after


@compiled
def _spread(
    first: float, last: float, volume: float, bin_gy: float, total: FloatArray, sums: FloatArray
) -> None:
    """Spread a volume evenly over the doses from one to another.

    The cumulative volume is a ramp from the lower dose to the upper one: of a ramp that starts
    in bin n at a share f of it, bin n has 1 - f and each later one 1; ``total`` holds what each
    bin has more than the one before it.
    """
    low, high = min(first, last), max(first, last)
    sums[0], sums[1] = min(sums[0], low), max(sums[1], high)
    sums[2] += volume * (low + high) / 2
    low, high = low / bin_gy, high / bin_gy
    if high - low < EVEN:
        place = min(int((low + high) / 2), len(total) - 3)
        total[place] += volume
        total[place + 1] -= volume
        return
    each = volume / (high - low)
    n, f = int(low), low - int(low)
    total[n] += each * (1 - f)
    total[n + 1] += each * f
    n, f = int(high), high - int(high)
    total[n] -= each * (1 - f)
    total[n + 1] -= each * f


@compiled
def _read(dose: DoseArray, z: float, y: float, x: float) -> float:
    """Return the trilinear dose at indices, -1 outside the grid of voxel centres."""
    frames, rows, columns = dose.shape
    low, more = -EDGE, EDGE - 1.0
    if not (low <= z <= frames + more and low <= y <= rows + more and low <= x <= columns + more):
        return -1.0
    return max(trilinear(dose, z, y, x), 0.0)
