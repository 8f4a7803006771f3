"""The beams of an RT Plan: angles around the patient, the isocentre's voxel, and refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from audit.errors import RefusalError
from models.dose.beams import ANGLES_DEGREES
from plugins.dose import beams as told
from plugins.dose.beams import angle_around, beams_of, chosen_beams
from plugins.dose.grids import patient_grid
from plugins.dose.plugin import understood
from plugins.host.case import Case
from plugins.host.images import Beam
from tests.simulators.neck_case import FRAME, neck_case, turned
from tests.simulators.plan_beams import MIDDLE, NINE, field, fields, planned, with_plans

CASE = neck_case()
STRUCTURES = CASE.structure_sets["structures"]
GRID = patient_grid(CASE.images["ct"].geometry)
LEFT, FRONT, HEAD = (np.asarray(axis, float) for axis in ((1, 0, 0), (0, -1, 0), (0, 0, 1)))
"""LPS of the patient's left, front and head."""


def choice(*plans: Any) -> told.BeamChoice:
    """Return what is chosen of plans in the neck case."""
    return chosen_beams(STRUCTURES, with_plans(CASE, *plans).plans, GRID)


def refused(case: Case) -> str:
    """Return the one reason of a case's refusal."""
    with pytest.raises(RefusalError) as caught:
        understood(case)
    (reason,) = caught.value.reasons
    return reason


@pytest.mark.parametrize(
    ("position", "at_0", "at_90"),
    [
        ("HFS", "front", "left"),
        ("HFP", "back", "right"),
        ("FFS", "front", "right"),
        ("FFP", "back", "left"),
        ("HFDR", "left", "back"),
        ("HFDL", "right", "front"),
        ("FFDR", "left", "front"),
        ("FFDL", "right", "back"),
    ],
)
def test_the_gantry_meets_the_side_that_lies_there(position: str, at_0: str, at_90: str) -> None:
    """From above, and from the right of who faces the gantry, worked out by hand."""
    sides = {"front": 0.0, "left": 90.0, "back": 180.0, "right": 270.0}
    assert angle_around(0.0, position) == sides[at_0]
    assert angle_around(90.0, position) == sides[at_90]


@pytest.mark.parametrize("position", sorted(told.AROUND))
@pytest.mark.parametrize("gantry", [0.0, 40.0, 200.0, 320.0])
def test_the_source_stands_where_the_room_has_it(position: str, gantry: float) -> None:
    """The same place by vectors: the room's axes laid into the patient's (PS3.3 C.7.3.1.1.2)."""
    towards = HEAD if position.startswith("HF") else -HEAD
    up = {"S": FRONT, "P": -FRONT, "DR": LEFT, "DL": -LEFT}[position[2:]]
    right = np.cross(towards, up)  # of who faces the gantry
    angle = np.deg2rad(gantry)
    source = np.sin(angle) * right + np.cos(angle) * up
    around = np.deg2rad(angle_around(gantry, position))
    assert np.allclose(np.sin(around) * LEFT + np.cos(around) * FRONT, source)


def test_the_nine_fields_of_a_plan_are_planned_around_its_isocentre() -> None:
    """Angles as they are, the isocentre at its voxel: x by columns, y by rows, head down."""
    place = (8.0, -2.0, 66.0)
    found = choice(planned(CASE, fields(isocentre=place)))
    assert found.beams is not None
    assert found.beams.gantry_degrees == tuple(map(float, ANGLES_DEGREES))
    # The first voxel lies at (-118, -98, 0); slices of 3 mm run from the head, 117 mm, down.
    assert found.beams.isocentre_voxel == pytest.approx((96 / 4, 126 / 4, 51 / 3))
    assert (found.mark, found.plan_role) == (told.AROUND_ITS_ISOCENTRE, "plan")
    assert understood(with_plans(CASE, planned(CASE, fields(isocentre=place)))).marks[0] == (
        told.AROUND_ITS_ISOCENTRE
    )


