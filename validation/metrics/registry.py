"""Every metric of the suite by its name; results, criteria, reports and pages take it from here.

Read next: `validation/conformance/pack.py`, which holds what each must give.
"""

from __future__ import annotations

from collections.abc import Mapping

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
