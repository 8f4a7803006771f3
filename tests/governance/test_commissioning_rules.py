"""Commissioning: what counts, for whom, until when, and what it says against a case."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.errors import ConfigurationError
from governance.certification import Standing, clear
from governance.commissioning import (
    ADVICE,
    ROUTINE,
    SIGNED,
    CommissioningGate,
    bars,
    commissioned,
)
from governance.commissioning_plan import SCHEMA, Scanner, encode, read_plan
from governance.gates import Passage
from governance.sealed import Sealer, seal
from governance.signing import TrustedKey
from governance.strata import CaseFacts
from tests.simulators.commissioned import content_of
from tests.simulators.governed_memory import GovernedMemory

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
SEALER = Sealer(KEY, "report-test")
TRUST = (TrustedKey("report-test", "report", KEY.public_key().public_bytes_raw(), NOW),)
PLAN: dict[str, Any] = {
    "schema": SCHEMA, "protocol": "120 kV", "cases": 5, "cases_reason": "a test",
    "scanners": [{"manufacturer": "ACME", "model": "One"}], "end_to_end": "by hand", "trained": 1,
}  # fmt: skip
MINE = CaseFacts(manufacturer="Osteon Tests", model="Builder")


def store(*, spoil: bool = False, **changes: Any) -> GovernedMemory:
    """Return documents with a signed commissioning, changed after it was sealed or before."""
    memory = GovernedMemory()
    content = seal(content_of("here", DIGEST, NOW, **changes), SEALER, NOW)
    if spoil:
        content["expires_at"] = (NOW + timedelta(days=9999)).isoformat()
    memory.put_governed(SIGNED, DIGEST, content)
    return memory


def codes(memory: GovernedMemory, now: datetime = NOW, site: str = "here") -> list[str]:
    """Return the codes of what is against a commissioning."""
    found = commissioned(memory, DIGEST, site, now, TRUST)
    assert all(item.advice == ADVICE[item.code] for item in found.objections)
    return [item.code for item in found.objections]


@pytest.mark.reg("ESTRO-1")
def test_only_what_was_signed_here_counts_in_its_time() -> None:
    """Missing, of another site, withdrawn, ended, changed: each by its own code."""
    assert codes(GovernedMemory()) == ["COMMISSIONING_MISSING"]
    assert codes(store()) == []
    assert codes(store(), NOW + timedelta(days=366)) == ["COMMISSIONING_EXPIRED"]
    assert codes(store(), site="elsewhere") == ["COMMISSIONING_OTHER_SITE"]
    assert codes(store(state="withdrawn")) == ["COMMISSIONING_WITHDRAWN"]
    assert codes(store(spoil=True)) == ["COMMISSIONING_SIGNATURE"]
    assert codes(store(release_digest="sha256:" + "b" * 64)) == ["COMMISSIONING_OTHER_SITE"]


@pytest.mark.reg("ESTRO-1")
def test_routine_checks_keep_it_or_end_it() -> None:
    """Overdue and differing answers are told; one of an older plan says nothing."""
    memory = store(routine_days=30)
    assert codes(memory, NOW + timedelta(days=31)) == ["ROUTINE_OVERDUE"]
    found = {
        "release_digest": DIGEST, "plan_id": "trial-1.0.0-0a1b", "verdict": "pass",
        "at": (NOW + timedelta(days=20)).isoformat(),
    }  # fmt: skip
    memory.put_governed(ROUTINE, DIGEST, seal(found, SEALER, NOW))
    assert codes(memory, NOW + timedelta(days=31)) == []
    memory.put_governed(ROUTINE, DIGEST, seal(found | {"verdict": "fail"}, SEALER, NOW))
    assert codes(memory, NOW + timedelta(days=31)) == ["ROUTINE_FAILED"]
    memory.put_governed(ROUTINE, DIGEST, seal(found | {"plan_id": "older"}, SEALER, NOW))
    assert codes(memory, NOW + timedelta(days=31)) == ["ROUTINE_OVERDUE"]
    memory.put_governed(ROUTINE, DIGEST, found)
    assert codes(memory) == ["ROUTINE_FAILED"]


@pytest.mark.reg("ESTRO-1")
def test_a_case_of_another_scanner_is_told() -> None:
    """Another scanner, one that is not known, or a commissioning that ended bar a case."""
    found = commissioned(store(), DIGEST, "here", NOW, TRUST)
    assert bars(found, MINE) == ()
    other = CaseFacts(manufacturer="Osteon Tests", model="Other")
    assert bars(found, other) == ("SCANNER_NOT_COMMISSIONED",)
    assert bars(found, CaseFacts()) == ("SCANNER_UNKNOWN",)
    ended = commissioned(store(), DIGEST, "here", NOW + timedelta(days=366), TRUST)
    assert bars(ended, MINE) == ("COMMISSIONING_EXPIRED",)
    never = commissioned(GovernedMemory(), DIGEST, "here", NOW, TRUST)
    assert bars(never, other) == ()
    for mode, refused in (("clinical", True), ("research", False)):
        assert clear(Standing((), commissioned=found), mode, other) == (
            ("SCANNER_NOT_COMMISSIONED",), refused,
        )  # fmt: skip


def test_a_station_narrows_a_scanner() -> None:
    """Without a station any of the model counts; with one, that one alone."""
    facts = CaseFacts(manufacturer="acme", model="ONE ", station="abcdef")
    assert Scanner("ACME", "One").made(facts) is True
    assert Scanner("ACME", "One", "abcdef").made(facts) is True
    assert Scanner("ACME", "One", "ghijkl").made(facts) is False


@pytest.mark.parametrize(
    ("mode", "before", "after", "objects"),
    [
        ("clinical", "approved", "active", True),
        ("clinical", "shadow", "canary", True),
        ("clinical", "canary", "active", True),
        ("clinical", "standby", "active", False),
        ("clinical", "approved", "shadow", False),
        ("research", "approved", "active", False),
    ],
)
def test_the_gate_speaks_in_clinical_mode(
    mode: str, before: str, after: str, objects: bool
) -> None:
    """Into use only with a commissioning; shadow, research and the way back stay open."""
    passage = Passage("here", mode, "p", DIGEST, {}, before, after, "x", "approver", NOW)
    gate = CommissioningGate(lambda: TRUST)
    assert bool(gate(passage, GovernedMemory())) is objects
    assert gate(passage, store()) == ()


def test_a_plan_is_read_as_it_was_written() -> None:
    """The plan of JSON and of TOML is one; what is missing or impossible is named."""
    plan = read_plan(PLAN)
    assert read_plan(encode(plan)) == plan
    for key, value in (
        ("cases", 0), ("trained", 0), ("scanners", []), ("lasts_days", 731), ("protocol", ""),
        ("refused_share", 0.0), ("baseline_cases", 9), ("routine_days", 400), ("colour", "blue"),
        ("schema", "other"), ("scanners", [{"manufacturer": "ACME"}]),
        ("scanners", [*PLAN["scanners"], *PLAN["scanners"]]),
    ):  # fmt: skip
        with pytest.raises(ConfigurationError, match=f"plan.*{key}|{key}|model"):
            read_plan(copy.deepcopy(PLAN) | {key: value})
