"""Whether a patient lies within what the networks were trained on, and what speaks against it.

Every training patient had 70 Gy to the highest target, no level below 56 Gy, at most one target of
each level, an organ at least, air in the CT, and targets of which 99 % or more lay where dose was
told. Outside of that the networks answer all the same, so that somebody has to ask here first.
Read `predict.py` for the dose itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.dose.beams import ANGLES_DEGREES
from models.dose.patient import Beams, Patient
from models.dose.uncertainty import structure_name

TOP_GY = (66.0, 74.0)
"""Highest prescriptions near the 70 Gy of every training plan."""
LOWEST_SHARE = 0.75
"""Of the highest prescription: training plans have 56 Gy beside 70 Gy."""
AIR_HU = -500
ANGLE_DEGREES = 1.0
"""By how much a gantry angle may differ from that of the training plans."""
ISOCENTRE_MM = 30.0
"""How far the isocentre may lie from the centroid of the targets, which training assumed."""
LEAST_INSIDE = 0.5
"""Of a target, the part that has to lie where dose is told."""


@dataclass(frozen=True, slots=True)
class Departure:
    """One way in which a patient lies outside: a stable code, what was expected, what was found."""

    code: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.code}: expected {self.expected}, found {self.found}"


def departures(patient: Patient) -> tuple[Departure, ...]:
    """Return every way in which a patient lies outside what was trained; none where inside."""
    return (*_of_prescription(patient), *_of_arrays(patient), *departures_of_beams(patient))


def reasons_to_abstain(patient: Patient) -> tuple[str, ...]:
    """Return the codes of `departures`."""
    return tuple(departure.code for departure in departures(patient))


def _of_prescription(patient: Patient) -> Iterator[Departure]:
    top = patient.top_gy
    levels = sorted((gray for gray, mask in patient.targets if mask.any()), reverse=True)
    if not TOP_GY[0] <= top <= TOP_GY[1]:
        wanted = f"a highest prescription of {TOP_GY[0]:g} to {TOP_GY[1]:g} Gy"
        yield Departure("PRESCRIPTION_NOT_TRAINED", wanted, f"{top:g} Gy")
    if levels[-1] < LOWEST_SHARE * top:
        wanted = f"no prescription below {LOWEST_SHARE:.0%} of the highest, {top:g} Gy"
        yield Departure("LEVEL_NOT_TRAINED", wanted, f"{levels[-1]:g} Gy")
    if len({structure_name(gray, top) for gray, _ in patient.targets}) < len(patient.targets):
        told = ", ".join(f"{gray:g}" for gray in levels)
        yield Departure(
            "TOO_MANY_LEVELS", "one target near each of 56, 63 and 70 parts of 70", f"{told} Gy"
        )


def _of_arrays(patient: Patient) -> Iterator[Departure]:
    if not patient.organs:
        yield Departure("NO_ORGANS", "one organ at least", "none")
    lowest = int(patient.ct_hu.min())
    if lowest > AIR_HU:
        yield Departure(
            "CT_WITHOUT_AIR", f"Hounsfield units with air below {AIR_HU}", f"{lowest} at least"
        )
    inside = [
        (gray, float(patient.possible_dose[mask].mean()))
        for gray, mask in patient.targets
        if mask.any()
    ]
    outside = [f"{part:.0%} of that of {gray:g} Gy" for gray, part in inside if part < LEAST_INSIDE]
    if outside:
        wanted = f"{LEAST_INSIDE:.0%} or more of each target inside the possible-dose mask"
        yield Departure("TARGET_OUTSIDE_MASK", wanted, ", ".join(outside))


def departures_of_beams(patient: Patient) -> tuple[Departure, ...]:
    """Return how given beams lie outside; these say that another plan was asked for."""
    return tuple(_of_beams(patient))


def _of_beams(patient: Patient) -> Iterator[Departure]:
    beams, code = patient.beams, "BEAMS_NOT_TRAINED"
    if beams is None:
        return
    wanted = "nine static coplanar photon fields at multiples of 40 degrees"
    if beams.otherwise:
        yield Departure(code, wanted, beams.otherwise)
    elif not _are_trained(beams):
        told = ", ".join(f"{angle:g}" for angle in beams.gantry_degrees[: 2 * len(ANGLES_DEGREES)])
        yield Departure(code, wanted, f"{len(beams.gantry_degrees)} at {told} degrees")
    elif beams.isocentre_voxel is not None:
        centroid = np.argwhere(patient.target).mean(axis=0)
        away = (np.asarray(beams.isocentre_voxel) - centroid) * np.asarray(patient.voxel_mm)
        distance = float(np.linalg.norm(away))
        if distance > ISOCENTRE_MM:
            limit = f"an isocentre within {ISOCENTRE_MM:g} mm of the targets' centroid"
            yield Departure(code, limit, f"one {distance:.0f} mm away")


def _are_trained(beams: Beams) -> bool:
    """Return whether beams come from the nine angles of training plans, each once."""
    step = 360 / len(ANGLES_DEGREES)
    angles = np.asarray(beams.gantry_degrees)
    places = np.round(angles / step)
    if np.abs(angles - places * step).max() > ANGLE_DEGREES:
        return False
    return sorted(places.astype(int) % len(ANGLES_DEGREES)) == list(range(len(ANGLES_DEGREES)))
