"""From the file that a person writes to a complete `ChangePlan`, or the first gap in it.

Read next: `plan.py`, `plan_signing.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from audit.errors import ConfigurationError
from governance.change.kinds import DI, KINDS, PI
from governance.change.plan import (
    SCHEMA,
    BudgetLimits,
    ChangePlan,
    Impact,
    Modification,
    Step,
)
from governance.reading import Table

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_RETRAINS = ("retrain", "local_fine_tune")
MEASURES = (
    *("training.new_fraction", "training.new_patients", "weights.max_difference"),
    "update.weights.max_difference",
)
"""Bounds that are computed, from the difference to the baseline or (update) to the release
before; others are paths of the manifest."""
_PATHS = (
    *("parameters.", "operating_points.", "thresholds.", "envelope.", "imported.", "runtime."),
    *("limits.", "code/"),
)
HARD_STOPS = (
    *("open_incident_hold", "consent_withdrawal_unresolved"),
    *("certificate_suspended", "drift_alarm_open"),
)


def read_plan(document: Mapping[str, Any]) -> ChangePlan:
    """Return the plan of a decoded file.

    Raises
    ------
    ConfigurationError : a value is missing, unknown or out of range, or the plan is not
        complete; the message names the place.
    """
    content = plain_json(document)
    top = Table("plan", content).only(
        (
            *("schema", "plugin", "version", "baseline", "nb_reference", "golden_replay_cases"),
            *("tolerance", "mandatory_strata", "modification", "step", "impact"),
            *("cumulative_impact", "budget", "udi_in_plan"),
        )
    )
    if top.text("schema") != SCHEMA:
        raise top.fault("schema", SCHEMA)
    plan = ChangePlan(
        plugin=top.text("plugin"),
        version=top.text("version"),
        baseline_digest=_digest(top, "baseline"),
        nb_reference=top.text("nb_reference", ""),
        golden_replay_cases=top.count("golden_replay_cases"),
        tolerance=top.numbers("tolerance"),
        mandatory_strata=top.texts("mandatory_strata"),
        modifications=tuple(_modification(row) for row in top.tables("modification")),
        steps=tuple(_step(row) for row in top.tables("step")),
        impacts=tuple(_impact(row) for row in top.tables("impact")),
        cumulative_impact=top.text("cumulative_impact"),
        budget=_budget(top.table("budget")),
        udi_in_plan=top.text("udi_in_plan", DI),
        content=content,
    )
    _require_complete(plan, top)
    return plan


def plain_json(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decoded TOML document as JSON values: dates become ISO 8601 texts."""
    return {str(key): _plain(value) for key, value in document.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain_json(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _digest(table: Table, key: str, default: str | None = None) -> str:
    value = table.text(key, default)
    if value != default and not _DIGEST.fullmatch(value):
        raise table.fault(key, "a digest sha256:<64 hex>")
    return value


def _modification(row: Table) -> Modification:
    row.only(
        (
            *("id", "kinds", "rationale", "scope", "bounds", "automatic", "local", "data_plan"),
            *("retrain_recipe", "acceptance_spec", "metrics", "subgroups", "monitoring_days"),
            *("rollback_trigger", "label_impact", "risk_ids", "approver"),
        )
    )
    scope = row.table("scope").only(("sites", "inputs", "populations"))
    if row.flag("automatic", default=False):
        raise row.fault("automatic", "false: no release changes itself unattended")
    kinds = row.texts("kinds")
    unknown = [k for k in kinds if k not in KINDS or not (KINDS[k].plannable or _named_only(k))]
    if unknown or not kinds:
        raise row.fault("kinds", f"kinds of change that a plan may cover, not {unknown}")
    found = Modification(
        modification_id=row.text("id"),
        kinds=kinds,
        rationale=row.text("rationale"),
        sites=scope.texts("sites"),
        inputs=scope.texts("inputs"),
        populations=scope.texts("populations"),
        bounds={name: _bound(row.table("bounds"), name) for name in row.table("bounds").content},
        local=row.flag("local", default=False),
        data_plan=row.text("data_plan"),
        retrain_recipe=_digest(row, "retrain_recipe", ""),
        acceptance_spec=_digest(row, "acceptance_spec", ""),
        metrics=row.texts("metrics"),
        subgroups=row.texts("subgroups"),
        monitoring_days=row.count("monitoring_days"),
        rollback_trigger=row.text("rollback_trigger"),
        label_impact=row.text("label_impact"),
        risk_ids=row.texts("risk_ids"),
        approver=row.text("approver"),
    )
    _require_specific(found, row)
    return found


def _named_only(kind: str) -> bool:
    """Tell whether a plan may name a kind without ever making it D1 (a new modality)."""
    return any("expansion_in_plan" in effect.cleared_by for effect in KINDS[kind].effects)


def _require_specific(found: Modification, row: Table) -> None:
    """A modification is specific, limited and verifiable (FDA PCCP guidance, section V)."""
    for key in ("sites", "inputs", "populations"):
        if not getattr(found, key):
            raise row.table("scope").fault(key, "a scope that is not empty")
    for key in ("bounds", "metrics", "risk_ids"):
        if not getattr(found, key):
            raise row.fault(key, "at least one entry")
    if found.local != ("local_fine_tune" in found.kinds):
        raise row.fault("local", "true exactly where local_fine_tune is one of the kinds")
    if set(_RETRAINS) & set(found.kinds):
        for key in ("retrain_recipe", "acceptance_spec"):
            if not getattr(found, key):
                raise row.fault(key, "a digest, since it retrains")


def _bound(bounds: Table, name: str) -> tuple[float, float]:
    value = bounds.content[name]
    if name not in MEASURES and not name.startswith(_PATHS):
        raise bounds.fault(name, f"one of {', '.join(MEASURES)}, or a path of the manifest")
    if not isinstance(value, list) or len(value) != 2:
        raise bounds.fault(name, "[lowest, highest]")
    pair = Table(f"{bounds.path}.{name}", {"lowest": value[0], "highest": value[1]})
    low, high = pair.number("lowest"), pair.number("highest")
    if low > high:
        raise bounds.fault(name, "[lowest, highest] in this order")
    return low, high


def _step(row: Table) -> Step:
    row.only(
        (
            *("id", "given", "stratum", "metric", "statistic", "at_least", "at_most"),
            *("smallest_count", "modifications"),
        )
    )
    given = [key for key in ("at_least", "at_most") if key in row.content]
    if len(given) != 1:
        raise row.fault("at_least", "either at_least or at_most")
    return Step(
        step_id=row.text("id"),
        given=row.text("given", ""),
        stratum=row.text("stratum"),
        metric=row.text("metric"),
        statistic=row.text("statistic"),
        comparison=given[0],
        bound=row.number(given[0]),
        smallest_count=row.count("smallest_count"),
        modifications=row.texts("modifications"),
    )


def _impact(row: Table) -> Impact:
    row.only(("modification", "step", "risk", "benefit", "harm"))
    return Impact(
        modification_id=row.text("modification"),
        step_id=row.text("step"),
        risk_id=row.text("risk"),
        benefit=row.text("benefit"),
        harm=row.text("harm"),
    )


def _budget(row: Table) -> BudgetLimits:
    row.only(
        (
            *("unattended_updates", "max_updates", "max_age_days", "min_days_between"),
            *("per_update", "vs_baseline", "path_length_factor", "alpha_total"),
            *("sealed_set_uses", "refresh_fraction", "new_data_fraction", "hard_stops", "notify"),
        )
    )
    if row.count("unattended_updates", 0) != 0:
        raise row.fault("unattended_updates", "0: no release changes itself unattended")
    limits = BudgetLimits(
        max_updates=row.count("max_updates"),
        max_age_days=row.count("max_age_days"),
        min_days_between=row.count("min_days_between"),
        per_update=row.numbers("per_update"),
        vs_baseline=row.numbers("vs_baseline"),
        path_length_factor=row.number("path_length_factor"),
        alpha_total=row.number("alpha_total"),
        sealed_set_uses=row.count("sealed_set_uses"),
        refresh_fraction=row.number("refresh_fraction"),
        new_data_fraction=row.number("new_data_fraction"),
        hard_stops=row.texts("hard_stops"),
        notify=row.texts("notify"),
    )
    if not limits.vs_baseline or set(limits.per_update) != set(limits.vs_baseline):
        raise row.fault("per_update", "the same measures as vs_baseline, at least one")
    if min((*limits.per_update.values(), *limits.vs_baseline.values())) < 0:
        raise row.fault("vs_baseline", "limits from 0")
    if not 0 < limits.alpha_total < 1 or limits.max_updates < 1:
        raise row.fault("alpha_total", "an error between 0 and 1, and at least one update")
    if set(limits.hard_stops) - set(HARD_STOPS):
        raise row.fault("hard_stops", f"some of {', '.join(HARD_STOPS)}")
    return limits


def _require_complete(plan: ChangePlan, top: Table) -> None:
    """Raise where ids repeat, a stratum has no step, or the impact matrix has a gap."""
    names = [m.modification_id for m in plan.modifications]
    steps = [s.step_id for s in plan.steps]
    for key, ids in (("modification", names), ("step", steps)):
        if not ids or len(ids) != len(set(ids)):
            raise top.fault(key, "at least one, each with an id of its own")
    if plan.udi_in_plan not in (PI, DI):
        raise top.fault("udi_in_plan", f"{PI} or {DI}")
    for step in plan.steps:
        if set(step.modifications) - set(names):
            raise top.fault("step", f"modifications that exist in step {step.step_id}")
    seen = {step.stratum for step in plan.steps}
    missing = [name for name in plan.mandatory_strata if name not in seen]
    if missing:
        raise top.fault("step", f"a step for the mandatory stratum {missing[0]}")
    for modification in plan.modifications:
        if modification.monitoring_days > plan.budget.min_days_between:
            raise top.table("budget").fault(
                "min_days_between", "at least the monitoring window of every modification"
            )
    assessed = {(i.modification_id, i.step_id, i.risk_id) for i in plan.impacts}
    for modification in plan.modifications:
        for step in plan.steps_of((modification.modification_id,)):
            for risk in modification.risk_ids:
                place = (modification.modification_id, step.step_id, risk)
                if place not in assessed:
                    raise top.fault("impact", f"an entry for {' × '.join(place)}")
        if not plan.steps_of((modification.modification_id,)):
            raise ConfigurationError(
                f"expected a step of the protocol for modification "
                f"{modification.modification_id}, found none",
                advice="Add at least one [[step]] that the modification must pass.",
            )
