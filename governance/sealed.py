"""Sealed documents: JSON that a person answers for, with a signature of the site inside it.

The signature is over the digest of the canonical JSON of everything else, by a key of purpose
``report`` of ``keys/trust.json``.  It says that this site took the document from the person
that it names, at a time; a row that somebody edits in the database no longer fits it.

`seal` and `open_sealed` are a pair: what was sealed opens as the same content.

Read next: `signing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit import canonical
from audit.errors import SignatureError
from governance.release import digest_of
from governance.signing import SecretKey, TrustedKey, sign, verify_signature

PURPOSE = "report"
SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Sealer:
    """The site's key for documents; never printed."""

    key: SecretKey
    key_id: str

    def __repr__(self) -> str:
        return f"Sealer({self.key_id})"


def seal(
    content: Mapping[str, Any], sealer: Sealer, at: datetime, purpose: str = PURPOSE
) -> dict[str, Any]:
    """Return the content with its signature under ``signature``; an older one is replaced."""
    plain = unsealed(content)
    digest = digest_of(canonical.encode(plain))
    attachment = sign(digest, sealer.key, sealer.key_id, purpose, at)
    return {**plain, SIGNATURE: canonical.decode(attachment)}


def open_sealed(
    document: Mapping[str, Any], trust: tuple[TrustedKey, ...], purpose: str = PURPOSE
) -> dict[str, Any]:
    """Return the content of a sealed document.

    Raises
    ------
    SignatureError : it has no signature, was changed since, or its key does not count.
    """
    signature = document.get(SIGNATURE)
    if not isinstance(signature, Mapping):
        raise SignatureError("expected a sealed document, found one without a signature")
    content = unsealed(document)
    digest = digest_of(canonical.encode(content))
    verify_signature(canonical.encode(dict(signature)), digest, trust, purpose)
    return content


def unsealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document without its signature, whether that counts or not."""
    return {key: value for key, value in document.items() if key != SIGNATURE}


def sealed_at(document: Mapping[str, Any]) -> str:
    """Return when a document was sealed (ISO 8601), empty when it is not."""
    signature = document.get(SIGNATURE)
    return str(signature.get("signed_at", "")) if isinstance(signature, Mapping) else ""