@pytest.mark.parametrize(
    ("order", "flips"), [*product(permutations(range(3)), [(True, False, True)])]
)
def test_the_isocentre_stays_in_the_patient(order: Any, flips: Any) -> None:
    """However the CT is stored, the voxel lies at the same place of the patient."""
    case = turned(CASE, order, flips)
    grid = patient_grid(case.images["ct"].geometry)
    found = beams_of(planned(CASE, fields()), grid).isocentre_voxel
    assert found is not None
    row, column, index = found
    assert np.allclose(grid.geometry.to_patient(np.asarray([index, row, column])), MIDDLE)


def test_blocks_of_a_fine_ct_have_the_isocentre_too() -> None:
    """A CT of 1 mm pixels is taken in blocks: the index counts those."""
    grid = patient_grid(neck_case((1.25, 1.0, 1.0)).images["ct"].geometry)
    found = beams_of(planned(CASE, fields()), grid).isocentre_voxel
    assert found is not None
    row, column, index = found
    assert np.allclose(grid.geometry.to_patient(np.asarray([index, row, column])), MIDDLE)


def test_setup_fields_and_port_films_treat_nobody() -> None:
    """Ten fields of which one images: nine; a plan of nothing else has no beams."""
    setup = field(10, 90.0, delivery_type="SETUP")
    film = field(11, 0.0, delivery_type="OPEN_PORTFILM")
    found = choice(planned(CASE, (setup, *fields(), film)))
    assert found.beams is not None
    assert len(found.beams.gantry_degrees) == 9
    assert choice(planned(CASE, (setup, film))).mark == told.NO_BEAMS


def test_the_isocentre_of_a_template_is_not_taken() -> None:
    """Fields without meterset, wherever their isocentre was put: the centroid, and told so."""
    found = choice(planned(CASE, fields(meterset=None, isocentre=(500.0, 0.0, 0.0))))
    assert found.beams is not None
    assert found.beams.isocentre_voxel is None
    assert found.mark == told.ISOCENTRE_ASSUMED
    assert choice(planned(CASE, fields(isocentre=None))).mark == told.ISOCENTRE_ASSUMED


def test_without_a_plan_nine_fields_are_assumed_and_told() -> None:
    """No plan, or one that has no beams: the mark says which; it fits a coded meaning."""
    assert choice().mark == told.NO_PLAN
    assert choice(CASE.plans["plan"]).mark == told.NO_BEAMS
    work = understood(CASE)
    assert work.patient.beams is None
    assert work.marks[0] == told.NO_BEAMS
    assert told.NO_PLAN.endswith("nine coplanar fields assumed, no plan was given")
    for mark in (
        told.NO_PLAN, told.NO_BEAMS, told.AROUND_ITS_ISOCENTRE, told.ISOCENTRE_ASSUMED,
    ):  # fmt: skip
        assert len(mark) <= 64


@pytest.mark.parametrize(
    ("beams", "found"),
    [
        (fields(NINE[:7]), "found 7 at 0, 40, 80, 120, 160, 200, 240 degrees"),
        (fields((*NINE[:8], 325.0)), "325 degrees"),
        (fields(patient_position="HFP"), "found 9 at 180, 220"),
        ((field(1, 181.0, 179.0),), "found an arc"),
        ((*fields(NINE[:8]), field(9, 320.0, couch=350.0)), "found a couch turned by 10 degrees"),
        (fields(radiation_type="PROTON"), "found protons"),
        (fields(radiation_type=""), "found no radiation type"),
        (fields(patient_position=""), "found a beam without a patient position"),
        ((*fields(NINE[:8]), field(9, None)), "found a beam without gantry angle"),
        (
            (*fields(NINE[:8]), field(9, 320.0, isocentre=(0.0, 5.0, 70.0))),
            "found more than one isocentre",
        ),
        (fields(isocentre=(0.0, 5.0, 20.0)), "found one 40 mm away"),
    ],
)
def test_other_beams_are_refused_with_what_was_expected(
    beams: tuple[Beam, ...], found: str
) -> None:
    """Number, angles, position, arc, couch, radiation, isocentre: by the code of the envelope."""
    reason = refused(with_plans(CASE, planned(CASE, beams)))
    assert reason.startswith("BEAMS_NOT_TRAINED expected ")
    assert found in reason


