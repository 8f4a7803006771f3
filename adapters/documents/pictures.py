"""The overview picture of a segmentation: contour, PET, uncertainty and attribution.

Three views through the lesion (axial, coronal, sagittal) stand side by side; each row
shows one thing.  Planes are sampled in patient coordinates, so any scan orientation, any
patient position and maps on other grids come out alike: the patient's right on the left
of axial and coronal views, anterior on the left of sagittal ones.

The picture says that it is not approved and holds no text about the patient.  The same
values give the same picture.

Read next: `canvas.py` (text, lines, PNG), `composer.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from adapters.documents.canvas import Canvas, Rgb, colour_map
from adapters.documents.sampling import Plane
from plugins.host.findings import Explanation, Segmentation, Uncertainty
from plugins.host.images import Geometry, Volume

TILE = 256
MARGIN_MM = 45.0
BAR = 64
"""Height of the colour bar in pixels."""
HEADER, FOOTER = 58, 26
SOFT_TISSUE_WINDOW_HU = (-160.0, 240.0)
PET_LIMIT_SUV = 8.0
CONTOUR_COLOURS = {"grey": (255, 80, 80), "heat": (0, 235, 255), "signed": (255, 240, 0)}


@dataclass(frozen=True, slots=True)
class View:
    """One plane: LPS directions to the right and down, and the letters at its edges."""

    name: str
    right: tuple[float, float, float]
    down: tuple[float, float, float]
    letters: tuple[str, str, str, str]  # left, right, top, bottom


VIEWS = (
    View("axial", (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), ("R", "L", "A", "P")),
    View("coronal", (1.0, 0.0, 0.0), (0.0, 0.0, -1.0), ("R", "L", "H", "F")),
    View("sagittal", (0.0, 1.0, 0.0), (0.0, 0.0, -1.0), ("A", "P", "H", "F")),
)


@dataclass(frozen=True, slots=True)
class Overview:
    """What one picture shows.

    Parameters
    ----------
    reference : the image that the segmentation lies on.
    others : further images by modality; a PET in the same frame of reference is drawn.
    mark : words across the top, e.g. ``RESEARCH USE - NOT APPROVED``.
    caption : one line: plugin, version, run, volume; no patient data.
    """

    reference: Volume
    segmentation: Segmentation
    uncertainty: Uncertainty | None
    explanation: Explanation | None
    mark: str
    caption: str
    others: Mapping[str, Volume]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the picture: a map over the grey image, or the grey image alone."""

    title: str
    values: NDArray[np.float32] | None
    geometry: Geometry | None
    limits: tuple[float, float]
    scheme: str


def draw_overview(overview: Overview) -> Rgb:
    """Return the picture as uint8 (rows, columns, 3)."""
    rows = _rows(overview)
    canvas = Canvas(HEADER + TILE * len(rows) + FOOTER, TILE * len(VIEWS))
    canvas.text((10, 8), overview.mark, size=20, colour=(255, 210, 60))
    canvas.text((10, 34), overview.caption, size=14)
    centre = lesion_point(overview.segmentation)
    pixel_mm = pixel_size_mm(overview.segmentation)
    for column, view in enumerate(VIEWS):
        plane = plane_of(view, centre, pixel_mm)
        grey = grey_image(overview.reference, plane)
        outline = outline_of(overview.segmentation, plane)
        for line, row in enumerate(rows):
            tile = tile_of(grey, outline, row, plane)
            top, left = HEADER + line * TILE, column * TILE
            canvas.paste((left, top), tile)
            annotate(canvas, (left, top), view, pixel_mm, row if column == 0 else None)
    canvas.text(
        (10, HEADER + TILE * len(rows) + 5),
        f"contour of {overview.segmentation.name}; made by software, to be checked by a person",
        size=13,
    )
    return canvas.pixels()


def lesion_point(segmentation: Segmentation) -> NDArray[np.float64]:
    """Return the LPS point of the mask's voxel that is nearest to its centroid."""
    geometry = segmentation.geometry
    frames = np.flatnonzero(segmentation.mask.any(axis=(1, 2)))
    if not len(frames):
        return geometry.to_patient((np.asarray(geometry.shape) - 1) / 2)
    index = np.argwhere(segmentation.mask[frames[0] : frames[-1] + 1])
    index[:, 0] += frames[0]
    scaled = (index - index.mean(axis=0)) * np.asarray(geometry.spacing_mm)
    nearest = index[int(np.argmin(np.einsum("ij,ij->i", scaled, scaled)))]
    return geometry.to_patient(nearest.astype(np.float64))


def _rows(overview: Overview) -> list[Row]:
    rows = [Row("contour", None, None, (0.0, 1.0), "grey")]
    frame = overview.reference.geometry.frame_of_reference_uid
    for volume in overview.others.values():
        if volume.modality == "PT" and volume.geometry.frame_of_reference_uid == frame:
            limits = (0.0, PET_LIMIT_SUV)
            rows.append(Row("PET [SUV]", volume.array, volume.geometry, limits, "heat"))
    grid = overview.segmentation.geometry
    uncertainty, explanation = overview.uncertainty, overview.explanation
    if uncertainty is not None and uncertainty.voxels is not None:
        place = uncertainty.geometry or grid
        rows.append(Row("uncertainty [0-1]", uncertainty.voxels, place, (0.0, 1.0), "heat"))
    if explanation is not None and explanation.attribution is not None:
        values = explanation.attribution
        held = np.abs(values[values != 0])
        limit = float(np.percentile(held, 99)) if held.size else 1.0
        place = explanation.geometry or grid
        rows.append(Row("attribution", values, place, (-limit, limit), "signed"))
    return rows


