"""From a CT in any orientation to the grid that the dose networks work on, and masks on it.

The networks' axes are rows (anterior to posterior), columns (patient's right to left) and slices
(superior to inferior). A grid is got by turning the CT's axes and, where its voxels are much
smaller than those of the training data, by taking blocks of whole voxels together, so that every
voxel of the dose lies where voxels of the CT lie. Contours are filled on the CT's own slices
first; two slices that become one keep what both hold.

Read next: `plugin.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from audit.errors import GeometryError
from models.physics.parity import fill_contours
from plugins.host.images import Contour, Geometry, Vector3

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

TOWARDS = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
"""LPS directions of slices, rows and columns as the networks take them."""
IN_PLANE_MM, SLICE_MM = 4.3, 2.6
"""What blocks of a finer CT come near to; training data have medians of 3.9 and 2.5 mm."""
LEAST_IN_PLANE_MM, LEAST_SLICE_MM = 1.9, 1.5
"""The finest voxels of the training data: down to them a CT is taken as it is."""
CLOSED_TYPES = frozenset({"CLOSED_PLANAR", "CLOSED_PLANAR_XOR", "CLOSEDPLANAR_XOR"})
PLANE_TOLERANCE_FRAMES = 0.5
ROUNDING = 1e6
LARGEST_GAP_MM = 7.0
"""Slices without a contour between two that have one are filled up to this distance."""
BODY_HU = -300
TO_NETWORK = (1, 2, 0)
"""Axes of (slices, rows, columns) in the networks' order."""


