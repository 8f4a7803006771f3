"""Rules by which a site acts by itself: it suspends, on record, and never switches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.compose import Site
from adapters.governance.acts import act
from adapters.governance.alarming import close_alarm, heed_alarms, raise_alarm
from adapters.governance.comparing import BELOW_FLOOR, compare_pairs
from adapters.governance.promoting import activate, start_canary, start_shadow
from audit.errors import NotFoundError, RefusalError
from governance.alarms import SUSPENDED_BY
from governance.change.stops import known_stops
from tests.simulators.governed_site import (
    ADMINISTRATOR,
    APPROVER,
    CLINICIAN,
    ENGINEER,
    PHYSICIST,
    Clock,
    add_release,
    approved,
    governed_site,
    records,
    state_of,
)
from tests.simulators.paired_studies import answer_runs, compare_studies, send_study

Place = tuple[Site, Clock]
PAIRS = 3


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A research site with one active release."""
    with governed_site(tmp_path, governance={"minimum_pairs": PAIRS}) as (site, clock):
        one = approved(site, add_release(site, "1.0.0"))
        activate(site, one, APPROVER, "first")
        clock.forward(minutes=1)
        yield site, clock


def canary(place: Place) -> str:
    """Return a release that runs as canary for every study."""
    site, clock = place
    two = approved(site, add_release(site, "2.0.0"))
    start_shadow(site, two, APPROVER, "look")
    compare_studies(site, clock, PAIRS)
    start_canary(site, two, APPROVER, "look closer", 1.0)
    return two


def active(site: Site) -> list[str]:
    """Return the versions that are active."""
    with site.database.reading() as transaction:
        versions = {row.digest: row.version for row in transaction.releases()}
        return [
            versions[d.release_digest] for d in transaction.deployments() if d.state == "active"
        ]


def differ(place: Place, count: int) -> None:
    """Let the canary and the active release answer studies and agree on a half."""
    site, clock = place
    for _ in range(count):
        assert answer_runs(site, send_study(site, clock), missed=6) == 2
    assert compare_pairs(site) == count


def test_a_canary_stops_by_itself_when_the_lower_limit_is_crossed(place: Place) -> None:
    """Two releases that agree on a quarter of the voxels: suspended by rule, nothing switched."""
    site, _ = place
    two = canary(place)
    compare_studies(site, place[1], PAIRS)
    assert state_of(site, two) == "canary"
    differ(place, 2)
    assert state_of(site, two) == "suspended"
    assert active(site) == ["1.0.0"]
    last = records(site, "lifecycle")[-1]
    assert (last.actor.id, last.body["action"]) == ("service:governance", "suspend")
    assert last.body["evidence"]["reason"] == BELOW_FLOOR


def test_a_site_may_leave_the_stopping_to_persons(place: Place) -> None:
    """With the rule switched off the canary goes on, and cannot become active."""
    site, clock = place
    section = site.configuration.governance.model_copy(update={"stop_canary": False})
    site = replace(
        site, configuration=site.configuration.model_copy(update={"governance": section})
    )
    two = canary((site, clock))
    differ((site, clock), PAIRS)
    assert state_of(site, two) == "canary"
    with pytest.raises(RefusalError) as caught:
        activate(site, two, APPROVER, "in spite of all")
    assert caught.value.reasons == ("AGREEMENT_BELOW_FLOOR",)


def alarmed(site: Site, *, on: bool) -> Site:
    """Return the site with the rule on alarms on or off."""
    section = site.configuration.governance.model_copy(update={"suspend_on_alarm": on})
    return replace(
        site, configuration=site.configuration.model_copy(update={"governance": section})
    )


