"""Exactly one release of a plugin has its results leave; the others run beside it in shadow."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.canary import (
    COURSE,
    CourseRow,
    StudyKey,
    assign,
    course_of,
    point,
    takes,
)
from governance.lifecycle import STATES
from governance.ports import Deployment
from tests.simulators.office import NOW, Office

V1, V2, V3 = ("sha256:" + digit * 64 for digit in "123")
STUDY = StudyKey("hmac:v1:" + "a" * 32, "CT-7", ("STATION-1",))


def deployment(digest: str, state: str, share: float = 1.0, **evidence: str) -> Deployment:
    """Return the state of a release."""
    return Deployment("site", "knee", digest, state, share, NOW, "anna", evidence)


def plan(*deployments: Deployment, course: str = "", bad: str = "", study: StudyKey = STUDY):  # type: ignore[no-untyped-def]
    """Return the plan as (digest, kind, why), and the code where nothing is live."""
    found = assign(deployments, study, course, lambda item: item.release_digest != bad)
    lines = [(a.release_digest, a.kind, a.why) for a in found.assignments]
    return lines, found.unserved, found.about


def test_the_active_release_runs_alone_or_with_one_in_shadow() -> None:
    """The active one is live; a release in shadow runs besides, and withheld."""
    assert plan(deployment(V1, "active")) == ([(V1, "live", "ACTIVE")], "", "")
    lines, unserved, _ = plan(deployment(V1, "active"), deployment(V2, "shadow"))
    assert lines == [(V1, "live", "ACTIVE"), (V2, "shadow", "UNDER_TEST")]
    assert unserved == ""


def test_a_canary_takes_its_studies_and_the_active_one_compares() -> None:
    """In the canary's share the canary is live and the active release runs in shadow."""
    active = deployment(V1, "active")
    assert plan(active, deployment(V2, "canary", 1.0))[0] == [
        (V2, "live", "CANARY"),
        (V1, "shadow", "COMPARISON"),
    ]
    assert plan(active, deployment(V2, "canary", 0.0))[0] == [(V1, "live", "ACTIVE")]


def test_named_devices_go_to_the_canary_instead_of_a_share() -> None:
    """A sender or station that is named is the canary's; all others are not."""
    named = deployment(V2, "canary", 1.0, devices="CT-9+STATION-1")
    assert takes(named, STUDY)
    assert not takes(named, replace(STUDY, stations=()))
    assert takes(named, replace(STUDY, sender="CT-9", stations=()))


@given(st.text(min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_a_share_is_decided_by_the_patient_and_not_by_chance(key: str, share: float) -> None:
    """The same patient always goes the same way, and a larger share only adds patients."""
    study = StudyKey(key)
    first = takes(deployment(V2, "canary", share), study)
    assert takes(deployment(V2, "canary", share), study) is first
    assert 0.0 <= point(V2, key) < 1.0
    if first:
        assert takes(deployment(V2, "canary", min(1.0, share * 1.5)), study)


def test_a_share_comes_out_as_stated() -> None:
    """Of 20,000 patients a share of 0.1 takes a tenth (within five standard errors)."""
    canary = deployment(V2, "canary", 0.1)
    taken = sum(takes(canary, StudyKey(f"hmac:v1:{number:032x}")) for number in range(20_000))
    assert abs(taken / 20_000 - 0.1) < 5 * (0.1 * 0.9 / 20_000) ** 0.5


@pytest.mark.parametrize("state", ["active", "canary", "standby"])
def test_a_patient_in_course_stays_on_the_release(state: str) -> None:
    """Whatever is active now, the release that the patient began with runs, while it may."""
    now = V1 if state == "active" else V2
    others = () if state == "active" else (deployment(V2, "active"),)
    lines, unserved, _ = plan(deployment(V1, state), *others, course=V1)
    assert lines[0] == (V1, "live", "IN_COURSE")
    assert unserved == ""
    assert now in (V1, V2)


@pytest.mark.parametrize("state", ["suspended", "retired", "approved", "shadow"])
def test_a_course_on_a_release_that_is_gone_needs_a_physician(state: str) -> None:
    """No silent change of the model in mid-course: the study waits for a decision."""
    lines, unserved, about = plan(deployment(V1, state), deployment(V2, "active"), course=V1)
    assert [line for line in lines if line[1] == "live"] == []
    assert (unserved, about) == ("COURSE_NEEDS_DECISION", V1)


def test_what_is_not_authorised_does_not_run() -> None:
    """A lapsed certificate ends the use of the active release; a canary is no substitute."""
    assert plan(deployment(V1, "active"), bad=V1) == ([], "NOT_AUTHORISED", V1)
    assert plan(deployment(V1, "active"), deployment(V2, "shadow"), bad=V2)[0] == [
        (V1, "live", "ACTIVE")
    ]
    canary = deployment(V2, "canary", 0.0)
    assert plan(canary) == ([], "OUTSIDE_CANARY", V2)
    assert plan() == ([], "NOTHING_ACTIVE", "")


@given(
    st.lists(st.sampled_from(STATES), min_size=3, max_size=3),
    st.sampled_from(("", V1, V2, V3)),
    st.sampled_from(("", V1, V2, V3)),
    st.text(max_size=8),
)
def test_never_more_than_one_release_is_live(
    states: list[str], course: str, bad: str, key: str
) -> None:
    """Whatever the states, at most one result of a plugin leaves, and no release runs twice."""
    deployments = [
        deployment(digest, state, 0.5) for digest, state in zip((V1, V2, V3), states, strict=True)
    ]
    lines, unserved, _ = plan(*deployments, course=course, bad=bad, study=StudyKey(key))
    live = [line for line in lines if line[1] == "live"]
    assert len(live) <= 1
    assert bool(live) is (unserved == "")
    assert len({digest for digest, _, _ in lines}) == len(lines)
    assert bad not in {digest for digest, _, _ in lines if bad}


def test_a_course_is_the_release_of_its_first_result() -> None:
    """The first release of the running course counts, until a physician decides otherwise."""
    day = timedelta(days=1)
    since = NOW - 60 * day
    rows = (
        CourseRow(V1, NOW - 40 * day, NOW - 30 * day),
        CourseRow(V2, NOW - 5 * day, NOW - 5 * day),
        CourseRow(V3, NOW - 400 * day, NOW - 300 * day),
    )
    office = Office()
    assert course_of(office, "knee/p", rows, since) == V1
    assert course_of(office, "knee/p", rows[2:], since) == ""
    assert course_of(office, "knee/p", (), since) == ""
    office.put_governed(COURSE, "knee/p", {"release_digest": V2, "reason": "x"}, "doc", NOW)
    assert course_of(office, "knee/p", rows, since) == V2
    office.put_governed(COURSE, "knee/p", {"release_digest": "", "reason": "x"}, "doc", NOW)
    assert course_of(office, "knee/p", rows, since) == ""
