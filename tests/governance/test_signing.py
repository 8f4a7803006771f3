"""A signature counts when a trusted, unrevoked key made it for this digest and purpose."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.errors import ConfigurationError, SignatureError
from governance.signing import TrustedKey, load_trust, sign, store_trust, verify_signature

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DIGEST = "sha256:" + "1" * 64
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = TrustedKey("house", "release", KEY.public_key().public_bytes_raw(), NOW)


def _signed(**changes: object) -> bytes:
    attachment = json.loads(sign(DIGEST, KEY, "house", "release", NOW))
    return json.dumps(attachment | changes).encode()


def test_own_signature_counts() -> None:
    """The trusted key that signed is returned, also among others."""
    other = replace(TRUSTED, key_id="other")
    signature = sign(DIGEST, KEY, "house", "release", NOW)
    assert verify_signature(signature, DIGEST, (other, TRUSTED)) == TRUSTED
    assert json.loads(signature)["digest"] == DIGEST


def _signature() -> str:
    """Return the good signature's base64; its last digit carries bits that decode to nothing."""
    return str(json.loads(_signed())["signature"])


@pytest.mark.parametrize(
    "attachment",
    [
        _signed(digest="sha256:" + "2" * 64),
        _signed(purpose="certificate"),
        _signed(signed_at=(NOW + timedelta(days=1)).isoformat()),
        _signed(signed_at="2026-05-01T00:00:00"),
        _signed(signed_at="yesterday"),
        _signed(key_id="stranger"),
        _signed(signature=base64.b64encode(bytes(64)).decode()),
        _signed(signature="?"),
        _signed(signature=_signature()[:-3] + chr(ord(_signature()[-3]) + 1) + "=="),
        _signed(signature=None),
        _signed(more=1),
        _signed(key_id=3),
        b"[]",
        b"\xff",
        b"",
    ],
)
def test_changed_statement_is_refused(attachment: bytes) -> None:
    """Another digest, purpose, time, key, signature or form is refused."""
    with pytest.raises(SignatureError):
        verify_signature(attachment, DIGEST, (TRUSTED,))


def test_signature_is_bound_to_the_digest() -> None:
    """A signature of one release does not count for another."""
    with pytest.raises(SignatureError, match="another digest"):
        verify_signature(_signed(), "sha256:" + "2" * 64, (TRUSTED,))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"revoked_at": NOW + timedelta(days=9)}, "revoked"),
        ({"valid_from": NOW + timedelta(days=1)}, "valid only from"),
        ({"purpose": "log"}, "not trusted"),
        ({"public_key": bytes(32)}, "wrong"),
    ],
)
def test_untrusted_key_is_refused(change: dict[str, object], named: str) -> None:
    """A key that is revoked, too young, for another purpose or another key does not count."""
    with pytest.raises(SignatureError, match=named):
        verify_signature(_signed(), DIGEST, (replace(TRUSTED, **change),))  # type: ignore[arg-type]


def test_published_vector() -> None:
    """RFC 8032, section 7.1, test 1: the key of the standard gives the standard's public key."""
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    key = Ed25519PrivateKey.from_private_bytes(secret)
    assert key.public_key().public_bytes_raw().hex() == public
    trusted = TrustedKey("rfc", "release", bytes.fromhex(public), NOW)
    verify_signature(sign(DIGEST, key, "rfc", "release", NOW), DIGEST, (trusted,))


def test_trust_file_comes_back(tmp_path: Path) -> None:
    """What is stored is loaded; no file means no trusted key."""
    keys = (TRUSTED, replace(TRUSTED, key_id="old", revoked_at=NOW + timedelta(days=1)))
    store_trust(tmp_path / "keys" / "trust.json", keys)
    assert load_trust(tmp_path / "keys" / "trust.json") == keys
    assert load_trust(tmp_path / "none.json") == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"keys": [{}]}', '{"keys": [{"key_id": "a", "purpose": "party"}]}']
)
def test_broken_trust_file_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    """A trust file that cannot be read stops the work instead of trusting nobody or anybody."""
    (tmp_path / "trust.json").write_text(text)
    with pytest.raises(ConfigurationError):
        load_trust(tmp_path / "trust.json")
