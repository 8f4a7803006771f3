"""Order frames along the slice normal and prove that they form one uniform grid.

Orientation and position come from the headers alone (PS3.3 C.7.6.2.1.1), so every patient
position (HFS, FFP, decubitus, ...) needs no special case.  Pure: no pixel is needed.

Tolerances, with their reasons:

* direction cosines: 1e-3 (six decimals are usual; 1e-3 over 500 mm is half a millimetre);
* one orientation, one pixel spacing in a series: 1e-3 and 1e-4 relative;
* step between neighbours: 0.01 mm or 1 %, whichever is larger (positions are often
  written with two decimals);
* drift from the uniform grid over the whole stack: 10 % of a step;
* tilt: a frame may lie at most 0.1 mm or a quarter of a pixel, whichever is larger, off
  the normal through the first frame.

Read next: `read_pixels.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from adapters.rt.read_frames import Frame
from audit.errors import GeometryError, MissingAttributeError, MixedSeriesError
from audit.pseudonym import short
from plugins.host.images import Geometry, Vector3

COSINE_TOLERANCE = 1e-3
STEP_TOLERANCE_MM = 0.01
STEP_TOLERANCE = 0.01
DRIFT_TOLERANCE = 0.1
TILT_TOLERANCE_MM = 0.1
TILT_TOLERANCE_PIXELS = 0.25
LARGEST_SPACING_MM = 50.0
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stack:
    """Frames in grid order with their geometry.

    ``repeats`` are pairs of frames at one position and one temporal key, to be compared
    pixel by pixel: the second of each pair is not in ``frames``.
    """

    frames: tuple[Frame, ...]
    geometry: Geometry
    repeats: tuple[tuple[Frame, Frame], ...]
    notes: tuple[str, ...]


def stack(frames: Sequence[Frame], rows: int, columns: int, frame_of_reference_uid: str) -> Stack:
    """Return the frames ordered along the normal, frame 0 at its smallest position.

    Raises
    ------
    MixedSeriesError : several orientations, pixel spacings or acquisitions.
    GeometryError : tilt, a gap, or a spacing that cannot be.
    MissingAttributeError : one frame only, and nobody states its thickness.
    """
    column_axis, row_axis, normal = _axes(frames)
    spacing = _pixel_spacing(frames)
    positions = np.array([frame.position_mm for frame in frames])
    depth = positions @ normal
    order = np.lexsort((np.arange(len(frames)), depth))
    kept, repeats = _separate(frames, depth, order)
    _check_tilt(positions[kept], normal, min(spacing))
    notes = ["DUPLICATE_FRAME"] if repeats else []
    step = _step([frames[index] for index in kept], depth[kept])
    if len(kept) == 1:
        notes.append("SINGLE_FRAME")
    if len({frame.acquisition for frame in frames}) > 1:
        notes.append("SEVERAL_ACQUISITION_NUMBERS")
    geometry = Geometry(
        shape=(len(kept), rows, columns),
        spacing_mm=(step, spacing[0], spacing[1]),
        origin_mm=_vector(positions[kept[0]]),
        axes=(_vector(normal), _vector(row_axis), _vector(column_axis)),
        frame_of_reference_uid=frame_of_reference_uid,
    )
    return Stack(tuple(frames[index] for index in kept), geometry, repeats, tuple(notes))


def unit_axes(orientation: Sequence[float], uid: str) -> tuple[Array, Array, Array]:
    """Return orthonormal LPS axes: along column index, along row index, and their normal.

    Raises
    ------
    GeometryError : the cosines are not orthonormal within the tolerance.
    """
    column_axis = np.array(orientation[:3], dtype=np.float64)
    row_axis = np.array(orientation[3:6], dtype=np.float64)
    lengths = np.array([np.linalg.norm(column_axis), np.linalg.norm(row_axis)])
    product = float(column_axis @ row_axis)
    if np.any(abs(lengths - 1) > COSINE_TOLERANCE) or abs(product) > COSINE_TOLERANCE:
        raise GeometryError(
            f"expected orthonormal direction cosines in instance {short(uid)}, found lengths "
            f"{lengths[0]:.4f} and {lengths[1]:.4f} and product {product:.4f}"
        )
    column_axis /= lengths[0]
    row_axis -= (row_axis @ column_axis) * column_axis
    row_axis /= np.linalg.norm(row_axis)
    return column_axis, row_axis, np.cross(column_axis, row_axis)


def check_spacing(value_mm: float, what: str) -> float:
    """Return a spacing that a patient image can have, or raise GeometryError."""
    if not 0 < value_mm <= LARGEST_SPACING_MM:
        raise GeometryError(
            f"expected {what} above 0 and at most {LARGEST_SPACING_MM:g} mm, found {value_mm:g} mm"
        )
    return value_mm


def uniform_step(depth: Array) -> float:
    """Return the step of sorted positions along the normal.

    Raises
    ------
    GeometryError : naming the first place where the step differs, in frames from 1.
    """
    steps = np.diff(depth)
    expected = float(np.median(steps))
    check_spacing(expected, "slice spacing")
    wrong = np.flatnonzero(
        abs(steps - expected) > max(STEP_TOLERANCE_MM, STEP_TOLERANCE * expected)
    )
    if wrong.size:
        place = int(wrong[0])
        raise GeometryError(
            f"expected {expected:.3f} mm between frames {place + 1} and {place + 2} of "
            f"{len(depth)}, found {steps[place]:.3f} mm ({wrong.size} irregular step(s))"
        )
    step = float((depth[-1] - depth[0]) / (len(depth) - 1))
    drift = abs(depth - (depth[0] + step * np.arange(len(depth))))
    if drift.max() > DRIFT_TOLERANCE * step:
        raise GeometryError(
            f"expected frames every {step:.3f} mm, found frame {int(drift.argmax()) + 1} "
            f"{drift.max():.3f} mm away from its place"
        )
    return step


def _axes(frames: Sequence[Frame]) -> tuple[Array, Array, Array]:
    cosines = np.array([frame.orientation for frame in frames])
    middle = np.median(cosines, axis=0)
    if np.any(abs(cosines - middle) > COSINE_TOLERANCE):
        count = len(np.unique(np.round(cosines, 2), axis=0))
        raise MixedSeriesError(f"expected one orientation in the series, found {max(count, 2)}")
    return unit_axes([float(value) for value in middle], frames[0].sop_instance_uid)


def _pixel_spacing(frames: Sequence[Frame]) -> tuple[float, float]:
    values = np.array([frame.pixel_spacing_mm for frame in frames])
    rows_mm, columns_mm = np.median(values, axis=0)
    if not np.allclose(values, (rows_mm, columns_mm), rtol=1e-4, atol=0):
        raise MixedSeriesError("expected one Pixel Spacing in the series, found several")
    return (
        check_spacing(float(rows_mm), "Pixel Spacing"),
        check_spacing(float(columns_mm), "Pixel Spacing"),
    )


def _separate(
    frames: Sequence[Frame], depth: Array, order: NDArray[np.intp]
) -> tuple[list[int], tuple[tuple[Frame, Frame], ...]]:
    """Keep one frame for each position; set repeated ones aside for comparison."""
    _check_interleaved(frames, depth)
    kept: list[int] = []
    repeats: list[tuple[Frame, Frame]] = []
    for index in order:
        if not kept or depth[index] - depth[kept[-1]] > STEP_TOLERANCE_MM:
            kept.append(int(index))
            continue
        first, second = frames[kept[-1]], frames[index]
        if first.acquisition != second.acquisition or first.temporal != second.temporal:
            raise MixedSeriesError(
                "expected one acquisition in the series, found frames of several at one "
                f"position (frame {len(kept)} in order)"
            )
        repeats.append((first, second))
    return kept, tuple(repeats)


def _check_interleaved(frames: Sequence[Frame], depth: Array) -> None:
    """Raise when two acquisitions cover the same part of the patient.

    Step-and-shoot scanners number every rotation: such numbers cover separate parts.
    """
    ranges: dict[str, list[float]] = defaultdict(list)
    for frame, position in zip(frames, depth, strict=True):
        ranges[frame.acquisition].append(float(position))
    if len(ranges) < 2:
        return
    spans = sorted((min(values), max(values)) for values in ranges.values())
    for (_, upper), (lower, _) in pairwise(spans):
        if lower < upper - STEP_TOLERANCE_MM:
            raise MixedSeriesError(
                f"expected one acquisition in the series, found {len(ranges)} that overlap"
            )


def _check_tilt(positions: Array, normal: Array, pixel_mm: float) -> None:
    offsets = positions - positions[0]
    aside = np.linalg.norm(offsets - np.outer(offsets @ normal, normal), axis=1)
    limit = max(TILT_TOLERANCE_MM, TILT_TOLERANCE_PIXELS * pixel_mm)
    if aside.max() > limit:
        along = float(abs(offsets[-1] @ normal)) or 1.0
        angle = float(np.degrees(np.arctan2(aside[-1], along)))
        raise GeometryError(
            f"expected frames stacked along their normal, found one {aside.max():.2f} mm aside "
            f"(gantry tilt of about {angle:.1f} degrees)"
        )


def _step(frames: Sequence[Frame], depth: Array) -> float:
    if len(frames) > 1:
        try:
            return uniform_step(depth)
        except GeometryError as error:
            _blame_acquisitions(frames, error)
            raise
    stated = frames[0].slice_step_mm
    if stated is None:
        raise MissingAttributeError("expected SliceThickness of a single frame, found none")
    return check_spacing(stated, "slice thickness")


def _blame_acquisitions(frames: Sequence[Frame], error: GeometryError) -> None:
    """Say MixedSeriesError instead of a gap where two acquisitions of several frames meet."""
    counts = Counter(frame.acquisition for frame in frames)
    if len(counts) > 1 and min(counts.values()) > 1:
        raise MixedSeriesError(
            f"expected one acquisition in the series, found {len(counts)} that do not join"
        ) from error


def _vector(values: Array) -> Vector3:
    # Adding zero turns -0.0 into 0.0, so that equal grids have equal digests.
    return (float(values[0]) + 0.0, float(values[1]) + 0.0, float(values[2]) + 0.0)
