"""Every metric of the suite by its name; results, criteria, reports and pages take it from here.

Read next: `validation/conformance/pack.py`, which holds what each must give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from audit.errors import NotFoundError
from validation.metrics import (
    calibration,
    classification,
    dose,
    gamma,
    registration,
    segmentation,
    survival,
)
from validation.metrics.terms import Metric

FAMILIES: Mapping[str, tuple[Metric, ...]] = {
    "segmentation": segmentation.METRICS,
    "dose": dose.METRICS,
    "classification": classification.METRICS,
    "calibration": calibration.METRICS,
    "survival": survival.METRICS,
    "registration": registration.METRICS,
    "gamma": gamma.METRICS,
}
FINDINGS: Mapping[str, str] = {"Segmentation": "segmentation", "DoseGrid": "dose"}
"""Kind of finding -> family by which the harness measures it."""
METRICS: Mapping[str, Metric] = {
    item.name: item for metrics in FAMILIES.values() for item in metrics
}


def metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises
    ------
    NotFoundError : the suite has none of that name.
    """
    if name not in METRICS:
        raise NotFoundError(f"expected a metric of the registry, found {name[:40]!r}")
    return METRICS[name]


def measured_of(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the metrics by which findings of some kinds are measured; all of them if none is
    known."""
    families = [FINDINGS[kind] for kind in sorted(set(kinds)) if kind in FINDINGS]
    return tuple(item.name for family in families or FAMILIES for item in FAMILIES[family])
