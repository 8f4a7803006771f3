"""Time-stamps of a third party over checkpoints (RFC 3161).

A checkpoint says which tree there was; a time-stamp says that it was there at a time, by a
clock that is not ours.  The imprint is SHA-256 over the whole stored note, so that an
outsider checks it with the file ``checkpoints/N.txt`` of a bundle and `openssl ts` alone.

Read next: `verify.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import (
    HashAlgorithm,
    TimeStampRequest,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from audit.errors import ConfigurationError, LogTamperedError

ASKED, ANSWERED = "application/timestamp-query", "application/timestamp-reply"
"""Media types of RFC 3161, 3.4."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """What a time-stamp says: the time, how exact, and its serial number."""

    at: datetime
    accuracy_s: float
    serial_number: int


def ask(note: str) -> TimeStampRequest:
    """Return a request over a note, with a nonce, that wants the certificate back."""
    builder = TimestampRequestBuilder().data(note.encode()).hash_algorithm(HashAlgorithm.SHA256)
    return builder.nonce(nonce=True).cert_request(cert_request=True).build()


def check(
    answer: bytes,
    note: str,
    authorities: Sequence[Certificate],
    request: TimeStampRequest | None = None,
) -> Stamped:
    """Return what an answer states about a note.

    Parameters
    ----------
    authorities : certificates that are trusted to issue those of time-stamp authorities;
        one that is not self-signed counts as a step on the way.
    request : what was asked; its nonce must come back.  None when checking later.

    Raises
    ------
    LogTamperedError : it is no granted time-stamp over this note that leads to them.
    """
    try:
        found: TimeStampResponse = decode_timestamp_response(answer)
        builder = VerifierBuilder() if request is None else VerifierBuilder.from_request(request)
        for certificate in authorities:
            if certificate.issuer == certificate.subject:
                builder = builder.add_root_certificate(certificate)
            else:
                builder = builder.add_intermediate_certificate(certificate)
        builder.build().verify_message(found, note.encode())
        info = found.tst_info
        at = info.gen_time
    except (VerificationError, ValueError, TypeError) as error:
        raise LogTamperedError(
            f"expected a time-stamp over this checkpoint, found a fault: {type(error).__name__}"
        ) from error
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return Stamped(at, _accuracy(info.accuracy), info.serial_number)


def read_authorities(pem: bytes) -> tuple[Certificate, ...]:
    """Return the certificates of a PEM file.

    Raises
    ------
    ConfigurationError : there is none in it.
    """
    try:
        return tuple(load_pem_x509_certificates(pem))
    except ValueError as error:
        raise ConfigurationError("expected certificates in PEM form, found none") from error


def _accuracy(value: object) -> float:
    """Return seconds; RFC 3161, 2.4.2: what is left out counts as zero."""
    parts = ((1.0, "seconds"), (1e-3, "millis"), (1e-6, "micros"))
    return sum(scale * (getattr(value, name, 0) or 0) for scale, name in parts)
