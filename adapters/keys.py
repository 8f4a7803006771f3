"""The keys of a site: made once, secret files mode 0600, public ones in trust.json.

log.key and log-ml-dsa.key sign checkpoints, release.key signs releases built or shipped here,
certificate.key signs certificates of validations made here, report.key seals documents that
persons answer for, pseudonym.key keys the pseudonyms, session.key signs the sessions of the pages.

Source: SEAMS Home; Ed25519 is RFC 8032.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.home import Home
from audit.checkpoint import Signer, load_signer
from audit.cosignature import ML_DSA_44, Cosigner
from audit.keys import symmetric_key
from governance.sealed import Sealer
from governance.signing import TrustedKey, load_trust, store_trust


@dataclass(frozen=True, slots=True)
class SiteKeys:
    """The secret keys of a site; never printed."""

    log: Signer
    log_cosigner: Cosigner
    release: Ed25519PrivateKey
    release_key_id: str
    certificate: Ed25519PrivateKey
    certificate_key_id: str
    report: Ed25519PrivateKey
    report_key_id: str
    pseudonym: bytes
    session: bytes

    def __repr__(self) -> str:
        return "SiteKeys(hidden)"

    @property
    def sealer(self) -> Sealer:
        """Return the key that seals documents."""
        return Sealer(self.report, self.report_key_id)


def load_keys(home: Home, now: datetime) -> SiteKeys:
    """Return the keys of a site; those that are missing are made, and ours are trusted.

    Raises
    ------
    ConfigurationError : a key file is malformed or readable by others.
    """
    log = load_signer(home.keys / "log.key", log_origin(home))
    release, release_id = signing_key(home, "release", now)
    certificate, certificate_id = signing_key(home, "certificate", now)
    report, report_id = signing_key(home, "report", now)
    log_public = log.verifier.public
    _trust(home, TrustedKey(f"log-{log_public.hex()[:12]}", "log", log_public, now))
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


def signing_key(home: Home, purpose: str, now: datetime) -> tuple[Ed25519PrivateKey, str]:
    """Return the home's key for a purpose and its id; made and trusted at the first call."""
    key = Ed25519PrivateKey.from_private_bytes(symmetric_key(home.keys / f"{purpose}.key"))
    public = key.public_key().public_bytes_raw()
    key_id = f"{purpose}-{public.hex()[:12]}"
    _trust(home, TrustedKey(key_id, purpose, public, now))
    return key, key_id


def log_origin(home: Home) -> str:
    """Return the name of the home's log: random, made once, on every checkpoint's first line."""
    path = home.keys / "log.origin"
    if not path.exists():
        path.write_text(f"osteon.example/log/{secrets.token_hex(8)}\n", encoding="ascii")
    return path.read_text(encoding="ascii").strip()


def _trust(home: Home, key: TrustedKey) -> None:
    path = home.keys / "trust.json"
    trust = load_trust(path)
    if not any(known.key_id == key.key_id for known in trust):
        store_trust(path, (*trust, key))