@dataclass(frozen=True, slots=True)
class PatientGrid:
    """Hold how the networks' grid lies in a CT.

    Parameters
    ----------
    ct : the CT's geometry.
    order, flipped : the CT's axis that each of (slices, rows, columns) is, and whether it runs
        the other way.
    blocks : voxels of the CT in each voxel of the grid, likewise.
    turned : geometry of the turned CT, (slices, rows, columns).
    geometry : geometry of the grid, likewise.
    """

    ct: Geometry
    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    blocks: tuple[int, int, int]
    turned: Geometry
    geometry: Geometry

    @property
    def voxel_mm(self) -> Vector3:
        """Return the spacing in the networks' order (row, column, slice)."""
        slices, rows, columns = self.geometry.spacing_mm
        return rows, columns, slices

    def lay(self, values: FloatArray) -> FloatArray:
        """Return values of the CT as means over blocks, in the networks' order."""
        laid = np.transpose(values, self.order)[self._turn()]
        return np.ascontiguousarray(np.transpose(self._blocked(laid), TO_NETWORK), np.float32)

    def mask(self, contours: Iterable[Contour]) -> BoolArray:
        """Return the voxels of closed contours in the networks' order.

        A voxel is inside where its centre is; a voxel of several slices where half of them are.

        Raises
        ------
        GeometryError : a contour is not parallel to the slices.
        """
        filled = filled_between(self._fill(contours), self.turned.spacing_mm[0])
        step = self.blocks[0]
        if step > 1:
            count = filled.shape[0] // step
            parts = filled[: count * step].reshape(count, step, *filled.shape[1:])
            filled = np.asarray(parts.sum(axis=1) * 2 >= step)
        return np.ascontiguousarray(np.transpose(filled, TO_NETWORK))

    def in_patient(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return values of the networks' order on `dose_geometry`."""
        back = np.transpose(values, (2, 0, 1))[self._turn()]
        return np.ascontiguousarray(np.transpose(back, np.argsort(self.order)))

    @property
    def dose_geometry(self) -> Geometry:
        """Return the grid with its axes in the order and direction of the CT's."""
        inverse = np.argsort(self.order)
        spacing = np.asarray(self.geometry.spacing_mm)[inverse]
        shape = np.asarray(self.geometry.shape)[inverse]
        corner = np.asarray(
            [
                size - 1 if turn else 0
                for size, turn in zip(self.geometry.shape, self.flipped, strict=True)
            ],
            np.float64,
        )
        return Geometry(
            (int(shape[0]), int(shape[1]), int(shape[2])),
            _vector(spacing),
            _vector(self.geometry.to_patient(corner)),
            self.ct.axes,
            self.ct.frame_of_reference_uid,
        )

    def _turn(self) -> tuple[slice, slice, slice]:
        first, second, third = (slice(None, None, -1 if turn else 1) for turn in self.flipped)
        return first, second, third

    def _blocked(self, values: FloatArray) -> FloatArray:
        if self.blocks == (1, 1, 1):
            return values
        whole = [size * step for size, step in zip(self.geometry.shape, self.blocks, strict=True)]
        kept = values[: whole[0], : whole[1], : whole[2]]
        pairs = zip(self.geometry.shape, self.blocks, strict=True)
        split = [number for pair in pairs for number in pair]
        return np.asarray(kept.reshape(split).mean(axis=(1, 3, 5), dtype=np.float32), np.float32)

    def _fill(self, contours: Iterable[Contour]) -> BoolArray:
        """Return filled contours on the turned CT's slices and the grid's rows and columns."""
        closed = [
            contour.points_mm
            for contour in contours
            if contour.geometric_type in CLOSED_TYPES and len(contour.points_mm) >= 3
        ]
        shape = (self.turned.shape[0], *self.geometry.shape[1:])
        voxels = np.zeros(shape, np.uint8)
        if closed:
            points = np.concatenate(closed)
            index = self.geometry.to_index(points)
            index[:, 0] = self.turned.to_index(points)[:, 0]
            index = np.round(index * ROUNDING) / ROUNDING
            if not np.isfinite(index).all():
                raise GeometryError("expected finite contour points, found others")
            starts = np.cumsum([0, *map(len, closed)])
            across = fill_contours(index, starts, PLANE_TOLERANCE_FRAMES, ROUNDING, voxels)
            if across >= 0:
                raise GeometryError("expected contours parallel to the slices, found one across")
        return voxels.view(np.bool_)


def patient_grid(ct: Geometry) -> PatientGrid:
    """Return the networks' grid for a CT.

    Raises
    ------
    GeometryError : the CT is smaller than one voxel of the grid.
    """
    axes = np.asarray(ct.axes)
    towards = np.asarray(TOWARDS)
    cosines = axes @ towards.T
    order = tuple(int(np.argmax(np.abs(cosines[:, index]))) for index in range(3))
    if sorted(order) != [0, 1, 2]:
        raise GeometryError("expected a CT along the patient's axes, found one between them")
    flipped = tuple(bool(cosines[axis, index] < 0) for index, axis in enumerate(order))
    corner = np.zeros(3)
    for axis, turn in zip(order, flipped, strict=True):
        corner[axis] = ct.shape[axis] - 1 if turn else 0
    turned = Geometry(
        (ct.shape[order[0]], ct.shape[order[1]], ct.shape[order[2]]),
        _vector(np.asarray(ct.spacing_mm)[list(order)]),
        _vector(ct.to_patient(corner)),
        _axes(
            [-axes[axis] if turn else axes[axis] for axis, turn in zip(order, flipped, strict=True)]
        ),
        ct.frame_of_reference_uid,
    )
    slices, rows, columns = turned.spacing_mm
    steps = (
        _block(slices, LEAST_SLICE_MM, SLICE_MM),
        _block(rows, LEAST_IN_PLANE_MM, IN_PLANE_MM),
        _block(columns, LEAST_IN_PLANE_MM, IN_PLANE_MM),
    )
    blocks = (steps[0], steps[1], steps[2])
    shape = [size // step for size, step in zip(turned.shape, blocks, strict=True)]
    if min(shape) < 1:
        raise GeometryError(f"expected a CT of more than one voxel of the grid, found {ct.shape}")
    centre = (np.asarray(blocks, np.float64) - 1) / 2
    geometry = Geometry(
        (shape[0], shape[1], shape[2]),
        _vector(np.asarray(turned.spacing_mm) * np.asarray(blocks)),
        _vector(turned.to_patient(centre)),
        turned.axes,
        ct.frame_of_reference_uid,
    )
    return PatientGrid(
        ct,
        (order[0], order[1], order[2]),
        (flipped[0], flipped[1], flipped[2]),
        blocks,
        turned,
        geometry,
    )


def _block(step_mm: float, least_mm: float, wanted_mm: float) -> int:
    """Return how many voxels of a CT are one of the grid along an axis."""
    return 1 if step_mm >= least_mm - 1e-6 else max(1, round(wanted_mm / step_mm))


def filled_between(mask: BoolArray, spacing_mm: float) -> BoolArray:
    """Return a mask whose gaps between drawn slices are filled by shape.

    Between two drawn slices the signed distance to the outline is taken in proportion (Raya and
    Udupa 1990, IEEE Trans Med Imaging 9:32). Gaps above `LARGEST_GAP_MM` stay: there the
    structure may end and begin again.
    """
    drawn = np.flatnonzero(mask.any(axis=(1, 2)))
    wide = [
        (int(low), int(high))
        for low, high in pairwise(drawn)
        if 1 < high - low <= LARGEST_GAP_MM / spacing_mm + 1e-6
    ]
    if not wide:
        return mask
    filled = mask.copy()
    for low, high in wide:
        first, last = _signed(mask[low]), _signed(mask[high])
        for between in range(low + 1, high):
            share = (between - low) / (high - low)
            filled[between] = (1 - share) * first + share * last > 0
    return filled


def body_mask(ct_hu: FloatArray) -> BoolArray:
    """Return the largest body of tissue, in the networks' order, holes of each slice filled."""
    labels, count = ndimage.label(ct_hu > BODY_HU)
    if not count:
        return np.zeros(ct_hu.shape, np.bool_)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = labels == int(np.argmax(sizes))
    for index in range(body.shape[2]):
        body[:, :, index] = ndimage.binary_fill_holes(body[:, :, index])
    return np.asarray(body, np.bool_)


def _signed(section: BoolArray) -> NDArray[np.float64]:
    """Return the distance to the outline, in voxels, positive inside."""
    inside = ndimage.distance_transform_edt(section)
    return np.asarray(inside - ndimage.distance_transform_edt(~section))


def _vector(values: NDArray[np.float64]) -> Vector3:
    return float(values[0]), float(values[1]), float(values[2])


def _axes(values: list[NDArray[np.float64]]) -> tuple[Vector3, Vector3, Vector3]:
    return _vector(values[0]), _vector(values[1]), _vector(values[2])
