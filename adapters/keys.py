"""The keys of a site: made once, secret files mode 0600, public ones in trust.json.

log.key and log-ml-dsa.key sign checkpoints, release.key signs releases built or shipped here,
certificate.key signs certificates of validations made here, report.key seals documents that
persons answer for, plan.key signs change plans; pseudonym.key keys the pseudonyms, session.key
signs the sessions of the pages.  A signing key may be encrypted, or lie in a token
(`key_files.py`): a site opens without its password, which is asked for at the first signature.

Source: SEAMS Home; Ed25519 is RFC 8032.

Read next: `key_files.py`; `key_changes.py` (rotation, revocation).
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from adapters.home import Home
from adapters.key_files import (
    KeyFile,
    encrypted_text,
    make_key_file,
    plain_text,
    public_of,
    read_key_file,
    token_text,
)
from adapters.key_passwords import key_password
from adapters.token_keys import open_token, use_token_key
from audit.checkpoint import KeySigner, NoteSigner, VerifierKey, load_signer, parse_secret
from audit.cosignature import ML_DSA_44, Cosigner
from audit.errors import ConfigurationError
from audit.keys import read_secret, symmetric_key
from governance.sealed import Sealer
from governance.signing import SecretKey, TrustedKey, load_trust, store_trust

SIGNING = ("release", "certificate", "report", "plan", "log")
"""Purposes for which the site has a key of its own."""
TRUST = "trust.json"


class KeyNotInForceError(ConfigurationError):
    """A key of this site signs no more: it was revoked, or another took its place."""

    code = "KEY_NOT_IN_FORCE"
    advice = "Make another with `osteon key rotate`; a running service has to be started again."


@dataclass(frozen=True, slots=True)
class SiteKeys:
    """The secret keys of a site; never printed."""

    log: NoteSigner
    log_cosigner: Cosigner
    release: SecretKey
    release_key_id: str
    certificate: SecretKey
    certificate_key_id: str
    report: SecretKey
    report_key_id: str
    pseudonym: bytes
    session: bytes

    def __repr__(self) -> str:
        return "SiteKeys(hidden)"

    @property
    def sealer(self) -> Sealer:
        """Return the key that seals documents."""
        return Sealer(self.report, self.report_key_id)


class SiteKey:
    """A secret key of the site, opened at its first signature.

    It signs only while its file holds this key and nothing in trust.json is against it.
    """

    def __init__(self, home: Home, purpose: str, file: KeyFile) -> None:
        self._home, self._purpose, self._file = home, purpose, file
        self._opened: SecretKey | None = None
        self.public = file.public
        self.key_id = id_of(purpose, file.public)

    def __repr__(self) -> str:
        return f"SiteKey({self.key_id})"

    def sign(self, data: bytes, /) -> bytes:
        """Return the signature of ``data``.

        Raises
        ------
        KeyNotInForceError : it was revoked, or another key lies in its place.
        ConfigurationError : its password or token does not open it.
        """
        path = key_path(self._home, self._purpose)
        if read_key_file(path).public != self.public:
            raise KeyNotInForceError(f"expected {self.key_id}, found another {self._purpose} key")
        for key in load_trust(self._home.keys / TRUST):
            gone = key.revoked_at is not None or key.kept is not None
            if key.key_id == self.key_id and gone:
                raise KeyNotInForceError(f"{self.key_id} was revoked or rotated out")
        if self._opened is None:
            self._opened = self._file.open(key_password, open_token)
        return self._opened.sign(data)


class LogSigner:
    """Signs checkpoints with the key that lies in log.key now, whoever put it there."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path, self._origin = path, origin
        self._text = read_secret(path)
        self._signer = signer_in(path, origin)

    @property
    def verifier(self) -> VerifierKey:
        """The public key of what it signs."""
        return self.current().verifier

    def sign_note(self, text: str) -> str:
        """Return the text, an empty line and one signature line."""
        return self.current().sign_note(text)

    def current(self) -> NoteSigner:
        """Return what signs with the key that lies there now."""
        text = read_secret(self._path)
        if text != self._text:
            self._text, self._signer = text, signer_in(self._path, self._origin)
        return self._signer


