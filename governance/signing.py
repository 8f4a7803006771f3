"""Signatures over a release digest: Ed25519 (RFC 8032), attached outside the digest.

A signature is a JSON attachment {key_id, purpose, digest, signed_at, signature}; the
signed bytes are the canonical JSON (RFC 8785) of the other four, so that key, purpose
and time cannot be exchanged.  Which keys count stands in the home's ``keys/trust.json``.

Whose signature counts (KEYS.md has the reasons):

    in force        what is dated from ``valid_from`` on, before ``valid_until`` where there is one
    rotated out     what was on record here when it went
    revoked         nothing; with ``compromised_from`` what was on record here before that moment

What was on record is the list ``kept`` of digests, closed when the key went: a date inside a
signature proves nothing, because who has the key writes it.

Read next: `key_acts.py`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit import canonical
from audit.errors import (
    ConfigurationError,
    KeyRevokedError,
    KeyUntrustedError,
    SignatureError,
)

PURPOSES = ("release", "certificate", "log", "witness", "tsa", "report", "plan")
FOLDER = "signatures/"


class SecretKey(Protocol):
    """Something that signs with an Ed25519 key: the key itself, a file, a token (PKCS#11)."""

    def sign(self, data: bytes, /) -> bytes:
        """Return the 64 bytes of the signature of ``data``."""
        ...


class KeyRetiredError(SignatureError):
    """The key of a signature was rotated out, or its time had passed."""

    code = "RELEASE_KEY_RETIRED"
    advice = (
        "Ask the publisher for a signature by the key that took its place; of this site's own "
        "keys that is the one in force: `osteon release sign`."
    )


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key that counts for one purpose.

    Parameters
    ----------
    valid_until : from then on it signs no more: it was rotated out, or its time is over.
    revoked_at, reason : when it was revoked or rotated out, and why.
    compromised_from : since when it may be in wrong hands, where that is known.
    kept : digests that were on record here under its signature when it went; None while it
        is in force.
    own : the secret is or was this site's own.
    """

    key_id: str
    purpose: str
    public_key: bytes
    valid_from: datetime
    revoked_at: datetime | None = None
    valid_until: datetime | None = None
    reason: str = ""
    compromised_from: datetime | None = None
    kept: frozenset[str] | None = None
    own: bool = False

    def state(self, now: datetime) -> str:
        """Return in force | not yet valid | rotated out | revoked."""
        if self.revoked_at is not None:
            return "revoked"
        if self.valid_until is not None and self.valid_until <= now:
            return "rotated out"
        return "in force" if self.valid_from <= now else "not yet valid"


def load_trust(path: Path) -> tuple[TrustedKey, ...]:
    """Return the keys of a ``trust.json``; none where the file does not exist.

    The file is ``{"keys": [{key_id, purpose, public_key (base64 of 32 bytes), valid_from,
    revoked_at, valid_until, reason, compromised_from, kept, own}]}``, times in ISO 8601 with
    zone; the last six may be absent.
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
    rows = [_row(key) for key in keys]
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(path.name + ".new")
    building.write_text(json.dumps({"keys": rows}, indent=1) + "\n", "utf-8")
    building.replace(path)


def sign(digest: str, key: SecretKey, key_id: str, purpose: str, signed_at: datetime) -> bytes:
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
    KeyUntrustedError, KeyRetiredError, KeyRevokedError : its key is not trusted or not yet
        valid, was rotated out, or was revoked.
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
            _require_counting(key, statement["digest"], signed_at)
            return key
    raise KeyUntrustedError(f"key {statement['key_id'][:40]!r} is not trusted for this purpose")


def _require_counting(key: TrustedKey, digest: str, signed_at: datetime) -> None:
    """Return when a signature of the key counts, by the rule at the top of this file."""
    kept = key.kept is not None and digest in key.kept
    if key.revoked_at is not None:
        if key.compromised_from is not None and kept:
            return
        # A revoked key may be in wrong hands, which can also write an earlier time.
        raise KeyRevokedError(f"key {key.key_id} was revoked at {key.revoked_at}: {key.reason}")
    if signed_at < key.valid_from:
        raise KeyUntrustedError(f"key {key.key_id} is valid only from {key.valid_from}")
    if key.kept is not None:
        if kept:
            return
        raise KeyRetiredError(
            f"key {key.key_id} was rotated out at {key.valid_until}, and {digest} was not on "
            "record here by then"
        )
    if key.valid_until is not None and signed_at >= key.valid_until:
        raise KeyRetiredError(f"key {key.key_id} signs no more since {key.valid_until}")


def _row(key: TrustedKey) -> dict[str, Any]:
    """Return an entry of trust.json; inverse of `_key`."""
    times = {
        name: moment.isoformat() if moment else None
        for name, moment in (
            ("revoked_at", key.revoked_at),
            ("valid_until", key.valid_until),
            ("compromised_from", key.compromised_from),
        )
    }
    row: dict[str, Any] = {
        "key_id": key.key_id,
        "purpose": key.purpose,
        "public_key": base64.b64encode(key.public_key).decode(),
        "valid_from": key.valid_from.isoformat(),
        "revoked_at": times.pop("revoked_at"),
    }
    row |= {name: moment for name, moment in times.items() if moment is not None}
    if key.reason:
        row["reason"] = key.reason
    if key.kept is not None:
        row["kept"] = sorted(key.kept)
    if key.own:
        row["own"] = True
    return row


def _key(entry: Mapping[str, Any]) -> TrustedKey:
    kept = entry.get("kept")
    key = TrustedKey(
        key_id=str(entry["key_id"]),
        purpose=str(entry["purpose"]),
        public_key=base64.b64decode(str(entry["public_key"]), validate=True),
        valid_from=_time(entry["valid_from"]),
        revoked_at=_time(entry["revoked_at"]) if entry.get("revoked_at") else None,
        valid_until=_time(entry["valid_until"]) if entry.get("valid_until") else None,
        reason=str(entry.get("reason", "")),
        compromised_from=(
            _time(entry["compromised_from"]) if entry.get("compromised_from") else None
        ),
        kept=None if kept is None else frozenset(map(str, kept)),
        own=entry.get("own") is True,
    )
    if key.purpose not in PURPOSES or len(key.public_key) != 32:
        raise ValueError("purpose or public_key")
    return key


def _time(value: object) -> datetime:
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment
