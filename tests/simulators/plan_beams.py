"""Beams as a planning system leaves them in a plan: nine fields, or what a test makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from plugins.host.case import Case
from plugins.host.images import Beam, ControlPoint, Plan, Vector3

NINE = tuple(float(angle) for angle in range(0, 360, 40))
MIDDLE: Vector3 = (0.0, 5.0, 60.0)
"""Near the centroid of the targets of `neck_case`, in mm of the patient."""


def point(
    index: int, gantry: float | None, isocentre: Vector3 | None = MIDDLE, couch: float | None = 0.0
) -> ControlPoint:
    """Return a control point at the beginning or the end of a static field."""
    return ControlPoint(index, float(index), gantry, 0.0, couch, isocentre, {})


def field(number: int, *gantry: float | None, **changes: Any) -> Beam:
    """Return a photon field with a control point for each angle, two where there is one."""
    places = {key: changes.pop(key) for key in ("isocentre", "couch") if key in changes}
    angles = gantry if len(gantry) > 1 else gantry * 2
    points = tuple(point(index, angle, **places) for index, angle in enumerate(angles))
    beam = Beam(number, f"F{number}", "PHOTON", "LINAC", 100.0, points, "TREATMENT", "HFS")
    return replace(beam, **changes)


def fields(angles: Iterable[float] = NINE, **changes: Any) -> tuple[Beam, ...]:
    """Return one field for each gantry angle."""
    return tuple(field(number, angle, **changes) for number, angle in enumerate(angles, 1))


def planned(case: Case, beams: tuple[Beam, ...], **changes: Any) -> Plan:
    """Return the plan of a case with these beams."""
    return replace(case.plans["plan"], beams=beams, **changes)


def with_plans(case: Case, *plans: Plan) -> Case:
    """Return the case with these plans, in this order."""
    roles = ["plan" if number == 1 else f"plan-{number}" for number in range(1, len(plans) + 1)]
    return replace(case, plans=dict(zip(roles, plans, strict=True)))
