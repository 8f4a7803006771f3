"""Where the certificate is asked for: at a passage, for a case, for the runtime environment."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from governance.certification import (
    STATE,
    CertificateGate,
    Standing,
    clear,
    runtime_differences,
    runtime_of,
)
from governance.certification import Office as Judge
from governance.gates import Passage
from governance.strata import CaseFacts, Stratum
from tests.simulators.office import NOW, TRUSTED, Office, certificate_for, issued

RELEASE = "sha256:" + "1" * 64
PASSAGE = Passage(
    "site", "clinical", "knee", RELEASE, {"evidence": "real"}, "canary", "active", "anna",
    "approver", NOW, {"certificate": "sha256:x"},
)  # fmt: skip
WAIVED = {"expires_at": (NOW + timedelta(days=1)).isoformat()}


def gate(raw: bytes | None) -> CertificateGate:
    """Return the gate of a site where this certificate is attached."""
    return CertificateGate(Judge(lambda _: raw, lambda: (TRUSTED,)))


def codes(raw: bytes | None, passage: Passage, office: Office | None = None) -> list[str]:
    """Return the codes of what the gate says."""
    return [item.code for item in gate(raw)(passage, office or Office())]


def test_use_needs_a_certificate_and_leaving_use_does_not() -> None:
    """Without a certificate nothing becomes validated to active; stopping is always open."""
    for after in ("validated", "approved", "shadow", "canary", "active"):
        assert codes(None, replace(PASSAGE, after=after)) == ["CERTIFICATE_MISSING"]
    for after in ("standby", "suspended", "retired"):
        assert codes(None, replace(PASSAGE, after=after)) == []
    assert codes(issued(RELEASE), PASSAGE) == []


def test_a_waiver_is_for_research_mode_and_its_time() -> None:
    """In research mode a waiver in force passes; an expired one, or clinical mode, does not."""
    waived = replace(PASSAGE, mode="research", evidence=WAIVED)
    assert codes(None, waived) == []
    assert codes(None, replace(waived, decided_at=NOW + timedelta(days=2))) != []
    assert codes(None, replace(waived, mode="clinical")) != []
    assert codes(None, replace(waived, evidence={**WAIVED, "certificate": "sha256:x"})) != []


def test_only_real_evidence_becomes_clinically_active() -> None:
    """A release without evidence from patients may be looked at in shadow, and not used."""
    made_up = replace(PASSAGE, manifest={"evidence": "analytic"})
    raw = issued(RELEASE)
    assert codes(raw, made_up) == ["EVIDENCE_NOT_REAL"]
    assert codes(raw, replace(made_up, after="canary")) == ["EVIDENCE_NOT_REAL"]
    assert codes(raw, replace(made_up, after="shadow")) == []
    assert codes(raw, replace(made_up, mode="research")) == []


def test_a_suspended_certificate_does_not_hold_until_it_is_valid_again() -> None:
    """What the site keeps of a certificate counts besides what its issuer signed."""
    office = Office()
    office.put_governed(STATE, "cert-1", {"state": "suspended", "reason": "recall"}, "anna", NOW)
    assert codes(issued(RELEASE), PASSAGE, office) == ["CERTIFICATE_SUSPENDED"]
    office.put_governed(STATE, "cert-1", {"state": "valid", "reason": "cleared"}, "anna", NOW)
    assert codes(issued(RELEASE), PASSAGE, office) == []


@pytest.mark.parametrize("mode", ["clinical", "research", "shadow"])
def test_a_case_is_refused_in_clinical_mode_and_marked_elsewhere(mode: str) -> None:
    """A patient of an insufficient stratum, or a certificate that is gone since."""
    young = Stratum("under-18", 3, "insufficient", {"age_years": [0, 18]})
    certified = Standing((), certificate_for(RELEASE, strata=(young,)))
    reason = ("STRATUM_INSUFFICIENT under-18 3",)
    assert clear(certified, mode, CaseFacts(age_years=9)) == (reason, mode == "clinical")
    assert clear(certified, mode, CaseFacts(age_years=30)) == ((), False)
    gone = Standing(gate(issued(RELEASE, expires_at=NOW))(PASSAGE, Office()))
    expected = (("CERTIFICATE_EXPIRED",), True) if mode == "clinical" else ((), False)
    assert clear(gone, mode, CaseFacts()) == expected


def test_runtime_differences_are_those_of_what_was_certified() -> None:
    """Versions, threads and flags are compared as they are, a processor by its class."""
    facts = {
        "python": "3.11.4", "numpy": "2.1.0", "processor": "Make A; avx2", "threads": "2",
        "flags": "hash_seed=0", "pid": "17",
    }  # fmt: skip
    certified = runtime_of(facts)
    assert "pid" not in certified
    assert runtime_differences(certified, facts) == ()
    assert runtime_differences(certified, facts | {"processor": "Make B; avx2"}) == ()
    assert runtime_differences(certified, facts | {"processor": "Make A; avx512f"}) == (
        "RUNTIME_DIFFERS processor",
    )
    assert runtime_differences(certified, facts | {"numpy": "2.2.0", "threads": "4"}) == (
        "RUNTIME_DIFFERS numpy",
        "RUNTIME_DIFFERS threads",
    )
    assert runtime_differences({"torch": "2.13"}, facts) == ("RUNTIME_DIFFERS torch",)
    assert runtime_differences({}, facts) == ()
