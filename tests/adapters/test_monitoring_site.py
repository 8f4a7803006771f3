"""Monitors at a site: run from what runs left, alarm on record, act by plan, wait for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.doctor import Check, examine
from adapters.governance.alarming import close_alarm
from adapters.monitoring.alarming import alarm_name, decide
from adapters.monitoring.plans import plan_of, set_plan
from adapters.monitoring.running import Watched, run_item, run_monitors, watched
from adapters.monitoring.standing import standing
from adapters.web.metrics import exposition
from audit.errors import NotFoundError, RefusalError
from governance import alarms
from governance.monitoring.default_plan import default_plan
from governance.monitoring.labels import Outcome
from governance.monitoring.plan import (
    AGREEMENT,
    FIRST,
    NOTIFY,
    OUTCOME,
    RISK,
    Item,
    Plan,
)
from governance.monitoring.reevaluation import KIND
from tests.simulators.governed_site import CLINICIAN, ENGINEER, PHYSICIST, records, state_of
from tests.simulators.monitored_site import PLAN, Monitored, monitored_site, reviewed


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Monitored]:
    """A site with an active release, its window and its plan."""
    with monitored_site(tmp_path) as opened:
        yield opened


def _row(place: Monitored, item: str) -> object:
    with place.site.database.reading() as transaction:
        return transaction.monitor(place.digest, item)


def _state(place: Monitored, kind: str, name: str) -> str:
    with place.site.database.reading() as transaction:
        found = transaction.governed(kind, name)
    return "" if found is None else str(found.content["state"])


@pytest.mark.reg("AIA-72.1")
@pytest.mark.reg("AIA-26.5")
def test_a_changed_kernel_suspends_the_release_by_plan(place: Monitored) -> None:
    """Quiet runs change nothing; ten of another kernel alarm, on record, and the release rests."""
    place.runs(20)
    assert run_monitors(place.site) == ()
    assert state_of(place.site, place.digest) == "active"
    place.runs(10, kernel="B70")
    name = alarm_name("input", place.digest)
    assert run_monitors(place.site) == (name,)
    assert state_of(place.site, place.digest) == "suspended"
    assert _state(place, alarms.KIND, name) == "open"
    assert _state(place, KIND, name) == "open"
    assert [r.body["verdict"] for r in records(place.site, "guard")] == ["INPUT"]
    assert run_monitors(place.site) == ()


def test_the_same_cases_give_the_same_sums_whenever_they_are_read(place: Monitored) -> None:
    """One turn for each run, and one for all, leave the same state; a restart loses nothing."""
    for _ in range(12):
        place.run()
        run_monitors(place.site)
    apart = _row(place, "input")
    with place.site.database.transaction() as transaction:
        transaction.put_monitor(replace(apart, item_digest="sha256:other"))  # begins anew
    run_monitors(place.site)
    together = _row(place, "input")
    assert (apart.state, apart.cases) == (together.state, together.cases)
    assert together.cases == 12


@pytest.mark.reg("AIA-9.1")
def test_an_alarm_closes_by_a_decision_only(place: Monitored) -> None:
    """Neither the alarm alone nor a role without the right; a decision closes both, on record."""
    place.runs(10, kernel="B70")
    (name,) = run_monitors(place.site)
    with pytest.raises(RefusalError, match="decision"):
        close_alarm(place.site, name, PHYSICIST, "I have seen it")
    with pytest.raises(RefusalError) as caught:
        decide(place.site, name, "later", "", ENGINEER)
    assert len(caught.value.reasons) == 3
    assert _state(place, KIND, name) == "open"
    document = decide(place.site, name, "keep", "new scanner, contours checked", PHYSICIST)
    assert document.content["decision"] == "keep"
    assert _state(place, alarms.KIND, name) == "closed"
    with pytest.raises(NotFoundError):
        decide(place.site, name, "keep", "again", PHYSICIST)
    row = _row(place, "input")
    assert (row.condition, row.nearest) == ("watching", 0.0)


@pytest.mark.reg("AIA-72.3")
def test_a_stopped_monitor_is_an_alarm(place: Monitored) -> None:
    """An item whose state cannot be read cannot run: past its window it alarms, others go on."""
    run_monitors(place.site)
    with place.site.database.transaction() as transaction:
        transaction.put_monitor(replace(_row(place, "latency"), state="torn"))
    place.clock.forward(hours=20)
    assert run_monitors(place.site) == ()
    place.clock.forward(hours=20)
    name = alarm_name("stopped-latency", place.digest)
    assert run_monitors(place.site) == (name,)
    assert state_of(place.site, place.digest) == "active"
    assert run_monitors(place.site) == ()
    assert _row(place, "refusals").last_run_at == place.site.now()


@pytest.mark.reg("AIA-72.3")
def test_every_item_of_the_shipped_plan_runs_and_is_missed_when_it_stops(tmp_path: Path) -> None:
    """Each has run after one turn; when each stops, each is an alarm of its own.

    Status, self-test and metrics say so as well, from a process that runs no monitor.
    """
    shipped = default_plan("trial")
    with monitored_site(tmp_path, shipped) as place:
        place.runs(3)
        run_monitors(place.site)
        lines = standing(place.site).lines
        assert {line.item.name for line in lines} == {item.name for item in shipped.items}
        assert all(line.last_run_at == place.site.now() for line in lines)
        assert _self_test(place).ok
        place.clock.forward(hours=25)
        assert not standing(place.site).is_covered
        assert not _self_test(place).ok
        shown = bytes(exposition(place.site).body).decode()
        count = float(len(shipped.items))
        assert f'osteon_monitor_items{{condition="stopped",plugin="trial"}} {count}' in shown
        raised = run_monitors(place.site)
        assert set(raised) == {
            alarm_name(f"stopped-{item.name}", place.digest) for item in shipped.items
        }
        shown = bytes(exposition(place.site).body).decode()
        assert f'osteon_alarms_open{{plugin="trial"}} {count}' in shown
        assert state_of(place.site, place.digest) == "active"


def _self_test(place: Monitored) -> Check:
    (found,) = [check for check in examine(place.site) if check.name == "monitors"]
    return found


def test_an_outage_of_all_monitors_is_seen_at_the_next_start(place: Monitored) -> None:
    """Nobody ran them for two days: every item says so, and then runs."""
    run_monitors(place.site)
    place.clock.forward(hours=48)
    raised = run_monitors(place.site)
    assert raised == tuple(alarm_name(f"stopped-{i.name}", place.digest) for i in PLAN.items)
    assert _row(place, "input").last_run_at == place.site.now()


@pytest.mark.reg("MDR-PMS")
def test_a_risen_rate_of_refusals_notifies_and_suspends_nothing(place: Monitored) -> None:
    """Refusals have no statistics; their item counts them all the same."""
    for _ in range(30):
        place.run("refused")
    assert run_monitors(place.site) == (alarm_name("refusals", place.digest),)
    assert state_of(place.site, place.digest) == "active"


def test_agreement_is_watched_against_the_first_cases(tmp_path: Path) -> None:
    """Twenty assessed cases are the window; a fall of the Dice afterwards alarms."""
    item = Item("agreement", AGREEMENT, ("dsc",), FIRST, 2000.0, NOTIFY, "clinician", 20)
    with monitored_site(tmp_path, Plan("trial", (item,))) as place:
        for number in range(50):
            value = float(place.generator.normal(0.9 if number < 35 else 0.5, 0.03))
            reviewed(place, place.run(), value)
            if number == 34:
                assert run_monitors(place.site) == ()
        assert run_monitors(place.site) == (alarm_name("agreement", place.digest),)


@pytest.mark.reg("AIA-72.1")
def test_contours_that_are_all_three_millimetres_off_alarm_within_fifteen(tmp_path: Path) -> None:
    """The shipped item for shifts: 60 first cases, quiet for 40, then 3 mm towards the head."""
    (item,) = (one for one in default_plan("trial").items if one.name == "shift")
    with monitored_site(tmp_path, Plan("trial", (item,))) as place:
        for number in range(115):
            x, y, z = place.generator.normal(0, 1.0, 3)
            reviewed(place, place.run(), 0.9, (x, y, z + (3.0 if number >= 100 else 0.0)))
            if number == 99:
                assert run_monitors(place.site) == ()
        assert run_monitors(place.site) == (alarm_name("shift", place.digest),)
        with place.site.database.reading() as transaction:
            found = transaction.governed(KIND, alarm_name("shift", place.digest))
        assert found is not None
        assert found.content["detector"] == "shift_z_mm"


def test_outcomes_that_no_longer_follow_the_risk_alarm(tmp_path: Path) -> None:
    """Calibrated first cases, then labels without relation; late ones wait for their time."""
    item = Item(
        "outcome", OUTCOME, (RISK,), FIRST, 2000.0, NOTIFY, "physicist", 60,
        horizon_days=30.0, grace_days=5.0,
    )  # fmt: skip
    with monitored_site(tmp_path, Plan("trial", (item,))) as place:
        generator = place.generator
        for number in range(240):
            run_id, risk = place.run(), float(generator.beta(1, 2))
            chance = risk if number < 120 else 1 - risk
            seen = place.clock() + timedelta(days=31)
            told = Outcome(run_id, bool(generator.random() < chance), seen, seen)
            early = told.event
            told = replace(told, seen_at=place.clock() + timedelta(days=3)) if early else told
            with place.site.database.transaction() as transaction:
                assert transaction.put_outcome(told, risk)
                assert not transaction.put_outcome(told, risk)
        assert run_monitors(place.site) == ()
        place.clock.forward(days=40)
        release = watched(place.site)[0]
        assert run_item(place.site, release, item) == (alarm_name("outcome", place.digest),)


def test_a_new_plan_is_a_new_revision_on_record(place: Monitored) -> None:
    """The plan in force is the governed one; roles that may not plan are refused."""
    changed = Plan("trial", (replace(PLAN.items[0], limit=5000.0), *PLAN.items[1:]))
    with pytest.raises(RefusalError):
        set_plan(place.site, "trial", place.digest, changed, CLINICIAN)
    assert set_plan(place.site, "trial", place.digest, changed, PHYSICIST).revision == 2
    with place.site.database.reading() as transaction:
        assert plan_of(place.site, transaction, "trial", place.digest) == changed
    place.runs(3)
    run_monitors(place.site)
    assert _row(place, "input").cases == 3


def test_a_release_without_a_window_is_blind_and_says_so(place: Monitored) -> None:
    """No window, no alarm, and the item does not claim to watch."""
    bare = Watched(watched(place.site)[0].deployment, PLAN, None)
    place.runs(5)
    assert run_item(place.site, bare, PLAN.items[0]) == ()
    assert _row(place, "input").condition == "blind"
