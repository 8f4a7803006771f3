"""The picture of a case shows reference and proposal where they are, and the largest error."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adapters.documents.canvas import Rgb, encode_png
from adapters.documents.comparison import (
    PROPOSED,
    REFERENCE,
    Comparison,
    dashed,
    draw_comparison,
)
from adapters.documents.pictures import FOOTER, HEADER, TILE
from tests.simulators.limb_case import SMALL, limb_run


def shown(shift: int = 0, **changes: Any) -> Comparison:
    """Return a comparison whose proposal lies ``shift`` columns to the patient's left."""
    run = limb_run(SMALL)
    found = run.segmentation
    values: dict[str, Any] = {
        "image": run.case.images["ct"],
        "found": replace(found, mask=np.roll(found.mask, shift, axis=2)),
        "reference": found.mask,
        "others": {"pet": run.case.images["pet"]},
        "mark": "RESEARCH USE - NOT APPROVED",
        "caption": "case-1 · ct+pet",
    }
    return Comparison(**(values | changes))


def tile(picture: Rgb, line: int, column: int = 0) -> Rgb:
    """Return one tile of a picture."""
    top = HEADER + line * TILE
    return picture[top : top + TILE, column * TILE : (column + 1) * TILE]


def places(picture: Rgb, colour: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return (row, column) of the pixels of a colour."""
    return np.argwhere((picture == colour).all(axis=-1))


def test_both_contours_lie_where_the_masks_are() -> None:
    """A proposal too far to the patient's left is drawn right of the reference."""
    axial = tile(draw_comparison(shown(4)), 0)
    reference, proposed = places(axial, REFERENCE), places(axial, PROPOSED)
    assert len(reference) > len(proposed) > 20
    assert abs(reference.mean(axis=0)[1] - TILE / 2) < 8
    assert proposed.mean(axis=0)[1] > reference.mean(axis=0)[1] + 3
    assert abs(proposed.mean(axis=0)[0] - reference.mean(axis=0)[0]) < 4


def test_the_last_row_goes_through_the_largest_error() -> None:
    """Where a piece is missed at one end, the coronal plane of the last row lies at that end."""
    reference = shown().reference
    frames = np.flatnonzero(reference.any(axis=(1, 2)))
    lost = reference.copy()
    lost[frames[len(frames) // 2] :] = False  # the half towards the head
    comparison = shown(found=replace(shown().found, mask=lost))
    picture = draw_comparison(comparison)
    assert picture.shape == (HEADER + 3 * TILE + FOOTER, 3 * TILE, 3)
    coronal = tile(picture, 2, 1)
    assert places(coronal, PROPOSED).mean(axis=0)[0] > places(coronal, REFERENCE).mean(axis=0)[0]
    assert not len(places(tile(picture, 2), PROPOSED))  # no proposal in the axial plane there


def test_without_error_and_without_pet_there_is_one_row() -> None:
    """Nothing is drawn of what there is not."""
    assert draw_comparison(shown(others={})).shape[0] == HEADER + TILE + FOOTER
    assert draw_comparison(shown()).shape[0] == HEADER + 2 * TILE + FOOTER


def test_the_same_values_give_the_same_bytes_without_words() -> None:
    """Drawing twice gives one file, and that has no text chunk."""
    first, again = (encode_png(draw_comparison(shown(3))) for _ in range(2))
    assert first == again
    assert Image.open(io.BytesIO(first)).info == {}


def test_a_dashed_line_has_gaps_all_around() -> None:
    """About half of a circle is left, in every quarter of it."""
    y, x = np.mgrid[-60:61, -60:61]
    circle = np.abs(np.hypot(y, x) - 50) < 1
    kept = dashed(circle)
    assert not (kept & ~circle).any()
    for part in (np.s_[:60, :60], np.s_[:60, 61:], np.s_[61:, :60], np.s_[61:, 61:]):
        assert 0.35 < kept[part].sum() / circle[part].sum() < 0.65
    assert not dashed(np.zeros((5, 5), dtype=np.bool_)).any()
