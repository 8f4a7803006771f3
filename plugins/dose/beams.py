"""The treatment beams of a plan as the quick plan takes them, and what is told of them.

    the plans of the structure set  →  their treatment beams (no setup, no port film)
    gantry angle (IEC 61217) and patient position  →  angle around the patient
    isocentre in mm of the patient  →  index on the networks' grid
    several plans  →  they agree, or nobody chooses: the run is refused

Without such a plan nine fields around the targets' centroid are assumed, as the networks were
trained with; either is told as a mark of the answer.  What is no static coplanar photon field
is named in `Beams.otherwise`, which the envelope refuses.

The isocentre counts where every beam has a meterset.  Before that, fields come from a template,
and where it was put down nobody has confirmed; their angles count all the same.

Source: IEC 61217 (gantry), PS3.3 C.7.3.1.1.2 (Patient Position), C.8.8.14 (Beams).
Read next: `models/dose/envelope.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from audit.errors import RefusalError
from models.dose.envelope import departures_of_beams
from models.dose.patient import Beams, Patient
from plugins.dose.grids import PatientGrid
from plugins.dose.plans import plans_of
from plugins.host.images import Beam, ControlPoint, Plan, StructureSet

AROUND = {
    "HFS": (1, 0.0), "HFP": (1, 180.0), "HFDR": (1, 90.0), "HFDL": (1, 270.0),
    "FFS": (-1, 0.0), "FFP": (-1, 180.0), "FFDR": (-1, 90.0), "FFDL": (-1, 270.0),
}  # fmt: skip
"""Patient position -> sense and start of the angle around the patient by the gantry's.

