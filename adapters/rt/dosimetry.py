"""Doses and structure sets as `models.physics` takes them: gamma, histograms, contours.

Standard: PS3.3 C.8.8.3 (RT Dose), C.8.8.6 (ROI Contour). Read next: `models/physics/README.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adapters.rt.contour_planes import (
    closed_contours,
    contours_by_plane,
    plane_axes,
    plane_spacing_mm,
)
from audit.errors import GeometryError, InputError
from models.physics.dvh import DoseVolumeHistogram
from models.physics.dvh_sampling import ContourPlane, DoseGrid, dose_volume_histogram
from models.physics.gamma import GammaCriteria, Placement, gamma_index
from plugins.host.images import RegionOfInterest, Volume

FRAMES_DIFFER = "FRAME_OF_REFERENCE_DIFFERS"
GRID_SMALLER = "EVALUATED_GRID_SMALLER"
PATIENTS_DIFFER = "PATIENT_ID_DIFFERS"
PLACE_TOLERANCE_MM = 0.01
SAMPLES = 10  # to the distance criterion: the step of pass rates in common use
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GammaResult:
    """Hold γ of one comparison.

    Parameters
    ----------
    sampled, true : γ on the reference grid by samples and as true minimum, NaN where not
        judged.
    notes : codes of what was odd.
    normalisation_gy : the dose that 100 % stood for.
    outside_count : judged points that lie outside the evaluated grid.
    """

    criteria: GammaCriteria
    sampled: FloatArray
    true: FloatArray
    notes: tuple[str, ...]
    normalisation_gy: float
    outside_count: int = 0

    @property
    def judged_count(self) -> int:
        """Return how many points were judged."""
        return int(np.count_nonzero(~np.isnan(self.sampled)))


def pass_rate_percent(gamma: FloatArray) -> float:
    """Return the share of judged points with γ of at most 1; NaN where none was judged."""
    judged = gamma[~np.isnan(gamma)]
    return float(100.0 * np.mean(judged <= 1.0)) if judged.size else float("nan")


def compare_doses(reference: Volume, evaluated: Volume, criteria: GammaCriteria) -> GammaResult:
    """Return γ of an evaluated dose against a reference dose, each on its own grid.

    Raises
    ------
    GeometryError : a single evaluated plane is not parallel to the reference planes, or no
        judged point lies in the evaluated grid.
    InputError : the reference has no dose.
    """
    step, offset = _placement(reference, evaluated)
    if evaluated.array.shape[0] == 1 and np.abs(step[1:, 0]).max() > 1e-3:
        raise GeometryError("expected planes that are parallel, found an evaluated one across")
    placement = Placement(step, offset, evaluated.geometry.spacing_mm)
    doses = (reference.array.astype(np.float64), evaluated.array.astype(np.float64))
    try:
        sampled = gamma_index(*doses, placement, replace(criteria, samples=SAMPLES))
        true = gamma_index(*doses, placement, replace(criteria, samples=None))
    except ValueError as error:
        raise InputError(str(error)) from error
    judged = np.argwhere(~np.isnan(sampled))
    outside = int(np.count_nonzero(_outside(judged, placement, evaluated.array.shape)))
    if len(judged) and outside == len(judged):
        raise GeometryError("expected doses that overlap, found no judged point in both grids")
    frames = {volume.geometry.frame_of_reference_uid for volume in (reference, evaluated)}
    notes = [FRAMES_DIFFER] if len(frames) > 1 else []
    if outside:
        notes.append(GRID_SMALLER)
    whole = criteria.normalisation_gy or float(doses[0].max())
    return GammaResult(criteria, sampled, true, tuple(notes), whole, outside)


def _outside(
    indices: NDArray[np.int64], placement: Placement, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return which reference voxels lie beyond the voxel centres of the evaluated grid.

    A single evaluated plane has no extent across: there only rows and columns count.
    """
    place = indices @ placement.step_mm + placement.offset_mm
    reach = (np.asarray(shape) - 1) * np.asarray(placement.spacing_mm)
    beyond = (place < -PLACE_TOLERANCE_MM) | (place > reach + PLACE_TOLERANCE_MM)
    return np.asarray(beyond[:, int(shape[0] == 1) :].any(axis=1))


def _placement(reference: Volume, evaluated: Volume) -> tuple[FloatArray, FloatArray]:
    """Return the steps and the origin of the reference grid in evaluated millimetres."""
    axes = np.asarray(evaluated.geometry.axes)
    steps = np.asarray(reference.geometry.axes) * np.asarray(reference.geometry.spacing_mm)[:, None]
    origin = np.asarray(reference.geometry.origin_mm) - np.asarray(evaluated.geometry.origin_mm)
    return np.asarray(steps @ axes.T), np.asarray(axes @ origin)


def region_histograms(
    rois: Iterable[RegionOfInterest], dose: Volume
) -> dict[str, DoseVolumeHistogram]:
    """Return the dose-volume histogram of each region with closed contours, by its name.

    Raises
    ------
    GeometryError : contours enclose nothing or are not parallel.
    InputError : two regions have one name.
    """
    drawn = [roi for roi in rois if closed_contours(roi.contours)]
    if len({roi.name for roi in drawn}) < len(drawn):
        raise InputError("expected regions of different names, found two of one name")
    inverse = np.asarray(np.linalg.inv(dose.geometry.affine()), dtype=np.float64)
    grid = DoseGrid.of(dose.array, inverse[:3])
    depth = float(dose.geometry.spacing_mm[0])
    return {roi.name: _histogram(roi, grid, depth) for roi in drawn}


def _histogram(roi: RegionOfInterest, grid: DoseGrid, depth_mm: float) -> DoseVolumeHistogram:
    """Return one region's histogram; the grid's indices are those of patient places (x, y, z)."""
    contours = closed_contours(roi.contours)
    axes = plane_axes(contours)
    planes = contours_by_plane(contours, axes[0])
    across = np.asarray(axes[1:]).T
    drawn = [
        ContourPlane(place, tuple(contour.points_mm @ across for contour in found))
        for place, found in planes.items()
    ]
    to_index = np.hstack([grid.to_index[:, :3] @ np.asarray(axes).T, grid.to_index[:, 3:]])
    spacing = plane_spacing_mm(planes) or depth_mm
    return dose_volume_histogram(drawn, replace(grid, to_index=to_index), plane_spacing_mm=spacing)
