"""The picture of one case of a validation: the reference standard and what was proposed.

Three planes (axial, coronal, sagittal) through the middle of the reference, with the PET where
there is one, and three through the middle of the largest error, which is where a failure is
understood.  The reference is a solid green line, the proposal a dashed light blue one.

No text about the patient; the same values give the same picture.

Read next: `pictures.py`, whose planes and tiles these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from adapters.documents.canvas import Canvas, Rgb
from adapters.documents.pictures import (
    FOOTER,
    HEADER,
    PET_LIMIT_SUV,
    TILE,
    VIEWS,
    Row,
    annotate,
    grey_image,
    lesion_point,
    outline_of,
    pixel_size_mm,
    plane_of,
    tile_of,
)
from plugins.host.findings import Segmentation
from plugins.host.images import Volume

REFERENCE, PROPOSED = (60, 220, 90), (0, 210, 255)
DASHES = 24
"""Dashes once around a contour."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one picture shows.

    Parameters
    ----------
    image : the image that both contours lie on.
    reference : bool (frames, rows, columns) on the grid of ``found``.
    others : further images by role; a PET in the same frame of reference is drawn.
    mark, caption : words across the top; no patient data.
    """

    image: Volume
    found: Segmentation
    reference: NDArray[np.bool_]
    others: Mapping[str, Volume]
    mark: str
    caption: str


def draw_comparison(shown: Comparison) -> Rgb:
    """Return the picture as uint8 (rows, columns, 3)."""
    reference = replace(shown.found, mask=shown.reference)
    both = replace(shown.found, mask=shown.reference | shown.found.mask)
    middle, pixel_mm = lesion_point(reference), pixel_size_mm(both)
    rows = [(row, middle) for row in _rows(shown)]
    worst = _worst_point(shown)
    if worst is not None:
        rows.append((Row("largest error", None, None, (0.0, 1.0), "grey"), worst))
    canvas = Canvas(HEADER + TILE * len(rows) + FOOTER, TILE * len(VIEWS))
    canvas.text((10, 8), shown.mark, size=20, colour=(255, 210, 60))
    canvas.text((10, 34), shown.caption, size=14)
    for line, (row, centre) in enumerate(rows):
        for column, view in enumerate(VIEWS):
            plane = plane_of(view, centre, pixel_mm)
            nothing = np.zeros((TILE, TILE), dtype=np.bool_)
            tile = tile_of(grey_image(shown.image, plane), nothing, row, plane)
            tile[outline_of(reference, plane)] = REFERENCE
            tile[dashed(outline_of(shown.found, plane))] = PROPOSED
            corner = (column * TILE, HEADER + line * TILE)
            canvas.paste(corner, tile)
            annotate(canvas, corner, view, pixel_mm, row if column == 0 else None)
    low = HEADER + TILE * len(rows) + 5
    canvas.text((10, low), "reference standard", size=13, colour=REFERENCE)
    canvas.text((150, low), "proposed by software (dashed)", size=13, colour=PROPOSED)
    return canvas.pixels()


def dashed(outline: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return every other piece of a line, by its angle around the middle of what is drawn."""
    places = np.argwhere(outline)
    kept = np.zeros_like(outline)
    if len(places):
        offset = places - places.mean(axis=0)
        turn = np.arctan2(offset[:, 0], offset[:, 1]) / (2 * np.pi) + 0.5
        part = places[np.floor(turn * 2 * DASHES).astype(int) % 2 == 0]
        kept[part[:, 0], part[:, 1]] = True
    return kept


def _rows(shown: Comparison) -> list[Row]:
    rows = [Row("middle", None, None, (0.0, 1.0), "grey")]
    frame = shown.image.geometry.frame_of_reference_uid
    for volume in shown.others.values():
        if volume.modality == "PT" and volume.geometry.frame_of_reference_uid == frame:
            limits = (0.0, PET_LIMIT_SUV)
            rows.append(Row("PET [SUV]", volume.array, volume.geometry, limits, "heat"))
    return rows


def _worst_point(shown: Comparison) -> NDArray[np.float64] | None:
    """Return the LPS point that lies deepest in what one contour has and the other has not."""
    wrong = shown.reference ^ shown.found.mask
    if not wrong.any():
        return None
    inside = np.pad(wrong, 1)
    deep = ndimage.distance_transform_edt(inside, sampling=shown.found.geometry.spacing_mm)
    index = np.array(np.unravel_index(int(np.argmax(deep)), deep.shape), dtype=np.float64) - 1
    return shown.found.geometry.to_patient(index)
