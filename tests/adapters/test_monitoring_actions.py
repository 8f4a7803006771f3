"""What the plan lets the service do about an alarm, with which evidence, and who closes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.governance.acts import waive
from adapters.governance.rolling_back import Wish, rollback
from adapters.monitoring.alarming import alarm_name, decide, follow_up
from adapters.monitoring.plans import set_plan
from adapters.monitoring.running import run_monitors
from audit.errors import RefusalError
from governance.monitoring.actions import POLICIES, REQUEST
from governance.monitoring.plan import ACTIONS, ROLLBACK, Plan
from governance.monitoring.reevaluation import KIND
from governance.ports import GovernedDocument
from tests.simulators.governed_site import APPROVER, PHYSICIST, add_release, records, state_of
from tests.simulators.monitored_site import PLAN, Monitored, monitored_site, reference_for

ASKS = Plan("trial", (replace(PLAN.items[0], action=ROLLBACK),))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Monitored]:
    """A site with an active release, its window and its plan."""
    with monitored_site(tmp_path) as opened:
        yield opened


def _document(place: Monitored, kind: str, name: str) -> GovernedDocument:
    with place.site.database.reading() as transaction:
        found = transaction.governed(kind, name)
    assert found is not None
    return found


def _alarmed(place: Monitored) -> str:
    place.runs(20)
    run_monitors(place.site)
    place.runs(10, kernel="B70")
    (name,) = run_monitors(place.site)
    return name


def _window(place: Monitored) -> bytes:
    return json.dumps(reference_for(place)).encode()


def test_every_action_of_a_plan_has_its_line_in_the_table() -> None:
    """What a plan may state, and what the service does then, are the same list."""
    assert set(POLICIES) == set(ACTIONS)


@pytest.mark.reg("AIA-9.1")
def test_a_suspension_by_plan_bears_the_evidence_of_its_alarm(place: Monitored) -> None:
    """The service suspends; state and record name the alarm, its digest and what passed what."""
    name = _alarmed(place)
    assert state_of(place.site, place.digest) == "suspended"
    with place.site.database.reading() as transaction:
        (deployment,) = transaction.deployments()
        (first, *_) = transaction.governed_history(KIND, name)
    assert deployment.evidence["alarm"] == name
    assert deployment.evidence["alarm_sha256"] == first.digest
    assert deployment.evidence["alarm_detector"] == "ct_convolution_kernel"
    passed = float(deployment.evidence["alarm_evidence"])
    assert passed >= float(deployment.evidence["alarm_threshold"]) > 2000
    record = records(place.site, "lifecycle")[-1]
    assert record.actor.role == "service"
    assert record.body["action"] == "suspend"
    assert "alarm_sha256" in record.body["evidence"]


@pytest.mark.reg("AIA-9.1")
def test_a_release_brought_back_in_spite_of_an_alarm_stays(place: Monitored) -> None:
    """A person goes on by a waiver: the open alarm does not suspend a second time."""
    _alarmed(place)
    place.clock.forward(hours=1)
    waive(place.site, place.digest, APPROVER, "scanner checked", timedelta(days=3))
    follow_up(place.site)
    run_monitors(place.site)
    assert state_of(place.site, place.digest) == "active"


def test_the_plan_asks_for_a_rollback_and_nothing_is_switched(tmp_path: Path) -> None:
    """The request names the release on standby; only a rollback that was done closes as one."""
    with monitored_site(tmp_path) as place:
        site, left = place.site, place.digest
        newer = add_release(site, "2.0.0")
        waive(site, newer, APPROVER, "newer", timedelta(days=90))
        place.digest = newer
        site.registry.attach(newer, "reference_window.json", _window(place))
        set_plan(site, "trial", newer, ASKS, PHYSICIST)
        place.clock.forward(minutes=1)
        name = _alarmed(place)
        asked = _document(place, REQUEST, name)
        assert (asked.content["state"], asked.content["to"]) == ("asked", left)
        assert asked.recorded_by.startswith("service:")
        assert (state_of(site, newer), state_of(site, left)) == ("active", "standby")
        follow_up(site)
        assert _document(place, REQUEST, name).revision == 1
        with pytest.raises(RefusalError) as caught:
            decide(site, name, "rollback", "gone back", PHYSICIST)
        assert caught.value.reasons == ("ROLLBACK_MISSING",)
        place.clock.forward(hours=1)
        rollback(site, "trial", PHYSICIST, Wish("drift", to=left))
        closed = decide(site, name, "rollback", "gone back", PHYSICIST)
        assert closed.content["state"] == "decided"
        assert _document(place, REQUEST, name).content["state"] == "done"


def test_a_request_without_a_release_on_standby_says_so(tmp_path: Path) -> None:
    """Nothing to go back to: the request is there, and a decision to keep declines it."""
    with monitored_site(tmp_path, ASKS) as place:
        name = _alarmed(place)
        assert _document(place, REQUEST, name).content["to"] == ""
        assert state_of(place.site, place.digest) == "active"
        decide(place.site, name, "keep", "kernel of a research protocol", PHYSICIST)
        assert _document(place, REQUEST, name).content["state"] == "declined"


def test_who_registered_the_release_does_not_close_what_suspended_it(tmp_path: Path) -> None:
    """Four eyes: the physicist who brought the release here leaves the decision to another."""
    with monitored_site(tmp_path) as place:
        own = add_release(place.site, "3.0.0", person="physicist")
        waive(place.site, own, APPROVER, "own", timedelta(days=90))
        place.digest = own
        place.site.registry.attach(own, "reference_window.json", _window(place))
        set_plan(place.site, "trial", own, PLAN, PHYSICIST)
        place.clock.forward(minutes=1)
        name = _alarmed(place)
        assert name == alarm_name("input", own)
        with pytest.raises(RefusalError) as caught:
            decide(place.site, name, "false-alarm", "nothing there", PHYSICIST)
        assert caught.value.reasons == ("BUILDER_MAY_NOT_DECIDE",)
        assert decide(place.site, name, "keep", "checked", APPROVER).content["decision"] == "keep"
