"""Outlines of a mask: what they enclose is the mask, voxel by voxel."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from adapters.rt.write_contours import enclosed_area, trace

PLANES = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans())


def fill(polygons: list[NDArray[np.float64]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the even-odd filling, written here anew: count crossings left of each centre."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    count = np.zeros(shape, dtype=int)
    for polygon in polygons:
        for (y0, x0), (y1, x1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            crossed = (rows > min(y0, y1)) & (rows < max(y0, y1)) & (columns > min(x0, x1))
            count += crossed
    return count % 2 == 1


@settings(max_examples=150, deadline=None)
@given(PLANES)
def test_filling_the_outlines_gives_the_mask_back(plane):
    """Whatever the mask, with holes and islands, its outlines enclose exactly its voxels."""
    polygons = trace(plane)
    assert np.array_equal(fill(polygons, plane.shape), plane)


@settings(max_examples=150, deadline=None)
@given(PLANES)
def test_enclosed_area_equals_the_voxel_count(plane):
    """The shoelace area over all outlines is the number of voxels, holes taken out."""
    assert sum(enclosed_area(polygon) for polygon in trace(plane)) == plane.sum()


@settings(max_examples=80, deadline=None)
@given(PLANES)
def test_outlines_are_closed_and_have_at_least_four_corners(plane):
    """No outline repeats its first point, has fewer than four corners or leaves voxel edges."""
    for polygon in trace(plane):
        assert len(polygon) >= 4
        assert not np.array_equal(polygon[0], polygon[-1])
        assert np.all(polygon * 2 % 2 == 1)
        steps = np.abs(np.roll(polygon, -1, axis=0) - polygon)
        assert np.all((steps == 0).sum(axis=1) == 1)


def test_an_island_of_one_voxel_survives():
    """One voxel becomes a square of four corners around its centre."""
    plane = np.zeros((5, 6), dtype=bool)
    plane[2, 3] = True
    (square,) = trace(plane)
    assert {tuple(corner) for corner in square} == {(1.5, 2.5), (1.5, 3.5), (2.5, 3.5), (2.5, 2.5)}


def test_a_hole_is_joined_by_a_keyhole():
    """A ring is one polygon, so that a reader that unites contours keeps the hole."""
    plane = np.ones((7, 7), dtype=bool)
    plane[3, 3] = False
    (ring,) = trace(plane)
    assert enclosed_area(ring) == 48
    assert len({tuple(corner) for corner in ring}) < len(ring)


def test_an_island_inside_a_hole_is_a_polygon_of_its_own():
    """Rings within rings come back, each solid part with its own polygon."""
    plane = np.ones((9, 9), dtype=bool)
    plane[1:8, 1:8] = False
    plane[3:6, 3:6] = True
    polygons = trace(plane)
    assert len(polygons) == 2
    assert np.array_equal(fill(polygons, plane.shape), plane)


def test_voxels_that_meet_at_a_corner_are_separate_polygons():
    """Two voxels that share only a corner give two squares."""
    plane = np.eye(2, dtype=bool)
    assert sorted(enclosed_area(polygon) for polygon in trace(plane)) == [1, 1]


def test_an_empty_plane_has_no_outline():
    """Nothing gives nothing."""
    assert trace(np.zeros((4, 4), dtype=bool)) == []
