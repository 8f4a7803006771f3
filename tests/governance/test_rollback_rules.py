"""What becomes of work under way, where one goes back to, who may stop: tables and values."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.errors import RefusalError
from governance.accounts import ROLES
from governance.history import in_use_at, spells
from governance.ports import Deployment
from governance.recall import (
    ACKNOWLEDGED,
    KIND,
    OVERSEERS,
    TODO,
    RecalledDocument,
    RecalledRun,
    RecallList,
    as_csv,
    as_json,
    overseers_of,
    todo_of,
    unacknowledged,
)
from governance.rollback import DRAINS, fate, target_of
from governance.stops import EVERYTHING, LIFTERS, STOPPERS, barred, require_right, stop_of
from governance.stops import KIND as STOP
from tests.simulators.office import NOW, Office

V1, V2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64
DAY = timedelta(days=1)


def deployment(digest: str, state: str, days: int = 0, **evidence: str) -> Deployment:
    """Return a state that a release came into after some days."""
    return Deployment("site", "knee", digest, state, 1.0, NOW + days * DAY, "anna", evidence)


@pytest.mark.parametrize("act", DRAINS)
@pytest.mark.parametrize("status", ["queued", "waiting", "running", "delivering"])
def test_every_open_run_has_a_fate(act: str, status: str) -> None:
    """Each act says what becomes of each open run; a run in shadow is never routed again."""
    assert fate(act, status, shadow=False) in ("finish", "reroute", "cancel")
    assert fate(act, status, shadow=True) in ("finish", "cancel")


def test_a_rollback_lets_work_in_progress_end_and_a_stop_does_not() -> None:
    """Run by run: what waits goes to the target, what runs ends where it began; or nothing does."""
    assert fate("rollback", "queued", shadow=False) == "reroute"
    assert fate("rollback", "running", shadow=False) == "finish"
    assert fate("rollback-suspend", "running", shadow=False) == "reroute"
    assert {fate("stop", s, shadow=False) for s in ("queued", "running", "delivering")} == {
        "cancel"
    }


def test_the_target_is_the_last_release_on_standby() -> None:
    """Without a name the one that was active last; a name has to be on standby."""
    rows = (
        deployment(V1, "standby", 1), deployment("sha256:0", "standby", 0),
        deployment(V2, "active", 1),
    )  # fmt: skip
    target, left = target_of(rows, "site", "knee")
    assert (target.release_digest, left.release_digest if left else "") == (V1, V2)
    assert target_of(rows, "site", "knee", "sha256:0")[0].release_digest == "sha256:0"
    for wanted in (V2, "sha256:9"):
        with pytest.raises(RefusalError) as caught:
            target_of(rows, "site", "knee", wanted)
        assert caught.value.reasons == ("NOTHING_ON_STANDBY",)
    with pytest.raises(RefusalError):
        target_of(rows, "elsewhere", "knee")


@pytest.mark.reg("AIA-14.4e")
@pytest.mark.parametrize("role", ROLES)
def test_who_may_stop_and_who_may_lift(role: str) -> None:
    """Everybody who works here may stop, with a reason; an approver alone may lift it."""
    for lift, permitted in ((False, STOPPERS), (True, LIFTERS)):
        if role in permitted:
            require_right(role, "odd contours", lift=lift)
            with pytest.raises(RefusalError) as caught:
                require_right(role, "  ", lift=lift)
            assert caught.value.reasons == ("EVIDENCE_MISSING",)
        else:
            with pytest.raises(RefusalError) as caught:
                require_right(role, "odd contours", lift=lift)
            assert caught.value.reasons == ("ROLE_NOT_PERMITTED",)


def test_a_stop_bars_its_plugin_until_it_is_lifted() -> None:
    """A stop of a plugin concerns that one, a stop of everything all; lifting ends it."""
    office, active = Office(), deployment(V1, "active")
    assert barred(office, active, "knee", shadow=False) == ()
    office.put_governed(STOP, "hip", {"state": "stopped", "reason": "x"}, "anna", NOW)
    assert barred(office, active, "knee", shadow=False) == ()
    office.put_governed(STOP, EVERYTHING, {"state": "stopped", "reason": "x"}, "anna", NOW)
    assert [o.code for o in barred(office, active, "knee", shadow=False)] == ["STOPPED"]
    assert [o.code for o in barred(office, None, "knee", shadow=False)] == ["STOPPED"]
    office.put_governed(STOP, EVERYTHING, {"state": "lifted", "reason": "x"}, "anna", NOW)
    assert stop_of(office, "knee") is None
    assert stop_of(office, "hip") is not None


@pytest.mark.parametrize(
    ("state", "live", "shadow"),
    [
        ("active", True, True), ("canary", True, True), ("standby", True, True),
        ("shadow", False, True), ("suspended", False, False), ("retired", False, False),
        ("approved", False, False), ("registered", False, False),
    ],
)  # fmt: skip
def test_states_in_which_a_run_goes_on(state: str, live: bool, shadow: bool) -> None:
    """A run that was routed before goes on in these states of its release, and no other."""
    for in_shadow, may in ((False, live), (True, shadow)):
        found = barred(Office(), deployment(V1, state), "knee", shadow=in_shadow)
        assert [item.code for item in found] == ([] if may else [f"RELEASE_{state.upper()}"])


def test_what_was_in_use_at_a_moment() -> None:
    """For any moment the history says which release was active; a waiver ends by itself."""
    over = (NOW + 3 * DAY).isoformat()
    history = (
        deployment(V1, "registered", -5),
        deployment(V1, "active", 0, certificate="c"),
        deployment(V2, "registered", 1),
        deployment(V1, "standby", 2, certificate="c"),
        deployment(V2, "active", 2, expires_at=over),
        deployment(V1, "active", 9, certificate="c"),
    )

    def active(days: float) -> list[str]:
        found = in_use_at(history, "site", NOW + days * DAY)
        return [item.deployment.release_digest for item in found if
                item.deployment.state == "active"]  # fmt: skip

    assert active(-1) == []
    assert active(0) == active(1.9) == [V1]
    assert active(2) == active(2.9) == [V2]
    assert active(3) == active(8) == []
    assert active(100) == [V1]
    assert in_use_at(history, "elsewhere", NOW) == ()
    assert [item.on for item in spells(history, "site") if item.deployment.state == "active"] == [
        "certificate", "waiver", "certificate",
    ]  # fmt: skip


def run(number: int, *states: str, superseded_by: str = "", **identity: str) -> RecalledRun:
    """Return a run on a recall list whose structure set came to targets in these states."""
    documents = tuple(
        RecalledDocument("RTSTRUCT", f"2.25.{number}", f"pacs-{place}", state)
        for place, state in enumerate(states)
    )
    return RecalledRun(
        f"{number:032x}", f"hmac:v1:{number % 2:032x}", f"2.25.9{number}", "done", NOW, NOW,
        documents, ("DiagnosticReport?identifier=urn:x|1",), superseded_by,
        todo_of("done", superseded_by, documents), identity,
    )  # fmt: skip


def test_what_to_do_follows_from_what_arrived() -> None:
    """A result that arrived is reviewed, a replaced one looked for, one that never left is not."""
    assert run(1, "verified").todo == run(1, "pending", "sent").todo == "REVIEW"
    assert run(1, "stored", superseded_by="x").todo == "REPLACED"
    assert run(1, "pending", "failed").todo == "NOTHING_ARRIVED"
    assert todo_of("running", "", ()) == "IN_PROGRESS"
    arrived = (RecalledDocument("SR", "1.2", "pacs", "stored"),)
    assert todo_of("done", "x", arrived, withdrawn=True) == "WITHDRAWN"
    assert set(TODO) == {"REVIEW", "WITHDRAWN", "REPLACED", "NOTHING_ARRIVED", "IN_PROGRESS"}


def test_the_list_as_json_and_csv() -> None:
    """Every object at every target has its line; the digest is the same with identities."""
    plain = RecallList("knee", "2.0.0", V2, None, (run(1, "verified", "stored"), run(2, "sent")))
    named = RecallList(
        "knee", "2.0.0", V2, None,
        (run(1, "verified", "stored", patient_id="=1+1"), run(2, "sent", patient_id="17")),
    )  # fmt: skip
    assert plain.digest == named.digest
    assert plain.digest != RecallList("knee", "2.0.0", V2, None, plain.runs[:1]).digest
    assert as_json(plain)["patients"] == 2
    lines = as_csv(named).splitlines()
    assert len(lines) == 1 + 3
    assert lines[0].endswith("todo,patient_id")
    assert lines[1].endswith("REVIEW,'=1+1")


def test_overseers_acknowledge_the_recall_that_they_were_told_of() -> None:
    """A new recall of the same release has to be acknowledged anew."""
    office = Office()
    named = {"overseers": ["anna", {"account": "bernd"}]}
    office.put_governed(OVERSEERS, "knee", named, "chief", NOW)
    assert overseers_of(office, "knee") == ("anna", "bernd")
    assert overseers_of(office, "hip") == ()
    first = office.put_governed(KIND, V2, {"told": ["anna", "bernd"], "runs": 1}, "x", NOW)
    assert unacknowledged(office, V2) == ("anna", "bernd")
    office.put_governed(ACKNOWLEDGED, f"{V2}/anna", {"recall": first.digest}, "anna", NOW)
    assert unacknowledged(office, V2) == ("bernd",)
    office.put_governed(KIND, V2, {"told": ["anna", "bernd"], "runs": 2}, "x", NOW)
    assert unacknowledged(office, V2) == ("anna", "bernd")
    assert unacknowledged(office, V1) == ()
