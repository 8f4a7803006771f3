"""Contours become masks by the even-odd rule with half-open borders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adapters.rt.raster import mask_from_contours
from audit.errors import GeometryError
from plugins.host.images import Contour, Geometry
from tests.simulators import dicom_objects as objects

AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def _grid(axes: object = AXES, shape: tuple[int, int, int] = (4, 12, 14)) -> Geometry:
    return Geometry(shape, (3.0, 1.5, 1.25), (-10.0, 20.0, 30.0), axes, "2.25.1")  # type: ignore[arg-type]


def _contour(geometry: Geometry, frame: float, corners: list[tuple[float, float]]) -> Contour:
    index = np.array([(frame, row, column) for row, column in corners])
    return Contour(geometry.to_patient(index))


def _box(top: float, left: float, bottom: float, right: float) -> list[tuple[float, float]]:
    return [(top, left), (top, right), (bottom, right), (bottom, left)]


def test_a_box_between_centres_fills_the_voxels_inside() -> None:
    """A contour along voxel borders gives exactly the voxels that it encloses."""
    geometry = _grid()
    mask = mask_from_contours([_contour(geometry, 1, _box(1.5, 2.5, 5.5, 7.5))], geometry)
    expected = np.zeros(geometry.shape, dtype=bool)
    expected[1, 2:6, 3:8] = True
    np.testing.assert_array_equal(mask, expected)


def test_holes_and_islands_follow_from_nesting() -> None:
    """A contour in a contour is a hole, one more inside it an island."""
    geometry = _grid()
    boxes = [_box(0.5, 0.5, 10.5, 12.5), _box(2.5, 2.5, 8.5, 10.5), _box(4.5, 5.5, 6.5, 7.5)]
    mask = mask_from_contours([_contour(geometry, 0, box) for box in boxes], geometry)
    expected = np.zeros(geometry.shape, dtype=bool)
    expected[0, 1:11, 1:13] = True
    expected[0, 3:9, 3:11] = False
    expected[0, 5:7, 6:8] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_keyhole_contour_has_its_hole() -> None:
    """An outer and an inner contour joined by a channel of no width enclose a ring."""
    geometry = _grid()
    outer, inner = _box(0.5, 0.5, 10.5, 12.5), _box(3.5, 3.5, 7.5, 9.5)
    keyhole = [*outer, outer[0], *inner[::-1], inner[-1], outer[0]]
    mask = mask_from_contours([_contour(geometry, 2, keyhole)], geometry)
    assert mask[2].sum() == 10 * 12 - 4 * 6


def test_regions_that_share_an_edge_share_no_voxel() -> None:
    """A centre on the common edge belongs to exactly one of two neighbours."""
    geometry = _grid()
    left = mask_from_contours([_contour(geometry, 0, _box(1, 1, 6, 5))], geometry)
    right = mask_from_contours([_contour(geometry, 0, _box(1, 5, 6, 9))], geometry)
    assert not (left & right).any()
    whole = mask_from_contours([_contour(geometry, 0, _box(1, 1, 6, 9))], geometry)
    np.testing.assert_array_equal(left | right, whole)


@pytest.mark.parametrize("position", objects.ORIENTATIONS)
def test_any_orientation_of_the_grid_gives_the_same_mask(position: str) -> None:
    """The rule is one of voxels, wherever the patient lies."""
    cosines = np.array(objects.ORIENTATIONS[position])
    normal = np.cross(cosines[:3], cosines[3:])
    axes = tuple(map(tuple, (normal, cosines[3:], cosines[:3])))
    geometry = _grid(axes)
    mask = mask_from_contours([_contour(geometry, 1, _box(1.5, 2.5, 5.5, 7.5))], geometry)
    assert mask[1, 2:6, 3:8].all()
    assert mask.sum() == 4 * 5


def test_an_oblique_grid_is_no_different() -> None:
    """Rotation about an arbitrary axis moves contours and voxels alike."""
    angle = np.radians(33)
    axes = (
        (0.0, -np.sin(angle), np.cos(angle)),
        (0.0, np.cos(angle), np.sin(angle)),
        (1.0, 0.0, 0.0),
    )
    geometry = _grid(axes)
    mask = mask_from_contours([_contour(geometry, 3, _box(1, 2, 5, 7))], geometry)
    assert mask[3, 1:5, 2:7].all()
    assert mask.sum() == 4 * 5


def test_contours_outside_the_grid_are_left_out_and_cut_at_its_border() -> None:
    """What lies beyond the image is no voxel of it."""
    geometry = _grid()
    contours = [
        _contour(geometry, -1, _box(1.5, 1.5, 5.5, 5.5)),
        _contour(geometry, 9, _box(1.5, 1.5, 5.5, 5.5)),
        _contour(geometry, 0, _box(-20, -20, 30, 3.5)),
        _contour(geometry, 1, _box(-20, 9.5, 30, 99)),
    ]
    mask = mask_from_contours(contours, geometry)
    assert mask[0, :, :4].all()
    assert mask[1, :, 10:].all()
    assert mask.sum() == 12 * 4 + 12 * 4


def test_a_contour_across_the_frames_is_refused() -> None:
    """A sagittal contour cannot be filled on axial frames."""
    geometry = _grid()
    points = geometry.to_patient(np.array([(0.0, 1, 3), (3.0, 1, 3), (3.0, 5, 3), (0.0, 5, 3)]))
    with pytest.raises(GeometryError):
        mask_from_contours([Contour(points)], geometry)


def test_points_and_open_contours_enclose_nothing() -> None:
    """Only closed contours make a region."""
    geometry = _grid()
    points = _contour(geometry, 0, _box(1.5, 1.5, 5.5, 5.5)).points_mm
    assert not mask_from_contours(
        [Contour(points, "OPEN_PLANAR"), Contour(points[:1], "POINT"), Contour(points[:2])],
        geometry,
    ).any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-2, 13), st.floats(-2, 15)), min_size=3, max_size=12))
def test_every_centre_agrees_with_the_winding_of_a_ray(
    corners: list[tuple[float, float]],
) -> None:
    """The fast fill equals a plain even-odd test of each voxel centre."""
    geometry = _grid()
    mask = mask_from_contours([_contour(geometry, 0, corners)], geometry)
    index = np.round(geometry.to_index(_contour(geometry, 0, corners).points_mm)[:, 1:], 6)
    for row in range(12):
        for column in range(14):
            assert mask[0, row, column] == _inside(index, row, column)


def _inside(points: NDArray[np.float64], row: int, column: int) -> bool:
    crossings = 0
    for (y0, x0), (y1, x1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (y0 <= row < y1) or (y1 <= row < y0):
            crossings += round(x0 + (row - y0) * (x1 - x0) / (y1 - y0), 6) <= column
    return crossings % 2 == 1


def test_a_contour_without_a_place_is_refused() -> None:
    """A point that is no number lies in no voxel; it is not left to chance where it falls."""
    points = np.array([[0.0, 0.0, 0.0], [1.0, np.nan, 0.0], [1.0, 1.0, 0.0]])
    with pytest.raises(GeometryError, match="finite"):
        mask_from_contours([Contour(points)], _grid())
