"""What a record says of a predicted dose: its digest, its extremes, points by structure.

Part of the body of ``inference`` (`bodies.py`); no voxel, no text of a plugin.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapters.database.terms import coded
from plugins.host.findings import DoseGrid, Finding, Goal, Measurement, RegionDose
from plugins.host.identity import array_digest

Json = dict[str, Any]


def doses(findings: Iterable[Finding]) -> list[Json]:
    """Return what is recorded of every dose among the findings."""
    return [_dose(item) for item in findings if isinstance(item, DoseGrid)]


def _dose(finding: DoseGrid) -> Json:
    """Return digest, grid and figures of a dose in Gy."""
    return {
        "name": coded(finding.name),
        "dose_sha256": array_digest(finding.dose_gy),
        "shape": list(finding.geometry.shape),
        "spacing_mm": [round(float(value), 4) for value in finding.geometry.spacing_mm],
        "most_gy": float(finding.dose_gy.max()),
        "points": [_point(part, item) for part in finding.regions for item in part.measurements],
        "goals": [_goal(part, item) for part in finding.regions for item in part.goals],
    }


def _point(region: RegionDose, item: Measurement) -> Json:
    """Return a point of one structure; ``low`` and ``high`` are its 90 % interval."""
    point: Json = {
        "region": coded(region.name),
        "roi_number": region.roi_number,
        "point": coded(item.code.value),
        "value": item.value,
        "unit": coded(item.unit),
    }
    if item.interval is not None:
        point |= {"low": float(item.interval[0]), "high": float(item.interval[1])}
    return point


def _goal(region: RegionDose, item: Goal) -> Json:
    return {
        "region": coded(region.name),
        "point": coded(item.measured.code.value),
        "limit": float(item.limit),
        "sense": "at-most" if item.at_most else "at-least",
        "verdict": item.verdict,
    }
