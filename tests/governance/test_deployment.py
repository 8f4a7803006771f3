"""What may become active, by whom and on which evidence, is one table; the rest is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit.errors import NotActiveError, NotFoundError, RefusalError
from governance.deployment import (
    Decision,
    activate_by_waiver,
    active_release,
    active_releases,
    register,
    retire,
    suspend,
)
from governance.lifecycle import SITE_MODES, STATES, TRANSITIONS, check_transition
from governance.ports import Deployment, DeploymentStore

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
DECISION = Decision("site", "research", "a-17", "approver", NOW)
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


class MemoryStore:
    """Deployments in a list, as the port asks for."""

    def __init__(self) -> None:
        self.rows: list[Deployment] = []

    def deployments(self, plugin: str | None = None) -> tuple[Deployment, ...]:
        """Return the newest row of every release."""
        newest = {(row.site, row.release_digest): row for row in self.rows}
        return tuple(row for row in newest.values() if plugin in (None, row.plugin))

    def deployment_history(self, plugin: str) -> tuple[Deployment, ...]:
        """Return every row of the plugin."""
        return tuple(row for row in self.rows if row.plugin == plugin)

    def put_deployment(self, deployment: Deployment) -> None:
        """Add a row."""
        self.rows.append(deployment)


@pytest.fixture
def store() -> MemoryStore:
    """Return a store with two registered releases of one plugin."""
    found = MemoryStore()
    port: DeploymentStore = found
    for digest in (ONE, TWO):
        register(port, DECISION, "knee", digest)
    return found


def _waive(store: MemoryStore, digest: str, **changes: object) -> Deployment:
    decision = replace(DECISION, **{k: v for k, v in changes.items() if k != "reason"})  # type: ignore[arg-type]
    reason = str(changes.get("reason", "first site test"))
    return activate_by_waiver(store, decision, digest, reason=reason, expires_at=LATER)


def _active(store: MemoryStore, now: datetime = NOW, mode: str = "research") -> list[str]:
    return [item.release_digest for item in active_releases(store, "site", now, mode=mode)]


def test_waiver_makes_a_registered_release_active(store: MemoryStore) -> None:
    """In research mode person, reason and expiry make a release active, and are kept."""
    assert _active(store) == []
    deployment = _waive(store, ONE)
    assert (deployment.state, deployment.share, deployment.decided_by) == ("active", 1.0, "a-17")
    assert deployment.evidence["waiver_reason"] == "first site test"
    assert deployment.evidence["expires_at"] == LATER.isoformat()
    assert _active(store) == [ONE]
    assert active_release(store, "site", "knee", NOW, mode="research") == deployment


def test_expired_waiver_counts_no_longer(store: MemoryStore) -> None:
    """At the moment of expiry the release is not active any more, without anyone acting."""
    _waive(store, ONE)
    assert _active(store, LATER - timedelta(seconds=1)) == [ONE]
    assert _active(store, LATER) == []
    with pytest.raises(NotActiveError):
        active_release(store, "site", "knee", LATER, mode="research")


def test_nothing_waived_is_active_in_clinical_mode(store: MemoryStore) -> None:
    """A site that turns clinical has no active release until there is a certificate."""
    _waive(store, ONE)
    assert _active(store, mode="clinical") == []
    with pytest.raises(RefusalError) as caught:
        _waive(store, TWO, mode="clinical")
    assert caught.value.reasons == ("MODE_NOT_PERMITTED",)


def test_active_release_of_another_site_does_not_count(store: MemoryStore) -> None:
    """Deployments are of one site."""
    _waive(store, ONE)
    assert active_releases(store, "elsewhere", NOW, mode="research") == ()


def test_new_release_puts_the_old_one_on_standby_and_back(store: MemoryStore) -> None:
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


def test_waiver_can_be_renewed(store: MemoryStore) -> None:
    """A second waiver before the expiry of the first extends it."""
    _waive(store, ONE)
    again = activate_by_waiver(
        store, DECISION, ONE, reason="longer", expires_at=LATER + timedelta(days=30)
    )
    assert _active(store, LATER) == [ONE]
    assert again.evidence["waiver_reason"] == "longer"


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
    store: MemoryStore, changes: dict[str, object], reason: str
) -> None:
    """Without right, reason, person or time left nothing changes."""
    before = list(store.rows)
    with pytest.raises(RefusalError) as caught:
        _waive(store, ONE, **changes)
    assert reason in caught.value.reasons
    assert store.rows == before


def test_suspended_and_retired_releases_do_not_run(store: MemoryStore) -> None:
    """A stop works at once; a retired release never comes back."""
    _waive(store, ONE)
    suspend(store, replace(DECISION, role="clinician"), ONE, reason="odd contours")
    assert _active(store) == []
    _waive(store, ONE)
    retire(store, DECISION, ONE, reason="replaced")
    assert _active(store) == []
    with pytest.raises(RefusalError, match="to nowhere"):
        _waive(store, ONE)


def test_unknown_release_cannot_be_decided_on(store: MemoryStore) -> None:
    """A release that was never registered cannot become active."""
    with pytest.raises(NotFoundError):
        _waive(store, "sha256:" + "3" * 64)


def test_registering_twice_changes_nothing(store: MemoryStore) -> None:
    """Adding a release again keeps its state."""
    _waive(store, ONE)
    assert register(store, DECISION, "knee", ONE).state == "active"
    assert len(store.rows) == 3


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_only_the_table_permits(before: str, after: str) -> None:
    """Each pair of states is permitted with its row's needs and refused without them."""
    everything = dict.fromkeys(
        ("reason", "superseded_by", "waiver_person", "waiver_reason", "expires_at"), "x"
    )
    row = TRANSITIONS.get((before, after))
    if row is None:
        with pytest.raises(RefusalError) as caught:
            check_transition(before, after, "administrator", everything, "research")
        assert caught.value.reasons == ("TRANSITION_NOT_PERMITTED",)
        return
    for role in row.roles:
        for mode in row.modes:
            check_transition(before, after, role, everything, mode)
    with pytest.raises(RefusalError):
        check_transition(before, after, row.roles[0], {}, row.modes[0])
    with pytest.raises(RefusalError):
        check_transition(before, after, "compliance", everything, row.modes[0])


def test_clinical_mode_has_no_way_in_yet() -> None:
    """No row leads to active in clinical mode, since no certificate can exist yet."""
    assert not [
        row for (_, to), row in TRANSITIONS.items() if to == "active" and "clinical" in row.modes
    ]
    assert {state for pair in TRANSITIONS for state in pair} <= set(STATES)
    assert {mode for row in TRANSITIONS.values() for mode in row.modes} <= set(SITE_MODES)


def test_readme_shows_the_table() -> None:
    """The README of the room shows the same transitions as the code."""
    path = Path(__file__).resolve().parents[2] / "governance" / "README.md"
    section = path.read_text(encoding="utf-8").partition("## The lifecycle")[2]
    shown: dict[tuple[str, str], tuple[set[str], str]] = {}
    for line in section.partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0] not in ("from", "---"):
            for before in cells[0].split(", "):
                shown[before, cells[1]] = (set(cells[2].split(", ")), cells[4])
    modes = {SITE_MODES: "any", ("research",): "research"}
    expected = {pair: (set(row.roles), modes[row.modes]) for pair, row in TRANSITIONS.items()}
    assert shown == expected
