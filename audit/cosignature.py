"""Cosignatures: somebody else states, with the time, what the log looked like to him.

Format: C2SP tlog-cosignature (https://c2sp.org/tlog-cosignature), both of its types:
Ed25519 (``cosignature/v1``) and ML-DSA-44 (FIPS 204, ``subtree/v1``), which also holds
against a quantum computer.  A witness cosigns what it checked (`witness.py`); the log
itself cosigns its checkpoints with ML-DSA-44.  `Cosigner.cosign` and `check_cosignature`
are a pair.

Read next: `witness.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from audit.checkpoint import (
    Checkpoint,
    Signature,
    decode_base64,
    encode_base64,
    parse,
    signature_line,
    split_note,
)
from audit.errors import ConfigurationError, LogTamperedError

ED25519, ML_DSA_44 = 0x04, 0x06
"""Signature types of tlog-cosignature."""
_PUBLIC_SIZE = {ED25519: 32, ML_DSA_44: 1312}
_SIGNATURE_SIZE = {ED25519: 64, ML_DSA_44: 2420}
_SEED_SIZE = 32
_TIME_SIZE = 8
_LATEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class CosignerKey:
    """The public key of a witness; ``text`` is what a verifier is given."""

    name: str
    kind: int
    public: bytes

    def __post_init__(self) -> None:
        if not self.name or "+" in self.name or any(c.isspace() for c in self.name):
            raise ConfigurationError("expected a key name without spaces and plus, found another")
        if len(self.public) != _PUBLIC_SIZE.get(self.kind):
            raise ConfigurationError("expected a key of Ed25519 or ML-DSA-44, found another")

    @property
    def key_id(self) -> bytes:
        """SHA-256(<name> || "\\\\n" || type || public key)[:4] (tlog-cosignature, "Format")."""
        content = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(content).digest()[:4]

    def text(self) -> str:
        """Return ``name+hex key id+base64(type || public key)``; inverse of `parse_cosigner`."""
        content = encode_base64(bytes([self.kind]) + self.public)
        return f"{self.name}+{self.key_id.hex()}+{content}"


class Cosigner:
    """Cosigns checkpoints under one name; the secret stays in this process.

    Parameters
    ----------
    kind : `ED25519` or `ML_DSA_44`.
    seed : 32 secret bytes.
    """

    def __init__(self, name: str, kind: int, seed: bytes) -> None:
        if len(seed) != _SEED_SIZE:
            raise ConfigurationError(f"expected a seed of {_SEED_SIZE} bytes, found another")
        self._key: Ed25519PrivateKey | MLDSA44PrivateKey
        if kind == ED25519:
            self._key = Ed25519PrivateKey.from_private_bytes(seed)
        else:
            self._key = MLDSA44PrivateKey.from_seed_bytes(seed)
        self.key = CosignerKey(name, kind, self._key.public_key().public_bytes_raw())

    def cosign(self, text: str, at: datetime) -> str:
        """Return the signature line over the text of a checkpoint, stating the time."""
        seconds = int(at.timestamp())
        signature = self._key.sign(_message(self.key, text, seconds))
        stamped = seconds.to_bytes(_TIME_SIZE, "big") + signature
        return signature_line(self.key.name, self.key.key_id, stamped)


def parse_cosigner(text: str) -> CosignerKey:
    """Return the public key of its text.

    Raises
    ------
    ConfigurationError : the text is no cosigner's key, or its parts disagree.
    """
    name, _, rest = text.strip().partition("+")
    key_id, _, content = rest.partition("+")
    data = decode_base64(content)
    if not data:
        raise ConfigurationError("expected the public key of a cosigner, found other text")
    key = CosignerKey(name, data[0], data[1:])
    if key.key_id.hex() != key_id:
        raise ConfigurationError("expected a public key that matches its id, found another")
    return key


def check_cosignature(text: str, signature: Signature, key: CosignerKey) -> datetime:
    """Return when ``key`` cosigned the text of a checkpoint.

    Raises
    ------
    LogTamperedError : the signature is not one of ``key`` over this text.
    """
    name, key_id, stamped = signature
    if name != key.name or key_id != key.key_id:
        raise LogTamperedError(f"expected a cosignature of {key.name}, found another's")
    if len(stamped) != _TIME_SIZE + _SIGNATURE_SIZE[key.kind]:
        raise LogTamperedError(f"expected a cosignature of {name}, found other bytes")
    seconds = int.from_bytes(stamped[:_TIME_SIZE], "big")
    if seconds > _LATEST:
        raise LogTamperedError(f"expected a time in the cosignature of {name}, found none")
    public: Ed25519PublicKey | MLDSA44PublicKey
    if key.kind == ED25519:
        public = Ed25519PublicKey.from_public_bytes(key.public)
    else:
        public = MLDSA44PublicKey.from_public_bytes(key.public)
    try:
        public.verify(stamped[_TIME_SIZE:], _message(key, text, seconds))
        return datetime.fromtimestamp(seconds, UTC)
    except InvalidSignature as error:
        raise LogTamperedError(f"expected the cosignature of {name}, found a wrong one") from error
    except (OverflowError, ValueError, OSError) as error:
        raise LogTamperedError(f"expected a time in the cosignature of {name}") from error


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The largest checkpoint that a witness cosigned, and when."""

    name: str
    size: int
    at: datetime


