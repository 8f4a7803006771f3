"""What is called left lies on the patient's left, or the pair is not used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.dose.laterality import CLEAR_MM
from plugins.dose.structures import map_structures
from plugins.host.images import RegionOfInterest
from tests.simulators.drawn_regions import box, head


def faults(rois: list[RegionOfInterest]) -> dict[str, str]:
    """Return name -> code of the review list."""
    return {item.roi_name: item.code for item in map_structures(rois).review}


@settings(max_examples=60, deadline=None)
@given(st.floats(-200.0, 200.0), st.booleans())
def test_swapped_parotids_are_refused_wherever_the_patient_lies(shift: float, whole: bool) -> None:
    """A mirrored image or swapped names refuse both, and only both; the shift does not matter."""
    assert faults(head(shift_mm=shift)) == {}
    swapped = (
        head(shift_mm=shift, mirrored=True)
        if whole
        else head(shift_mm=shift, Parotid_L="Parotid_R", Parotid_R="Parotid_L")
    )
    assert faults(swapped) == {"Parotid_L": "LATERALITY", "Parotid_R": "LATERALITY"}
    found = map_structures(swapped)
    assert "LeftParotid" not in found.organs
    assert "RightParotid" not in found.organs
    assert "SpinalCord" in found.organs


def test_one_parotid_on_the_wrong_side_refuses_its_partner() -> None:
    """Two parotids on one side: which of them is named wrongly nobody can say."""
    moved = [roi for roi in head() if roi.name != "Parotid_R"]
    moved.append(box(9, "Parotid_R", (40.0, 10.0, 20.0)))
    assert faults(moved) == {"Parotid_L": "LATERALITY", "Parotid_R": "LATERALITY"}


@pytest.mark.parametrize(
    "left_out",
    [("SpinalCord",), ("SpinalCord", "Brainstem"), ("SpinalCord", "Brainstem", "External")],
)
def test_the_middle_is_found_without_the_cord(left_out: tuple[str, ...]) -> None:
    """Brainstem, body outline, or the partner say where the middle is; swapped ones still fail."""
    names = dict.fromkeys(left_out, "")
    assert faults(head(**names)) == {}
    swapped = head(mirrored=True, **names)
    assert set(faults(swapped)) == {"Parotid_L", "Parotid_R"}


def test_a_lone_parotid_without_a_middle_is_used_and_told() -> None:
    """Where nothing can be compared the side is unchecked, and a person is told so."""
    found = map_structures([box(1, "Parotid_L", (-70.0, 0.0, 0.0))])
    assert [item.code for item in found.review] == ["LATERALITY_UNCHECKED"]
    assert set(found.organs) == {"LeftParotid"}


@pytest.mark.parametrize(("offset", "is_refused"), [(CLEAR_MM - 1, True), (CLEAR_MM + 1, False)])
def test_too_near_the_middle_is_no_side(offset: float, is_refused: bool) -> None:
    """A parotid in the middle of the neck is no parotid of either side."""
    rois = [roi for roi in head() if roi.name != "Parotid_L"]
    rois.append(box(9, "Parotid_L", (offset, 10.0, 20.0)))
    assert bool(faults(rois)) is is_refused


def test_a_tilted_head_is_no_contradiction() -> None:
    """The middle is taken at the level of the parotids: a bent neck moves it there."""
    rois = [roi for roi in head(Brainstem="", External="") if roi.name != "SpinalCord"]
    cord = box(9, "SpinalCord", (0.0, 40.0, 20.0), 6.0)
    bent = [
        replace(item, points_mm=item.points_mm + np.array([x, 0.0, z]))
        for item in cord.contours
        for x, z in ((0.0, 0.0), (150.0, -150.0))
    ]
    assert faults([*rois, replace(cord, contours=tuple(bent))]) == {}


def test_a_contour_without_area_has_a_middle() -> None:
    """A line that was closed counts by its points; nothing divides by zero."""
    line = np.array([(50.0, 0.0, 20.0), (60.0, 0.0, 20.0), (70.0, 0.0, 20.0)])
    thin = box(9, "Parotid_L", (0.0, 0.0, 0.0))
    thin = replace(thin, contours=(replace(thin.contours[0], points_mm=line),))
    rois = [roi for roi in head() if roi.name != "Parotid_L"]
    assert faults([*rois, thin]) == {}
