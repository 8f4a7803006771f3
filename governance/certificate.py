"""The certificate: a signed statement of the validation harness about one release.

It stands outside the release digest, as ``attachments/certificate.json``, and names the
release, the cohort, the criteria that were fixed beforehand and the verdict, for all and
for each stratum.  `encode` and `decode` are inverses.  `objections` says why a certificate
does not hold: the same rule at activation, before every load and at run time.

    {schema, certificate: {...}, signatures: [{key_id, purpose, digest, signed_at, signature}]}

A signature is one of `signing.py` with purpose ``certificate`` over the digest of the
canonical JSON (RFC 8785) of ``certificate``.

Source: SEAMS, Certificate; REGULATORY.md AIA-43.4 (validity and suspension are checked).

Read next: `strata.py` (whom it covers), `certification.py` (where it is asked for).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from audit import canonical
from audit.errors import (
    KeyRevokedError,
    KeyUntrustedError,
    RecordError,
    RefusalError,
    SignatureError,
)
from governance.gates import Objection
from governance.release import digest_of
from governance.signing import KeyRetiredError, SecretKey, TrustedKey, sign, verify_signature
from governance.strata import VERDICTS, Stratum

SCHEMA = "osteon.certificate/1"
ATTACHMENT = "certificate.json"
PURPOSE = "certificate"
METHODS = ("held-out", "cross-fitted")
_TIMES = ("criteria_recorded_at", "evaluated_at", "issued_at", "expires_at")
_SIZE_LIMIT = 1_000_000
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)

ADVICE: Mapping[str, str] = {
    "CERTIFICATE_MISSING": "Validate the release and attach the certificate: "
    "`osteon governance certify`.",
    "CERTIFICATE_MALFORMED": "Fetch the certificate again from the validation harness.",
    "CERTIFICATE_OTHER_RELEASE": "Attach the certificate that was issued for this release digest.",
    "CERTIFICATE_SIGNATURE": "Do not use it: fetch the certificate again from who issued it.",
    "CERTIFICATE_KEY_UNTRUSTED": "Add the issuer's key to keys/trust.json with purpose "
    "certificate, if you trust it.",
    "CERTIFICATE_KEY_REVOKED": "Ask the issuer for a certificate signed by a key in force.",
    "CERTIFICATE_KEY_RETIRED": "Ask the issuer for a certificate signed by the key that took its "
    "place.",
    "CERTIFICATE_CRITERIA_LATE": "Validate again: criteria have to be recorded before the first "
    "result.",
    "CERTIFICATE_NOT_YET_VALID": "Check the clocks of issuer and site.",
    "CERTIFICATE_EXPIRED": "Validate the release again; until then roll back or take the manual "
    "path.",
    "CERTIFICATE_SUSPENDED": "Ask who suspended it; reinstate it with "
    "`osteon governance certificate`.",
    "CERTIFICATE_FAILED": "The release did not meet its criteria: research mode only.",
    "CERTIFICATE_INSUFFICIENT": "Validate on more cases; too little evidence is no pass.",
    "EVIDENCE_NOT_REAL": "Only a release with evidence from real patients can run in clinical "
    "mode.",
}
"""Code of each objection and what the operator can do about it."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the harness states about a release.

    Parameters
    ----------
    release_digest, cohort_digest, criteria_digest, report_digest : ``sha256:<hex>``.
    criteria_recorded_at : when the acceptance criteria were recorded.
    evaluated_at : when the first result was computed; the criteria are older.
    metric_pack : version of the metrics that passed their conformance pack.
    method : held-out | cross-fitted.
    strata : groups of patients, each with its own n and verdict.
    verdict : pass | fail | insufficient.
    runtime : what of the runtime environment the results depend on, as the harness ran.

    Raises
    ------
    RefusalError : a field is malformed (CERTIFICATE_MALFORMED).
    """

    certificate_id: str
    release_digest: str
    cohort_digest: str
    criteria_digest: str
    criteria_recorded_at: datetime
    evaluated_at: datetime
    metric_pack: str
    method: str
    strata: tuple[Stratum, ...]
    verdict: str
    report_digest: str
    issued_at: datetime
    expires_at: datetime
    runtime: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        well = (
            self.verdict in VERDICTS
            and self.method in METHODS
            and bool(self.certificate_id and self.metric_pack)
            and all(getattr(self, name).tzinfo is not None for name in _TIMES)
            and len({item.name for item in self.strata}) == len(self.strata)
        )
        if not well:
            raise _malformed("a verdict, a method, an id or a time is not one")


def encode(certificate: Certificate, signatures: Sequence[bytes]) -> bytes:
    """Return the attachment of a certificate; inverse of `decode`."""
    return canonical.encode(
        {
            "schema": SCHEMA,
            "certificate": _values(certificate),
            "signatures": [json.loads(item) for item in signatures],
        }
    )


def decode(raw: bytes) -> tuple[Certificate, tuple[bytes, ...]]:
    """Return the certificate and its signatures, none of which is verified yet.

    Raises
    ------
    RefusalError : it is no certificate (CERTIFICATE_MALFORMED).
    """
    try:
        if len(raw) > _SIZE_LIMIT:
            raise ValueError("size")
        document = canonical.decode(raw)
        if document["schema"] != SCHEMA or set(document) != {"schema", "certificate", "signatures"}:
            raise ValueError("schema")
        values = dict(document["certificate"])
        if set(values) != {item.name for item in fields(Certificate)}:
            raise ValueError("fields")
        for name in _TIMES:
            values[name] = datetime.fromisoformat(values[name])
        values["strata"] = tuple(Stratum(**item) for item in values["strata"])
        values["runtime"] = {str(key): str(value) for key, value in values["runtime"].items()}
        signatures = tuple(canonical.encode(item) for item in document["signatures"])
        certificate = Certificate(**values)
        if encode(certificate, signatures) != raw:
            raise ValueError("spelling")  # a time, too, has one spelling
        return certificate, signatures
    except (*_MALFORMED, RecordError) as error:
        raise _malformed(type(error).__name__) from error


def digest(certificate: Certificate) -> str:
    """Return the digest that its signatures sign."""
    return digest_of(canonical.encode(_values(certificate)))


def issue(certificate: Certificate, key: SecretKey, key_id: str, signed_at: datetime) -> bytes:
    """Return the attachment of a certificate, signed by one key."""
    return encode(certificate, [sign(digest(certificate), key, key_id, PURPOSE, signed_at)])


def objections(
    raw: bytes | None,
    release_digest: str,
    trust: tuple[TrustedKey, ...],
    now: datetime,
    suspended: Iterable[str] = (),
) -> tuple[Objection, ...]:
    """Return why an attached certificate does not hold for a release now; none when it does.

    Parameters
    ----------
    raw : the attachment; None where the release has none.
    suspended : ids of certificates that were suspended.
    """
    if raw is None:
        return (_objection("CERTIFICATE_MISSING", "expected a certificate, found none"),)
    try:
        certificate, signatures = decode(raw)
    except RefusalError as error:
        return (_objection("CERTIFICATE_MALFORMED", str(error)),)
    found = [*_signed(certificate, signatures, trust)]
    if certificate.release_digest != release_digest:
        text = f"expected a certificate of {release_digest}, found {certificate.release_digest}"
        found.append(_objection("CERTIFICATE_OTHER_RELEASE", text))
    found += _dated(certificate, now)
    if certificate.certificate_id in set(suspended):
        text = f"certificate {certificate.certificate_id} is suspended"
        found.append(_objection("CERTIFICATE_SUSPENDED", text))
    if certificate.verdict != "pass":
        code = "FAILED" if certificate.verdict == "fail" else "INSUFFICIENT"
        text = f"expected the verdict pass, found {certificate.verdict}"
        found.append(_objection(f"CERTIFICATE_{code}", text))
    return tuple(found)


def evidence_objections(manifest: Mapping[str, Any], mode: str) -> tuple[Objection, ...]:
    """Return an objection where a release without evidence from patients is to run clinically."""
    kind = manifest.get("evidence")
    if mode != "clinical" or kind == "real":
        return ()
    return (_objection("EVIDENCE_NOT_REAL", f"expected evidence real, found {str(kind)[:20]}"),)


def _signed(
    certificate: Certificate, signatures: Sequence[bytes], trust: tuple[TrustedKey, ...]
) -> tuple[Objection, ...]:
    """Return an objection unless one of the signatures counts."""
    failure: SignatureError = SignatureError("expected a signature of the certificate, found none")
    for item in signatures:
        try:
            verify_signature(item, digest(certificate), trust, PURPOSE)
            return ()
        except SignatureError as error:
            failure = error
    codes = {
        KeyUntrustedError: "KEY_UNTRUSTED",
        KeyRevokedError: "KEY_REVOKED",
        KeyRetiredError: "KEY_RETIRED",
    }
    return (_objection(f"CERTIFICATE_{codes.get(type(failure), 'SIGNATURE')}", str(failure)),)


def _dated(certificate: Certificate, now: datetime) -> Iterable[Objection]:
    if certificate.criteria_recorded_at >= certificate.evaluated_at:
        yield _objection(
            "CERTIFICATE_CRITERIA_LATE",
            f"expected criteria recorded before the run of {certificate.evaluated_at.isoformat()}, "
            f"found {certificate.criteria_recorded_at.isoformat()}",
        )
    if certificate.issued_at > now or certificate.evaluated_at > certificate.issued_at:
        yield _objection(
            "CERTIFICATE_NOT_YET_VALID",
            f"expected a certificate issued after its run and by now, found one issued at "
            f"{certificate.issued_at.isoformat()}",
        )
    if certificate.expires_at <= now:
        yield _objection(
            "CERTIFICATE_EXPIRED",
            f"the certificate expired at {certificate.expires_at.isoformat()}",
        )


def _values(certificate: Certificate) -> dict[str, Any]:
    values = asdict(certificate)
    for name in _TIMES:
        values[name] = values[name].astimezone(UTC).isoformat()
    values["strata"] = [dict(item, where=dict(item["where"])) for item in values["strata"]]
    values["runtime"] = dict(certificate.runtime)
    return values


def _objection(code: str, text: str) -> Objection:
    return Objection(code, text, ADVICE[code])


def _malformed(what: str) -> RefusalError:
    return RefusalError(
        f"expected a certificate, found a fault: {what}",
        reasons=("CERTIFICATE_MALFORMED",),
        advice=ADVICE["CERTIFICATE_MALFORMED"],
    )
