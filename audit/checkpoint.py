"""Signed checkpoints: a tree size and its root, in a form that others can hold us to.

Formats: C2SP signed-note (https://c2sp.org/signed-note) with Ed25519 signatures, and
C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint).  Keys are written as Go's
``golang.org/x/mod/sumdb/note`` writes them.  ``sign``/``verify`` are a pair: what one
wrote the other accepts, and nothing else.

Read next: `cosignature.py`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.errors import ConfigurationError, LogTamperedError
from audit.keys import read_secret, write_secret
from audit.merkle import HASH_SIZE

_ED25519 = b"\x01"  # signature type of signed-note
_KEY_SIZE = 32
_MARK = "\N{EM DASH} "
_PRIVATE = "PRIVATE+KEY+"
Signature = tuple[str, bytes, bytes]
"""Name of the key, its id, and the signature."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log claims: its origin, how many leaves, and their root hash."""

    origin: str
    size: int
    root_hash: bytes


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name of its log; ``text`` is what an outsider is given."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not self.name or "+" in self.name or any(c.isspace() for c in self.name):
            raise ConfigurationError("expected a key name without spaces and plus, found another")
        if len(self.public) != _KEY_SIZE:
            raise ConfigurationError(f"expected {_KEY_SIZE} bytes, found {len(self.public)}")

    @property
    def key_id(self) -> bytes:
        """SHA-256(name || 0x0A || 0x01 || public key)[:4] (signed-note, "Signatures")."""
        content = self.name.encode() + b"\n" + _ED25519 + self.public
        return hashlib.sha256(content).digest()[:4]

    def at(self, size: int) -> tuple[VerifierKey, ...]:
        """Return the keys that may have signed a tree of this size: itself, whatever it is."""
        del size
        return (self,)

    def text(self) -> str:
        """Return ``name+hex key id+base64(0x01 || public key)``; inverse of `parse_key`."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(_ED25519 + self.public)}"


class LogKeys(Protocol):
    """The public keys of one log: one, or a chain of them."""

    @property
    def name(self) -> str:
        """Name of the log."""
        ...

    def at(self, size: int) -> tuple[VerifierKey, ...]:
        """Return the keys that may have signed a tree of this size."""
        ...


class SigningKey(Protocol):
    """An Ed25519 key wherever it lies: in memory, in a file, in a token."""

    def sign(self, data: bytes, /) -> bytes:
        """Return the 64 bytes of the signature of ``data``."""
        ...


class NoteSigner(Protocol):
    """Signs notes under one name."""

    @property
    def verifier(self) -> VerifierKey:
        """The public key of what it signs."""
        ...

    def sign_note(self, text: str) -> str:
        """Return the text, an empty line and one signature line."""
        ...


class KeySigner:
    """Signs notes under one name with a key that lies anywhere."""

    def __init__(self, name: str, key: SigningKey, public: bytes) -> None:
        self._key = key
        self.verifier = VerifierKey(name, public)

    def sign_note(self, text: str) -> str:
        """Return the text, an empty line and one signature line."""
        if not text.endswith("\n"):
            raise ValueError("expected a note text that ends with a newline")
        name, key_id = self.verifier.name, self.verifier.key_id
        return f"{text}\n{signature_line(name, key_id, self._key.sign(text.encode()))}"


class Signer(KeySigner):
    """Signs notes under one name; the secret stays in this process."""

    def __init__(self, name: str, secret: bytes) -> None:
        key = Ed25519PrivateKey.from_private_bytes(secret)
        super().__init__(name, key, key.public_key().public_bytes_raw())
        self._secret = secret

    def secret_text(self) -> str:
        """Return the secret as the key file holds it; inverse of `parse_secret`."""
        key_id = self.verifier.key_id.hex()
        return f"{_PRIVATE}{self.verifier.name}+{key_id}+{encode_base64(_ED25519 + self._secret)}"

    def secret_bytes(self) -> bytes:
        """Return the 32 secret bytes, to be kept in another form."""
        return self._secret


def new_signer(name: str) -> Signer:
    """Return a signer with a new random key."""
    return Signer(name, os.urandom(_KEY_SIZE))


def parse_secret(text: str) -> Signer:
    """Return the signer of a secret key's text.

    Raises
    ------
    ConfigurationError : the text is not a key, or its parts disagree.
    """
    if not text.startswith(_PRIVATE):
        raise ConfigurationError("expected a secret key, found other text")
    name, key_id, secret = _key_parts(text.removeprefix(_PRIVATE))
    signer = Signer(name, secret)
    if signer.verifier.key_id != key_id:
        raise ConfigurationError("expected a secret key that matches its id, found another")
    return signer


def parse_key(text: str) -> VerifierKey:
    """Return the public key of its text.

    Raises
    ------
    ConfigurationError : the text is not a key, or its parts disagree.
    """
    name, key_id, public = _key_parts(text.strip())
    key = VerifierKey(name, public)
    if key.key_id != key_id:
        raise ConfigurationError("expected a public key that matches its id, found another")
    return key


def load_signer(path: Path, name: str) -> Signer:
    """Return the signer of a key file; a new key is made when the file is not there.

    Raises
    ------
    ConfigurationError : the file can be read by others, or holds the key of another name.
    """
    if not path.exists():
        write_secret(path, new_signer(name).secret_text())
    signer = parse_secret(read_secret(path))
    if signer.verifier.name != name:
        raise ConfigurationError(f"expected the key of {name}, found {signer.verifier.name}")
    return signer


def sign(checkpoint: Checkpoint, signer: NoteSigner) -> str:
    """Return the checkpoint as a signed note; `verify` gives it back."""
    root = encode_base64(checkpoint.root_hash)
    return signer.sign_note(f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n")


def verify(note: str, key: LogKeys) -> Checkpoint:
    """Return the checkpoint of a note that the log's key signed.

    Parameters
    ----------
    key : one key, or the chain of keys that a log had (`key_chain.py`); of a chain that one
        counts which was in force at the size of the checkpoint.

    Raises
    ------
    LogTamperedError : the note is malformed, of another origin, or the signature of
        ``key`` is missing or wrong.  Signatures of other keys are not looked at.
    """
    checkpoint = parse(split_note(note)[0])
    verify_note(note, *key.at(checkpoint.size))
    if checkpoint.origin != key.name:
        raise LogTamperedError("expected a checkpoint of the key's log, found another origin")
    return checkpoint


def verify_note(note: str, *keys: VerifierKey) -> str:
    """Return the text of a note that one of the keys signed; raises as `verify` does."""
    text, signatures = split_note(note)
    known = {(key.name, key.key_id): key for key in keys}
    found = False
    for name, key_id, signature in signatures:
        key = known.get((name, key_id))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
        except InvalidSignature as error:
            raise LogTamperedError(
                f"expected the signature of {name}, found a wrong one"
            ) from error
        found = True
    if not found:
        names = ", ".join(sorted({key.name for key in keys})) or "a key in force"
        raise LogTamperedError(f"expected a signature of {names}, found none")
    return text


def split_note(note: str) -> tuple[str, tuple[Signature, ...]]:
    """Return the text of a note and its signatures, none of them checked.

    Raises
    ------
    LogTamperedError : it is no signed note.
    """
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise LogTamperedError("expected a signed note, found other text")
    found = tuple(map(read_signature, lines.removesuffix("\n").split("\n")))
    return text + "\n", found


def signature_line(name: str, key_id: bytes, signature: bytes) -> str:
    """Return one signature line of a note; inverse of `read_signature`, with its line break."""
    return f"{_MARK}{name} {encode_base64(key_id + signature)}\n"


def parse(text: str) -> Checkpoint:
    """Return what the text of a checkpoint claims; extension lines are left alone.

    Raises
    ------
    LogTamperedError : the first three lines are not origin, size and root hash.
    """
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0] or lines[-1]:
        raise LogTamperedError("expected origin, size and root hash, found other text")
    origin, size, root = lines[:3]
    plain = size.isascii() and size.isdigit() and (size == "0" or not size.startswith("0"))
    if not plain:
        raise LogTamperedError("expected a tree size in decimal, found other text")
    root_hash = decode_base64(root)
    if root_hash is None or len(root_hash) != HASH_SIZE:
        raise LogTamperedError(f"expected a root hash of {HASH_SIZE} bytes, found another")
    return Checkpoint(origin, int(size), root_hash)


def read_signature(line: str) -> Signature:
    """Return (key name, key id, signature) of a signature line without its line break."""
    name, separator, content = line.removeprefix(_MARK).partition(" ")
    data = decode_base64(content)
    if not line.startswith(_MARK) or not name or not separator or data is None or len(data) < 5:
        raise LogTamperedError("expected a signature line, found other text")
    return name, data[:4], data[4:]


def _key_parts(text: str) -> tuple[str, bytes, bytes]:
    name, _, rest = text.partition("+")
    key_id, _, content = rest.partition("+")
    data = decode_base64(content)
    if len(key_id) != 8 or data is None or data[:1] != _ED25519 or len(data) != 1 + _KEY_SIZE:
        raise ConfigurationError("expected an Ed25519 key, found other text")
    try:
        return name, bytes.fromhex(key_id), data[1:]
    except ValueError as error:
        raise ConfigurationError("expected a key id in hexadecimal, found other text") from error


def encode_base64(data: bytes) -> str:
    """Return standard base64."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes | None:
    """Return the bytes of standard base64 in its one canonical spelling, else None."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if encode_base64(data) == text else None
