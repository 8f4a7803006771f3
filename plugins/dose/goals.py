"""Metrics of a histogram, and the protocol's goals beside what is predicted.

Metrics are written as AAPM TG-263 has them (doi 10.1016/j.ijrobp.2017.12.013): ``Mean[Gy]``,
``Max[Gy]``, ``D95%[Gy]``, ``D0.1cc[Gy]``, ``V20Gy[%]``, ``V95%[cc]``.  Where a point has a
calibrated interval that holds the limit, the verdict is that it is uncertain.

Read next: `regions.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.errors import RefusalError
from plugins.host.findings import Goal, Measurement
from plugins.host.images import Code
from plugins.host.prescription import DoseGoal

SCHEME = "99OSTEON"
UNKNOWN = "GOAL_METRIC_UNKNOWN"
_METRIC = re.compile(
    r"(?P<kind>Mean|Max|Min|D|V)(?P<number>[0-9.]+)?(?P<at>%|cc|Gy)?\[(?P<unit>Gy|%|cc)\]"
)
_WORDS = {"Mean": "Mean dose", "Max": "Maximum dose", "Min": "Minimum dose"}
_UNITS = {"Gy": "Gy", "%": "%", "cc": "cm3"}


def value_of(
    metric: str, dose_gy: NDArray[np.float32], voxel_mm3: float, prescribed_gy: float | None = None
) -> float:
    """Return a metric of the voxels of a structure.

    A percentage point is the quantile of the voxels (as OpenKBP defines D95), a small volume as
    many of the hottest voxels as it holds, at least one.

    Parameters
    ----------
    prescribed_gy : what a percentage of dose refers to.

    Raises
    ------
    RefusalError : GOAL_METRIC_UNKNOWN.

    Examples
    --------
    >>> value_of("Mean[Gy]", np.asarray([10, 20], np.float32), 1.0)
    15.0
    """
    found = _METRIC.fullmatch(metric)
    if found is None:
        raise _unknown()
    kind, unit, at = found["kind"], found["unit"], found["at"]
    if kind in _WORDS:
        ends = {"Mean": dose_gy.mean(), "Max": dose_gy.max(), "Min": dose_gy.min()}
        return _dose(float(ends[kind]), unit, prescribed_gy)
    number = float(found["number"])
    if kind == "D":
        share = number if at == "%" else _share_percent(number, dose_gy.size, voxel_mm3)
        return _dose(float(np.percentile(dose_gy, 100.0 - share)), unit, prescribed_gy)
    level = number if at == "Gy" else number / 100.0 * _reference(prescribed_gy)
    inside = float(np.mean(dose_gy >= level))
    return 100.0 * inside if unit == "%" else inside * dose_gy.size * voxel_mm3 / 1000.0


def code_of(metric: str) -> Code:
    """Return a metric as a coded concept of ours; no standard scheme holds them.

    Examples
    --------
    >>> code_of("D95%[Gy]").value
    'D95'
    """
    found = _METRIC.fullmatch(metric)
    if found is None:
        raise _unknown()
    value = metric.partition("[")[0]
    if found["kind"] in _WORDS:
        return Code(value, SCHEME, _WORDS[found["kind"]])
    if found["kind"] == "V":
        meaning = f"{value}: volume that receives that dose or more"
    else:
        part = f"{found['number']} {'cm3' if found['at'] == 'cc' else '%'}"
        meaning = f"{value}: dose that {part} of the volume receives at least"
    return Code(value.replace("%", ""), SCHEME, meaning)


def unit_of(metric: str) -> str:
    """Return the UCUM unit of a metric."""
    return _UNITS[metric[metric.index("[") + 1 : -1]]


def judged(wanted: DoseGoal, measured: Measurement) -> Goal:
    """Return a goal beside the predicted value."""
    at_most = wanted.relation == "at_most"
    met = measured.value <= wanted.limit if at_most else measured.value >= wanted.limit
    verdict = "met" if met else "not-met"
    if measured.interval is not None and measured.interval[0] < wanted.limit < measured.interval[1]:
        verdict = "uncertain"
    return Goal(measured, wanted.limit, at_most, verdict, wanted.source)


def of_structure(goals: Sequence[DoseGoal], name: str) -> tuple[DoseGoal, ...]:
    """Return the goals of one structure."""
    return tuple(goal for goal in goals if goal.structure.casefold() == name.casefold())


def _share_percent(volume_cc: float, voxels: int, voxel_mm3: float) -> float:
    count = max(1, round(volume_cc * 1000.0 / voxel_mm3))
    return min(100.0 * count / voxels, 100.0)


def _dose(dose_gy: float, unit: str, prescribed_gy: float | None) -> float:
    return dose_gy if unit == "Gy" else 100.0 * dose_gy / _reference(prescribed_gy)


def _reference(prescribed_gy: float | None) -> float:
    if prescribed_gy is None:
        raise _unknown()
    return prescribed_gy


def _unknown() -> RefusalError:
    return RefusalError("expected metrics of TG-263 that can be read", reasons=(UNKNOWN,))
