"""The statistics of a run as monitoring takes them: numbers, categories, embedding.

What a plugin says of its input stands in `CaseStatistics`.  What the answer says of itself is taken
from every kind of finding alike (`answer_numbers`), so that a dose or a risk is watched as a
contour is:

    out_NAME_CODE           each measurement, probability and number of a finding
    out_NAME_goals_not_met  goals of a region that are not met
    uncertainty_score, uncertainty_width
    explained, explanation_GROUP, faithfulness_NAME

Read next: `governance/monitoring/watch.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from governance.monitoring.reference import Observation
from plugins.host.findings import CaseStatistics, Explanation, Goal, Measurement, Prediction
from plugins.host.images import Code, Geometry

MOST_NUMBERS = 300
"""Of one answer; a plan chooses among them by patterns."""
_OTHER = re.compile(r"[^a-z0-9]+")
_LENGTH = 96
_COUNTS = ("roi_number", "bin_gy")
"""Numbers that say nothing of the answer."""


def answer_numbers(prediction: Prediction, explanation: Explanation | None) -> dict[str, float]:
    """Return what an answer says of itself, by name; the same for the same answer."""
    found: dict[str, float] = {}
    for finding in prediction.findings:
        for name, value in _numbers(finding, ""):
            if math.isfinite(value) and len(found) < MOST_NUMBERS:
                found[f"out_{name}"] = value
    low, high = prediction.uncertainty.interval
    found["uncertainty_score"] = float(prediction.uncertainty.score)
    found["uncertainty_width"] = float(high - low)
    found["explained"] = float(explanation is not None)
    if explanation is not None:
        shares = {f"explanation_{_slug(name)}": share for name, share in explanation.contributions}
        faith = {f"faithfulness_{_slug(n)}": value for n, value in explanation.faithfulness.items()}
        stated = {name: float(value) for name, value in (shares | faith).items()}
        found |= {name: value for name, value in stated.items() if math.isfinite(value)}
    return found


def _numbers(value: Any, above: str) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a finding: of any dataclass, through its tuples and parts."""
    if isinstance(value, Measurement):
        yield _joined(above, value.code.value), float(value.value)
        return
    own = _joined(above, getattr(value, "name", "") or type(value).__name__)
    for field in fields(value):
        part = getattr(value, field.name)
        is_number = isinstance(part, (int, float, np.number)) and not isinstance(part, bool)
        if is_number and field.name not in _COUNTS:
            yield _joined(own, field.name), float(part)
        elif isinstance(part, tuple):
            yield from _of_tuple(part, own)
        elif is_dataclass(part) and not isinstance(part, (Code, Geometry)):
            yield from _numbers(part, own)


def _of_tuple(parts: tuple[Any, ...], above: str) -> Iterator[tuple[str, float]]:
    goals = [part for part in parts if isinstance(part, Goal)]
    if goals:
        yield _joined(above, "goals_not_met"), float(sum(g.verdict == "not-met" for g in goals))
    for part in parts:
        if isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], Code):
            yield _joined(above, part[0].value), float(part[1])
        elif is_dataclass(part) and not isinstance(part, (Goal, Code, Geometry)):
            yield from _numbers(part, above)


def _joined(above: str, name: str) -> str:
    return _slug(f"{above}_{name}" if above else name)


def _slug(text: str) -> str:
    return _OTHER.sub("_", text.lower()).strip("_")[:_LENGTH]


def observation(case: str, statistics: CaseStatistics) -> Observation:
    """Return the statistics of a case; a missing quality flag is the word ``none``."""
    numbers = {**statistics.intensity, **statistics.geometry}
    flags = "+".join(sorted(statistics.quality_flags))
    categories: dict[str, str] = {"quality": flags or "none"}
    for name, value in statistics.acquisition.items():
        if isinstance(value, str):
            categories[name] = value
        else:
            numbers[name] = float(value)
    return Observation(case, numbers, categories, tuple(map(float, statistics.embedding)))


def stored(case: str, document: Mapping[str, Any]) -> Observation:
    """Return the statistics that a site stored of a run, from their JSON values.

    ``output`` are the `answer_numbers`; runs of earlier versions have none.
    """
    found = observation(
        case,
        CaseStatistics(
            document["acquisition"],
            document["intensity"],
            tuple(document["embedding"]),
            document["geometry"],
            tuple(document["quality_flags"]),
        ),
    )
    return replace(found, numbers={**document.get("output", {}), **found.numbers})
