"""A seed point: where it lies, who left it, and which one is meant.

A point is in patient coordinates (LPS, millimetres) of a named frame of reference; it
counts only for a study whose images lie in that frame.  Several different points are a
question to a person, never a choice of ours.

Read next: `in_dicom.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from audit.errors import ConfigurationError
from plugins.host.images import Vector3

SAME_POINT_MM = 1.0
"""Points as near as this are one mark that two objects carry: less than a voxel of any CT that
the envelopes accept, and far less than a person can aim."""


SHAPE, UNITS = "SEED_SHAPE", "SEED_UNITS"
OTHER_STUDY, OTHER_FRAME = "SEED_OTHER_STUDY", "SEED_OTHER_FRAME"
"""Why something that was meant as a seed cannot be used."""


@dataclass(frozen=True, slots=True)
class Seed:
    """One point that somebody left.

    Parameters
    ----------
    point_mm : LPS, finite.
    source : sr, rtstruct or fhir.
    object_id : SOP Instance UID of the object, or ``Observation/id``.
    given_by : who or what made it, as the object says; may be a name, so it is only recorded
        as a code or digest.
    """

    point_mm: Vector3
    frame_of_reference_uid: str
    source: str
    object_id: str
    given_by: str = ""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A seed that somebody meant to give, and the stable code why it is none."""

    object_id: str
    reason: str


def distinct(seeds: Iterable[Seed]) -> tuple[Seed, ...]:
    """Return one seed for each point, in the order of points; near ones count as one."""
    found: list[Seed] = []
    for seed in sorted(seeds, key=lambda item: (item.point_mm, item.source, item.object_id)):
        if all(math.dist(seed.point_mm, other.point_mm) > SAME_POINT_MM for other in found):
            found.append(seed)
    return tuple(found)


def with_seed(
    parameters: Mapping[str, str | float | bool], point: Vector3 | None
) -> dict[str, str | float | bool]:
    """Return the parameters of a run with a seed point, so that the point names the run too."""
    chosen = dict(parameters)
    if point is not None:
        chosen["seed_point"] = ",".join(f"{value:.2f}" for value in point)
    return chosen


def parse_point(text: str | None) -> Vector3 | None:
    """Return the point of ``x,y,z``; ConfigurationError when it is none."""
    if not text:
        return None
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigurationError("expected a seed point x,y,z in LPS millimetres") from error
    return finite((x, y, z))


def finite(point: Vector3) -> Vector3:
    """Return the point; ConfigurationError when a coordinate is not a finite number."""
    if not all(math.isfinite(value) for value in point):
        raise ConfigurationError("expected a seed point x,y,z in LPS millimetres")
    return point
