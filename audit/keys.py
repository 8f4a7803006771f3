"""Secrets in files: mode 0600, made once, refused when others can read them.

Read next: `checkpoint.py`.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from audit.errors import ConfigurationError

KEY_SIZE = 32


def write_secret(path: Path, text: str) -> None:
    """Write a secret into a new file of mode 0600, durable on return.

    Raises
    ------
    ConfigurationError : the file is there already; it was left as it is.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(f"expected no key file {path.name}, found one") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_secret(path: Path) -> str:
    """Return the secret of a file that only its owner can read.

    Raises
    ------
    ConfigurationError : there is no such file, or its mode lets others read it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"expected a readable key file {path.name}, found none") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"expected key file {path.name} with mode 0600, found {stat.S_IMODE(mode):04o}",
            advice="Run `chmod 600` on the key file, and replace the key if others may have it.",
        )
    return text


def symmetric_key(path: Path) -> bytes:
    """Return the 32 random bytes kept in ``path`` as hexadecimal; made at the first call."""
    if not path.exists():
        try:
            write_secret(path, secrets.token_hex(KEY_SIZE))
        except ConfigurationError:
            if not path.exists():
                raise
    try:
        key = bytes.fromhex(read_secret(path))
    except ValueError as error:
        raise ConfigurationError(
            f"expected hexadecimal in {path.name}, found other text"
        ) from error
    if len(key) != KEY_SIZE:
        raise ConfigurationError(f"expected {KEY_SIZE} bytes in {path.name}, found {len(key)}")
    return key
