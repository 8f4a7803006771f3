"""A legal hold: nothing that it freezes changes, a stop is always free."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from audit.errors import RecordError, RefusalError
from governance.clocks import Awareness, Facts
from governance.gates import Passage
from governance.holds import (
    KIND,
    SNAPSHOT,
    Hold,
    decode,
    encode,
    hold_gate,
    hold_of,
    lift,
    place,
    refuse_purge,
    standing,
)
from governance.incident_form import KIND as INCIDENT
from governance.incident_form import encode as encode_incident
from governance.incidents import Act, Incident, duty_done
from governance.lifecycle import STATES
from tests.simulators.governed_memory import GovernedMemory

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HELD, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
APPROVER = Act("ines", "approver", NOW)
NEW = Incident(
    "inc-1",
    "site",
    "contouring",
    HELD,
    ("run1", "run2"),
    Facts("serious", "mdr", frozenset(), (Awareness("deployer", NOW, "UTC", "carl"),)),
)


def site(incident: Incident = NEW, *, held: bool = True, kept: bool = False) -> GovernedMemory:
    """Return the documents of a site with one incident."""
    store = GovernedMemory()
    put(store, incident)
    if held:
        hold = place(incident, ("hmac:v1:aa",), APPROVER)
        store.put_governed(KIND, incident.incident_id, encode(hold), "ines", NOW)
    if kept:
        content = {"complete": True, "manifest_sha256": "sha256:1"}
        store.put_governed(SNAPSHOT, incident.incident_id, content, "ines", NOW)
    return store


def put(store: GovernedMemory, incident: Incident) -> None:
    """Keep another revision of an incident."""
    store.put_governed(INCIDENT, incident.incident_id, encode_incident(incident), "ines", NOW)


def passage(before: str, after: str, release: str = HELD, **changes: str) -> Passage:
    """Return a release on its way."""
    values = {"site": "site", "mode": "clinical", "plugin": "contouring"} | changes
    return Passage(
        values["site"], values["mode"], values["plugin"], release, {}, before, after,
        "ines", "approver", NOW,
    )  # fmt: skip


def objected(store: GovernedMemory, *arguments: str, **changes: str) -> tuple[str, ...]:
    """Return the codes of what the gate objects."""
    return tuple(item.code for item in hold_gate(passage(*arguments, **changes), store))


@pytest.mark.reg("AIA-73.6")
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("mode", ["clinical", "research"])
@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_a_held_release_can_be_stopped_and_nothing_else(
    before: str, after: str, mode: str, kept: bool
) -> None:
    """Activation, retirement and every other change are refused; a stop never is."""
    found = objected(site(kept=kept), before, after, mode=mode)
    if after in ("suspended", before):
        assert found == ()
    elif after == "standby":
        assert found == (() if kept else ("SNAPSHOT_MISSING",))
    else:
        assert found == ("HOLD_OPEN",)


@pytest.mark.reg("AIA-73.6")
def test_rollback_only_after_the_evidence_was_kept() -> None:
    """An earlier release takes over once the snapshot is on record; a new one not even then."""
    assert objected(site(), "standby", "active", OTHER) == ("SNAPSHOT_MISSING",)
    assert objected(site(kept=True), "standby", "active", OTHER) == ()
    assert objected(site(kept=True), "suspended", "active", OTHER) == ()
    assert objected(site(kept=True), "canary", "active", OTHER) == ("HOLD_OPEN",)
    informed = duty_done(NEW, "C1.report", NOW, APPROVER)
    store = site(informed, kept=True)
    assert objected(store, "canary", "active", OTHER) == ("HOLD_OPEN",)
    (hold,) = standing(store)
    store.put_governed(KIND, "inc-1", encode(lift(hold, informed, APPROVER, "over")), "i", NOW)
    assert objected(store, "canary", "active", OTHER) == ()
    without = site(informed)
    assert objected(without, "canary", "active", OTHER) == ("SNAPSHOT_MISSING", "HOLD_OPEN")


@pytest.mark.reg("AIA-73.6")
def test_an_incomplete_snapshot_is_none() -> None:
    """What could not be kept whole does not open the way back."""
    store = site()
    store.put_governed(SNAPSHOT, "inc-1", {"complete": False}, "ines", NOW)
    assert objected(store, "standby", "active", OTHER) == ("SNAPSHOT_MISSING",)


def test_a_suspicion_without_a_hold_freezes_too() -> None:
    """Until somebody looked at it, neither the release nor its successor changes."""
    store = site(held=False)
    assert objected(store, "active", "retired") == ("HOLD_NOT_PLACED",)
    assert objected(store, "standby", "active", OTHER) == ("HOLD_NOT_PLACED",)
    assert objected(store, "active", "suspended") == ()
    assert objected(store, "registered", "retired", OTHER) == ()
    put(store, replace(NEW, state="closed"))
    assert objected(store, "active", "retired") == ()


def test_other_plugins_and_sites_go_on() -> None:
    """A hold is of one plugin at one site."""
    assert objected(site(), "active", "retired", plugin="example") == ()
    assert objected(site(), "active", "retired", site="elsewhere") == ()
    assert objected(site(), "registered", "shadow", OTHER) == ()


@pytest.mark.reg("AIA-73.6")
@pytest.mark.reg("AIA-19.1")
@pytest.mark.parametrize(
    "what",
    [
        {"release_digest": HELD},
        {"run_ids": ["run9", "run2"]},
        {"subjects": ["hmac:v1:aa"]},
    ],
)
def test_what_is_held_is_not_purged(what: dict[str, object]) -> None:
    """Release, runs and patients of an incident are kept, whatever retention says."""
    store = site()
    with pytest.raises(RefusalError) as caught:
        refuse_purge(store, **what)  # type: ignore[arg-type]
    assert caught.value.reasons == ("HOLD_OPEN",)
    refuse_purge(store, release_digest=OTHER, run_ids=["run9"], subjects=["hmac:v1:bb"])
    refuse_purge(store)
    informed = duty_done(NEW, "C1.report", NOW, APPROVER)
    (hold,) = standing(store)
    store.put_governed(KIND, "inc-1", encode(lift(hold, informed, APPROVER, "over")), "i", NOW)
    refuse_purge(store, **what)  # type: ignore[arg-type]
    assert standing(store) == ()
    assert hold_of(store, "inc-1") is not None


@pytest.mark.reg("AIA-73.6")
def test_a_hold_is_lifted_when_the_authority_knows() -> None:
    """An approver lifts it with a reason, once an authority was informed or need not be."""
    hold = place(NEW, (), APPROVER)
    informed = duty_done(NEW, "C1.report", NOW, APPROVER)
    for found, role, reason in (
        (NEW, "approver", "over"),
        (informed, "engineer", "over"),
        (informed, "administrator", "over"),
        (informed, "approver", "  "),
    ):
        with pytest.raises(RefusalError):
            lift(hold, found, Act("x", role, NOW), reason)
    decided = replace(NEW, decision="not_reportable")
    for found in (informed, decided):
        lifted = lift(hold, found, APPROVER, "over")
        assert (lifted.lifted_by, lifted.lift_reason) == ("ines", "over")
        with pytest.raises(RefusalError):
            lift(lifted, found, APPROVER, "again")


@pytest.mark.parametrize("role", ["compliance", "administrator", "service"])
def test_who_may_not_place_a_hold(role: str) -> None:
    """Neither compliance nor an administrator nor a service places a hold."""
    with pytest.raises(RefusalError):
        place(NEW, (), Act("x", role, NOW))


def test_encode_and_decode_are_inverse() -> None:
    """A hold is kept whole, lifted or not; a foreign document is none."""
    hold = place(NEW, ("hmac:v1:aa",), APPROVER)
    later = replace(hold, lifted_at=NOW + timedelta(days=1), lifted_by="x", lift_reason="y")
    for value in (hold, later):
        found: Hold = decode(encode(value))
        assert found == value
    for content in ({}, {"schema": "other"}, {"schema": "osteon.legal-hold/1", "who": 1}):
        with pytest.raises(RecordError):
            decode(content)
