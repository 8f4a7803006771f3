"""What may become active, by whom and on which evidence, is one table; the rest is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from audit.errors import NotActiveError, NotFoundError, RefusalError
from governance.deployment import (
    Decision,
    activate_by_waiver,
    active_release,
    active_releases,
    move,
    past_of,
    register,
    registered_by,
    retire,
    suspend,
)
from governance.lifecycle import Past, transition
from governance.ports import Deployment, DeploymentStore
from tests.simulators.office import NOW, Office

LATER = NOW + timedelta(days=30)
DECISION = Decision("site", "research", "a-17", "approver", NOW)
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.fixture
def store() -> Office:
    """Return a store with two registered releases of one plugin."""
    found = Office()
    port: DeploymentStore = found
    for digest in (ONE, TWO):
        register(port, DECISION, "knee", digest)
    return found


def _holds(digest: str) -> bool:
    """Say that the certificate of ONE holds, and of no other."""
    return digest == ONE


def _waive(store: Office, digest: str, **changes: object) -> Deployment:
    decision = replace(DECISION, **{k: v for k, v in changes.items() if k != "reason"})  # type: ignore[arg-type]
    reason = str(changes.get("reason", "first site test"))
    return activate_by_waiver(store, decision, digest, reason=reason, expires_at=LATER)[
        -1
    ].deployment


def _active(store: Office, now: datetime = NOW, mode: str = "research") -> list[str]:
    found = active_releases(store, "site", now, mode=mode, certified=_holds)
    return [item.release_digest for item in found]


def test_waiver_makes_a_registered_release_active(store: Office) -> None:
    """In research mode person, reason and expiry make a release active, and are kept."""
    assert _active(store) == []
    deployment = _waive(store, ONE)
    assert (deployment.state, deployment.share, deployment.decided_by) == ("active", 1.0, "a-17")
    assert deployment.evidence["waiver_reason"] == "first site test"
    assert deployment.evidence["expires_at"] == LATER.isoformat()
    assert _active(store) == [ONE]
    assert (
        active_release(store, "site", "knee", NOW, mode="research", certified=_holds) == deployment
    )


def test_expired_waiver_counts_no_longer(store: Office) -> None:
    """At the moment of expiry the release is not active any more, without anyone acting."""
    _waive(store, ONE)
    assert _active(store, LATER - timedelta(seconds=1)) == [ONE]
    assert _active(store, LATER) == []
    with pytest.raises(NotActiveError):
        active_release(store, "site", "knee", LATER, mode="research", certified=_holds)


def test_nothing_waived_is_active_in_clinical_mode(store: Office) -> None:
    """A site that turns clinical has no active release until there is a certificate."""
    _waive(store, ONE)
    assert _active(store, mode="clinical") == []
    with pytest.raises(RefusalError) as caught:
        _waive(store, TWO, mode="clinical")
    assert caught.value.reasons == ("MODE_NOT_PERMITTED",)


def test_active_release_of_another_site_does_not_count(store: Office) -> None:
    """Deployments are of one site."""
    _waive(store, ONE)
    assert active_releases(store, "elsewhere", NOW, mode="research", certified=_holds) == ()


def test_new_release_puts_the_old_one_on_standby_and_back(store: Office) -> None:
    """One release of a plugin is active; going back is the same rule in the other direction."""
    _waive(store, ONE)
    _waive(store, TWO)
    assert _active(store) == [TWO]
    states = {row.release_digest: row for row in store.deployments("knee")}
    assert states[ONE].state == "standby"
    assert states[ONE].evidence["superseded_by"] == TWO
    _waive(store, ONE)
    assert _active(store) == [ONE]
    assert [row.state for row in store.deployment_history("knee")] == [
        *("registered", "registered", "active", "standby", "active", "standby", "active"),
    ]


def test_waiver_can_be_renewed(store: Office) -> None:
    """A second waiver before the expiry of the first extends it."""
    _waive(store, ONE)
    again = activate_by_waiver(
        store, DECISION, ONE, reason="longer", expires_at=LATER + timedelta(days=30)
    )
    assert _active(store, LATER) == [ONE]
    assert again[-1].deployment.evidence["waiver_reason"] == "longer"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"role": "clinician"}, "ROLE_NOT_PERMITTED"),
        ({"role": "service"}, "ROLE_NOT_PERMITTED"),
        ({"reason": "  "}, "EVIDENCE_MISSING"),
        ({"person": ""}, "EVIDENCE_MISSING"),
        ({"decided_at": LATER}, "WAIVER_EXPIRED"),
    ],
)
def test_incomplete_waiver_is_refused(
    store: Office, changes: dict[str, object], reason: str
) -> None:
    """Without right, reason, person or time left nothing changes."""
    before = list(store.rows)
    with pytest.raises(RefusalError) as caught:
        _waive(store, ONE, **changes)
    assert reason in caught.value.reasons
    assert store.rows == before


def test_suspended_and_retired_releases_do_not_run(store: Office) -> None:
    """A stop works at once; a retired release never comes back."""
    _waive(store, ONE)
    suspend(store, replace(DECISION, role="clinician"), ONE, reason="odd contours")
    assert _active(store) == []
    _waive(store, ONE)
    retire(store, DECISION, ONE, reason="replaced")
    assert _active(store) == []
    with pytest.raises(RefusalError, match="one can do nothing"):
        _waive(store, ONE)


def test_unknown_release_cannot_be_decided_on(store: Office) -> None:
    """A release that was never registered cannot become active."""
    with pytest.raises(NotFoundError):
        _waive(store, "sha256:" + "3" * 64)


def test_registering_twice_changes_nothing(store: Office) -> None:
    """Adding a release again keeps its state."""
    _waive(store, ONE)
    assert register(store, DECISION, "knee", ONE).state == "active"
    assert len(store.rows) == 3


CERTIFICATE = {"certificate": "sha256:c", "certificate_id": "cert-1"}


def _through(store: Office, digest: str, *acts: str, **evidence: str) -> Deployment:
    """Take a release through acts of the table by a person in the first role of each row."""
    present = next(item for item in store.deployments() if item.release_digest == digest)
    for act in acts:
        row = transition(act, present.state, past_of(store, present))
        decision = replace(DECISION, mode="clinical", role=row.persons[0][0])
        given = dict.fromkeys(row.evidence, "x") | evidence
        given |= CERTIFICATE if act in ("certify", "approve") else {}
        present = move(store, decision, present, row, given)[-1].deployment
    return present


def test_a_certificate_stays_with_the_release_on_its_way(store: Office) -> None:
    """From validated on the release runs on its certificate, and only while that holds."""
    _through(store, ONE, "certify", "approve", "activate")
    assert _active(store, mode="clinical") == [ONE]
    canary = _through(store, TWO, "certify", "approve", "shadow", "canary", share="0.25")
    assert (canary.state, canary.share) == ("canary", 0.25)
    _through(store, TWO, "activate")
    states = {row.release_digest: row for row in store.deployments("knee")}
    assert (states[ONE].state, states[TWO].state) == ("standby", "active")
    assert states[ONE].evidence["certificate"] == states[TWO].evidence["certificate"]
    assert _active(store, mode="clinical") == []  # the certificate of TWO does not hold
    _through(store, ONE, "rollback")
    assert _active(store, mode="clinical") == [ONE]


def test_the_release_that_is_left_can_be_suspended_in_the_same_step(store: Office) -> None:
    """Where it was left for cause it does not wait on standby."""
    _through(store, ONE, "certify", "approve", "activate")
    _through(store, TWO, "certify", "approve", "shadow", "canary", "activate")
    present = next(item for item in store.deployments() if item.release_digest == ONE)
    row = transition("rollback", "standby", past_of(store, present))
    decision = replace(DECISION, mode="clinical", role="physicist")
    changed = move(store, decision, present, row, {"reason": "odd contours"}, leave="suspend")
    assert [(item.deployment.release_digest, item.deployment.state) for item in changed] == [
        (TWO, "suspended"),
        (ONE, "active"),
    ]


def test_a_waived_release_goes_on_by_its_certificate(store: Office) -> None:
    """Approved while active, the waiver no longer counts: the certificate does."""
    _waive(store, ONE)
    present = _through(store, ONE, "approve")
    assert present.state == "active"
    assert "expires_at" not in present.evidence
    assert _active(store, LATER, mode="clinical") == [ONE]


def test_what_was_active_before_is_remembered(store: Office) -> None:
    """The plugin's past and the release's are told apart; who registered it stays known."""
    one, two = store.deployments("knee")
    assert past_of(store, one) == Past(False, False)
    _waive(store, ONE)
    assert past_of(store, one) == Past(True, True)
    assert past_of(store, two) == Past(True, False)
    assert registered_by(store, one) == "a-17"
