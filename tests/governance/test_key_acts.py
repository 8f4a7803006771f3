"""Who may change which keys count, and whose signatures count afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import (
    ConfigurationError,
    KeyRevokedError,
    KeyUntrustedError,
    RefusalError,
    SignatureError,
)
from governance.accounts import ROLES
from governance.key_acts import (
    ACTS,
    LASTS,
    Proposal,
    add,
    confirm,
    decode,
    encode,
    except_before,
    propose,
    retire,
    revoke,
)
from governance.signing import (
    KeyRetiredError,
    TrustedKey,
    load_trust,
    sign,
    store_trust,
    verify_signature,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DIGEST, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = TrustedKey("house", "release", SECRET.public_key().public_bytes_raw(), NOW)
NEXT = TrustedKey("next", "release", bytes(range(32)), NOW + 9 * DAY)


def counts(trust: tuple[TrustedKey, ...], digest: str, at: datetime) -> None:
    """Return when a signature of KEY on a digest counts."""
    verify_signature(sign(digest, SECRET, "house", "release", at), digest, trust)


def proposal(action: str = "rotate", **changes: object) -> Proposal:
    """Return a proposal of an administrator."""
    made = Proposal("a-1", action, "house", "release", "yearly", "anna", "administrator", NOW)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_key_that_was_rotated_out_signs_no_more() -> None:
    """What was on record counts on, whatever came later does not, also with an older date."""
    trust = retire((KEY,), "house", NOW + 9 * DAY, "yearly", frozenset({DIGEST}))
    counts(trust, DIGEST, NOW + DAY)
    with pytest.raises(KeyRetiredError, match="not on record") as caught:
        counts(trust, OTHER, NOW + DAY)
    assert caught.value.code == "RELEASE_KEY_RETIRED"
    assert caught.value.advice
    for at in (NOW + 9 * DAY, NOW + 20 * DAY):
        with pytest.raises(KeyRetiredError):
            counts(trust, OTHER, at)
    with pytest.raises(KeyUntrustedError):
        counts(trust, DIGEST, NOW - DAY)


def test_a_key_has_its_time() -> None:
    """A key that is valid until a day signs nothing dated later; nothing else changes."""
    trust = (replace(KEY, valid_until=NOW + 9 * DAY),)
    counts(trust, DIGEST, NOW + 8 * DAY)
    with pytest.raises(KeyRetiredError):
        counts(trust, DIGEST, NOW + 9 * DAY)


def test_nothing_of_a_revoked_key_counts() -> None:
    """Not what was on record, not what is older: a thief writes any date."""
    kept = retire((KEY,), "house", NOW + 3 * DAY, "yearly", frozenset({DIGEST}))
    for trust in ((KEY,), kept):
        gone = revoke(trust, "house", NOW + 5 * DAY, "laptop lost")
        for digest in (DIGEST, OTHER):
            with pytest.raises(KeyRevokedError, match="laptop lost"):
                counts(gone, digest, NOW + DAY)


def test_what_was_on_record_before_the_compromise_counts_on() -> None:
    """The stated rule: on record here before the moment, whatever date a signature bears."""
    trust = revoke((KEY,), "house", NOW + 5 * DAY, "laptop lost")
    trust = except_before(trust, "house", NOW + 4 * DAY, frozenset({DIGEST}))
    counts(trust, DIGEST, NOW + DAY)
    with pytest.raises(KeyRevokedError):
        counts(trust, OTHER, NOW + DAY)


def test_states_have_names() -> None:
    """In force, not yet valid, rotated out, revoked."""
    assert KEY.state(NOW) == "in force"
    assert KEY.state(NOW - DAY) == "not yet valid"
    (retired,) = retire((KEY,), "house", NOW + DAY, "x", frozenset())
    assert retired.state(NOW + DAY) == "rotated out"
    (revoked,) = revoke((retired,), "house", NOW + 2 * DAY, "x")
    assert revoked.state(NOW) == "revoked"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda: retire((KEY,), "other", NOW, "x", frozenset()), "KEY_UNKNOWN"),
        (lambda: revoke(revoke((KEY,), "house", NOW, "x"), "house", NOW, "x"), "KEY_NOT_IN_FORCE"),
        (
            lambda: retire(revoke((KEY,), "house", NOW, "x"), "house", NOW, "x", frozenset()),
            "KEY_NOT_IN_FORCE",
        ),
        (lambda: except_before((KEY,), "house", NOW, frozenset()), "KEY_TIME"),
        (
            lambda: except_before(
                revoke((KEY,), "house", NOW, "x"), "house", NOW + DAY, frozenset()
            ),
            "KEY_TIME",
        ),
        (lambda: add((KEY,), KEY), "KEY_KNOWN"),
        (lambda: add((KEY,), replace(KEY, key_id="again")), "KEY_KNOWN"),
        (lambda: add((KEY,), replace(NEXT, key_id="house")), "KEY_KNOWN"),
    ],
)
def test_an_impossible_change_is_refused(change: object, code: str) -> None:
    """Unknown, gone, known already, or a compromise after the revocation: refused by code."""
    with pytest.raises(RefusalError) as caught:
        change()  # type: ignore[operator]
    assert caught.value.reasons == (code,)
    assert caught.value.advice


@pytest.mark.parametrize("role", ROLES)
def test_least_privilege_of_key_acts(role: str) -> None:
    """Nobody but the table's roles begins an act, and none confirms what it begins."""
    for action, rule in ACTS.items():
        assert not set(rule.begins) & set(rule.confirms), action
        if role in rule.begins:
            propose(proposal(action, role=role))
            continue
        with pytest.raises(RefusalError) as caught:
            propose(proposal(action, role=role))
        assert caught.value.reasons == ("ROLE_NOT_PERMITTED",)
    assert "compliance" not in {r for rule in ACTS.values() for r in (*rule.begins, *rule.confirms)}


