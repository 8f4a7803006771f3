"""A certificate holds for one release, one time, by one key in force; else it says why not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import canonical
from audit.errors import RefusalError
from governance.certificate import (
    ADVICE,
    Certificate,
    decode,
    digest,
    encode,
    evidence_objections,
    issue,
    objections,
)
from governance.signing import TrustedKey, sign
from governance.strata import Stratum
from tests.simulators.office import KEY, NOW, TRUSTED, certificate_for, issued

RELEASE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
YOUNG = Stratum("under-18", 3, "insufficient", {"age_years": [0, 18]})


def codes(raw: bytes | None, **changes: Any) -> list[str]:
    """Return the codes of what is against a certificate of RELEASE."""
    values: dict[str, Any] = {"trust": (TRUSTED,), "now": NOW} | changes
    return [item.code for item in objections(raw, RELEASE, **values)]


def test_a_good_certificate_has_nothing_against_it() -> None:
    """Right release, key, dates and verdict: no objection."""
    assert codes(issued(RELEASE)) == []
    assert codes(issued(RELEASE, strata=(YOUNG,))) == []


def _swapped() -> bytes:
    """A good certificate's statement under the signature of another one."""
    _, signatures = decode(issued(OTHER))
    return encode(certificate_for(RELEASE), signatures)