def pixel_size_mm(segmentation: Segmentation) -> float:
    """Return the size of a pixel: the lesion's largest extent and a margin fill a tile."""
    mask, spacing_mm = segmentation.mask, segmentation.geometry.spacing_mm
    extents = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        count = filled[-1] - filled[0] + 1 if len(filled) else mask.shape[axis]
        extents.append(float(count) * spacing_mm[axis])
    return (max(extents) + 2 * MARGIN_MM) / TILE


def plane_of(view: View, centre: NDArray[np.float64], pixel_mm: float) -> Plane:
    """Return the view's pixels as points of the patient, (TILE, TILE)."""
    right, down = np.asarray(view.right) * pixel_mm, np.asarray(view.down) * pixel_mm
    return Plane(centre - (TILE - 1) / 2 * (down + right), down, right, TILE)


def grey_image(volume: Volume, plane: Plane) -> NDArray[np.float32]:
    """Return the reference image in the plane as 0 to 1."""
    low, high = SOFT_TISSUE_WINDOW_HU
    if volume.modality != "CT":
        low, high = (float(item) for item in np.percentile(volume.array[::4, ::4, ::4], (1, 99)))
    values = plane.on(volume.geometry).linear(volume.array, low)
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6), 0.0, 1.0), dtype=np.float32)


def outline_of(segmentation: Segmentation, plane: Plane) -> NDArray[np.bool_]:
    """Return the pixels inside the mask that touch its outside: a line of two pixels."""
    inside = plane.on(segmentation.geometry).nearest(segmentation.mask)
    return np.asarray(inside & ~ndimage.binary_erosion(inside, iterations=2), dtype=np.bool_)


def tile_of(grey: NDArray[np.float32], outline: NDArray[np.bool_], row: Row, plane: Plane) -> Rgb:
    """Return one tile: grey image, coloured map over it, contour on top."""
    base = (grey * 255).astype(np.uint8)
    tile = np.repeat(base[:, :, None], 3, axis=2)
    if row.values is not None and row.geometry is not None:
        low, high = row.limits
        values = plane.on(row.geometry).linear(row.values, 0.0)
        share = np.clip((values - low) / (high - low), 0.0, 1.0)
        strength = np.abs(share - 0.5) * 2 if row.scheme == "signed" else share
        opacity = np.minimum(strength * 2.0, 0.75)
        place = (share * 255).astype(np.uint8)
        for channel, colours in enumerate(colour_map(row.scheme).T):
            tile[:, :, channel] = base + (colours[place] - base) * opacity
    tile[outline] = CONTOUR_COLOURS[row.scheme]
    return tile


def annotate(
    canvas: Canvas, corner: tuple[int, int], view: View, pixel_mm: float, row: Row | None
) -> None:
    """Write the letters, the scale bar and, in the first column, the row's title."""
    left, top = corner
    places = (
        (left + 4, top + TILE // 2 - 8),
        (left + TILE - 16, top + TILE // 2 - 8),
        (left + TILE // 2 - 5, top + 4),
        (left + TILE // 2 - 5, top + TILE - 20),
    )
    for letter, place in zip(view.letters, places, strict=True):
        canvas.text(place, letter, size=15, colour=(160, 220, 255))
    length = round(50.0 / pixel_mm)
    base = (left + TILE - 12 - length, top + TILE - 14)
    canvas.box(base, (length, 3), (255, 255, 255))
    canvas.text((base[0], base[1] - 18), "5 cm", size=13)
    canvas.text((left + TILE - 62, top + 4), view.name, size=13)
    if row is not None:
        canvas.text((left + 6, top + 4), row.title, size=14, colour=(255, 255, 255))
        if row.scheme != "grey":
            _colour_bar(canvas, (left + 8, top + 28), row)
    canvas.box((left + TILE - 1, top), (1, TILE), (60, 60, 60))
    canvas.box((left, top + TILE - 1), (TILE, 1), (60, 60, 60))


def _colour_bar(canvas: Canvas, corner: tuple[int, int], row: Row) -> None:
    """Draw the colours of a map from high (top) to low with the numbers at both ends."""
    left, top = corner
    colours = colour_map(row.scheme)[np.linspace(255, 0, BAR).astype(int)]
    canvas.paste((left, top), np.repeat(colours[:, None], 8, axis=1).astype(np.uint8))
    for number, offset in zip(row.limits[::-1], (-4, BAR - 12), strict=True):
        canvas.text((left + 12, top + offset), f"{number:.2g}", size=12)


def caption(parts: Sequence[str]) -> str:
    """Return the parts of a caption as one line."""
    return " · ".join(part for part in parts if part)
