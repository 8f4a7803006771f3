"""Where the password of a key file, or the PIN of a token, comes from; never from an argument.

In this order: a file that only its owner can read, named by an environment variable; an
environment variable; a question at the terminal.  A service without a terminal needs one of
the first two.

Read next: `key_files.py`.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from audit.errors import ConfigurationError
from audit.keys import read_secret

PASSWORD, NEW_PASSWORD, PIN = "OSTEON_KEY_PASSWORD", "OSTEON_NEW_KEY_PASSWORD", "OSTEON_PKCS11_PIN"
SHORTEST = 12


class KeyLockedError(ConfigurationError):
    """A key is encrypted, and nobody is there to give its password."""

    code = "KEY_LOCKED"
    advice = (
        f"Set {PASSWORD}_FILE (a file of mode 0600) or {PASSWORD}; of a token {PIN}_FILE or {PIN}."
    )


def key_password() -> bytes:
    """Return the password of the key files; KeyLockedError where there is none."""
    return _secret(PASSWORD, "Password of the key").encode()


def token_pin() -> str:
    """Return the PIN of the token; KeyLockedError where there is none."""
    return _secret(PIN, "PIN of the token")


def new_key_password() -> bytes:
    """Return a new password, asked for twice at the terminal.

    Raises
    ------
    ConfigurationError : it is too short, or the two differ.
    """
    given = _secret(NEW_PASSWORD, "New password of the key")
    asked = os.environ.get(NEW_PASSWORD) is None and f"{NEW_PASSWORD}_FILE" not in os.environ
    if asked and getpass.getpass("Once more: ") != given:
        raise ConfigurationError("expected the same password twice, found two")
    if len(given) < SHORTEST:
        raise ConfigurationError(
            f"expected a password of at least {SHORTEST} characters, found {len(given)}"
        )
    return given.encode()


def _secret(variable: str, prompt: str) -> str:
    if named := os.environ.get(f"{variable}_FILE"):
        return read_secret(Path(named).expanduser())
    if given := os.environ.get(variable):
        return given
    if not sys.stdin.isatty():
        raise KeyLockedError("expected the password of a key, found nobody to ask")
    return getpass.getpass(f"{prompt}: ")
