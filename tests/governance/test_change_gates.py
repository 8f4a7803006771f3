"""No change reaches clinical use beyond its class, its budget, or a hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from governance.change import ledger, stops
from governance.change.gates import budget_gate, change_gate
from governance.change.ledger import Baseline, ChangeRequest, Reference, encode, encode_baseline
from governance.change.plan_reading import read_plan
from governance.change_control import EFFECTS, FLAGS, NEW_DEVICE, ChangeFlags, decide
from governance.gates import Passage
from governance.holds import Hold, hold_gate
from governance.holds import encode as encode_hold
from governance.ports import GovernedStore
from tests.simulators.change_plans import BASELINE, plan_document
from tests.simulators.governed_memory import GovernedMemory

NOW = datetime(2026, 11, 25, tzinfo=UTC)
START = NOW - timedelta(days=60)
NEW = "sha256:" + "7" * 64
PLAN = read_plan(plan_document())
BASE = Baseline("knee", BASELINE.digest, "NB-1", START)
HARMLESS = ChangeFlags(
    **dict.fromkeys((*NEW_DEVICE, *EFFECTS), False), unattended=False, open_incident_hold=False
)
IN_PLAN = replace(HARMLESS, outputs_change=True, in_plan=True, gates_pass=True, budget_ok=True)
APPROVABLE = replace(HARMLESS, outputs_change=True)
NEW_DEVICE_FLAGS = replace(HARMLESS, architecture=True)


def passage(**changes: Any) -> Passage:
    """Return the passage of the new release from approval into clinical use."""
    values: dict[str, Any] = {
        "site": "site", "mode": "clinical", "plugin": "knee", "release_digest": NEW,
        "manifest": {}, "before": "canary", "after": "active", "person": "anna",
        "role": "approver", "decided_at": NOW, "predecessors": (BASELINE.digest,),
    }  # fmt: skip
    return Passage(**{**values, **changes})


def request(flags: ChangeFlags, change_class: str, **changes: Any) -> ChangeRequest:
    """Return a change request of the new release."""
    values: dict[str, Any] = {
        "plugin": "knee", "old_digest": BASELINE.digest, "new_digest": NEW,
        "baseline_digest": BASELINE.digest, "plan_digest": PLAN.digest,
        "change_class": change_class, "kinds": ("retrain",), "flags": flags,
        "recorded_at": NOW - timedelta(days=1),
        "per_update": {"d_dsc_mean": 0.004, "d_hd95_mm": 0.1},
        "vs_baseline": {"d_dsc_mean": 0.004, "d_hd95_mm": 0.1},
        "alpha": 0.0125, "sealed_set_digest": "sha256:s", "new_data_fraction": 0.1,
    }  # fmt: skip
    return ChangeRequest(**{**values, **changes})


def documents(*requests: ChangeRequest, clear: bool = True) -> GovernedMemory:
    """Return a site with baseline, plan, these requests, and no open stop."""
    found = GovernedMemory()
    found.put_governed(ledger.BASELINE, "knee", encode_baseline(BASE))
    found.put_governed(ledger.PLAN, "knee", {"plan": plan_document()})
    for item in requests:
        found.put_governed(ledger.REQUEST, item.new_digest, encode(item))
    if clear:
        stated: dict[str, Any] = {}
        for name in stops.STATED:
            stated = stops.state(stated, name, False, "looked", NOW - timedelta(days=1))
        found.put_governed(stops.KIND, "knee", stated)
    return found


def codes(store: GovernedStore, **changes: Any) -> list[str]:
    """Return what both gates object, by code."""
    asked = passage(**changes)
    found = (*change_gate(asked, store), *budget_gate(asked, store))
    assert all(item.text and item.advice for item in found)
    return [item.code for item in found]


def by_hold(store: GovernedStore, **changes: Any) -> list[str]:
    """Return what the gate of legal holds objects, by code."""
    return [item.code for item in hold_gate(passage(**changes), store)]


def reference(kind: str, days: int = 30) -> Reference:
    """Return a reference of the notified body that is valid for so many days from now."""
    return Reference(kind, "NB-7", NOW - timedelta(days=2), NOW + timedelta(days=days))


@pytest.mark.reg("AIA-43.4")
def test_an_update_inside_the_plan_passes() -> None:
    """D0 and D1 with everything in place meet no objection."""
    assert codes(documents(request(IN_PLAN, "D1"))) == []
    assert codes(documents(request(HARMLESS, "D0"))) == []


@pytest.mark.reg("MDR-IX")
@pytest.mark.reg("AIA-43.4")
@pytest.mark.parametrize(
    ("flags", "change_class", "references", "objections"),
    [
        (APPROVABLE, "D2", (), ["NB_REFERENCE_MISSING"]),
        (APPROVABLE, "D2", (reference("change_approval"),), []),
        (APPROVABLE, "D2", (reference("certificate"),), []),
        (APPROVABLE, "D2", (reference("change_approval", -1),), ["NB_REFERENCE_MISSING"]),
        (NEW_DEVICE_FLAGS, "D3", (), ["NEW_CERTIFICATE_MISSING"]),
        (NEW_DEVICE_FLAGS, "D3", (reference("change_approval"),), ["NEW_CERTIFICATE_MISSING"]),
        (NEW_DEVICE_FLAGS, "D3", (reference("certificate"),), []),
        (replace(HARMLESS, unattended=True), "D0", (), ["UNATTENDED"]),
    ],
)
def test_d2_and_d3_need_their_reference(
    flags: ChangeFlags,
    change_class: str,
    references: tuple[Reference, ...],
    objections: list[str],
) -> None:
    """D2 waits for an approval, D3 for a certificate, each valid at the moment of the passage."""
    store = documents(request(flags, change_class, references=references))
    assert codes(store) == objections


@pytest.mark.reg("AIA-43.4")
def test_the_class_is_decided_from_the_flags() -> None:
    """A request that calls itself D0 while its flags say D3 does not pass."""
    assert codes(documents(request(NEW_DEVICE_FLAGS, "D0"))) == ["NEW_CERTIFICATE_MISSING"]
    worst = ChangeFlags(**dict.fromkeys(FLAGS, False) | {"architecture": True})
    assert "NEW_CERTIFICATE_MISSING" in codes(documents(request(worst, "D0")))


@pytest.mark.reg("AIA-43.4")
def test_a_change_that_nobody_classified_does_not_pass() -> None:
    """Without a request, with a withdrawn one, or one of another baseline or plugin: refused."""
    assert codes(documents()) == ["CHANGE_NOT_CLASSIFIED"]
    assert codes(documents(request(HARMLESS, "D0", withdrawn=True))) == ["CHANGE_WITHDRAWN"]
    other = request(HARMLESS, "D0", baseline_digest="sha256:other")
    assert codes(documents(other)) == ["BASELINE_CHANGED"]
    assert codes(documents(request(HARMLESS, "D0", plugin="hip"))) == ["CHANGE_OF_OTHER_PLUGIN"]


def test_a_first_release_has_no_predecessor() -> None:
    """Nothing was active before and no baseline is named: there is no change to decide."""
    empty = GovernedMemory()
    assert codes(empty, predecessors=()) == []
    assert codes(empty) == ["BASELINE_MISSING"]


def test_the_baseline_itself_passes() -> None:
    """The certified release is no change of itself."""
    assert codes(documents(), release_digest=BASELINE.digest) == []


def test_research_mode_and_other_states_are_free() -> None:
    """Change control speaks where a release goes into clinical use, and nowhere else."""
    assert codes(documents(), mode="research") == []
    for after in ("shadow", "standby", "suspended", "retired"):
        assert codes(documents(), after=after) == []
    assert codes(documents(), after="canary") == ["CHANGE_NOT_CLASSIFIED"]


@pytest.mark.reg("AIA-43.4")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"vs_baseline": {"d_dsc_mean": 0.03, "d_hd95_mm": 0}}, "BUDGET_VS_BASELINE"),
        ({"per_update": {}}, "BUDGET_PER_UPDATE"),
        ({"alpha": None}, "BUDGET_ALPHA_EACH"),
        ({"new_data_fraction": 0.5}, "BUDGET_NEW_DATA_FRACTION"),
    ],
)
def test_exceeding_the_budget_blocks(changes: dict[str, Any], code: str) -> None:
    """A candidate past a limit is refused at the passage, and who is to be told is named."""
    store = documents(request(IN_PLAN, "D1", **changes))
    assert code in codes(store)
    found = next(i for i in budget_gate(passage(), store) if i.code == code)
    assert "PRRC" in found.advice


@pytest.mark.reg("AIA-43.4")
def test_the_budget_is_counted_at_the_moment_of_the_passage() -> None:
    """A budget that held at classification and has aged since refuses the activation."""
    store = documents(request(IN_PLAN, "D1"))
    late = NOW + timedelta(days=400)
    assert "BUDGET_AGE_DAYS" in codes(store, decided_at=late)
    # going back to it does not spend anything
    assert codes(store, decided_at=late, before="standby") == []


def test_the_plan_in_force_must_be_the_one_it_was_classified_by() -> None:
    """Another plan, or none any more: the change is classified again."""
    store = documents(request(IN_PLAN, "D1"))
    store.put_governed(ledger.PLAN, "knee", {"plan": plan_document(version="2")})
    assert codes(store) == ["PLAN_CHANGED"]


@pytest.mark.reg("AIA-43.4")
def test_a_stop_that_nobody_cleared_blocks_updates() -> None:
    """A drift alarm that is open, or of which nobody knows, or was cleared long ago, blocks."""
    update = request(IN_PLAN, "D1")
    assert codes(documents(update, clear=False)) == ["BUDGET_STOP"]
    for is_open, days in ((True, 1), (False, 31)):
        store = documents(update)
        at = NOW - timedelta(days=days)
        store.put_governed(
            stops.KIND, "knee", stops.state({}, "drift_alarm_open", is_open, "x", at)
        )
        assert codes(store) == ["BUDGET_STOP"], (is_open, days)


def held(store: GovernedMemory, *, kept: bool) -> GovernedMemory:
    """Return the site with an incident hold on the plugin, its evidence kept or not."""
    hold = Hold("i-1", "site", "knee", BASELINE.digest, (), (), NOW, "bert")
    store.put_governed("legal_hold", "i-1", encode_hold(hold))
    if kept:
        store.put_governed("evidence_snapshot", "i-1", {"complete": True})
    return store


@pytest.mark.reg("AIA-73.6")
def test_a_hold_blocks_every_change_but_a_rollback() -> None:
    """All gates together have one rule: nothing new, and back once the evidence is kept."""
    one = request(IN_PLAN, "D1")

    def together(*, kept: bool, before: str = "canary", **changes: object) -> set[str]:
        store = held(documents(one), kept=kept)
        return {*codes(store, before=before, **changes), *by_hold(store, before=before, **changes)}

    assert together(kept=True) == {"HOLD_OPEN", "BUDGET_STOP"}
    assert together(kept=False, before="standby") == {"SNAPSHOT_MISSING"}
    assert together(kept=True, before="standby") == set()
    baseline = {"release_digest": "sha256:" + "7" * 64}
    assert "HOLD_OPEN" in together(kept=True, **baseline)


@pytest.mark.reg("AIA-73.6")
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("before", ["shadow", "canary", "standby", "suspended"])
@pytest.mark.parametrize("after", ["canary", "active"])
def test_change_control_never_says_otherwise_than_the_hold(
    before: str, after: str, kept: bool
) -> None:
    """With or without a hold change control objects the same; the hold has its own gate."""
    one = request(HARMLESS, "D0")
    asked = {"before": before, "after": after}
    free = codes(documents(one), **asked)
    assert codes(held(documents(one), kept=kept), **asked) == free


def test_going_back_to_an_earlier_baseline_passes() -> None:
    """After a new certificate the release before it may come back from standby, not as new."""
    store = documents(request(IN_PLAN, "D1"))
    newer = Baseline("knee", "sha256:" + "8" * 64, "NB-2", NOW)
    store.put_governed(ledger.BASELINE, "knee", encode_baseline(newer))
    assert codes(store, release_digest=BASELINE.digest, before="standby") == []
    assert codes(store, release_digest=BASELINE.digest) == ["CHANGE_NOT_CLASSIFIED"]
    assert codes(store, before="standby") == []  # an update of the older baseline
    assert "BASELINE_CHANGED" in codes(store)


@pytest.mark.reg("MDR-UDI")
def test_a_wrong_udi_blocks() -> None:
    """A change that needs a new device identifier and kept the old one does not pass."""
    facts = {"udi_faults": [{"code": "UDI_DI_UNCHANGED", "text": "this needs a new UDI-DI"}]}
    assert codes(documents(request(HARMLESS, "D0", facts=facts))) == ["UDI_DI_UNCHANGED"]


@pytest.mark.reg("AIA-111.2")
def test_ending_legacy_status_must_be_accepted() -> None:
    """A change that ends legacy status waits until somebody states that it is accepted."""
    later = NOW.replace(year=2029)
    approval = Reference("change_approval", "NB-7", NOW, later + timedelta(days=1))
    one = request(APPROVABLE, "D2", references=(approval,))
    store = documents(one)
    store.put_governed("placing", "knee", {"first_placed": "2027-01-01"})
    assert codes(store) == []
    assert codes(store, decided_at=later) == ["LEGACY_STATUS_ENDS"]
    accepted = replace(one, facts={"statements": {"legacy_end_accepted": "file is complete"}})
    store.put_governed(ledger.REQUEST, NEW, encode(accepted))
    assert codes(store, decided_at=later) == []


@pytest.mark.reg("AIA-43.4")
@pytest.mark.reg("MDR-IX")
def test_of_generated_changes_none_passes_that_the_rule_forbids() -> None:
    """Random flags and references: what passes the gate may activate, and no D3 uncertified."""
    numbers = np.random.default_rng(20261125)
    passed = {"D0": 0, "D1": 0, "D2": 0, "D3": 0}
    for _ in range(1500):
        values = numbers.random(len(FLAGS)) < numbers.random()
        flags = ChangeFlags(**dict(zip(FLAGS, map(bool, values), strict=True)))
        kinds = [k for k in ("change_approval", "certificate") if numbers.random() < 0.4]
        given = tuple(reference(kind, int(numbers.integers(-1, 5))) for kind in kinds)
        one = request(flags, "D0", references=given)
        refused = change_gate(passage(), documents(one))
        valid = {item.kind for item in given if item.holds(NOW)}
        decision = decide(
            replace(
                flags,
                rollback=False,  # a request is never a rollback
                open_incident_hold=False,
                change_approved="change_approval" in valid,
                newly_certified="certificate" in valid,
            )
        )
        assert bool(refused) != decision.may_activate
        if not refused:
            passed[decision.change_class] += 1
            assert decision.change_class != "D3" or "certificate" in valid
    assert all(passed.values()), passed
