"""Regions of structure sets on one grid: spheres, other slices, tilted planes, holes."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.oversight.contours import MaskComparison, common_masks, regions
from audit.errors import GeometryError
from governance.oversight.comparison import Limits, Region, judge
from plugins.host.images import Contour, RegionOfInterest

NUMBERS = MaskComparison(2.0)


def sphere(
    radius_mm: float,
    step_mm: float = 3.0,
    centre: tuple[float, float, float] = (10.0, -20.0, 30.0),
    turn: NDArray[np.float64] | None = None,
) -> tuple[Contour, ...]:
    """Return the contours of a sphere in planes ``step_mm`` apart."""
    contours = []
    around = np.linspace(0, 2 * math.pi, 120, endpoint=False)
    for number in range(-int(radius_mm / step_mm), int(radius_mm / step_mm) + 1):
        height = number * step_mm
        circle = math.sqrt(max(radius_mm**2 - height**2, 0.01))
        points = np.stack(
            [circle * np.cos(around), circle * np.sin(around), np.full(120, height)], axis=1
        )
        if turn is not None:
            points = points @ turn.T
        contours.append(Contour(points + centre))
    return tuple(contours)


def _region(contours: tuple[Contour, ...], name: str = "GTVp") -> Region:
    return Region(name, "GTV", contours)


def test_concentric_spheres_from_contours() -> None:
    """The figures of two spheres are those of geometry, through contours and raster."""
    found = NUMBERS.figures(_region(sphere(30.0)), _region(sphere(34.0)))
    small, large = (4 / 3 * math.pi * r**3 / 1000 for r in (30, 34))
    assert found.volume_ml == pytest.approx(small, rel=0.02)
    assert found.volume_difference_ml == pytest.approx(small - large, rel=0.05)
    assert found.dsc == pytest.approx(2 * small / (small + large), abs=0.01)
    assert found.hd95_mm == pytest.approx(4.0, abs=1.0)
    assert found.surface_dice is not None
    assert found.surface_dice < 0.1
    # the circles of the larger one, in pixels that touch the outside (about 0.9 of the length)
    path = sum(2 * math.pi * math.sqrt(34**2 - (3 * n) ** 2) for n in range(-11, 12))
    assert found.added_path_length_mm == pytest.approx(path * 0.9, rel=0.08)


@pytest.mark.parametrize("step", [1.0, 2.0, 5.0])
def test_a_set_drawn_on_other_slices(step: float) -> None:
    """The same sphere on planes of another distance is the same sphere, and no striped one."""
    found = NUMBERS.figures(_region(sphere(30.0, 3.0)), _region(sphere(30.0, step)))
    assert found.dsc > 0.96
    assert found.hd95_mm is not None
    assert found.hd95_mm <= 3.0


def test_tilted_planes() -> None:
    """Oblique planes are compared in their own grid; crossed ones are refused."""
    angle = math.radians(25)
    turn = np.array(
        [[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]]
    )
    tilted = _region(sphere(30.0, turn=turn))
    assert NUMBERS.figures(tilted, tilted).dsc == 1.0
    assert NUMBERS.overlap(tilted, _region(sphere(32.0, turn=turn))) > 0.8
    with pytest.raises(GeometryError):
        NUMBERS.overlap(tilted, _region(sphere(30.0)))


@pytest.mark.parametrize("tilt_deg", [0.0, 25.0])
def test_a_moved_set_tells_where_to_along_the_patient(tilt_deg: float) -> None:
    """The signed shift is ours to theirs in LPS, also where the planes are oblique."""
    angle = math.radians(tilt_deg)
    turn = np.array(
        [[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]]
    )
    moved_mm = turn @ np.array([3.0, -1.5, 3.0])  # one plane along their normal
    ours = sphere(30.0, turn=turn)
    theirs = tuple(Contour(contour.points_mm + moved_mm) for contour in ours)
    found = NUMBERS.figures(_region(ours), _region(theirs))
    shift = (found.shift_x_mm, found.shift_y_mm, found.shift_z_mm)
    assert shift == pytest.approx(tuple(moved_mm), abs=0.5)
    still = NUMBERS.figures(_region(ours), _region(ours))
    assert (still.shift_x_mm, still.shift_y_mm, still.shift_z_mm) == (0, 0, 0)


def test_an_unchanged_set_is_accepted_and_a_shift_is_not() -> None:
    """Rounded coordinates are no edit; six millimetres are one with consequence."""
    ours = [_region(sphere(30.0))]
    rounded = tuple(Contour(np.round(c.points_mm, 2)) for c in sphere(30.0))
    (same,) = judge(ours, [_region(rounded, "GTV P")], NUMBERS, Limits())
    assert (same.action, same.severity, same.theirs) == ("accept", "none", "GTV P")
    moved = tuple(Contour(c.points_mm + np.array([6.0, 0.0, 0.0])) for c in sphere(30.0))
    (edited,) = judge(ours, [_region(moved)], NUMBERS, Limits())
    assert (edited.action, edited.severity) == ("edit", "major")
    far = tuple(Contour(c.points_mm + np.array([200.0, 0.0, 0.0])) for c in sphere(30.0))
    (gone,) = judge(ours, [_region(far)], NUMBERS, Limits())
    assert (gone.action, gone.figures.dsc) == ("reject", 0.0)


def test_a_keyhole_stays_a_hole() -> None:
    """A second contour inside the first takes its area out again."""
    ring = (*sphere(30.0), *sphere(15.0))
    first, second, spacing = common_masks(ring, sphere(30.0))
    hole_ml = (int(second.sum()) - int(first.sum())) * float(np.prod(spacing)) / 1000
    assert hole_ml == pytest.approx(4 / 3 * math.pi * 15**3 / 1000, rel=0.06)


def test_what_has_no_closed_contour_is_no_region() -> None:
    """Points and open lines are left out; a region of nothing is refused."""
    point = Contour(np.zeros((1, 3)), "POINT")
    line = Contour(np.eye(3), "OPEN_PLANAR")
    rois = [RegionOfInterest(1, "Iso", "ISOCENTER", (point, line))]
    assert regions(rois) == ()
    with pytest.raises(GeometryError):
        NUMBERS.overlap(_region((point,)), _region(sphere(10.0)))
