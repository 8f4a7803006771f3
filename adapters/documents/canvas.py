"""A small canvas for pictures: text, boxes, pasted tiles, PNG.

Pillow draws text and compresses; it comes with highdicom and takes a tenth of the time
that a plotting library needs.  PNG files carry no time and no metadata, so the same
picture gives the same bytes.

Read next: `pictures.py`.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
"""A picture: uint8 (rows, columns, 3)."""

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
        self._draw.text(
            corner, text, fill=colour, font=_font(size), stroke_width=1, stroke_fill=(0, 0, 0)
        )

    def pixels(self) -> Rgb:
        """Return the picture."""
        return np.asarray(self._image, dtype=np.uint8).copy()


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def encode_png(picture: Rgb) -> bytes:
    """Return the picture as PNG (ISO/IEC 15948)."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=2)
    return buffer.getvalue()