@pytest.mark.parametrize("position", ["HFS", "FFS"])
def test_nine_fields_of_a_patient_on_the_back_are_inside(position: str) -> None:
    """Feet to the gantry the angles run the other way round, and are the same nine."""
    case = with_plans(CASE, planned(CASE, fields(patient_position=position)))
    assert understood(case).patient.beams is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"referenced_structure_set_uid": "1.2.3", "target_doses": ()},
        {"frame_of_reference_uid": "1.2.3"},
        {"approval_status": "REJECTED"},
        {"intent": "VERIFICATION"},
    ],
    ids=["structures", "frame", "rejected", "verification"],
)
def test_a_plan_of_another_course_says_nothing_of_the_beams(changes: dict[str, Any]) -> None:
    """An arc left over beside nine fields that are meant: the nine, whichever comes first."""
    meant = planned(CASE, fields(), frame_of_reference_uid=FRAME)
    left = planned(CASE, (field(1, 181.0, 179.0),), sop_instance_uid="1.2.4", **changes)
    for plans in ((meant, left), (left, meant)):
        found = choice(*plans)
        assert found.beams is not None
        assert found.beams.otherwise == ""
        assert found.plan_role == ("plan" if plans[0] is meant else "plan-2")
        assert understood(with_plans(CASE, *plans)).patient.beams == found.beams
    assert choice(left).mark == told.NO_BEAMS


def test_a_plan_that_names_its_structures_counts_before_one_that_does_not() -> None:
    """Without a reference a plan counts alone, and gives way to one with."""
    unnamed = planned(CASE, (field(1, 181.0, 179.0),), referenced_structure_set_uid=None)
    found = choice(unnamed, planned(CASE, fields(), sop_instance_uid="1.2.4"))
    assert found.plan_role == "plan-2"
    assert choice(unnamed).beams is not None


def test_a_revision_counts_in_place_of_its_predecessor() -> None:
    """A plan that says what it replaces settles which of the two is meant."""
    old = planned(CASE, fields(NINE[:7]))
    new = planned(CASE, fields(), sop_instance_uid="1.2.4", replaces=(old.sop_instance_uid,))
    assert choice(old, new).plan_role == "plan-2"


@pytest.mark.parametrize(
    "other",
    [
        fields(NINE[:7]),
        fields([angle + 3 for angle in NINE]),
        fields(isocentre=(0.0, 5.0, 65.0)),
        (field(1, 181.0, 179.0),),
    ],
    ids=["fewer", "turned", "elsewhere", "arc"],
)
def test_plans_that_differ_are_a_question(other: tuple[Beam, ...]) -> None:
    """Two plans of one structure set with other beams: nobody chooses."""
    plans = planned(CASE, fields()), planned(CASE, other, sop_instance_uid="1.2.4")
    reason = refused(with_plans(CASE, *plans))
    assert reason == "BEAMS_CONFLICT expected one set of beams, found 2 plans that differ"


def test_plans_that_agree_are_one() -> None:
    """In another order, counted round the circle; one that has an isocentre gives it."""
    other = fields((359.5, *reversed(NINE[1:])), meterset=None, isocentre=(9.0, 9.0, 9.0))
    plans = planned(CASE, other), planned(CASE, fields(), sop_instance_uid="1.2.4")
    found = choice(*plans)
    assert found.plan_role == "plan-2"
    assert found.mark == told.AROUND_ITS_ISOCENTRE


def test_prescriptions_of_plans_that_do_not_count_are_not_taken() -> None:
    """A rejected plan prescribes nothing; one of another structure set is told by name."""
    rejected = replace(CASE.plans["plan"], approval_status="REJECTED")
    assert refused(with_plans(CASE, rejected)) == "PRESCRIPTION_REQUIRED"
    other = replace(CASE.plans["plan"], referenced_structure_set_uid="1.2.3")
    assert refused(with_plans(CASE, other)) == "PRESCRIPTION_OF_OTHER_STRUCTURES"
    assert understood(with_plans(CASE, CASE.plans["plan"], other)).source == "plan"
