"""Does a change plan cover a change?  Every reason why not; none means that it does.

A plan covers a change when it is accepted by the notified body, counts from the certified
baseline of this site, and for every detected change that has an effect one of the named
modifications permits the kind, holds the site, and keeps every bound.  Bounds are measured
against the baseline; what cannot be measured is outside.

Source: REGULATORY.md section 4; Regulation (EU) 2024/1689 Art. 43(4).

Read next: `classification.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from governance.change.detection import Detected
from governance.change.kinds import KINDS
from governance.change.ledger import Baseline
from governance.change.plan import EVERY, ChangePlan, Modification
from governance.change_control import Reason
from governance.difference import ReleaseDifference

_RETRAINS = ("retrain", "local_fine_tune")
_STATED = ("input_expansion", "new_modality", "threshold_in_band", "threshold_outside_band")
CRITERIA = "criteria.json"


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """What is compared with the plan.

    Parameters
    ----------
    from_baseline : difference from the certified baseline to the new release; None where
        the baseline does not lie here.
    update : difference from the release before.
    modifications : ids that the change request names.
    manifest : of the new release.
    """

    plugin: str
    site: str
    baseline: Baseline | None
    from_baseline: ReleaseDifference | None
    update: ReleaseDifference
    manifest: Mapping[str, Any]
    modifications: tuple[str, ...]
    proofs: frozenset[str]


def uncovered(
    plan: ChangePlan | None, case: PlannedCase, detected: Collection[Detected]
) -> tuple[Reason, ...]:
    """Return why the plan does not cover the detected changes; nothing where it does."""
    if plan is None:
        return (Reason("NO_PLAN", "there is no change plan for this plugin"),)
    chosen = [m for name in case.modifications if (m := plan.modification(name))]
    found = [*_plan_itself(plan, case, len(chosen)), *_outside_scope(chosen, case)]
    for modification in chosen:
        found += _out_of_bounds(modification, case)
        if set(_RETRAINS) & set(modification.kinds):
            found += _other_recipe(modification, case.manifest)
    found += [reason for item in detected for reason in _not_permitted(item, chosen, case)]
    return tuple(dict.fromkeys(found))


def new_data_fraction(from_baseline: ReleaseDifference | None) -> float | None:
    """Return the share of training patients that the baseline had not; None if unknown."""
    if from_baseline is None:
        return None
    training = from_baseline.training
    if not from_baseline.weights and not training.changes:
        return 0.0  # the baseline's weights: they have seen nothing new
    if not training.new_patient_count:
        return None
    return len(training.patients_added) / training.new_patient_count


def in_band(plan: ChangePlan | None, case: PlannedCase, path: str) -> bool:
    """Tell whether a chosen modification has a band for the value at a path, and it is inside."""
    chosen = [m for name in case.modifications if plan and (m := plan.modification(name))]
    return any(
        path in m.bounds and "threshold_in_band" in m.kinds and _inside(m, path, case)
        for m in chosen
    )


def _plan_itself(plan: ChangePlan, case: PlannedCase, chosen: int) -> Iterator[Reason]:
    if plan.plugin != case.plugin:
        yield Reason("PLAN_OF_OTHER_PLUGIN", f"the plan is for {plan.plugin}")
    if not plan.nb_reference:
        yield Reason("PLAN_NOT_ACCEPTED", "the notified body has not accepted the plan")
    if case.baseline is None:
        yield Reason("NO_BASELINE", "no certified baseline is named at this site")
    elif case.baseline.release_digest != plan.baseline_digest:
        yield Reason("PLAN_OF_OTHER_BASELINE", "the plan counts from another baseline")
    if not chosen or chosen != len(case.modifications):
        yield Reason("MODIFICATION_UNKNOWN", "the change names no modification of the plan")


def _outside_scope(chosen: Collection[Modification], case: PlannedCase) -> Iterator[Reason]:
    for m in chosen:
        named = case.site in m.sites
        if not named and (m.local or EVERY not in m.sites):
            yield Reason("SITE_NOT_IN_PLAN", f"modification {m.modification_id}: other sites")


def _out_of_bounds(modification: Modification, case: PlannedCase) -> Iterator[Reason]:
    for name, (low, high) in modification.bounds.items():
        if not _inside(modification, name, case):
            text = f"{name} is outside [{low:g}, {high:g}], or cannot be measured"
            yield Reason("OUT_OF_BOUND", text)


def _inside(modification: Modification, name: str, case: PlannedCase) -> bool:
    low, high = modification.bounds[name]
    if name == "update.weights.max_difference":
        values = _weights(case.update)
    elif case.from_baseline is None:
        return False
    else:
        values = _measured(name, case.from_baseline)
    return values is not None and all(low <= value <= high for value in values)


def _measured(name: str, found: ReleaseDifference) -> list[float] | None:
    """Return the numbers under a measure or path; none changed: empty; not numbers: None."""
    if name == "training.new_fraction":
        fraction = new_data_fraction(found)
        return None if fraction is None else [fraction]
    if name == "training.new_patients":
        return [float(len(found.training.patients_added))]
    if name == "weights.max_difference":
        return _weights(found)
    numbers: list[float] = []
    for area in ("parameters", "envelope", "preprocessing", "runtime", "limits"):
        for change in found.changes(area):
            if getattr(change, "path", "") == name:
                values = _numbers(getattr(change, "new", None))
                if values is None:
                    return None
                numbers += values
    return numbers


def _weights(found: ReleaseDifference) -> list[float] | None:
    """Return the largest difference of each weight file; None where one has none."""
    sizes = [change.max_difference for change in found.weights if change.tensor_count]
    opaque = any(not change.comparable for change in found.weights)
    known = [size for size in sizes if size is not None]
    return None if opaque or len(known) != len(sizes) else known


def _numbers(value: Any) -> list[float] | None:
    values = value if isinstance(value, list) else [value]
    good = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    return [float(v) for v in values] if good else None


def _other_recipe(modification: Modification, manifest: Mapping[str, Any]) -> Iterator[Reason]:
    rows = manifest.get("training")
    recipes = {
        str(row.get("recipe_digest")) if isinstance(row, Mapping) else ""
        for row in (rows if isinstance(rows, list) else ())
    }
    if recipes != {modification.retrain_recipe}:
        yield Reason("OTHER_RECIPE", "it was trained by another recipe than the plan's")
    if manifest.get("members", {}).get(CRITERIA) != modification.acceptance_spec:
        yield Reason("OTHER_CRITERIA", "its acceptance criteria are not the plan's")


def _not_permitted(
    item: Detected, chosen: Collection[Modification], case: PlannedCase
) -> Iterator[Reason]:
    kind = KINDS[item.kind]
    if not kind.plannable:
        yield Reason("NOT_PLANNABLE", f"no plan can cover row {kind.number} ({kind.key})")
        return
    permitting = [m for m in chosen if item.kind in m.kinds]
    if not permitting:
        yield Reason("KIND_NOT_IN_PLAN", f"no named modification permits {kind.key}")
    missing = [name for name in kind.plan_needs if name not in case.proofs]
    if missing:
        yield Reason("PLAN_NEEDS", f"{kind.key} needs {', '.join(missing)}")
    if item.kind in _STATED and not any(_names(m, item, case) for m in permitting):
        yield Reason("VALUE_NOT_IN_PLAN", f"the plan has no band for {item.path}")


def expansion_named(plan: ChangePlan | None, case: PlannedCase, item: Detected) -> bool:
    """Tell whether the plan named a new input beforehand (it never makes that D1)."""
    chosen = [m for name in case.modifications if plan and (m := plan.modification(name))]
    return any(item.kind in m.kinds and _names(m, item, case) for m in chosen)


def _names(modification: Modification, item: Detected, case: PlannedCase) -> bool:
    """Tell whether a modification says, by band or by name, what this statement becomes."""
    if item.path in modification.bounds:
        return True  # `_out_of_bounds` has looked at the value
    if case.from_baseline is None:
        return False
    for area in ("inputs", "envelope"):
        for change in case.from_baseline.changes(area):
            if getattr(change, "path", "") == item.path:
                return _admitted(change) <= set(modification.inputs)
    return False


def _admitted(change: Any) -> set[str]:
    """Return the words that a changed statement admits: a modality, kernels; else a stranger."""
    if isinstance(change.new, Mapping):
        return {str(change.new.get("modality"))}
    if change.path.endswith("_refused"):
        return {str(name) for name in set(change.old or ()) - set(change.new or ())}
    return {f"unknown:{change.path}"}
