"""Seed points on a FHIR server: one R4 Observation for a study.

The exact shape stands in ``docs/seed-points.md``: identifier ``urn:osteon:seed`` with the
Study Instance UID as ``urn:oid:``, code ``seed-point``, three components in millimetres and
the frame of reference as a fourth (DCM 112227).  The Observation is found by its identifier,
which every server can search; servers may ignore what they do not know in a search, so
each answer is checked here once more.

Read next: `finder.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adapters.fhir.client import FhirClient
from adapters.fhir.terminology import CONCEPT, DCM, DICOM_UID, UCUM, Json
from adapters.seeds.points import OTHER_STUDY, SHAPE, UNITS, Seed, Unusable
from plugins.host.images import Vector3

SYSTEM = "urn:osteon:seed"
CODE = (CONCEPT, "seed-point")
AXES = ((CONCEPT, "seed-x"), (CONCEPT, "seed-y"), (CONCEPT, "seed-z"))
FRAME = (DCM, "112227")
STANDING = ("preliminary", "final", "amended", "corrected")
"""Statuses of an Observation that is meant; withdrawn ones and drafts give no seed."""
_UID = re.compile(r"(urn:oid:)?[0-9]+(\.[0-9]+)+")


def search_seeds(client: FhirClient, study_instance_uid: str) -> tuple[Seed | Unusable, ...]:
    """Return the seeds that a server holds for a study, and what only looks like one.

    Raises
    ------
    UnavailableError, AuthenticationError, RejectedError : of the server.
    """
    name = f"urn:oid:{study_instance_uid}"
    query = {"identifier": f"{SYSTEM}|{name}", "code": "|".join(CODE), "_count": "50"}
    found = client.search("Observation", query)
    return tuple(seeds_of(found, study_instance_uid))


def seeds_of(resources: Iterable[Json], study_instance_uid: str) -> Iterator[Seed | Unusable]:
    """Yield the seed of each Observation that is one of the study's."""
    name = f"urn:oid:{study_instance_uid}"
    for item in resources:
        identified = any(
            (other.get("system"), other.get("value")) == (SYSTEM, name)
            for other in _objects(item.get("identifier"))
        )
        if identified and _has(item.get("code"), CODE) and item.get("status") in STANDING:
            yield _seed(item, name)


def _seed(item: Json, name: str) -> Seed | Unusable:
    place = f"Observation/{item.get('id')}"
    if any(study != name for study in _studies(item)):
        return Unusable(place, OTHER_STUDY)
    parts = {axis: _one(item, axis) for axis in (*AXES, FRAME)}
    if any(part is None for part in parts.values()):
        return Unusable(place, SHAPE)
    frame = str((parts[FRAME] or {}).get("valueString") or "")
    point = _point([(parts[axis] or {}).get("valueQuantity") for axis in AXES])
    if isinstance(point, str):
        return Unusable(place, point)
    if not _UID.fullmatch(frame):
        return Unusable(place, SHAPE)
    return Seed(point, frame.removeprefix("urn:oid:"), "fhir", place, _performer(item))


def _one(item: Json, wanted: tuple[str, str]) -> Json | None:
    """Return the one component with a code; None where there is none, or several."""
    found = [part for part in _objects(item.get("component")) if _has(part.get("code"), wanted)]
    return found[0] if len(found) == 1 else None


def _point(quantities: list[Any]) -> Vector3 | str:
    """Return the point, or the code why the quantities are none."""
    values = []
    for quantity in quantities:
        if not isinstance(quantity, Mapping):
            return SHAPE
        value = quantity.get("value")
        if isinstance(value, bool) or not isinstance(value, int | float):
            return SHAPE
        if (quantity.get("system"), quantity.get("code")) != (UCUM, "mm"):
            return UNITS
        values.append(float(value))
    if len(values) != 3 or not all(map(math.isfinite, values)):
        return SHAPE
    return values[0], values[1], values[2]


def _studies(item: Json) -> Iterator[str]:
    """Yield the studies that the Observation says it comes from, by DICOM UID."""
    for key in ("derivedFrom", "focus"):
        for reference in _objects(item.get(key)):
            named = reference.get("identifier")
            if isinstance(named, Mapping) and named.get("system") == DICOM_UID:
                yield str(named.get("value"))


def _performer(item: Json) -> str:
    for reference in _objects(item.get("performer")):
        named = reference.get("identifier")
        value = named.get("value") if isinstance(named, Mapping) else None
        if text := reference.get("reference") or value or reference.get("display"):
            return str(text)
    return ""


def _has(concept: Any, wanted: tuple[str, str]) -> bool:
    codings = concept.get("coding") if isinstance(concept, Mapping) else None
    return any((item.get("system"), item.get("code")) == wanted for item in _objects(codings))


def _objects(values: Any) -> Iterator[Json]:
    for item in values if isinstance(values, list) else ():
        if isinstance(item, dict):
            yield item
