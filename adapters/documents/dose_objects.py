"""A predicted dose as DICOM: the RT Dose, and the picture that goes into a capture.

Read next: `objects.py`, `adapters/rt/write_dose.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from adapters.documents.canvas import Canvas, Rgb
from adapters.documents.pictures import (
    FOOTER,
    HEADER,
    MARGIN_MM,
    TILE,
    VIEWS,
    Row,
    annotate,
    grey_image,
    plane_of,
    tile_of,
)
from adapters.documents.plots import dvh_picture
from adapters.rt.equipment import WritingContext
from adapters.rt.raster import mask_from_contours
from adapters.rt.write_dose import MARK, DoseObject, write_dose
from audit.errors import PluginOutputError
from models.physics.dvh import DoseVolumeHistogram
from plugins.host.case import Case
from plugins.host.findings import DoseGrid, Histogram
from plugins.host.images import Geometry, StructureSet

TARGET = "PTV"


def rt_dose(context: WritingContext, case: Case, dose: DoseGrid, number: int) -> Dataset:
    """Return the RT Dose of a predicted dose, with its histograms.

    Raises
    ------
    PluginOutputError : the dose names a structure set or a plan that the case lacks.
    """
    structures = case.structure_sets.get(dose.structure_role)
    if structures is None or dose.reference_role not in case.images:
        raise PluginOutputError("expected a dose on image and structures of the case, found none")
    plan = None if dose.plan_role is None else case.plans.get(dose.plan_role)
    made = DoseObject(
        dose.dose_gy,
        dose.geometry,
        structures.sop_instance_uid,
        None if plan is None else plan.sop_instance_uid,
        tuple((region.roi_number, curve_of(region.histogram)) for region in dose.regions),
    )
    return write_dose(context, made, number)


def curve_of(held: Histogram) -> DoseVolumeHistogram:
    """Return a histogram of the hall as `models.physics` reads it."""
    return DoseVolumeHistogram(
        held.volume_mm3, held.bin_gy, held.least_gy, held.most_gy, held.mean_gy, 0.0
    )


def draw_dose(case: Case, dose: DoseGrid, mark: str, caption: str) -> Rgb:
    """Return the picture of a dose: three planes with the targets' outline, and histograms.

    The planes cross in the middle of the targets; a second row shows the error to be expected.
    """
    curves = dvh_picture({r.name: curve_of(r.histogram) for r in dose.regions}, TILE * len(VIEWS))
    return draw_planes(case, dose, mark, caption, curves)


def draw_planes(
    case: Case, dose: DoseGrid, mark: str, caption: str, below: Rgb | None = None
) -> Rgb:
    """Return the planes of `draw_dose`, with a picture of their width below them or without."""
    image = case.images[dose.reference_role]
    targets = target_mask(dose, case.structure_sets[dose.structure_role], image.geometry)
    rows = _rows(dose)
    height = HEADER + TILE * len(rows) + (0 if below is None else len(below)) + FOOTER
    canvas = Canvas(height, TILE * len(VIEWS))
    canvas.text((10, 8), f"{MARK} - {mark}", size=18, colour=(255, 210, 60))
    canvas.text((10, 34), caption, size=14)
    centre, pixel_mm = _view_of(targets, image.geometry)
    for column, view in enumerate(VIEWS):
        plane = plane_of(view, centre, pixel_mm)
        grey = grey_image(image, plane)
        outline = _outline(plane.on(image.geometry).nearest(targets))
        for line, row in enumerate(rows):
            top, left = HEADER + line * TILE, column * TILE
            canvas.paste((left, top), tile_of(grey, outline, row, plane))
            annotate(canvas, (left, top), view, pixel_mm, row if column == 0 else None)
    if below is not None:
        canvas.paste((0, HEADER + TILE * len(rows)), below)
    canvas.text((10, height - FOOTER + 5), "outline: targets; predicted by software", size=13)
    return canvas.pixels()


def target_mask(dose: DoseGrid, structures: StructureSet, geometry: Geometry) -> NDArray[np.bool_]:
    """Return the union of the dose's targets on a grid; of all regions where none is a target."""
    chosen = {r.roi_number for r in dose.regions if r.interpreted_type == TARGET}
    chosen = chosen or {region.roi_number for region in dose.regions}
    mask = np.zeros(geometry.shape, np.bool_)
    for roi in structures.rois:
        if roi.number in chosen:
            mask |= mask_from_contours(roi.contours, geometry)
    return mask


def _rows(dose: DoseGrid) -> list[Row]:
    top = float(dose.dose_gy.max())
    rows = [Row("dose [Gy]", dose.dose_gy, dose.geometry, (0.0, top), "heat")]
    if dose.error_gy is not None and dose.error_gy.any():
        limits = (0.0, float(dose.error_gy.max()))
        rows.append(Row("error [Gy]", dose.error_gy, dose.geometry, limits, "heat"))
    return rows


def _view_of(mask: NDArray[np.bool_], geometry: Geometry) -> tuple[NDArray[np.float64], float]:
    """Return the middle of a mask in the patient, and the pixel that shows it with a margin."""
    ends = []
    for axis in range(3):
        others: Sequence[int] = [other for other in range(3) if other != axis]
        filled = np.flatnonzero(mask.any(axis=tuple(others)))
        last = mask.shape[axis] - 1
        ends.append((int(filled[0]), int(filled[-1])) if len(filled) else (0, last))
    middle = np.asarray([(low + high) / 2 for low, high in ends])
    extent = max(
        (high - low + 1) * step for (low, high), step in zip(ends, geometry.spacing_mm, strict=True)
    )
    return geometry.to_patient(middle), (extent + 2 * MARGIN_MM) / TILE


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_erosion

    return np.asarray(inside & ~binary_erosion(inside, iterations=2), np.bool_)
