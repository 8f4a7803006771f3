"""A small canvas for pictures: text, boxes, pasted tiles, PNG.

Pillow draws text; it comes with highdicom and takes a tenth of the time that a plotting
library needs.  PNG files carry no time and no metadata, so the same
picture gives the same bytes.

Read next: `pictures.py`.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
"""A picture: uint8 (rows, columns, 3)."""

RIM = 1
"""Width in pixels of the dark rim around letters."""
_TRUECOLOUR, _FILTER_UP = 2, 2  # ISO/IEC 15948, sections 11.2.2 and 9.2

# Perceptually ordered anchors: black-purple-orange-yellow for amounts, blue-grey-red for
# signed values (after the shape of the common "inferno" and "coolwarm" maps).
_ANCHORS = {
    "heat": ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)),
    "signed": ((40, 80, 220), (140, 175, 250), (225, 225, 225), (245, 150, 120), (190, 20, 40)),
    "grey": ((0, 0, 0), (255, 255, 255)),
}


@cache
def colour_map(scheme: str) -> NDArray[np.float32]:
    """Return 256 colours (256, 3) of ``heat``, ``signed`` or ``grey``, low to high."""
    anchors = np.asarray(_ANCHORS[scheme], dtype=np.float32)
    place = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(place, np.arange(len(anchors)), anchors[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


class Canvas:
    """A black picture of (rows, columns) to draw on."""

    def __init__(self, rows: int, columns: int) -> None:
        from PIL import Image, ImageDraw

        self._image = Image.new("RGB", (columns, rows))
        self._draw = ImageDraw.Draw(self._image)

    def paste(self, corner: tuple[int, int], tile: Rgb) -> None:
        """Put a picture with its upper left pixel at (column, row)."""
        from PIL import Image

        self._image.paste(Image.fromarray(tile), corner)

    def box(
        self, corner: tuple[int, int], size: tuple[int, int], colour: tuple[int, int, int]
    ) -> None:
        """Fill a box of (width, height) from (column, row)."""
        left, top = corner
        self._draw.rectangle((left, top, left + size[0] - 1, top + size[1] - 1), fill=colour)

    def text(
        self,
        corner: tuple[int, int],
        text: str,
        *,
        size: int,
        colour: tuple[int, int, int] = (230, 230, 230),
    ) -> None:
        """Write a line with its upper left corner at (column, row), with a dark rim."""
        rim, letters = _shapes(text, size)
        place = (corner[0] - RIM, corner[1] - RIM)
        self._image.paste((0, 0, 0), place, rim)
        self._image.paste(colour, place, letters)

    def pixels(self) -> Rgb:
        """Return the picture."""
        return np.asarray(self._image, dtype=np.uint8).copy()


@lru_cache(maxsize=256)
def _shapes(text: str, size: int) -> tuple[Any, Any]:
    """Return how much of each pixel the rim and the letters of a line cover.

    Letters and scales are the same in every picture, and drawing them takes longest.
    """
    from PIL import Image, ImageDraw

    _, _, right, bottom = _font(size).getbbox(text, stroke_width=RIM)
    shapes = []
    for width in (RIM, 0):
        shape = Image.new("L", (round(right) + 3 * RIM, round(bottom) + 3 * RIM))
        ImageDraw.Draw(shape).text(
            (RIM, RIM), text, fill=255, font=_font(size), stroke_width=width, stroke_fill=255
        )
        shapes.append(shape)
    return shapes[0], shapes[1]


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def encode_png(picture: Rgb) -> bytes:
    """Return the picture as PNG (ISO/IEC 15948): each row as its difference to the one above.

    One filter for all rows and a light compression, without holding up other threads.
    """
    rows, columns, _ = picture.shape
    lines = np.ascontiguousarray(picture).reshape(rows, columns * 3)
    filtered = np.empty((rows, columns * 3 + 1), dtype=np.uint8)
    filtered[:, 0] = _FILTER_UP
    filtered[0, 1:] = lines[0]
    np.subtract(lines[1:], lines[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", columns, rows, 8, _TRUECOLOUR, 0, 0, 0)
    pixels = zlib.compress(filtered.data, level=2)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