def signer_in(path: Path, origin: str) -> NoteSigner:
    """Return what signs with the key in a file, under the name of a log.

    Raises
    ------
    ConfigurationError : the file is malformed, or holds the key of another log.
    """
    text = read_secret(path)
    if text.startswith("{"):
        file = read_key_file(path)
        return KeySigner(origin, _Lazy(file), file.public)
    signer = parse_secret(text)
    if signer.verifier.name != origin:
        raise ConfigurationError(f"expected the log key of {origin}, found another")
    return signer


class _Lazy:
    """A key file that is opened at the first signature."""

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._opened: SecretKey | None = None

    def sign(self, data: bytes, /) -> bytes:
        """Return the signature of ``data``."""
        if self._opened is None:
            self._opened = self._file.open(key_password, open_token)
        return self._opened.sign(data)


def load_keys(home: Home, now: datetime) -> SiteKeys:
    """Return the keys of a site; those that are missing are made, and ours are trusted.

    Raises
    ------
    ConfigurationError : a key file is malformed or readable by others.
    """
    log = log_signer(home)
    release, release_id = signing_key(home, "release", now)
    certificate, certificate_id = signing_key(home, "certificate", now)
    report, report_id = signing_key(home, "report", now)
    log_public = log.verifier.public
    _trust(home, TrustedKey(id_of("log", log_public), "log", log_public, now))
    return SiteKeys(
        log=log,
        log_cosigner=Cosigner(
            log.verifier.name, ML_DSA_44, symmetric_key(home.keys / "log-ml-dsa.key")
        ),
        release=release,
        release_key_id=release_id,
        certificate=certificate,
        certificate_key_id=certificate_id,
        report=report,
        report_key_id=report_id,
        pseudonym=symmetric_key(home.keys / "pseudonym.key"),
        session=symmetric_key(home.keys / "session.key"),
    )


def signing_key(home: Home, purpose: str, now: datetime) -> tuple[SiteKey, str]:
    """Return the home's key for a purpose and its id; made and trusted at the first call."""
    path = key_path(home, purpose)
    if not path.exists():
        try:
            make_key_file(path)
        except ConfigurationError:  # another process made it at the same time
            if not path.exists():
                raise
    key = SiteKey(home, purpose, read_key_file(path))
    _trust(home, TrustedKey(key.key_id, purpose, key.public, now))
    return key, key.key_id


def log_signer(home: Home) -> LogSigner:
    """Return what signs the home's checkpoints; its key is made at the first call."""
    path, origin = key_path(home, "log"), log_origin(home)
    if not path.exists():
        load_signer(path, origin)
    return LogSigner(path, origin)


def key_path(home: Home, purpose: str) -> Path:
    """Return where the home keeps its key for a purpose."""
    return home.keys / f"{purpose}.key"


def id_of(purpose: str, public: bytes) -> str:
    """Return the id of a key of this site."""
    return f"{purpose}-{public.hex()[:12]}"


def log_origin(home: Home) -> str:
    """Return the name of the home's log: random, made once, on every checkpoint's first line."""
    path = home.keys / "log.origin"
    if not path.exists():
        path.write_text(f"osteon.example/log/{secrets.token_hex(8)}\n", encoding="ascii")
    return path.read_text(encoding="ascii").strip()


def new_secret(form: str, token: str) -> tuple[str, bytes]:
    """Return the text of a new key file in the form of the old one, and its public key.

    Raises
    ------
    ConfigurationError : the old key lies in a token, and no token is named for the new one.
    """
    if token:
        public = use_token_key(token).public()
        return token_text(token, public), public
    if form == "token":
        raise ConfigurationError(
            "expected the URI of the new key in the token, found none",
            advice="Name it: `osteon key rotate PURPOSE --token pkcs11:...`.",
        )
    secret = secrets.token_bytes(32)
    public = public_of(secret)
    if form == "encrypted":
        return encrypted_text(secret, key_password()), public
    return plain_text(secret), public


@contextmanager
def trust_locked(home: Home) -> Iterator[None]:
    """Hold off other processes that would change trust.json."""
    with (home.keys / "trust.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _trust(home: Home, key: TrustedKey) -> None:
    """Let a key of this site count; one that is known keeps its dates, and is marked as own."""
    path = home.keys / TRUST
    known = next((item for item in load_trust(path) if item.key_id == key.key_id), None)
    if known is not None and known.own:
        return
    with trust_locked(home):
        others = tuple(item for item in load_trust(path) if item.key_id != key.key_id)
        store_trust(path, (*others, replace(known or key, own=True)))
