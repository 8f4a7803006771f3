"""The overview picture shows the lesion where it is, the same picture each time."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from adapters.documents.canvas import Canvas, colour_map, encode_png
from adapters.documents.pictures import (
    CONTOUR_COLOURS,
    HEADER,
    TILE,
    Overview,
    caption,
    draw_overview,
    lesion_point,
)
from plugins.host.images import Geometry, Volume
from tests.simulators.limb_case import SMALL, answer_for, limb_run, oblique, segmentation_of

SMALL_CT = replace(SMALL, has_pet=False)


def overview(run, **changes):
    """Return what the picture of a run shows."""
    segmentation = run.segmentation
    values = {
        "reference": run.case.images["ct"],
        "segmentation": segmentation,
        "uncertainty": run.answer.prediction.uncertainty,
        "explanation": run.answer.explanation,
        "mark": "RESEARCH USE - NOT APPROVED",
        "caption": caption(("contouring 0.1.0", "", "run 0f0f")),
        "others": {name: v for name, v in run.case.images.items() if name != "ct"},
    }
    return Overview(**{**values, **changes})


def outline(tile):
    """Return the centre (row, column) of the contour's colour in a tile."""
    return np.argwhere((tile == CONTOUR_COLOURS["grey"]).all(axis=-1)).mean(axis=0)


def tile_of(picture, column, line=0):
    """Return one tile of a picture."""
    top = HEADER + line * TILE
    return picture[top : top + TILE, column * TILE : (column + 1) * TILE]


def test_rows_follow_from_what_there_is():
    """Contour, PET, uncertainty and attribution are drawn; what is absent is left out."""
    run = limb_run()
    full = draw_overview(overview(run))
    assert full.shape[1] == 3 * TILE
    bare = draw_overview(overview(run, uncertainty=None, explanation=None, others={}))
    assert full.shape[0] - bare.shape[0] == 3 * TILE
    assert full.dtype == np.uint8


def test_the_same_values_give_the_same_picture():
    """Drawing twice gives the same bytes, and PNG keeps every pixel."""
    run = limb_run(SMALL_CT)
    first, again = draw_overview(overview(run)), draw_overview(overview(run))
    assert encode_png(first) == encode_png(again)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(first)))), first)


