"""Seal a cohort: every file encrypted, opened by one key, bound to its place in one cohort.

    data key       32 random bytes; AES-256-GCM seals each file under a nonce of its own
    AAD            "osteon.cohort-seal/1" || 0 || cohort digest || 0 || path: a file of another
                   cohort, or at another place, does not open
    wrapping       ephemeral X25519 with the harness's public key, HKDF-SHA-256 over the shared
                   secret and both public keys, AES-256-GCM over the data key (the construction
                   of HPKE's base mode, RFC 9180, without its wire format)

Whoever has the public key can seal; only the harness's secret opens.  A sealed file is nonce ||
ciphertext || tag; cut or changed bytes are refused (SEAL_TAMPERED).

Source: RFC 7748 (X25519), RFC 5869 (HKDF), NIST SP 800-38D (GCM, 96-bit nonces).

Read next: `wear.py`.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit import canonical
from validation.cohort.cases import verified
from validation.cohort.manifest import CohortError, FileEntry

SCHEMA = "osteon.cohort-seal/1"
_LABEL = SCHEMA.encode()
_PUBLIC = KEY_SIZE = 32
_NONCE = 12


@dataclass(frozen=True, slots=True)
class SealedKey:
    """The data key of a cohort, wrapped for one harness.

    Parameters
    ----------
    public : of the harness.
    wrapped : ephemeral public key || nonce || wrapped data key.
    """

    cohort_digest: str
    public: bytes
    wrapped: bytes


def public_of(secret: bytes) -> bytes:
    """Return the public key of the harness's 32 secret bytes."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def new_data_key() -> bytes:
    """Return a fresh data key."""
    return os.urandom(KEY_SIZE)


def seal_file(content: bytes, data_key: bytes, cohort_digest: str, path: str) -> bytes:
    """Return the sealed bytes of a file; inverse of `open_file`."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(data_key).encrypt(nonce, content, _bound(cohort_digest, path))


def open_file(sealed: bytes, data_key: bytes, cohort_digest: str, path: str) -> bytes:
    """Return what was sealed.

    Raises
    ------
    CohortError : other bytes, another place, cohort or key (SEAL_TAMPERED).
    """
    try:
        bound = _bound(cohort_digest, path)
        return AESGCM(data_key).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
    except (InvalidTag, ValueError) as error:
        raise refused("SEAL_TAMPERED", f"the sealed bytes of {path}") from error


def wrap(data_key: bytes, public: bytes, cohort_digest: str) -> SealedKey:
    """Return the data key so that only the holder of the secret can read it; inverse: `unwrap`."""
    ephemeral = X25519PrivateKey.generate()
    own = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    nonce = os.urandom(_NONCE)
    cipher = AESGCM(_derived(shared, own, public))
    return SealedKey(
        cohort_digest,
        public,
        own + nonce + cipher.encrypt(nonce, data_key, _bound(cohort_digest, "key")),
    )


def unwrap(sealed: SealedKey, secret: bytes) -> bytes:
    """Return the data key.

    Raises
    ------
    CohortError : it is wrapped for another harness (SEAL_OTHER_KEY), or changed (SEAL_TAMPERED).
    """
    if public_of(secret) != sealed.public:
        raise refused("SEAL_OTHER_KEY", "a cohort sealed for this harness")
    own, nonce = sealed.wrapped[:_PUBLIC], sealed.wrapped[_PUBLIC : _PUBLIC + _NONCE]
    try:
        shared = X25519PrivateKey.from_private_bytes(secret).exchange(
            X25519PublicKey.from_public_bytes(own)
        )
        cipher = AESGCM(_derived(shared, own, sealed.public))
        bound = _bound(sealed.cohort_digest, "key")
        return cipher.decrypt(nonce, sealed.wrapped[_PUBLIC + _NONCE :], bound)
    except (InvalidTag, ValueError) as error:
        raise refused("SEAL_TAMPERED", "the wrapped key of the cohort") from error


def encode(sealed: SealedKey) -> bytes:
    """Return ``seal.json``; inverse of `decode`."""
    return canonical.encode(
        {
            "schema": SCHEMA,
            "cohort_digest": sealed.cohort_digest,
            "public": base64.b64encode(sealed.public).decode(),
            "wrapped": base64.b64encode(sealed.wrapped).decode(),
        }
    )


def decode(raw: bytes) -> SealedKey:
    """Return what a ``seal.json`` states.

    Raises
    ------
    CohortError : it is none (SEAL_MALFORMED).
    """
    try:
        values: Mapping[str, Any] = json.loads(raw)
        if values["schema"] != SCHEMA:
            raise ValueError("schema")
        found = SealedKey(
            str(values["cohort_digest"]),
            base64.b64decode(values["public"], validate=True),
            base64.b64decode(values["wrapped"], validate=True),
        )
        if len(found.public) != _PUBLIC or len(found.wrapped) != 2 * _PUBLIC + _NONCE + 16:
            raise ValueError("size")
        return found
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise refused("SEAL_MALFORMED", "the seal of a cohort") from error


class OpenedFiles:
    """The files of a sealed cohort while the harness has it open; plaintext only in memory."""

    def __init__(
        self, sealed: Callable[[FileEntry], bytes], data_key: bytes, cohort_digest: str
    ) -> None:
        self._sealed, self._digest = sealed, cohort_digest
        self._key = bytearray(data_key)

    def read(self, entry: FileEntry) -> bytes:
        """Return the bytes of a file.

        Raises
        ------
        CohortError : SEAL_TAMPERED, COHORT_TAMPERED, or it was closed (SEAL_CLOSED).
        """
        if not any(self._key):
            raise refused("SEAL_CLOSED", "an open cohort")
        plain = open_file(self._sealed(entry), bytes(self._key), self._digest, entry.path)
        return verified(plain, entry)

    def close(self) -> None:
        """Forget the data key: nothing is read from then on."""
        self._key[:] = bytes(len(self._key))


def refused(code: str, expected: str, advice: str | None = None) -> CohortError:
    """Return the error that a seal gives, by a stable code."""
    return CohortError(f"expected {expected}, found another", reasons=(code,), advice=advice)


def _bound(cohort_digest: str, path: str) -> bytes:
    return b"\x00".join((_LABEL, cohort_digest.encode(), path.encode()))


def _derived(shared: bytes, ephemeral: bytes, public: bytes) -> bytes:
    info = b"\x00".join((_LABEL, ephemeral, public))
    return HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=None, info=info).derive(shared)
