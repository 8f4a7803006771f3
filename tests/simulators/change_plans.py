"""A complete change plan of the small plugin, and reports that pass its protocol."""

from __future__ import annotations

from typing import Any

from governance.change.kinds import KINDS
from governance.release import digest_of
from tests.simulators.small_releases import MEMBERS, RECIPE, small_release

BASELINE = small_release()
MEASURES = {"d_dsc_mean": 0.01, "d_hd95_mm": 0.5}
STEPS: list[dict[str, Any]] = [
    {
        "id": "S1", "stratum": "all", "metric": "d_dsc", "statistic": "interval_low",
        "at_least": -0.02, "smallest_count": 30,
    },
    {
        "id": "S2", "stratum": "age_lt_18", "metric": "dsc", "statistic": "interval_low",
        "at_least": 0.75, "smallest_count": 20,
    },
    {
        "id": "S3", "stratum": "all", "metric": "ece", "statistic": "value", "at_most": 0.05,
        "smallest_count": 30, "modifications": ["M1", "M2"],
    },
]  # fmt: skip
BUDGET: dict[str, Any] = {
    "unattended_updates": 0,
    "max_updates": 4,
    "max_age_days": 365,
    "min_days_between": 30,
    "per_update": dict(MEASURES),
    "vs_baseline": {name: 2 * limit for name, limit in MEASURES.items()},
    "path_length_factor": 2.0,
    "alpha_total": 0.05,
    "sealed_set_uses": 5,
    "refresh_fraction": 0.5,
    "new_data_fraction": 0.30,
    "hard_stops": ["open_incident_hold", "drift_alarm_open"],
    "notify": ["PRRC", "NB contact"],
}
_KEPT = {"update.weights.max_difference": [0, 0]}
MODIFICATIONS: dict[str, tuple[list[str], dict[str, list[float]], list[str]]] = {
    "M1": (["retrain", "label"], {"training.new_fraction": [0, 0.3]}, ["CT"]),
    "M2": (["local_fine_tune", "label"], {"training.new_fraction": [0, 0.3]}, ["CT"]),
    "M3": (["threshold_in_band"], {"parameters.threshold": [0.4, 0.6], **_KEPT}, ["CT"]),
    "M4": (["input_expansion"], {"envelope.slice_spacing_mm": [1, 4], **_KEPT}, ["CT", "B70"]),
    "M5": (["new_modality"], _KEPT, ["MR"]),
    "M6": (["preprocessing", "postprocessing"], _KEPT, ["CT"]),
    "M7": (["runtime", "platform", "security_patch", "bug_fix"], _KEPT, ["CT"]),
    "M8": (["radiobiology"], {"parameters.alpha_beta_gy": [2, 4], **_KEPT}, ["CT"]),
}


def plan_document(**changes: Any) -> dict[str, Any]:
    """Return the plan as a person writes it, with some top-level values changed."""
    modifications = [_modification(name, *row) for name, row in MODIFICATIONS.items()]
    document: dict[str, Any] = {
        "schema": "osteon.change_plan/1",
        "plugin": "knee",
        "version": "1",
        "baseline": BASELINE.digest,
        "nb_reference": "NB-0000-PLAN-1",
        "golden_replay_cases": 3,
        "tolerance": {"voxels": 2},
        "mandatory_strata": ["age_lt_18"],
        "modification": modifications,
        "step": [dict(step) for step in STEPS],
        "impact": [
            {
                "modification": m["id"], "step": step["id"], "risk": risk,
                "benefit": "fewer edits", "harm": "a contour that is too small",
            }
            for m in modifications for step in STEPS for risk in m["risk_ids"]
            if m["id"] in step.get("modifications", [m["id"]])
        ],
        "cumulative_impact": "All together stay inside the band of the certified baseline.",
        "budget": dict(BUDGET),
        "udi_in_plan": "PI",
    }  # fmt: skip
    return {**document, **changes}


def _modification(
    name: str, kinds: list[str], bounds: dict[str, list[float]], inputs: list[str]
) -> dict[str, Any]:
    local = "local_fine_tune" in kinds
    retrains = {"retrain", "local_fine_tune"} & set(kinds)
    found: dict[str, Any] = {
        "id": name, "kinds": kinds, "rationale": KINDS[kinds[0]].title, "bounds": bounds,
        "scope": {
            "sites": ["site"] if local else ["*"], "inputs": inputs, "populations": ["adults"],
        },
        "automatic": False, "local": local, "data_plan": "consecutive patients",
        "metrics": ["dsc"], "subgroups": ["age_lt_18"], "monitoring_days": 30,
        "rollback_trigger": "lower bound of DSC under 0.75", "label_impact": "numbers only",
        "risk_ids": ["R1"], "approver": "prrc",
    }  # fmt: skip
    if retrains:
        found |= {
            "retrain_recipe": RECIPE, "acceptance_spec": digest_of(MEMBERS["criteria.json"]),
        }  # fmt: skip
    return found


def report_document(release_digest: str, **changes: Any) -> dict[str, Any]:
    """Return a validation report that passes every step and stays within the budget."""
    document: dict[str, Any] = {
        "schema": "osteon.validation_report/1",
        "release_digest": release_digest,
        "compared_with": {"previous": BASELINE.digest, "baseline": BASELINE.digest},
        "alpha": 0.0125,
        "sealed_set": {"digest": "sha256:" + "5" * 64, "refreshed_fraction": 1.0},
        "per_update": {"d_dsc_mean": 0.004, "d_hd95_mm": -0.2},
        "vs_baseline": {"d_dsc_mean": 0.004, "d_hd95_mm": -0.2},
        "results": [
            {"stratum": "all", "metric": "d_dsc", "statistic": "interval_low",
             "value": -0.01, "count": 40},
            {"stratum": "age_lt_18", "metric": "dsc", "statistic": "interval_low",
             "value": 0.78, "count": 25},
            {"stratum": "all", "metric": "ece", "statistic": "value", "value": 0.03, "count": 40},
        ],
    }  # fmt: skip
    return {**document, **changes}
