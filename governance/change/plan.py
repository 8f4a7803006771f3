"""The pre-determined change plan (PDCP): what may change, within which bounds, by which steps.

One content serves as the plan of the EU technical documentation (Annex IV 2(f)) and as the
PCCP of the FDA: a description of modifications, a modification protocol whose steps are
executable gates, and an impact assessment that covers every modification, step and risk.
A plan that leaves one of them open is refused when it is read, so that a plan that exists
is complete.

Source: REGULATORY.md section 4 (PDCP record fields, change budget) and rows AIA-43.4,
FDA-PCCP1, FDA-PCCP3; Regulation (EU) 2024/1689 Art. 43(4).

Read next: `plan_reading.py` (from a file), `plan_signing.py`, `protocol.py`, `budget.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit import canonical
from governance.release import digest_of

SCHEMA = "osteon.change_plan/1"
EVERY = "*"
"""A scope that holds every site."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the modification protocol: a figure of the validation report and its bound.

    Parameters
    ----------
    given, stratum, metric, statistic : which figure; the words of the acceptance criteria.
    comparison : at_least | at_most.
    smallest_count : patients below which the figure says nothing, and the gate fails.
    modifications : ids that it belongs to; empty means all.
    """

    step_id: str
    given: str
    stratum: str
    metric: str
    statistic: str
    comparison: str
    bound: float
    smallest_count: int
    modifications: tuple[str, ...]

    def belongs_to(self, modification_id: str) -> bool:
        """Tell whether the step is part of the protocol of a modification."""
        return not self.modifications or modification_id in self.modifications


@dataclass(frozen=True, slots=True)
class Modification:
    """One modification that the plan permits.

    Parameters
    ----------
    kinds : keys of the rows of the table that it covers.
    sites, inputs, populations : its scope; ``*`` in sites holds every site.
    bounds : measure or dotted path -> (lowest, highest), both permitted.
    local : made for one site alone.
    retrain_recipe, acceptance_spec : digests; empty where it does not retrain.
    monitoring_days : length of the window that must end without an alarm.
    """

    modification_id: str
    kinds: tuple[str, ...]
    rationale: str
    sites: tuple[str, ...]
    inputs: tuple[str, ...]
    populations: tuple[str, ...]
    bounds: Mapping[str, tuple[float, float]]
    local: bool
    data_plan: str
    retrain_recipe: str
    acceptance_spec: str
    metrics: tuple[str, ...]
    subgroups: tuple[str, ...]
    monitoring_days: int
    rollback_trigger: str
    label_impact: str
    risk_ids: tuple[str, ...]
    approver: str


@dataclass(frozen=True, slots=True)
class Impact:
    """Benefit and risk of one modification at one step, for one risk."""

    modification_id: str
    step_id: str
    risk_id: str
    benefit: str
    harm: str


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """What all changes together may do before a new certificate is needed.

    Parameters
    ----------
    per_update, vs_baseline : measure -> largest absolute difference to the release before,
        and to the certified baseline.
    path_length_factor : the sum of all per-update differences is at most this times the
        limit against the baseline.
    alpha_total : statistical error over all updates together, spent equally.
    sealed_set_uses : looks at the sealed set before it must be refreshed by
        ``refresh_fraction``.
    new_data_fraction : largest share of training patients that the baseline had not.
    hard_stops : conditions under which nothing is updated.
    notify : who is told when the budget is exceeded.
    """

    max_updates: int
    max_age_days: int
    min_days_between: int
    per_update: Mapping[str, float]
    vs_baseline: Mapping[str, float]
    path_length_factor: float
    alpha_total: float
    sealed_set_uses: int
    refresh_fraction: float
    new_data_fraction: float
    hard_stops: tuple[str, ...]
    notify: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """A complete change plan of one plugin.

    Parameters
    ----------
    baseline_digest : the certified release that everything is counted against.
    nb_reference : acceptance of the plan by the notified body as a condition of the
        certificate; without it nothing is inside the plan.
    golden_replay_cases : cases that show equal outputs; tolerance: measure -> largest
        difference that still counts as equal.
    mandatory_strata : subgroups that at least one step must look at.
    cumulative_impact : benefit and risk of all modifications together.
    udi_in_plan : PI or DI: the policy for retrained models inside the plan.
    """

    plugin: str
    version: str
    baseline_digest: str
    nb_reference: str
    golden_replay_cases: int
    tolerance: Mapping[str, float]
    mandatory_strata: tuple[str, ...]
    modifications: tuple[Modification, ...]
    steps: tuple[Step, ...]
    impacts: tuple[Impact, ...]
    cumulative_impact: str
    budget: BudgetLimits
    udi_in_plan: str
    content: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Return the digest of the plan's canonical content; it is what is signed."""
        return digest_of(canonical.encode(dict(self.content)))

    def modification(self, modification_id: str) -> Modification | None:
        """Return one modification, None where the plan has none of that id."""
        found = (m for m in self.modifications if m.modification_id == modification_id)
        return next(found, None)

    def steps_of(self, modification_ids: tuple[str, ...]) -> tuple[Step, ...]:
        """Return the protocol of these modifications together, in the order of the plan."""
        return tuple(
            step for step in self.steps if any(step.belongs_to(name) for name in modification_ids)
        )
