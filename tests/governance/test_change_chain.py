"""The certified set: reached from a baseline by changes that may all run, or not in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from governance.change.chain import is_certified
from governance.change.gates import change_gate
from governance.change.ledger import (
    BASELINE,
    REQUEST,
    Baseline,
    ChangeRequest,
    Reference,
    encode,
    encode_baseline,
)
from governance.change_control import EFFECTS, NEW_DEVICE, ChangeFlags
from governance.gates import Passage
from tests.simulators.governed_memory import GovernedMemory

NOW = datetime(2026, 11, 25, tzinfo=UTC)
HARMLESS = ChangeFlags(
    **dict.fromkeys((*NEW_DEVICE, *EFFECTS), False), unattended=False, open_incident_hold=False
)
D3 = replace(HARMLESS, architecture=True)
ROOT = "sha256:root"


def link(old: str, new: str, flags: ChangeFlags = HARMLESS, **changes: Any) -> ChangeRequest:
    """Return the request of a change from one release to the next."""
    values: dict[str, Any] = {"baseline_digest": ROOT, "plugin": "knee", **changes}
    return ChangeRequest(
        old_digest=old, new_digest=new, plan_digest="", change_class="D0", kinds=(), flags=flags,
        recorded_at=NOW, **values,
    )  # fmt: skip


def site(*links: ChangeRequest) -> GovernedMemory:
    """Return a site with one baseline and these changes."""
    found = GovernedMemory()
    found.put_governed(BASELINE, "knee", encode_baseline(Baseline("knee", ROOT, "NB-1", NOW)))
    for item in links:
        found.put_governed(REQUEST, item.new_digest, encode(item))
    return found


def certified(store: GovernedMemory, digest: str, at: datetime = NOW) -> bool:
    """Tell whether a release is certified at the site."""
    return is_certified(store, "knee", digest, at)


def refused(store: GovernedMemory, digest: str) -> list[str]:
    """Return what the gate objects to a release that comes into use."""
    passage = Passage(
        "site", "clinical", "knee", digest, {}, "canary", "active", "anna", "approver", NOW
    )
    return [item.code for item in change_gate(passage, store)]


@pytest.mark.reg("AIA-43.4")
def test_a_chain_of_permitted_changes_is_certified() -> None:
    """The baseline, and what comes from it step by step; nothing else."""
    store = site(link(ROOT, "a"), link("a", "b"))
    assert [certified(store, digest) for digest in (ROOT, "a", "b", "c", "")] == [
        *(True, True, True, False, False),
    ]
    assert refused(store, "b") == []


@pytest.mark.reg("AIA-43.4")
@pytest.mark.parametrize(
    "middle",
    [
        link(ROOT, "a", D3),
        link(ROOT, "a", withdrawn=True),
        link(ROOT, "a", baseline_digest="sha256:elsewhere"),
        link("nowhere", "a"),
        link("b", "a"),
        link("a", "a"),
        link(ROOT, "a", plugin="hip"),
        link(ROOT, "a", replace(D3, rollback=True, target_in_certified_set=True,
                                certificate_and_platform_valid=True, anomalies_accepted=True)),
    ],
)  # fmt: skip
def test_a_small_step_from_the_wrong_place_is_refused(middle: ChangeRequest) -> None:
    """A version number on top of an uncertified release is D0 against it, and does not pass."""
    store = site(middle, link("a", "b"))
    assert not certified(store, "a")
    assert not certified(store, "b")
    assert refused(store, "b") == ["PREDECESSOR_NOT_CERTIFIED"]


def test_a_certificate_for_the_middle_mends_the_chain() -> None:
    """With a new certificate for the large change the small one after it is certified too."""
    held = Reference("certificate", "NB-2", NOW, NOW + timedelta(days=10))
    store = site(link(ROOT, "a", D3, references=(held,)), link("a", "b"))
    assert certified(store, "b")
    assert not certified(store, "b", NOW + timedelta(days=10))


def test_what_a_person_states_of_a_rollback_certifies_nothing() -> None:
    """A request that calls itself a rollback to a certified release is decided without that."""
    claimed = replace(
        D3, rollback=True, target_in_certified_set=True, certificate_and_platform_valid=True,
        anomalies_accepted=True,
    )  # fmt: skip
    assert refused(site(link(ROOT, "a", claimed)), "a") == ["NEW_CERTIFICATE_MISSING"]
