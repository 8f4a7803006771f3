"""Secret keys in files: as they are, encrypted under a password, or a pointer to a token.

Three forms, all of mode 0600, told apart by what stands in them:

    64 hexadecimal digits          the key as it is
    {"schema": "osteon.key/1"...}  the key under AES-256-GCM, its key made from a password by scrypt
    {"schema": "osteon.token/1"..} a PKCS#11 URI; the key is in the token and never leaves it

The second and third name their public key, so that a site opens without the password; what
is asked for at the first signature must fit it.

Source: RFC 7914 (scrypt), cost as the OWASP Password Storage Cheat Sheet asks (N = 2^17, r = 8,
p = 1); NIST SP 800-38D (GCM); RFC 7512 (PKCS#11 URI).

Read next: `key_passwords.py`, `token_keys.py`.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from audit.errors import ConfigurationError
from audit.keys import KEY_SIZE, read_secret, write_secret
from governance.signing import SecretKey

ENCRYPTED, TOKEN = "osteon.key/1", "osteon.token/1"
COST, BLOCK, LANES = 2**17, 8, 1
_HIGHEST_COST = 2**20
_SALT, _NONCE = 16, 12


class KeyPasswordError(ConfigurationError):
    """The password of a key file is wrong, or the file was changed."""

    code = "KEY_PASSWORD"
    advice = "Try again; without its password a key is lost: `osteon key rotate` makes another."


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a key file says without being opened.

    Parameters
    ----------
    form : plain | encrypted | token.
    uri : of a token, else empty.
    """

    form: str
    public: bytes
    content: str
    uri: str = ""

    def open(self, password: Callable[[], bytes], token: Callable[[str], SecretKey]) -> SecretKey:
        """Return the key that signs; asks for a password where it needs one.

        Raises
        ------
        KeyPasswordError : the password does not open the file.
        ConfigurationError : what was opened is not the key that the file names.
        """
        if self.form == "token":
            return token(self.uri)
        if self.form == "plain":
            return _private(bytes.fromhex(self.content))
        key = _private(_decrypted(json.loads(self.content), self.public, password()))
        if key.public_key().public_bytes_raw() != self.public:
            raise KeyPasswordError("expected the secret of the public key in the file")
        return key


def read_key_file(path: Path) -> KeyFile:
    """Return a key file without opening it.

    Raises
    ------
    ConfigurationError : it is malformed, or others can read it.
    """
    text = read_secret(path)
    try:
        if not text.startswith("{"):
            secret = bytes.fromhex(text)
            if len(secret) != KEY_SIZE:
                raise ValueError("size")
            return KeyFile("plain", _public(_private(secret)), text)
        document = json.loads(text)
        public = bytes.fromhex(document["public"])
        if len(public) != KEY_SIZE or document["schema"] not in (ENCRYPTED, TOKEN):
            raise ValueError("form")
        if document["schema"] == TOKEN:
            return KeyFile("token", public, text, str(document["uri"]))
        return KeyFile("encrypted", public, text)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"expected a key in {path.name}, found a fault: {type(error).__name__}"
        ) from error


def form_of(path: Path) -> str:
    """Return plain, encrypted or token; empty where there is no file."""
    if not path.exists():
        return ""
    return read_key_file(path).form if read_secret(path).startswith("{") else "plain"


def make_key_file(path: Path) -> None:
    """Write a new random key, as it is, into a file that is not there yet."""
    write_secret(path, secrets.token_hex(KEY_SIZE))


def public_of(secret: bytes) -> bytes:
    """Return the public key of 32 secret bytes."""
    return _public(_private(secret))


def plain_text(key: bytes) -> str:
    """Return what a file says that holds a key as it is."""
    return key.hex()


def encrypted_text(key: bytes, password: bytes) -> str:
    """Return what a file says that holds a key under a password."""
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    public = _public(_private(key))
    sealed = AESGCM(_stretched(password, salt, COST, BLOCK, LANES)).encrypt(nonce, key, public)
    document = {
        "schema": ENCRYPTED,
        "public": public.hex(),
        "scrypt": {"n": COST, "r": BLOCK, "p": LANES, "salt": salt.hex()},
        "nonce": nonce.hex(),
        "sealed": base64.b64encode(sealed).decode(),
    }
    return json.dumps(document)


def token_text(uri: str, public: bytes) -> str:
    """Return what a file says that points to a key in a token."""
    return json.dumps({"schema": TOKEN, "public": public.hex(), "uri": uri})


def replace_secret(path: Path, text: str) -> None:
    """Put another text into a key file, whole or not at all; mode 0600, durable on return."""
    building = path.with_name(f"{path.name}.new")
    building.unlink(missing_ok=True)
    write_secret(building, text)
    building.replace(path)


def secret_of(file: KeyFile, password: Callable[[], bytes]) -> bytes:
    """Return the 32 secret bytes of a file, to be written in another form.

    Raises
    ------
    ConfigurationError : the key lies in a token, which does not give it.
    """

    def no_token(uri: str) -> SecretKey:
        raise ConfigurationError(f"expected a key in a file, found one in a token: {uri[:60]}")

    key = file.open(password, no_token)
    assert isinstance(key, Ed25519PrivateKey)  # a token was refused
    return key.private_bytes_raw()


def _decrypted(document: dict[str, Any], public: bytes, password: bytes) -> bytes:
    try:
        cost = document["scrypt"]
        numbers = (int(cost["n"]), int(cost["r"]), int(cost["p"]))
        if not (2 <= numbers[0] <= _HIGHEST_COST and numbers[1] <= 64 and numbers[2] <= 16):
            raise ValueError("cost")
        stretched = _stretched(password, bytes.fromhex(cost["salt"]), *numbers)
        sealed = base64.b64decode(document["sealed"], validate=True)
        return AESGCM(stretched).decrypt(bytes.fromhex(document["nonce"]), sealed, public)
    except InvalidTag as error:
        raise KeyPasswordError("expected the password of the key, found another") from error
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise ConfigurationError(f"expected a sealed key: {type(error).__name__}") from error


def _stretched(password: bytes, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=block, p=lanes).derive(password)


def _private(secret: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(secret)


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()
