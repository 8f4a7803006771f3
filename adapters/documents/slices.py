"""One slice of a result as a picture: image, contours, and one map over it.

The plane is a frame of the reference image itself, so that what is on the screen is what the
plugin read.  Letters say where the patient's sides are; the picture names nobody.

Read next: `pictures.py` (the overview), `adapters/web/slices.py` (the page).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapters.documents.canvas import Canvas, Rgb, colour_map
from adapters.documents.pictures import CONTOUR_COLOURS, Row, grey_image, tile_of
from adapters.documents.sampling import Plane
from plugins.host.images import Geometry, Volume

SIZE = 640
PLAIN = Row("", None, None, (0.0, 1.0), "grey")
_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))
"""For each LPS axis, the side that it points to and the one that it comes from."""
_BAR = 160


@dataclass(frozen=True, slots=True)
class Stack:
    """A result that is looked at slice by slice.

    Parameters
    ----------
    masks : by the structure's name, on the grid of ``reference``.
    maps : by name: ``uncertainty``, ``attribution``, ``dose``.
    """

    reference: Volume
    masks: Mapping[str, NDArray[np.bool_]]
    maps: Mapping[str, Row]

    @property
    def slice_count(self) -> int:
        """Return how many slices there are."""
        return self.reference.geometry.shape[0]

    def drawn_on(self) -> tuple[int, ...]:
        """Return the slices that any contour lies on."""
        hit = np.zeros(self.slice_count, dtype=np.bool_)
        for mask in self.masks.values():
            hit |= mask.any(axis=(1, 2))
        return tuple(int(number) for number in np.flatnonzero(hit))


def draw_slice(stack: Stack, number: int, layer: str = "", *, contours: bool = True) -> Rgb:
    """Return one slice as uint8 (`SIZE`, `SIZE`, 3).

    Parameters
    ----------
    layer : name of a map that lies over the image; empty for the image alone.

    Raises
    ------
    IndexError : there is no such slice.
    """
    if not 0 <= number < stack.slice_count:
        raise IndexError(f"expected a slice from 0 to {stack.slice_count - 1}, found {number}")
    geometry = stack.reference.geometry
    plane, pixel_mm = _plane(geometry, number)
    row = stack.maps.get(layer, PLAIN)
    picture = tile_of(grey_image(stack.reference, plane), _nothing(), row, plane)
    if contours:
        for mask in stack.masks.values():
            picture[_line(mask, geometry, number, plane)] = CONTOUR_COLOURS[row.scheme]
    canvas = Canvas(SIZE, SIZE)
    canvas.paste((0, 0), picture)
    _letters(canvas, geometry)
    _scale(canvas, pixel_mm)
    if row.scheme != "grey":
        _bar(canvas, row)
    return canvas.pixels()


def _plane(geometry: Geometry, number: int) -> tuple[Plane, float]:
    """Return the points of a frame, as large as fits, and the size of a pixel in mm."""
    _, rows, columns = geometry.shape
    extent = (rows * geometry.spacing_mm[1], columns * geometry.spacing_mm[2])
    pixel_mm = max(extent) / SIZE
    down, right = (np.asarray(axis) * pixel_mm for axis in geometry.axes[1:])
    centre = geometry.to_patient(np.array([number, (rows - 1) / 2, (columns - 1) / 2]))
    return Plane(centre - (SIZE - 1) / 2 * (down + right), down, right, SIZE), pixel_mm


def _nothing() -> NDArray[np.bool_]:
    return np.zeros((SIZE, SIZE), dtype=np.bool_)


def _line(
    mask: NDArray[np.bool_], geometry: Geometry, number: int, plane: Plane
) -> NDArray[np.bool_]:
    """Return the pixels just inside the mask: a line of two pixels."""
    del number  # the plane lies in it already
    inside = plane.on(geometry).nearest(mask)
    eroded = inside.copy()
    for _ in range(2):
        core = eroded.copy()
        core[1:] &= eroded[:-1]
        core[:-1] &= eroded[1:]
        core[:, 1:] &= eroded[:, :-1]
        core[:, :-1] &= eroded[:, 1:]
        eroded = core
    return np.asarray(inside & ~eroded, dtype=np.bool_)


def _letters(canvas: Canvas, geometry: Geometry) -> None:
    down, right = geometry.axes[1:]
    middle = SIZE // 2
    for axis, places in (
        (right, ((SIZE - 20, middle - 8), (6, middle - 8))),
        (down, ((middle - 5, SIZE - 24), (middle - 5, 6))),
    ):
        leading = int(np.argmax(np.abs(axis)))
        forward = axis[leading] > 0
        letters = _LETTERS[leading] if forward else _LETTERS[leading][::-1]
        for letter, place in zip(letters, places, strict=True):
            canvas.text(place, letter, size=18, colour=(160, 220, 255))


def _scale(canvas: Canvas, pixel_mm: float) -> None:
    length = max(1, round(50.0 / pixel_mm))
    if length < SIZE - 40:
        base = (SIZE - 16 - length, SIZE - 16)
        canvas.box(base, (length, 3), (255, 255, 255))
        canvas.text((base[0], base[1] - 22), "5 cm", size=15)


def _bar(canvas: Canvas, row: Row) -> None:
    """Draw the colours of the map with the numbers at both ends."""
    colours = colour_map(row.scheme)[np.linspace(255, 0, _BAR).astype(int)]
    canvas.paste((12, 40), np.repeat(colours[:, None], 10, axis=1).astype(np.uint8))
    canvas.text((12, 14), row.title, size=15, colour=(255, 255, 255))
    for number, place in zip(row.limits[::-1], (36, 40 + _BAR - 14), strict=True):
        canvas.text((28, place), f"{number:.2g}", size=14)