The source stands at (sin g, cos g) to the right of who faces the gantry and upwards: of HFDR,
whose left is up and whose front is to the right, at 90 + g.
"""
TREATING = ("", "TREATMENT", "CONTINUATION")
"""Treatment Delivery Types that treat; a field without one is taken for a treatment."""
RADIATION = ("ELECTRON", "NEUTRON", "PROTON", "ION")
"""Radiation Types that a refusal names, besides PHOTON, which is what was trained."""
SAME_DEGREES, SAME_MM = 1.0, 1.0
"""Angles and isocentres as near as this are one."""
CONFLICT = "BEAMS_CONFLICT"
AROUND_ITS_ISOCENTRE = "BEAMS_OF_PLAN beams of the plan, around its isocentre"
ISOCENTRE_ASSUMED = "BEAM_ANGLES_OF_PLAN beams of the plan, isocentre assumed"
NO_PLAN = "BEAMS_ASSUMED nine coplanar fields assumed, no plan was given"
NO_BEAMS = "BEAMS_NOT_IN_PLAN nine fields assumed, no plan here has beams"
"""Marks: a code for the record, and words that fit a coded meaning (64 characters, PS3.5 LO)."""


@dataclass(frozen=True, slots=True)
class BeamChoice:
    """The beams of a case, None where nine are assumed; the mark; the role of their plan."""

    beams: Beams | None
    mark: str
    plan_role: str | None = None


def chosen_beams(
    structures: StructureSet, plans: Mapping[str, Plan], grid: PatientGrid
) -> BeamChoice:
    """Return the beams of the plans of a structure set.

    Raises
    ------
    RefusalError : BEAMS_CONFLICT where two plans differ in their beams.
    """
    relevant = plans_of(structures, plans)
    found = [(role, beams_of(plan, grid)) for role, plan in relevant if treatment_beams(plan.beams)]
    if not found:
        role = relevant[0][0] if relevant else None
        return BeamChoice(None, NO_BEAMS if plans else NO_PLAN, role)
    if not all(_agree(one, other, grid) for (_, one), (_, other) in combinations(found, 2)):
        words = f"expected one set of beams, found {len(found)} plans that differ"
        raise RefusalError(words, reasons=(f"{CONFLICT} {words}",))
    placed = [pair for pair in found if pair[1].isocentre_voxel is not None]
    role, beams = (placed or found)[0]
    return BeamChoice(beams, AROUND_ITS_ISOCENTRE if placed else ISOCENTRE_ASSUMED, role)


def refuse_untrained(patient: Patient) -> None:
    """Return where the beams of a patient are as trained.

    Raises
    ------
    RefusalError : BEAMS_NOT_TRAINED with what was expected and found.
    """
    outside = departures_of_beams(patient)
    if outside:
        reasons = tuple(f"{one.code} expected {one.expected}, found {one.found}" for one in outside)
        raise RefusalError("expected beams as trained", reasons=reasons)


def treatment_beams(beams: Sequence[Beam]) -> tuple[Beam, ...]:
    """Return the beams that treat."""
    return tuple(beam for beam in beams if beam.delivery_type in TREATING)


def angle_around(gantry_deg: float, patient_position: str) -> float:
    """Return the angle around the patient in degrees, 0 in front and 90 at the left.

    Examples
    --------
    >>> angle_around(40.0, "HFS"), angle_around(40.0, "FFS"), angle_around(40.0, "HFP")
    (40.0, 320.0, 220.0)
    """
    sense, start = AROUND[patient_position]
    return (start + sense * gantry_deg) % 360.0


def beams_of(plan: Plan, grid: PatientGrid) -> Beams:
    """Return the treatment beams of a plan that has some; what they are besides, in words."""
    beams = treatment_beams(plan.beams)
    otherwise = _otherwise(beams)
    if otherwise:
        return Beams((), otherwise=otherwise)
    angles = tuple(
        angle_around(point.gantry_angle_deg, beam.patient_position)
        for beam, point in zip(beams, _first_points(beams), strict=True)
        if point.gantry_angle_deg is not None
    )
    places = [point.isocentre_mm for point in _first_points(beams)]
    planned = all(beam.meterset for beam in beams)
    if not planned or places[0] is None or None in places:
        return Beams(angles)
    slices, rows, columns = grid.geometry.to_index(np.asarray(places[0], np.float64)).tolist()
    return Beams(angles, (rows, columns, slices))


def _otherwise(beams: Sequence[Beam]) -> str:
    """Return what sets beams apart from static coplanar photon fields; empty where nothing."""
    for beam in beams:
        points = beam.control_points
        gantry = [p.gantry_angle_deg for p in points if p.gantry_angle_deg is not None]
        couch = [p.couch_angle_deg for p in points if p.couch_angle_deg is not None]
        turned = max((abs(_turn(angle)) for angle in couch), default=0.0)
        kind = beam.radiation_type.strip().upper()
        if kind != "PHOTON":
            return f"{kind.lower()}s" if kind in RADIATION else "no radiation type that is known"
        if not gantry or points[0].gantry_angle_deg is None:
            return "a beam without gantry angle"
        if max(gantry) - min(gantry) > SAME_DEGREES:
            return "an arc"
        if turned > SAME_DEGREES:
            return f"a couch turned by {turned:g} degrees"
        if beam.patient_position not in AROUND:
            return "a beam without a patient position that is known"
    places = [np.asarray(p.isocentre_mm) for p in _points(beams) if p.isocentre_mm is not None]
    if any(float(np.linalg.norm(place - places[0])) > SAME_MM for place in places):
        return "more than one isocentre"
    return ""


def _points(beams: Sequence[Beam]) -> list[ControlPoint]:
    return [point for beam in beams for point in beam.control_points]


def _first_points(beams: Sequence[Beam]) -> list[ControlPoint]:
    return [beam.control_points[0] for beam in beams]


def _turn(degrees: float) -> float:
    """Return an angle between -180 and 180 degrees."""
    return (degrees + 180.0) % 360.0 - 180.0


def _agree(one: Beams, other: Beams, grid: PatientGrid) -> bool:
    """Return whether beams come from the same sides, around one isocentre where both have one."""
    if one.otherwise != other.otherwise or not _same_angles(one, other):
        return False
    if one.isocentre_voxel is None or other.isocentre_voxel is None:
        return True
    away = np.asarray(one.isocentre_voxel) - np.asarray(other.isocentre_voxel)
    return float(np.linalg.norm(away * np.asarray(grid.voxel_mm))) <= SAME_MM


def _same_angles(one: Beams, other: Beams) -> bool:
    """Return whether angles are the same in any order, counted round the circle."""
    first, second = (sorted(item.gantry_degrees) for item in (one, other))
    if len(first) != len(second):
        return False
    shifts = (second[n:] + second[:n] for n in range(max(len(second), 1)))
    return any(
        all(abs(_turn(a - b)) <= SAME_DEGREES for a, b in zip(first, shift, strict=True))
        for shift in shifts
    )
