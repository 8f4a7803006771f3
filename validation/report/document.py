"""``report.json``: the values of a report, their digest, and what stands outside it.

    {"schema": ..., "results": {...}, "report_digest": ..., "measured": {...}, "signature": {...}}

``report_digest`` is the SHA-256 of the canonical JSON (RFC 8785) of ``results`` alone; the
certificate names it.  The signature of the site (purpose ``report``) covers everything.

`decode` reads what `encode` wrote and nothing else: a flipped byte is refused by name.

Source: SEAMS, Certificate.

Read next: `issuing.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from audit import canonical
from audit.errors import RecordError, RefusalError
from governance.release import digest_of
from governance.sealed import SIGNATURE, Sealer, open_sealed, seal
from governance.signing import TrustedKey

SCHEMA = "osteon.validation-report/1"
_SIZE_LIMIT = 64_000_000


class ReportTamperedError(RefusalError):
    """Results, report and certificate of a validation do not belong together."""

    code = "VALIDATION_TAMPERED"
    advice = (
        "Leave the run's folder as it is, find out who changed it, and make the report again from "
        "results that are unchanged: `osteon validate report`."
    )


@dataclass(frozen=True, slots=True)
class ReportDocument:
    """A report as it lies in a file.

    Parameters
    ----------
    results : inside the digest.
    measured : outside it.
    signature : of the site, over everything; None where nobody signed yet.
    """

    results: dict[str, Any]
    measured: dict[str, Any]
    signature: dict[str, Any] | None = None

    @property
    def digest(self) -> str:
        """Return the report digest."""
        return digest_of(canonical.encode(self.results))


def encode(document: ReportDocument) -> bytes:
    """Return the canonical bytes of a report; inverse of `decode`."""
    return canonical.encode(_values(document))


def signed(document: ReportDocument, sealer: Sealer, at: Any) -> bytes:
    """Return the bytes of a report with the signature of a site's key for documents."""
    plain = ReportDocument(document.results, document.measured)
    return canonical.encode(seal(_values(plain), sealer, at))


def decode(raw: bytes) -> ReportDocument:
    """Return a report whose digest is that of its results; its signature is not verified yet.

    Raises
    ------
    ReportTamperedError : the bytes are no report, or its digest is another (REPORT_DIGEST).
    """
    try:
        if len(raw) > _SIZE_LIMIT:
            raise ValueError("size")
        values = canonical.decode(raw)
        if values["schema"] != SCHEMA:
            raise ValueError("schema")
        document = ReportDocument(values["results"], values["measured"], values.get(SIGNATURE))
        stated = values["report_digest"]
        known = {"schema", "results", "measured", "report_digest", SIGNATURE}
        if not set(values) <= known:
            raise ValueError("keys")
    except (ValueError, KeyError, TypeError, AttributeError, RecordError) as error:
        raise tampered("REPORT_MALFORMED", "a report", type(error).__name__) from error
    if document.digest != stated:
        raise tampered("REPORT_DIGEST", f"results of the digest {stated}", document.digest)
    return document


def require_signed(document: ReportDocument, trust: tuple[TrustedKey, ...]) -> None:
    """Return where a key that counts signed the whole report.

    Raises
    ------
    SignatureError : nobody did, the key does not count, or the report was changed since.
    """
    open_sealed(_values(document), trust)


def tampered(code: str, expected: str, found: object) -> ReportTamperedError:
    """Return the refusal of something that was changed, by a stable code."""
    return ReportTamperedError(f"expected {expected}, found {found}", reasons=(code,))


def _values(document: ReportDocument) -> dict[str, Any]:
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "results": document.results,
        "report_digest": document.digest,
        "measured": document.measured,
    }
    return values if document.signature is None else {**values, SIGNATURE: document.signature}
