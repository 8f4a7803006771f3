"""A stream under a passphrase; `Sealing` writes what `unsealed` reads.

scrypt (RFC 7914; N = 2^15, r = 8, p = 1) makes the key, AES-256-GCM seals chunks of 1 MiB.  A
nonce is 7 random bytes, the number of the chunk, and whether it is the last: a chunk that was
changed, moved, left out or put in does not open, and a stream that was cut has no last one (the
STREAM construction, Hoang et al., CRYPTO 2015).

Read next: `backup.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from audit.errors import AuthenticationError, ConfigurationError

MAGIC = b"OSTEON-SEALED-1\n"
CHUNK = 1 << 20
SHORTEST_PASSPHRASE = 12
_SALT, _PREFIX, _TAG = 16, 7, 16


class Sealing:
    """A file-like sink; what is written comes out sealed once it is closed.

    Raises
    ------
    ConfigurationError : the passphrase is shorter than 12 characters.
    """

    def __init__(self, sink: BinaryIO, passphrase: str) -> None:
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise ConfigurationError(
                f"expected a passphrase of at least {SHORTEST_PASSPHRASE} characters"
            )
        salt, self._prefix = os.urandom(_SALT), os.urandom(_PREFIX)
        self._cipher, self._sink, self._number = _cipher(passphrase, salt), sink, 0
        self._waiting = bytearray()
        sink.write(MAGIC + salt + self._prefix)

    def write(self, data: bytes) -> int:
        """Take bytes; whole chunks go on at once."""
        self._waiting += data
        while len(self._waiting) > CHUNK:
            self._put(bytes(self._waiting[:CHUNK]), is_last=False)
            del self._waiting[:CHUNK]
        return len(data)

    def close(self) -> None:
        """Write the last chunk; without it the stream does not open."""
        self._put(bytes(self._waiting), is_last=True)

    def _put(self, chunk: bytes, *, is_last: bool) -> None:
        nonce = _nonce(self._prefix, self._number, is_last=is_last)
        self._sink.write(self._cipher.encrypt(nonce, chunk, MAGIC))
        self._number += 1


class Unsealing:
    """A file-like source over a sealed stream, for `tarfile` in stream mode.

    Raises
    ------
    AuthenticationError : another passphrase, or the stream was changed or cut.
    """

    def __init__(self, source: BinaryIO, passphrase: str) -> None:
        self._chunks = _chunks(source, passphrase)
        self._chunk, self._at = b"", 0

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes; fewer only at the end."""
        parts, missing = [], size
        while missing:
            if self._at == len(self._chunk):
                self._chunk, self._at = next(self._chunks, b""), 0
                if not self._chunk:
                    break
            end = len(self._chunk) if missing < 0 else self._at + missing
            part = self._chunk[self._at : end]
            parts.append(part)
            self._at += len(part)
            missing -= len(part) if missing > 0 else 0
        return b"".join(parts)


def _chunks(source: BinaryIO, passphrase: str) -> Iterator[bytes]:
    head = source.read(len(MAGIC) + _SALT + _PREFIX)
    if not head.startswith(MAGIC) or len(head) != len(MAGIC) + _SALT + _PREFIX:
        raise AuthenticationError("expected a sealed stream, found other bytes")
    salt, prefix = head[len(MAGIC) : -_PREFIX], head[-_PREFIX:]
    cipher, number = _cipher(passphrase, salt), 0
    sealed = source.read(CHUNK + _TAG)
    while True:
        following = source.read(CHUNK + _TAG)
        nonce = _nonce(prefix, number, is_last=not following)
        try:
            yield cipher.decrypt(nonce, sealed, MAGIC)
        except InvalidTag as error:
            raise AuthenticationError(
                "expected the passphrase of the stream, found another one or changed bytes",
                advice="Check the passphrase; a backup that was damaged opens with none.",
            ) from error
        if not following:
            return
        sealed, number = following, number + 1


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(passphrase.encode()))


def _nonce(prefix: bytes, number: int, *, is_last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([is_last])