@pytest.mark.reg("AIA-43.4")
@pytest.mark.parametrize(
    ("raw", "changes", "code"),
    [
        (None, {}, "CERTIFICATE_MISSING"),
        (b"{}", {}, "CERTIFICATE_MALFORMED"),
        (b"[" * 200_000, {}, "CERTIFICATE_MALFORMED"),
        (issued(OTHER), {}, "CERTIFICATE_OTHER_RELEASE"),
        (_swapped(), {}, "CERTIFICATE_SIGNATURE"),
        (encode(certificate_for(RELEASE), ()), {}, "CERTIFICATE_SIGNATURE"),
        (issued(RELEASE), {"trust": ()}, "CERTIFICATE_KEY_UNTRUSTED"),
        (
            issued(RELEASE),
            {"trust": (replace(TRUSTED, purpose="release"),)},
            "CERTIFICATE_KEY_UNTRUSTED",
        ),
        (
            issued(RELEASE),
            {"trust": (replace(TRUSTED, revoked_at=NOW + timedelta(days=1)),)},
            "CERTIFICATE_KEY_REVOKED",
        ),
        (issued(RELEASE, expires_at=NOW), {}, "CERTIFICATE_EXPIRED"),
        (issued(RELEASE), {"now": NOW - timedelta(days=6)}, "CERTIFICATE_NOT_YET_VALID"),
        (
            issued(RELEASE, criteria_recorded_at=NOW - timedelta(days=9)),
            {},
            "CERTIFICATE_CRITERIA_LATE",
        ),
        (issued(RELEASE), {"suspended": ("cert-1",)}, "CERTIFICATE_SUSPENDED"),
        (issued(RELEASE, verdict="fail"), {}, "CERTIFICATE_FAILED"),
        (issued(RELEASE, verdict="insufficient"), {}, "CERTIFICATE_INSUFFICIENT"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_fault_has_its_own_code_and_advice(
    raw: bytes | None, changes: dict[str, Any], code: str
) -> None:
    """A certificate that does not hold is refused by one code, with what to do about it."""
    assert codes(raw, **changes) == [code]
    assert ADVICE[code]
    assert len(set(ADVICE.values())) == len(ADVICE)


def test_every_fault_is_heard() -> None:
    """A certificate with several faults names them all."""
    raw = issued(OTHER, expires_at=NOW, verdict="fail")
    assert codes(raw, trust=()) == [
        *("CERTIFICATE_KEY_UNTRUSTED", "CERTIFICATE_OTHER_RELEASE"),
        *("CERTIFICATE_EXPIRED", "CERTIFICATE_FAILED"),
    ]


def test_one_good_signature_among_others_counts() -> None:
    """A certificate may be signed by several; one key that is trusted is enough."""
    certificate = certificate_for(RELEASE)
    stranger = sign(
        digest(certificate), Ed25519PrivateKey.generate(), "stranger", "certificate", NOW
    )
    _, signatures = decode(issue(certificate, KEY, "house", NOW))
    assert codes(encode(certificate, (stranger, *signatures))) == []


@given(place=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_no_flipped_bit_passes(place: int, bit: int) -> None:
    """Whatever bit of the attachment is flipped, it no longer holds."""
    raw = bytearray(issued(RELEASE, strata=(YOUNG,)))
    raw[place % len(raw)] ^= 1 << bit
    assert codes(bytes(raw)) != []


def test_a_signature_of_a_release_is_none_of_a_certificate() -> None:
    """The purpose is signed: a release key's signature over the same digest does not count."""
    certificate = certificate_for(RELEASE)
    key = TrustedKey("house", "release", TRUSTED.public_key, NOW)
    raw = encode(certificate, [sign(digest(certificate), KEY, "house", "release", NOW)])
    assert codes(raw, trust=(key, TRUSTED)) == ["CERTIFICATE_SIGNATURE"]


_TIMES = st.datetimes(
    min_value=NOW.replace(tzinfo=None), max_value=NOW.replace(tzinfo=None, year=2200)
).map(lambda value: value.replace(tzinfo=NOW.tzinfo))
_STRATA = st.builds(
    Stratum,
    st.text("abc-_.+", min_size=1, max_size=64),
    st.integers(0, 10**6),
    st.sampled_from(("pass", "fail", "insufficient")),
    st.sampled_from(({}, {"age_years": [0, 18.5]}, {"flag": "metal", "sex": ["F", "O"]})),
)


@given(
    st.builds(
        Certificate,
        certificate_id=st.text(min_size=1, max_size=20),
        release_digest=st.just(RELEASE),
        cohort_digest=st.just(OTHER),
        criteria_digest=st.just(OTHER),
        criteria_recorded_at=_TIMES,
        evaluated_at=_TIMES,
        metric_pack=st.just("pack"),
        method=st.sampled_from(("held-out", "cross-fitted")),
        strata=st.lists(_STRATA, max_size=3, unique_by=lambda item: item.name).map(tuple),
        verdict=st.sampled_from(("pass", "fail", "insufficient")),
        report_digest=st.just(OTHER),
        issued_at=_TIMES,
        expires_at=_TIMES,
        runtime=st.dictionaries(st.text("abc", max_size=5), st.text(max_size=5), max_size=2),
    )
)
def test_decode_is_the_inverse_of_encode(certificate: Certificate) -> None:
    """A certificate comes back as it was written, and its digest with it."""
    raw = issue(certificate, KEY, "house", NOW)
    back, signatures = decode(raw)
    assert back == certificate
    assert digest(back) == digest(certificate)
    assert encode(back, signatures) == raw


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "perfect"},
        {"method": "guess"},
        {"expires_at": "2026-05-01T00:00:00"},
        {"issued_at": "yesterday"},
        {"strata": [{"name": "x", "n": 1, "verdict": "pass", "where": {"height": 3}}]},
        {"strata": [{"name": "a b", "n": 1, "verdict": "pass", "where": {}}]},
        {"strata": [{"name": "x", "n": 1, "verdict": "pass", "where": {"age_years": "ab"}}]},
        {"strata": [{"name": "x", "n": 1, "verdict": "pass", "where": {}}] * 2},
        {"runtime": []},
        {"more": 1},
    ],
    ids=str,
)
def test_malformed_statements_are_refused(change: dict[str, Any]) -> None:
    """A statement that is not one of the harness is malformed, whoever signed it."""
    document = json.loads(issued(RELEASE))
    document["certificate"] |= change
    assert codes(canonical.encode(document)) == ["CERTIFICATE_MALFORMED"]


def test_only_real_evidence_is_for_the_clinic() -> None:
    """Simulated, published or analytic evidence stays in research mode."""
    for kind in ("simulated", "published", "analytic", None):
        found = evidence_objections({"evidence": kind}, "clinical")
        assert [item.code for item in found] == ["EVIDENCE_NOT_REAL"]
        assert evidence_objections({"evidence": kind}, "research") == ()
    assert evidence_objections({"evidence": "real"}, "clinical") == ()


def test_a_certificate_that_exists_is_well_formed() -> None:
    """Construction refuses what could not be judged later."""
    with pytest.raises(RefusalError, match="expected a certificate"):
        certificate_for(RELEASE, verdict="maybe")
