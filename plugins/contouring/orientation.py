"""From any axis order of a scanner to the (z, y, x) order of the network, and back.

The network knows arrays [z, y, x] whose indices grow with LPS (DICOM PS3.3 C.7.6.2.1.1).
A `Frame` follows the axes of the CT itself, reordered and signed to lie nearest to the
patient axes: nothing is interpolated for feet-first, prone, sagittal or coronal grids, a
CT that is a few degrees oblique is seen a few degrees turned (training turned it by more),
and a mask goes back to the very voxels it came from.

Read next: `plugin.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from models.contouring.inputs import Grid
from plugins.host.images import Geometry, Vector3, Volume

PARALLEL = 1e-3
"""Axes whose cosines differ by less than this are the same grid direction (0.06 degrees)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Axes near the patient's (z, y, x), made from the axes of one image.

    Parameters
    ----------
    axes : rows are LPS unit vectors of increasing z, y, x index.
    order : image axis (0 frame, 1 row, 2 column) that lies along z, y, x.
    flipped : whether that image axis runs against it.
    """

    axes: NDArray[np.float64]
    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def point(self, lps_mm: Vector3) -> Vector3:
        """Return an LPS point (x, y, z) as (z, y, x) millimetres along the frame's axes."""
        z, y, x = (float(value) for value in self.axes @ np.asarray(lps_mm, dtype=np.float64))
        return z, y, x

    def turn(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return an array of the image's grid as [z, y, x], without copying."""
        turned = array.transpose(self.order)
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]

    def back(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return an array [z, y, x] in the image's own order; inverse of `turn`."""
        unflipped = array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]
        return np.ascontiguousarray(unflipped.transpose(np.argsort(self.order)))


def frame_of(geometry: Geometry) -> Frame:
    """Return the frame of an image: each grid axis goes to the patient axis nearest to it."""
    axes = np.asarray(geometry.axes, dtype=np.float64)
    patient, image = linear_sum_assignment(-np.abs(axes.T))
    nearest = dict(zip(patient.tolist(), image.tolist(), strict=True))
    order = (nearest[2], nearest[1], nearest[0])
    signs = [float(np.sign(axes[order[place], 2 - place])) for place in range(3)]
    signed = np.stack([axes[order[place]] * signs[place] for place in range(3)])
    return Frame(signed, order, (signs[0] < 0, signs[1] < 0, signs[2] < 0))


def lay(volume: Volume, frame: Frame) -> tuple[NDArray[np.float32], Grid]:
    """Return a volume as [z, y, x] along the frame's axes, with its grid there.

    A volume whose axes are parallel to the frame's is only turned; another one (a PET that
    was reconstructed at another angle) is interpolated linearly.
    """
    own = frame_of(volume.geometry)
    if not np.allclose(own.axes, frame.axes, atol=PARALLEL):
        return _interpolated(volume, frame)
    geometry = volume.geometry
    turned = np.asarray(own.turn(volume.array), dtype=np.float32)
    corner = [
        geometry.shape[axis] - 1 if flip else 0
        for axis, flip in zip(own.order, own.flipped, strict=True)
    ]
    index = np.zeros(3)
    index[list(own.order)] = corner
    first = geometry.to_patient(index)
    return turned, _grid(
        turned.shape, [geometry.spacing_mm[axis] for axis in own.order], frame, first
    )


def _grid(
    shape: tuple[int, ...], spacing: list[float], frame: Frame, first_mm: NDArray[np.float64]
) -> Grid:
    z, y, x = frame.point((float(first_mm[0]), float(first_mm[1]), float(first_mm[2])))
    return Grid((shape[0], shape[1], shape[2]), (spacing[0], spacing[1], spacing[2]), (z, y, x))


def _interpolated(volume: Volume, frame: Frame) -> tuple[NDArray[np.float32], Grid]:
    """Return the volume on the smallest grid of the frame that holds all of its voxels."""
    geometry = volume.geometry
    own = frame_of(geometry)
    last = np.asarray(geometry.shape) - 1
    corners = np.stack(np.meshgrid(*([0, size] for size in last), indexing="ij"), -1).reshape(-1, 3)
    places = geometry.to_patient(corners.astype(np.float64)) @ frame.axes.T
    spacing = np.array([geometry.spacing_mm[axis] for axis in own.order])
    low = places.min(axis=0)
    shape = tuple(int(size) for size in np.ceil((places.max(axis=0) - low) / spacing) + 1)
    inverse = np.linalg.inv(geometry.affine())
    matrix = inverse[:3, :3] @ frame.axes.T @ np.diag(spacing)
    offset = inverse[:3, :3] @ (frame.axes.T @ low) + inverse[:3, 3]
    outside = float(volume.array.min())
    values = ndimage.affine_transform(
        volume.array, matrix, offset, output_shape=shape, order=1, cval=outside
    )
    return np.asarray(values, dtype=np.float32), _grid(
        shape, spacing.tolist(), frame, frame.axes.T @ low
    )