@pytest.mark.parametrize(
    ("changes", "person", "role", "after", "code"),
    [
        ({}, "anna", "approver", DAY, "FOUR_EYES"),
        ({}, "account:anna", "approver", DAY, "FOUR_EYES"),
        ({}, "bernd", "administrator", DAY, "ROLE_NOT_PERMITTED"),
        ({}, "bernd", "physicist", DAY, "ROLE_NOT_PERMITTED"),
        ({"state": "done"}, "bernd", "approver", DAY, "KEY_ACT_DONE"),
        ({}, "bernd", "approver", LASTS + DAY, "KEY_ACT_EXPIRED"),
        ({"action": "revoke"}, "bernd", "approver", DAY, "ROLE_NOT_PERMITTED"),
    ],
)
def test_a_second_person_confirms(
    changes: dict[str, object], person: str, role: str, after: timedelta, code: str
) -> None:
    """The same person, another role, twice, or too late: refused."""
    with pytest.raises(RefusalError) as caught:
        confirm(proposal(**changes), person, role, NOW + after)  # type: ignore[arg-type]
    assert caught.value.reasons == (code,)


def test_a_confirmed_proposal_names_both() -> None:
    """Who proposed and who confirmed stand in it; it comes back from its document."""
    done = confirm(proposal(), "account:bernd", "approver", NOW + DAY)
    assert (done.person, done.confirmed_by, done.state) == ("anna", "bernd", "done")
    assert decode(encode(done)) == done
    for bad in ({"reason": " "}, {"purpose": "letters"}):
        with pytest.raises(RefusalError):
            propose(proposal(**bad))  # type: ignore[arg-type]


TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(
    lambda t: t.replace(tzinfo=UTC)
)


@given(
    st.builds(
        TrustedKey,
        st.just("house"),
        st.just("release"),
        st.just(KEY.public_key),
        TIMES,
        st.none() | TIMES,
        st.none() | TIMES,
        st.text(max_size=5),
        st.none() | TIMES,
        st.none() | st.frozensets(st.sampled_from((DIGEST, OTHER))),
        st.booleans(),
    )
)
def test_trust_files_give_back_what_was_stored(key: TrustedKey) -> None:
    """Every state of a key survives its file."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trust.json"
        store_trust(path, (key,))
        assert load_trust(path) == (key,)


@given(TIMES, TIMES, TIMES, st.booleans(), st.booleans())
def test_to_go_never_lets_more_count(
    signed: datetime, gone: datetime, since: datetime, kept: bool, revoked: bool
) -> None:
    """Whatever a key's end, a signature counts at most where it counted before."""
    trust: tuple[TrustedKey, ...] = (KEY,)
    digests = frozenset({DIGEST} if kept else ())
    if revoked:
        trust = revoke(trust, "house", gone, "x")
        if since <= gone:
            trust = except_before(trust, "house", since, digests)
    else:
        trust = retire(trust, "house", gone, "x", digests)
    try:
        counts(trust, DIGEST, signed)
    except SignatureError:
        return
    assert kept
    assert revoked or signed >= NOW


@pytest.mark.parametrize(
    "text", ['{"keys": [{"kept": 3}]}', '{"keys": [{"key_id": "a"}]}', "[]", "{", '{"keys": {}}x']
)
def test_a_malformed_trust_file_is_refused(tmp_path: Path, text: str) -> None:
    """Nothing half-read counts."""
    path = tmp_path / "trust.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        load_trust(path)
