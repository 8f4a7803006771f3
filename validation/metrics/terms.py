"""What a metric is: its name, unit, sense, definition and source.

Read next: `segmentation.py`, `registry.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """Name one metric.

    Parameters
    ----------
    name : as results, criteria and reports have it; it ends with its parameter.
    title : in print.
    unit : UCUM code; empty for a share or an index.
    better : ``higher``, ``lower`` or ``zero``; ``none`` for a size that is neither.
    definition : what is computed, what an empty or missing part gives.
    source : where the definition is from.
    """

    name: str
    title: str
    unit: str
    better: str
    definition: str
    source: str
