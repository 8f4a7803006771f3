"""Results of a harness run made up from a seed: cases with strata, sweeps, repeats, failures.

Read next: `tests/validation/test_validation_report.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from validation.conformance.pack import pack_name
from validation.harness.results import CaseResult, Condition, Measured, RunResults
from validation.report.summary import Group, Subject, Verdict

STARTED = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
PET, CT = "ct+pet", "ct"


@dataclass(frozen=True)
class Terms:
    """A metric as the registry states it."""

    title: str
    unit: str = ""
    better: str = "higher"


TERMS = {
    "dsc": Terms("DSC"),
    "uncertainty_score": Terms("Stated expectation"),
    "nsd_3mm": Terms("Surface DSC at 3 mm"),
    "hd95_mm": Terms("HD95", "mm", "lower"),
    "volume_ml": Terms("Volume", "ml"),
    "reference_ml": Terms("Reference volume", "ml"),
}


def results(
    n: int = 30, *, seed: int = 1, dsc: float = 0.83, at: datetime = STARTED, **changes: Any
) -> RunResults:
    """Return the results of a run on ``n`` patients of one site, one case each."""
    generator = np.random.default_rng(seed)
    cases: list[CaseResult] = []
    for number in range(n):
        cases += _case(number, float(np.clip(generator.normal(dsc, 0.07), 0, 1)), generator)
    seconds = tuple(Measured(c.case_id, c.condition, 3.0, 900.0, "node-a") for c in cases)
    values: dict[str, Any] = {
        "run_id": "b" * 64, "release_digest": "sha256:" + "1" * 64,
        "cohort_digest": "sha256:" + "2" * 64, "criteria_digest": "sha256:" + "3" * 64,
        "metric_pack": pack_name(), "method": "cross-fitted",
        "seed": 11, "criteria_recorded_at": at - timedelta(days=1), "evaluated_at": at,
        "cases": tuple(cases), "runtime": {"python": "3.11", "numpy": "2.4"},
        "measured": seconds,
    }  # fmt: skip
    return RunResults(**(values | changes))


def _case(number: int, dsc: float, generator: np.random.Generator) -> list[CaseResult]:
    strata = ["women" if number % 2 else "men"] + (["under-18"] if number < 3 else [])
    found = []
    for given, loss in ((PET, 0.0), (CT, 0.15)):
        for name, level, repeat in (
            ("baseline", 0.0, 0), ("baseline", 0.0, 1), ("noise", 20.0, 0), ("noise", 60.0, 0),
        ):  # fmt: skip
            value = max(0.0, dsc - loss - level / 600)
            outcome = "failed" if number == 7 and level == 60.0 else "done"
            outcome = "abstained" if value < 0.55 and outcome == "done" else outcome
            reference = 150.0 + 10 * number
            proposed = reference * (1 + float(generator.normal(0.02, 0.1)))
            metrics = {} if outcome == "failed" else {
                "dsc": value, "uncertainty_score": min(1.0, value + 0.02), "dsc_bound_held": 1.0,
                "nsd_3mm": value - 0.1, "hd95_mm": 60 * (1 - value), "volume_ml": proposed,
                "reference_ml": reference,
            }  # fmt: skip
            reasons = {"failed": ("PLUGIN_TIMEOUT",), "abstained": ("PREDICTED_DSC 0.50",)}
            found.append(
                CaseResult(
                    f"case-{number:03d}", f"p-{number:032x}", "site-a", tuple(sorted(strata)),
                    Condition(name, level, given, repeat), outcome, reasons.get(outcome, ()),
                    metrics, f"sha256:{number:064x}",
                )
            )  # fmt: skip
    return found


def subject(run: RunResults, verdict: str = "pass", **changes: Any) -> Subject:
    """Return what a report of the run is about, with one criterion and its groups."""
    patients = {item.patient_group for item in run.cases}
    young = {item.patient_group for item in run.cases if "under-18" in item.strata}
    men = {item.patient_group for item in run.cases if "men" in item.strata}
    groups = (
        Group("under-18", len(young), 8, "insufficient", {"age_years": [0, 18]}, "too few"),
        Group("men", len(men), 8, "pass", {"sex": "M"}),
        Group("women", len(patients - men), 8, "pass", {"sex": "F"}),
    )
    criteria: Sequence[Verdict] = (
        Verdict("dsc-ct-pet", PET, "all", "dsc", "mean at least 0.80", verdict, len(patients),
                0.83, 0.80, 0.86, statistic="mean", limit=0.8),
        Verdict("time", PET, "all", "seconds", "highest at most 10 s", "pass", len(patients), 3.0,
                timed=True),
    )  # fmt: skip
    values: dict[str, Any] = {
        "plugin": "trial", "version": "1.0.0", "intended_purpose": "Outline a trial.",
        "cohort": {"name": "phantoms", "version": "1.0", "seal": "none",
                   "reference_standard": "analytic"},
        "headline": "dsc", "verdict": verdict, "verdicts": tuple(criteria), "groups": groups,
        "gaps": ("tumour_site: rib", "age_band: 0-17"),
    }  # fmt: skip
    return Subject(**(values | changes))
