"""From two releases to a decided change: kinds, flags, class, evidence, UDI effect.

    1. which proofs are shown (equal outputs, routing, statements of a person)
    2. which rows of the table the difference shows; which thresholds lie in a planned band
    3. whether the plan covers them, its gates passed and its budget holds
    4. the flags: an effect of a row stands unless one of its proofs is shown
    5. the decision (`change_control.decide`), the evidence it needs, the UDI effect

Source: REGULATORY.md section 4.

Read next: `../change_control.py`, `ledger.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from governance.change import coverage
from governance.change.budget import BudgetPosition, position
from governance.change.detection import Detected, detect, names_only
from governance.change.kinds import KINDS
from governance.change.ledger import Baseline, ChangeRequest
from governance.change.plan import ChangePlan
from governance.change.proofs import (
    SMALLEST_REPLAY,
    STATEMENTS,
    GoldenReplay,
    RoutingReplay,
    replay_proofs,
    routing_proofs,
)
from governance.change.protocol import ProtocolRun, Report, run_protocol
from governance.change.udi import udi_effect
from governance.change_control import (
    EFFECTS,
    NEW_DEVICE,
    ChangeFlags,
    Decision,
    Reason,
    decide,
)
from governance.difference import ReleaseDifference


@dataclass(frozen=True, slots=True)
class Rollback:
    """What a person states of a rollback; whether its target is certified, the site knows."""

    certificate_and_platform_valid: bool = False
    anomalies_accepted: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a person brings to a change.

    Parameters
    ----------
    claims : keys of rows that the change is said to be; they can only add effects, or
        replace a row where the detection permits it.
    statements : name of a statement -> the person's reason.
    golden_replay, routing_replay, report : evidence from signed files; None: there is none.
    closes_loop, unattended : what only a person can say; both are taken as said.
    """

    claims: tuple[str, ...] = ()
    modifications: tuple[str, ...] = ()
    statements: Mapping[str, str] = field(default_factory=dict)
    golden_replay: GoldenReplay | None = None
    routing_replay: RoutingReplay | None = None
    report: Report | None = None
    closes_loop: bool = False
    unattended: bool = False
    rollback: Rollback | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a site knows about a plugin when a change comes.

    Parameters
    ----------
    target_certified : the new release is in the certified set of this site (`chain.py`).
    stops : hard stop -> is it open now; what is not there is unknown, and counts as open.
    evidence_snapshot_done : of the incident that holds the release.
    """

    site: str
    baseline: Baseline | None = None
    plan: ChangePlan | None = None
    ledger: tuple[ChangeRequest, ...] = ()
    target_certified: bool = False
    stops: Mapping[str, bool] = field(default_factory=dict)
    evidence_snapshot_done: bool = False


@dataclass(frozen=True, slots=True)
class ChangeCase:
    """Two releases: their difference, manifests, and the difference to the baseline."""

    difference: ReleaseDifference
    from_baseline: ReleaseDifference | None
    old: Mapping[str, Any]
    new: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Classification:
    """A change with its class and everything that led there."""

    decision: Decision
    flags: ChangeFlags
    detected: tuple[Detected, ...]
    kinds: tuple[str, ...]
    proofs: frozenset[str]
    plan_reasons: tuple[Reason, ...]
    evidence: tuple[str, ...]
    names_only: tuple[str, ...]
    udi: str
    protocol: ProtocolRun | None
    budget: BudgetPosition | None
    request: ChangeRequest


def classify(
    case: ChangeCase, declared: Declaration, standing: Standing, now: datetime
) -> Classification:
    """Return the class of the change from ``case.old`` to ``case.new``, with every reason."""
    proofs = _proofs(case, declared, standing.plan)
    planned = _planned(case, declared, standing, proofs)
    if declared.rollback is not None and standing.target_certified:
        # The target is compared with the certified set, not with the running version.
        detected: tuple[Detected, ...] = (_ROLLBACK,)
    else:
        detected = _in_bands(_detected(case, declared, proofs), standing.plan, planned)
    proofs |= _expansions(detected, standing.plan, planned)
    with_effect = [item for item in detected if _effects(item, proofs)]
    plan_reasons = coverage.uncovered(standing.plan, planned, with_effect)
    protocol = _protocol(case, declared, standing.plan)
    request = _request(case, declared, standing, planned, now)
    budget = _budget(standing, request, now)
    flags = replace(
        _flags(detected, proofs, declared),
        target_in_certified_set=declared.rollback is not None and standing.target_certified,
        in_plan=not plan_reasons,
        gates_pass=protocol is not None and protocol.passed,
        budget_ok=budget is not None and budget.holds,
        open_incident_hold=standing.stops.get("open_incident_hold", True),
        evidence_snapshot_done=standing.evidence_snapshot_done,
    )
    decision = decide(flags)
    kinds = tuple(dict.fromkeys(item.kind for item in detected))
    return Classification(
        decision=decision,
        flags=flags,
        detected=detected,
        kinds=kinds,
        proofs=frozenset(proofs),
        plan_reasons=plan_reasons,
        evidence=tuple(dict.fromkeys(e for name in kinds for e in KINDS[name].evidence)),
        names_only=names_only(case.difference),
        udi=udi_effect(kinds, decision.change_class, standing.plan),
        protocol=protocol,
        budget=budget,
        request=replace(request, change_class=decision.change_class, kinds=kinds, flags=flags),
    )


def _proofs(case: ChangeCase, declared: Declaration, plan: ChangePlan | None) -> frozenset[str]:
    digests = case.difference.old_digest, case.difference.new_digest
    smallest = plan.golden_replay_cases if plan else SMALLEST_REPLAY
    tolerance = plan.tolerance if plan else {}
    return frozenset(
        {
            *(n for n, why in declared.statements.items() if n in STATEMENTS and why.strip()),
            *replay_proofs(declared.golden_replay, digests, smallest, tolerance),
            *routing_proofs(declared.routing_replay, digests),
        }
    )


def _planned(
    case: ChangeCase, declared: Declaration, standing: Standing, proofs: frozenset[str]
) -> coverage.PlannedCase:
    return coverage.PlannedCase(
        plugin=str(case.new.get("plugin")),
        site=standing.site,
        baseline=standing.baseline,
        from_baseline=case.from_baseline,
        update=case.difference,
        manifest=case.new,
        modifications=declared.modifications,
        proofs=proofs,
    )


_ROLLBACK = Detected("ROLLBACK", "declared", "", "rollback", claimed=True)


def _detected(
    case: ChangeCase, declared: Declaration, proofs: Collection[str]
) -> tuple[Detected, ...]:
    inputs = case.old.get("inputs")
    modalities = {
        str(row.get("modality"))
        for row in (inputs if isinstance(inputs, list) else ())
        if isinstance(row, Mapping)
    }
    found = detect(case.difference, declared.claims, proofs, modalities)
    seen = {item.kind for item in found}
    extra = [
        Detected("DECLARED", "declared", "", name, claimed=True)
        for name in declared.claims
        if name not in seen and set(KINDS[name].requires) <= set(proofs)
    ]
    return (*found, *extra)


def _in_bands(
    detected: tuple[Detected, ...], plan: ChangePlan | None, planned: coverage.PlannedCase
) -> tuple[Detected, ...]:
    """Return the same changes, thresholds inside a planned band as row 3."""
    return tuple(
        replace(item, kind="threshold_in_band")
        if item.kind == "threshold_outside_band" and coverage.in_band(plan, planned, item.path)
        else item
        for item in detected
    )


def _expansions(
    detected: Collection[Detected], plan: ChangePlan | None, planned: coverage.PlannedCase
) -> frozenset[str]:
    """Return expansion_in_plan where the plan named every new modality beforehand."""
    new = [item for item in detected if item.kind == "new_modality"]
    named = bool(new) and all(coverage.expansion_named(plan, planned, item) for item in new)
    return frozenset(("expansion_in_plan",)) if named else frozenset()


def _effects(item: Detected, proofs: Collection[str]) -> set[str]:
    """Return the flags that a detected change sets: its row's, unless a proof is shown."""
    shown = {*proofs, *item.proofs}
    return {
        effect.flag for effect in KINDS[item.kind].effects if not shown & set(effect.cleared_by)
    }