@pytest.mark.reg("AIA-20")
def test_an_alarm_suspends_only_where_the_site_says_so(place: Place) -> None:
    """Off by default; on, what runs is suspended, and no other release takes its place."""
    site, _ = place
    assert not site.configuration.governance.suspend_on_alarm
    with site.database.reading() as transaction:
        (one,) = (d.release_digest for d in transaction.deployments() if d.state == "active")
    raise_alarm(site, "drift-1", one, PHYSICIST, "volumes rise")
    assert heed_alarms(site) == ()
    assert state_of(site, one) == "active"
    site = alarmed(site, on=True)
    assert heed_alarms(site) == (one,)
    assert (state_of(site, one), active(site)) == ("suspended", [])
    assert heed_alarms(site) == ()
    last = records(site, "lifecycle")[-1]
    assert last.body["evidence"]["reason"] == SUSPENDED_BY
    assert last.body["evidence"]["alarm"] == "drift-1"


def test_a_release_that_came_after_an_alarm_is_not_suspended_for_it(place: Place) -> None:
    """Who makes a release active again in spite of an open alarm has decided; a new one counts."""
    site, clock = place
    site = alarmed(site, on=True)
    two = approved(site, add_release(site, "2.0.0"))
    start_shadow(site, two, APPROVER, "look")
    raise_alarm(site, "drift-1", two, CLINICIAN, "odd")
    clock.forward(minutes=1)
    assert heed_alarms(site) == (two,)
    approved(site, two)
    start_shadow(site, two, APPROVER, "again")
    assert heed_alarms(site) == ()
    clock.forward(minutes=1)
    raise_alarm(site, "drift-2", two, CLINICIAN, "odd again")
    assert heed_alarms(site) == (two,)


def test_who_raises_an_alarm_and_who_decides_on_it(place: Place) -> None:
    """A name, a reason and a role; an alarm that is open bars the next step until it is closed."""
    site, clock = place
    two = canary(place)
    compare_studies(site, clock, PAIRS)
    for name, person, reason, code in (
        ("drift-1", ADMINISTRATOR, "x", "ROLE_NOT_PERMITTED"),
        ("drift-1", ENGINEER, " ", "EVIDENCE_MISSING"),
        ("../drift", ENGINEER, "x", "ALARM_NAME"),
    ):
        with pytest.raises(RefusalError) as caught:
            raise_alarm(site, name, two, person, reason)
        assert caught.value.reasons == (code,)
    with pytest.raises(NotFoundError):
        close_alarm(site, "drift-1", PHYSICIST, "x")
    raise_alarm(site, "drift-1", two, ENGINEER, "volumes rise")
    with site.database.reading() as transaction:
        assert known_stops(transaction, "trial", None, site.now(), 0)["drift_alarm_open"]
    with pytest.raises(RefusalError) as caught:
        activate(site, two, APPROVER, "now")
    assert caught.value.reasons == ("ALARM_OPEN",)
    with pytest.raises(RefusalError) as caught:
        close_alarm(site, "drift-1", ENGINEER, "looked")
    assert caught.value.reasons == ("ROLE_NOT_PERMITTED",)
    close_alarm(site, "drift-1", PHYSICIST, "a new scanner, as expected")
    activate(site, two, APPROVER, "now")
    assert active(site) == ["2.0.0"]
    said = [record.body["document"] for record in records(site, "governed")]
    assert said.count("alarm") == 2


def test_certificates_are_judged_again_while_a_site_runs(place: Place) -> None:
    """A certificate that ends takes its release out of use at the next look, once on record."""
    from adapters.governance.certifying import watch_certificates

    site, clock = place
    with site.database.reading() as transaction:
        (one,) = (d.release_digest for d in transaction.deployments() if d.state == "active")
    assert watch_certificates(site) == ()
    clock.forward(days=366)
    assert [watch_certificates(site) for _ in range(2)] == [(one,), (one,)]
    told = [record.body for record in records(site, "guard")]
    assert len(told) == 1
    study = send_study(site, clock)
    with site.database.reading() as transaction:
        assert transaction.runs_for_study(study, "trial") == ()
    assert records(site, "route_decision")[-1].body["assigned"] == "NOT_AUTHORISED"
    assert act(site, "suspend", one, CLINICIAN, {"reason": "expired"}).state == "suspended"
    assert timedelta(days=365) < clock() - records(site, "lifecycle")[0].recorded_at
