"""The statistics of a run as monitoring takes them: numbers, categories, embedding.

Read next: `governance/monitoring/watch.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.monitoring.reference import Observation
from plugins.host.findings import CaseStatistics


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
    """Return the statistics that a site stored of a run, from their JSON values."""
    return observation(
        case,
        CaseStatistics(
            document["acquisition"],
            document["intensity"],
            tuple(document["embedding"]),
            document["geometry"],
            tuple(document["quality_flags"]),
        ),
    )