def _flags(
    detected: Collection[Detected], proofs: Collection[str], declared: Declaration
) -> ChangeFlags:
    found = {flag for item in detected for flag in _effects(item, proofs)}
    rollback = declared.rollback or Rollback()
    return ChangeFlags(
        rollback=declared.rollback is not None,
        certificate_and_platform_valid=rollback.certificate_and_platform_valid,
        anomalies_accepted=rollback.anomalies_accepted,
        **{name: name in found for name in (*NEW_DEVICE, *EFFECTS) if name != "closes_loop"},
        closes_loop="closes_loop" in found or declared.closes_loop,
        unattended="unattended" in found or declared.unattended,
    )


def _protocol(
    case: ChangeCase, declared: Declaration, plan: ChangePlan | None
) -> ProtocolRun | None:
    report = declared.report
    if plan is None or report is None or not declared.modifications:
        return None
    if report.release_digest != case.difference.new_digest:
        return None
    return run_protocol(plan, declared.modifications, report)


def _request(
    case: ChangeCase,
    declared: Declaration,
    standing: Standing,
    planned: coverage.PlannedCase,
    now: datetime,
) -> ChangeRequest:
    """Return the change request, with the report's figures where it is about these releases."""
    report, baseline = declared.report, standing.baseline
    digests = case.difference.old_digest, case.difference.new_digest
    about = report if report and report.release_digest == digests[1] else None
    previous = about if about and about.previous_digest == digests[0] else None
    based = about if about and baseline and _is_about(about, baseline) else None
    return ChangeRequest(
        plugin=str(case.new.get("plugin")),
        old_digest=digests[0],
        new_digest=digests[1],
        baseline_digest=baseline.release_digest if baseline else "",
        plan_digest=standing.plan.digest if standing.plan else "",
        change_class="D1",  # as it would count; `classify` puts the class that it gets
        kinds=(),
        flags=ChangeFlags(),
        recorded_at=now,
        report_digest=about.digest if about else "",
        per_update=previous.per_update if previous else {},
        vs_baseline=based.vs_baseline if based else {},
        alpha=about.alpha if about else None,
        sealed_set_digest=about.sealed_set_digest if about else "",
        refreshed_fraction=about.refreshed_fraction if about else 0.0,
        new_data_fraction=coverage.new_data_fraction(planned.from_baseline),
    )


def _is_about(report: Report, baseline: Baseline) -> bool:
    return report.baseline_digest == baseline.release_digest


def _budget(standing: Standing, request: ChangeRequest, now: datetime) -> BudgetPosition | None:
    if standing.plan is None or standing.baseline is None:
        return None
    return position(
        standing.plan.budget,
        standing.baseline,
        standing.ledger,
        request,
        standing.stops,
        now,
    )
