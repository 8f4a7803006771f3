"""Signatures over a release digest: Ed25519 (RFC 8032), attached outside the digest.

A signature is a JSON attachment {key_id, purpose, digest, signed_at, signature}; the
signed bytes are the canonical JSON (RFC 8785) of the other four, so that key, purpose
and time cannot be exchanged.  Which keys count stands in the home's ``keys/trust.json``.

Read next: `lifecycle.py`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from audit import canonical
from audit.errors import (
    ConfigurationError,
    KeyRevokedError,
    KeyUntrustedError,
    SignatureError,
)

PURPOSES = ("release", "certificate", "log", "witness", "tsa", "report", "plan")
FOLDER = "signatures/"


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key that counts for one purpose, from ``valid_from`` until ``revoked_at``."""

    key_id: str
    purpose: str
    public_key: bytes
    valid_from: datetime
    revoked_at: datetime | None = None


def load_trust(path: Path) -> tuple[TrustedKey, ...]:
    """Return the keys of a ``trust.json``; none where the file does not exist.

    The file is ``{"keys": [{key_id, purpose, public_key (base64 of 32 bytes), valid_from,
    revoked_at}]}``, times in ISO 8601 with zone.
    """
    if not path.exists():
        return ()
    try:
        return tuple(_key(entry) for entry in json.loads(path.read_text("utf-8"))["keys"])
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise ConfigurationError(
            f"expected keys in {path.name}, found a fault: {type(error).__name__}"
        ) from error


def store_trust(path: Path, keys: tuple[TrustedKey, ...]) -> None:
    """Write a ``trust.json``; inverse of `load_trust`."""
    rows = [
        {
            "key_id": key.key_id,
            "purpose": key.purpose,
            "public_key": base64.b64encode(key.public_key).decode(),
            "valid_from": key.valid_from.isoformat(),
            "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        }
        for key in keys
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(path.name + ".new")
    building.write_text(json.dumps({"keys": rows}, indent=1) + "\n", "utf-8")
    building.replace(path)


def sign(
    digest: str, key: Ed25519PrivateKey, key_id: str, purpose: str, signed_at: datetime
) -> bytes:
    """Return the attachment that signs a release digest; its name is ``KEY_ID.json``."""
    statement = {
        "key_id": key_id,
        "purpose": purpose,
        "digest": digest,
        "signed_at": signed_at.astimezone(UTC).isoformat(),
    }
    signature = base64.b64encode(key.sign(canonical.encode(statement))).decode()
    return canonical.encode({**statement, "signature": signature})


def verify_signature(
    attachment: bytes, digest: str, trust: tuple[TrustedKey, ...], purpose: str = "release"
) -> TrustedKey:
    """Return the trusted key that signed this digest for this purpose.

    Raises
    ------
    SignatureError : the attachment is malformed, names another digest or purpose, or the
        signature is wrong.
    KeyUntrustedError, KeyRevokedError : its key is not trusted, not yet valid or revoked.
    """
    statement, signature = _parse(attachment)
    if statement["digest"] != digest or statement["purpose"] != purpose:
        raise SignatureError(
            f"expected a {purpose} signature of {digest}, found one for another digest or purpose"
        )
    key = _trusted(statement, trust)
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(
            signature, canonical.encode(dict(statement))
        )
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(f"the signature of {digest} by key {key.key_id} is wrong") from error
    return key


def _parse(attachment: bytes) -> tuple[dict[str, str], bytes]:
    try:
        document = json.loads(attachment)
        text = document.pop("signature")
        signature = base64.b64decode(text, validate=True)
        if base64.b64encode(signature).decode() != text:
            raise ValueError("bits behind the end")  # one signature has one spelling
        expected = {"key_id", "purpose", "digest", "signed_at"}
        if set(document) != expected or not all(isinstance(v, str) for v in document.values()):
            raise ValueError("keys")
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise SignatureError("expected a signature document, found something else") from error
    return document, signature


def _trusted(statement: Mapping[str, str], trust: tuple[TrustedKey, ...]) -> TrustedKey:
    try:
        signed_at = datetime.fromisoformat(statement["signed_at"])
    except ValueError as error:
        raise SignatureError("expected signed_at as ISO 8601 with zone") from error
    if signed_at.tzinfo is None:
        raise SignatureError("expected signed_at as ISO 8601 with zone")
    for key in trust:
        if key.key_id == statement["key_id"] and key.purpose == statement["purpose"]:
            if key.revoked_at is not None:
                # A revoked key may be in wrong hands, which can also write an earlier time.
                raise KeyRevokedError(f"key {key.key_id} was revoked at {key.revoked_at}")
            if signed_at < key.valid_from:
                raise KeyUntrustedError(f"key {key.key_id} is valid only from {key.valid_from}")
            return key
    raise KeyUntrustedError(f"key {statement['key_id'][:40]!r} is not trusted for this purpose")


def _key(entry: Mapping[str, str | None]) -> TrustedKey:
    public = base64.b64decode(str(entry["public_key"]), validate=True)
    revoked = entry.get("revoked_at")
    key = TrustedKey(
        key_id=str(entry["key_id"]),
        purpose=str(entry["purpose"]),
        public_key=public,
        valid_from=datetime.fromisoformat(str(entry["valid_from"])),
        revoked_at=datetime.fromisoformat(revoked) if revoked else None,
    )
    if key.purpose not in PURPOSES or len(public) != 32 or key.valid_from.tzinfo is None:
        raise ValueError("purpose, public_key or valid_from")
    return key
