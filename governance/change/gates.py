"""Gates of change control: no change runs in clinical use beyond its class and budget.

`change_gate` asks for a decided change request with what its class needs; `budget_gate`
counts again at the moment of the passage.  Both speak in clinical mode, where a release goes
into use (canary, active).  The first release of a plugin has no predecessor and passes; the
certificate gate judges it.  Going back to a release that was certified here (from standby or
suspended) needs no request against the present baseline.

Source: REGULATORY.md section 4, rows AIA-43.4, MDR-IX, MDR-UDI, AIA-111.2.

Read next: `../gates.py`, which asks them.
"""

from __future__ import annotations

from dataclasses import replace

from governance import legacy
from governance.change.budget import BudgetPosition, position
from governance.change.chain import baselines, is_certified
from governance.change.ledger import (
    PLAN,
    Baseline,
    ChangeRequest,
    baseline_of,
    ledger,
    request_of,
)
from governance.change.plan import ChangePlan
from governance.change.plan_reading import read_plan
from governance.change.stops import known_stops
from governance.change_control import decide
from governance.gates import Objection, Passage
from governance.ports import GovernedStore
from governance.reading import Table

_IN_USE = ("canary", "active")
_BACK = ("standby", "suspended")
_ADVICE = {
    "UNATTENDED": "Train it again under supervision, by the plan.",
    "NB_REFERENCE_MISSING": "Record the approval: `osteon change reference`.",
    "NEW_CERTIFICATE_MISSING": "Record the new certificate: `osteon change reference`.",
}


def change_gate(passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
    """Object to a release whose change was not decided, or lacks what its class needs."""
    if passage.mode != "clinical" or passage.after not in _IN_USE:
        return ()
    baseline = baseline_of(documents, passage.plugin)
    request = request_of(documents, passage.release_digest)
    if _certified_here(passage, documents, baseline):
        return ()
    if baseline is None and request is None and not passage.predecessors:
        return ()  # the first release of the plugin: nothing that it could be a change of
    if baseline is None:
        text = f"no certified baseline of {passage.plugin} is named"
        return (Objection("BASELINE_MISSING", text, "Name it: `osteon change baseline`."),)
    if request is None:
        text = "nobody has classified the change to this release"
        advice = "Classify it: `osteon change classify OLD NEW --record`."
        return (Objection("CHANGE_NOT_CLASSIFIED", text, advice),)
    return (
        *_of_request(passage, baseline, request, documents),
        *_of_class(passage, request),
        *_of_udi(request),
        *_of_legacy(passage, request, documents),
    )


def budget_gate(passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
    """Object to an update inside the plan when the budget does not hold at this moment."""
    if passage.mode != "clinical" or passage.after not in _IN_USE or passage.before in _BACK:
        return ()
    request = request_of(documents, passage.release_digest)
    baseline = baseline_of(documents, passage.plugin)
    if request is None or baseline is None or decide(request.flags).change_class != "D1":
        return ()
    plan = plan_of(documents, passage.plugin)
    if plan is None or plan.digest != request.plan_digest:
        text = "the change plan that this change was classified by is not in force"
        return (Objection("PLAN_CHANGED", text, "Classify the change again."),)
    found = standing_budget(documents, plan, baseline, request, passage)
    return tuple(
        Objection(
            f"BUDGET_{line.name.partition('.')[0].upper()}",
            f"{line.name}, {line.text}: expected {_border(line.name)} {line.limit:g}, found "
            f"{'nothing measured' if line.used is None else f'{line.used:g}'}",
            "The budget is spent: this needs a new assessment (D3). Tell "
            f"{', '.join(plan.budget.notify) or 'the notified body'}.",
        )
        for line in found.exceeded
    )


def plan_of(documents: GovernedStore, plugin: str) -> ChangePlan | None:
    """Return the plan in force for a plugin; its signatures were checked when it came here."""
    found = documents.governed(PLAN, plugin)
    if found is None:
        return None
    return read_plan(Table(PLAN, found.content).table("plan").content)


def standing_budget(
    documents: GovernedStore,
    plan: ChangePlan,
    baseline: Baseline,
    request: ChangeRequest | None,
    passage: Passage,
) -> BudgetPosition:
    """Return where the plugin stands at the moment of a passage."""
    now, window = passage.decided_at, plan.budget.min_days_between
    stops = known_stops(documents, passage.plugin, baseline, now, window)
    return position(
        plan.budget, baseline, ledger(documents, passage.plugin), request, stops, now
    )  # fmt: skip


def _certified_here(passage: Passage, documents: GovernedStore, baseline: Baseline | None) -> bool:
    """Tell whether the release is a certified baseline: the present one, or going back, any."""
    if baseline is not None and baseline.release_digest == passage.release_digest:
        return True
    known = baselines(documents, passage.plugin)
    return passage.before in _BACK and passage.release_digest in known


def _of_request(
    passage: Passage, baseline: Baseline, request: ChangeRequest, documents: GovernedStore
) -> list[Objection]:
    found = []
    if request.plugin != passage.plugin:
        text = f"the change request is about {request.plugin}"
        found.append(Objection("CHANGE_OF_OTHER_PLUGIN", text, "Classify this release."))
    if request.withdrawn:
        text = "the change request was withdrawn"
        found.append(Objection("CHANGE_WITHDRAWN", text, "Classify the change again."))
    is_back = passage.before in _BACK
    known = baselines(documents, passage.plugin) if is_back else {baseline.release_digest}
    if request.baseline_digest not in known:
        text = "the change was classified against another certified baseline"
        found.append(Objection("BASELINE_CHANGED", text, "Classify the change again."))
    before, now = request.old_digest, passage.decided_at
    if not is_certified(documents, passage.plugin, before, now):
        text = "the release that the change was compared with is not certified here"
        advice = f"Classify it from the baseline: {baseline.release_digest}."
        found.append(Objection("PREDECESSOR_NOT_CERTIFIED", text, advice))
    return found


def _of_class(passage: Passage, request: ChangeRequest) -> list[Objection]:
    """Decide the class again from the flags, with the references of this moment.

    Holds are the business of one gate alone: `governance.holds.hold_gate`.
    """
    # A change request is never a rollback: what goes back was certified by its own request.
    standing = request.standing(passage.decided_at)
    flags = replace(standing, open_incident_hold=False, rollback=False)
    decision = decide(flags)
    if decision.may_activate:
        return []
    return [
        Objection(
            reason.code,
            f"the change is {decision.change_class}: {reason.text}",
            _ADVICE[reason.code],
        )
        for reason in decision.reasons
        if reason.code in _ADVICE
    ]


def _of_udi(request: ChangeRequest) -> list[Objection]:
    rows = request.facts.get("udi_faults")
    return [
        Objection(str(row["code"]), str(row["text"]), "Build the release again with its new UDI.")
        for row in (rows if isinstance(rows, list) else [])
    ]


def _of_legacy(
    passage: Passage, request: ChangeRequest, documents: GovernedStore
) -> list[Objection]:
    if not legacy.must_be_accepted(documents, request, passage.decided_at.date()):
        return []
    text = "this change ends the legacy status of the plugin (AI Act Art. 111(2))"
    advice = "Bring the plugin into full compliance, and classify with legacy_end_accepted."
    return [Objection("LEGACY_STATUS_ENDS", text, advice)]


def _border(name: str) -> str:
    return "at least" if name == "days_between" else "at most"