def test_png_carries_no_words():
    """The file has no text chunks: no software, no time, no patient."""
    image = Image.open(io.BytesIO(encode_png(draw_overview(overview(limb_run(SMALL_CT))))))
    assert image.info == {}


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ((1, 0, 0), {0: (0, 1), 1: (0, 1)}),
        ((0, 1, 0), {0: (1, 0), 2: (0, 1)}),
        ((0, 0, 1), {1: (-1, 0), 2: (-1, 0)}),
    ],
    ids=["left", "behind", "towards the head"],
)
def test_left_is_right_behind_is_below_and_the_head_is_up(direction, expected, flipped):
    """A bright spot to the patient's left of the lesion is drawn right of it, one behind it
    below (axial) or right (sagittal), one towards the head above, for any scan direction."""
    axes = np.asarray([[0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=float) * (-1 if flipped else 1)
    geometry = Geometry((41, 41, 41), (2.0, 2.0, 2.0), (3.0, -4.0, 5.0), axes.tolist(), "1.2.3.4")
    values = np.full(geometry.shape, -1000, dtype=np.float32)
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[19:22, 19:22, 19:22] = True
    spot = np.rint(20 + 10 * axes @ np.asarray(direction)).astype(int)
    values[tuple(slice(place - 2, place + 3) for place in spot)] = 1000
    picture = draw_overview(
        overview(
            limb_run(SMALL_CT),
            reference=Volume(values, geometry, "CT", "HU", "1.2.3", "1.2.3.5", "1.2", ("1.2.4",)),
            segmentation=segmentation_of(mask, geometry),
            uncertainty=None,
            explanation=None,
            others={},
        )
    )
    for column, (down, right) in expected.items():
        tile = tile_of(picture, column)[24:-36, 24:-70]  # without letters and scale bar
        found = np.argwhere((tile > 250).all(axis=-1)).mean(axis=0) + 24
        moved = found - outline(tile_of(picture, column))
        assert np.array_equal(np.sign(np.rint(moved / 20)), (down, right))


def test_the_contour_follows_the_mask_in_the_axial_view():
    """The outline's extent in pixels is the mask's extent in millimetres."""
    run = limb_run(SMALL_CT)
    picture = draw_overview(overview(run, uncertainty=None, explanation=None))
    drawn = (tile_of(picture, 0) == CONTOUR_COLOURS["grey"]).all(axis=-1)
    geometry = run.segmentation.geometry
    plane = round(geometry.to_index(lesion_point(run.segmentation))[0])
    extents = [np.ptp(np.argwhere(drawn), axis=0) + 1]
    expected = np.ptp(np.argwhere(run.segmentation.mask[plane]), axis=0) + 1
    heights = np.flatnonzero(run.segmentation.mask.any(axis=(1, 2)))
    largest = (np.ptp(heights) + 1) * geometry.spacing_mm[0]
    pixel_mm = (largest + 90.0) / TILE
    assert np.allclose(extents[0] * pixel_mm, expected * geometry.spacing_mm[1], atol=3 * pixel_mm)


def test_an_oblique_mr_without_uncertainty_is_drawn():
    """Any grid and any modality can be drawn; the window then follows the image."""
    geometry = oblique((12, 40, 40))
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[4:8, 15:25, 15:25] = True
    values = np.random.default_rng(0).normal(500, 100, geometry.shape).astype(np.float32)
    image = Volume(values, geometry, "MR", "1", "1.2.3", "1.2.3.5", "1.2", ("1.2.4",))
    segmentation = segmentation_of(mask, geometry)
    answer = answer_for(segmentation)
    run = limb_run(SMALL_CT)
    picture = draw_overview(
        overview(
            run,
            reference=image,
            segmentation=segmentation,
            uncertainty=answer.prediction.uncertainty,
            explanation=answer.explanation,
        )
    )
    assert (tile_of(picture, 0) == CONTOUR_COLOURS["grey"]).all(axis=-1).any()
    assert np.ptp(tile_of(picture, 1)) > 100


def test_an_empty_mask_is_drawn_without_a_contour():
    """No voxel, no outline, no error."""
    run = limb_run(SMALL_CT)
    empty = segmentation_of(np.zeros_like(run.segmentation.mask), run.segmentation.geometry)
    picture = draw_overview(overview(run, segmentation=empty, uncertainty=None, explanation=None))
    assert not (tile_of(picture, 0) == CONTOUR_COLOURS["grey"]).all(axis=-1).any()


def test_the_mark_is_drawn():
    """The words across the top are there: another mark gives another header."""
    run = limb_run(SMALL_CT)
    research = draw_overview(overview(run))[:HEADER]
    clinical = draw_overview(overview(run, mark="NOT APPROVED - TO BE REVIEWED"))[:HEADER]
    assert research.any()
    assert not np.array_equal(research, clinical)


def test_colour_maps_run_from_low_to_high():
    """Heat grows brighter; signed values are blue, grey, red."""
    heat, signed = colour_map("heat").sum(axis=1), colour_map("signed")
    assert np.all(np.diff(heat) > 0)
    assert signed[0, 2] > signed[0, 0]
    assert signed[-1, 0] > signed[-1, 2]
    assert np.ptp(signed[128]) < 20


def test_a_canvas_keeps_what_is_pasted():
    """A tile stands where it was put."""
    canvas = Canvas(8, 12)
    tile = np.full((3, 4, 3), 200, dtype=np.uint8)
    canvas.paste((5, 2), tile)
    pixels = canvas.pixels()
    assert np.array_equal(pixels[2:5, 5:9], tile)
    assert pixels.sum() == tile.sum(dtype=int)