def cosigned(notes: Iterable[str], keys: Iterable[CosignerKey]) -> tuple[Cosigned, ...]:
    """Return, for each key, the largest checkpoint among the notes that it cosigned.

    The signature of the log itself is not looked at (`audit.checkpoint.verify` does that).

    Raises
    ------
    LogTamperedError : a cosignature of one of the keys is wrong, or a key has none at all:
        a log that was written anew has lost the cosignatures of those who saw the old one.
    """
    by_id = {(key.name, key.key_id): key for key in keys}
    best: dict[tuple[str, bytes], Cosigned] = {}
    for note in notes:
        text, signatures = split_note(note)
        for signature in signatures:
            key = by_id.get(signature[:2])
            if key is None:
                continue
            at = check_cosignature(text, signature, key)
            size = parse(text).size
            known = best.get(signature[:2])
            if known is None or (known.size, known.at) < (size, at):
                best[signature[:2]] = Cosigned(key.name, size, at)
    for place, key in by_id.items():
        if place not in best:
            raise LogTamperedError(
                f"expected a checkpoint that {key.name} cosigned, found none",
                advice="Ask the witness for the last checkpoint that it saw of this log.",
            )
    return tuple(best[place] for place in by_id)


def _message(key: CosignerKey, text: str, seconds: int) -> bytes:
    """Return the bytes that are signed (tlog-cosignature, "signed message" of each type)."""
    if key.kind == ED25519:
        return f"cosignature/v1\ntime {seconds}\n{text}".encode()
    checkpoint: Checkpoint = parse(text)
    name, origin = key.name.encode(), checkpoint.origin.encode()
    if max(len(name), len(origin)) > 255:
        raise LogTamperedError("expected names of at most 255 bytes, found longer ones")
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes([len(name)]),
            name,
            seconds.to_bytes(8, "big"),
            bytes([len(origin)]),
            origin,
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root_hash,
        )
    )


def lines_by_key(
    lines: str, text: str, keys: Mapping[tuple[str, bytes], CosignerKey]
) -> tuple[str, ...]:
    """Return those of a witness's lines that the given keys signed over the text.

    Lines of unknown keys are ignored, as tlog-witness wants it of a client.

    Raises
    ------
    LogTamperedError : a line is malformed, or a known key's cosignature is wrong.
    """
    _, signatures = split_note(f"{text}\n{lines}")
    kept = []
    for signature in signatures:
        key = keys.get(signature[:2])
        if key is not None:
            check_cosignature(text, signature, key)
            kept.append(signature_line(*signature))
    return tuple(kept)
