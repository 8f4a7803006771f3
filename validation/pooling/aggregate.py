"""What a site gives away of a run: means, errors and counts of groups, and nothing of a case.

    {"schema": "osteon.site-report/1", "site", "release_digest", "criteria_digest", "metric_pack",
     "report_digest", "figures": [{given, stratum, metric, n, mean, standard_error}],
     "withheld": [...], "signature"}

No case, no patient, no picture, no extreme value; a number that tells of fewer than five patients,
by itself or with the others, is withheld and its group named (`disclosure.py`).

Read next: `pooled.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from validation.harness.results import CaseResult, RunResults
from validation.pooling.disclosure import SMALLEST, tellable
from validation.report.document import ReportDocument
from validation.report.figures import ALL, baselines, rows_of

SCHEMA = "osteon.site-report/1"
_TOLD = ("given", "stratum", "metric", "n", "patients", "mean", "standard_error", "low", "high")


def aggregate(site: str, results: RunResults, document: ReportDocument) -> dict[str, Any]:
    """Return the report of a site that may leave it, unsigned."""
    values = document.results
    told, withheld = [], set()
    for condition in baselines(results.cases):
        rows = rows_of(results.cases, condition)
        names = [ALL, *(group["name"] for group in values["groups"])]
        for metric in values["metrics"]:
            groups = {name: _patients(rows, name, metric) for name in names}
            kept = tellable({name: members for name, members in groups.items() if members})
            withheld |= {name for name in names if name not in kept}
            told += [
                {key: row[key] for key in _TOLD}
                for row in values["figures"]
                if (row["given"], row["metric"]) == (condition.given, metric)
                and row["stratum"] in kept
            ]
    return {
        "schema": SCHEMA,
        "site": site,
        "plugin": values["plugin"],
        "version": values["version"],
        "release_digest": values["release_digest"],
        "criteria_digest": values["criteria_digest"],
        "metric_pack": values["metric_pack"],
        "report_digest": document.digest,
        "verdict": values["verdict"],
        "headline": values["headline"],
        "metrics": values["metrics"],
        "figures": told,
        "withheld": sorted(withheld),
        "smallest": SMALLEST,
    }


def _patients(rows: list[CaseResult], stratum: str, metric: str) -> frozenset[str]:
    """Return the patients whose value is in the mean of a group."""
    return frozenset(
        item.patient_group
        for item in rows
        if (stratum == ALL or stratum in item.strata) and _has(item.metrics, metric)
    )


def _has(metrics: Mapping[str, float], metric: str) -> bool:
    return math.isfinite(metrics.get(metric, math.nan))
