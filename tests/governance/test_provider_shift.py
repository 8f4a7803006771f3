"""A hospital that changes weights, thresholds, purpose or code is told that it is a provider."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from governance.difference import difference
from governance.gates import Passage
from governance.provider_shift import (
    KIND,
    TEXTS,
    Origin,
    ProviderGate,
    decode,
    encode,
    findings,
    parameter_edits,
)
from tests.simulators.governed_memory import GovernedMemory
from tests.simulators.small_releases import (
    PLUGIN,
    Change,
    member,
    put,
    renumbered,
    retrained,
    small_release,
)

NOW = datetime(2026, 11, 25, tzinfo=UTC)
OURS = small_release()


@pytest.mark.reg("AIA-25.1")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (retrained(8), ("LOCAL_WEIGHTS",)),
        (retrained(9), ("LOCAL_WEIGHTS",)),
        (put("parameters.threshold", 0.4), ("LOCAL_THRESHOLD",)),
        (put("intended_purpose", "Outline the hip."), ("LOCAL_PURPOSE",)),
        (put("envelope.age_years", [0, 90]), ("LOCAL_PURPOSE",)),
        (member(PLUGIN, b"X = 2\n"), ("LOCAL_CODE",)),
        (put("title", "St. Elsewhere Knee"), ("LOCAL_NAME",)),
        (put("evidence", "simulated"), ("LOCAL_PURPOSE",)),
        (put("surprise", 1), ("LOCAL_STATEMENT",)),
        (put("version", "1.2.4"), ()),
        (put("built_by", "osteon 9"), ()),
        (put("runtime.pins.numpy", "2.4.7"), ()),
    ],
)
def test_what_makes_a_provider(change: Change, expected: tuple[str, ...]) -> None:
    """Name, weights, thresholds, purpose and code are findings; version and runtime are not."""
    assert findings(difference(OURS, small_release(change))) == expected
    assert set(expected) <= set(TEXTS)


def test_the_publishers_release_has_no_finding() -> None:
    """The same release, and one that only has another UDI to tell it apart, differ in this."""
    assert findings(difference(OURS, small_release())) == ()
    assert findings(difference(OURS, small_release(renumbered()))) == ("LOCAL_STATEMENT",)


@pytest.mark.reg("AIA-25.1")
def test_parameters_of_a_run_are_compared_with_the_release() -> None:
    """A run with another threshold is named; what belongs to the case is not."""
    stated = {"threshold": 0.5, "members": "all"}
    assert parameter_edits(stated, {**stated, "seed_point": "1,2,3"}, ("seed_point",)) == ()
    assert parameter_edits(stated, {"threshold": 0.4}, ()) == ("members", "threshold")
    assert parameter_edits(stated, {**stated, "extra": 1}, ()) == ("extra",)


def objections(now: Origin, kept: Origin | None = None, **changes: Any) -> list[str]:
    """Return what the gate says of a release with this origin, another one kept before."""
    store = GovernedMemory()
    if kept is not None:
        store.put_governed(KIND, "sha256:1", encode(kept))
    values: dict[str, Any] = {
        "site": "site", "mode": "clinical", "plugin": "knee", "release_digest": "sha256:1",
        "manifest": {}, "before": "approved", "after": "active", "person": "anna",
        "role": "approver", "decided_at": NOW,
    }  # fmt: skip
    gate = ProviderGate({"sha256:1": now}.__getitem__)
    return [item.text[:10] for item in gate(Passage(**{**values, **changes}), store)]


LOCAL = Origin("knee", False, OURS.digest, ("LOCAL_CODE", "LOCAL_NAME"), NOW)


@pytest.mark.reg("AIA-25.1")
def test_a_shift_blocks_clinical_use() -> None:
    """In clinical mode every finding objects; in research mode it is on record and runs."""
    assert objections(LOCAL) == ["LOCAL_CODE", "LOCAL_NAME"]
    assert objections(LOCAL, after="shadow") == ["LOCAL_CODE", "LOCAL_NAME"]
    assert objections(LOCAL, mode="research") == []
    assert objections(LOCAL, after="suspended") == []
    assert objections(Origin("knee", True, "", (), NOW)) == []


@pytest.mark.reg("AIA-25.1")
def test_a_declaration_counts_for_what_it_was_made_for() -> None:
    """Who declared the site the provider of one change did not declare the next one."""
    assert objections(LOCAL, replace(LOCAL, declared_by="anna")) == []
    assert objections(LOCAL, LOCAL) == ["LOCAL_CODE", "LOCAL_NAME"]
    earlier = replace(LOCAL, declared_by="anna", findings=("LOCAL_NAME",))
    assert objections(LOCAL, earlier) == ["LOCAL_CODE"]


@pytest.mark.reg("AIA-25.1")
def test_what_was_kept_before_the_publishers_release_came_does_not_count() -> None:
    """Once the site made the plugin alone; since the publisher's is here, it is compared."""
    alone = Origin("knee", True, "", (), NOW)
    assert objections(LOCAL, alone) == ["LOCAL_CODE", "LOCAL_NAME"]


def test_an_origin_is_kept_as_it_was() -> None:
    """Decoding the kept document gives the same origin."""
    origin = Origin("knee", False, "sha256:0", ("LOCAL_CODE",), NOW, "anna")
    assert decode(encode(origin)) == origin
