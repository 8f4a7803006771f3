"""From a report to a certificate, and back: whether the three files of a run belong together.

    results.json  --cases_digest-->  report.json  --report_digest-->  certificate.json

A verdict of fail or insufficient gives a certificate too, which says so; the gate refuses it.

Source: SEAMS, Certificate; REGULATORY.md VAL-1.

Read next: `governance/certificate.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from audit.errors import RecordError
from governance.certificate import Certificate
from governance.certificate import decode as decode_certificate
from governance.certificate import digest as certificate_digest
from governance.signing import TrustedKey, verify_signature
from governance.strata import Stratum
from validation.harness.results import RunResults
from validation.harness.results import decode as decode_results
from validation.report.document import ReportDocument, decode, require_signed, tampered
from validation.report.summary import cases_digest

PURPOSE = "certificate"
LASTS = timedelta(days=365)
"""How long a certificate counts where nobody says otherwise: a year, then it is looked at again."""


def certificate_of(
    results: RunResults,
    document: ReportDocument,
    strata: Sequence[Stratum],
    issued_at: datetime,
    lasts: timedelta = LASTS,
) -> Certificate:
    """Return what the harness states of a release; its id is the same for the same report."""
    require_belonging(results, document)
    values = document.results
    return Certificate(
        certificate_id=f"{values['plugin']}-{values['version']}-{document.digest[7:19]}",
        release_digest=results.release_digest,
        cohort_digest=results.cohort_digest,
        criteria_digest=results.criteria_digest,
        criteria_recorded_at=results.criteria_recorded_at,
        evaluated_at=results.evaluated_at,
        metric_pack=results.metric_pack,
        method=results.method,
        strata=tuple(strata),
        verdict=values["verdict"],
        report_digest=document.digest,
        issued_at=issued_at,
        expires_at=issued_at + lasts,
        runtime=dict(results.runtime),
    )


def require_belonging(results: RunResults, document: ReportDocument) -> None:
    """Return where a report is about these results.

    Raises
    ------
    ReportTamperedError : a case, or what was judged on what, differs (RESULTS_DIGEST).
    """
    values = document.results
    names = ("release_digest", "cohort_digest", "criteria_digest", "metric_pack", "method", "seed")
    differ = [name for name in names if values[name] != getattr(results, name)]
    if cases_digest(results.cases) != values["cases_digest"]:
        differ.append("cases")
    if differ:
        raise tampered("RESULTS_DIGEST", "the results that the report is about", ", ".join(differ))


def verify_files(
    results_raw: bytes, report_raw: bytes, certificate_raw: bytes, trust: tuple[TrustedKey, ...]
) -> Certificate:
    """Return the certificate of three files that belong together, by keys that count.

    Needs nothing but the files and the keys: it is how a certificate is verified offline.

    Raises
    ------
    ReportTamperedError : results, report and certificate do not belong together.
    SignatureError : a signature is missing or wrong, or its key is not trusted for its purpose.
    RefusalError : the certificate is malformed.
    """
    document = decode(report_raw)
    require_signed(document, trust)
    try:
        require_belonging(decode_results(results_raw), document)
    except RecordError as error:
        raise tampered("RESULTS_MALFORMED", "results of the harness", "other bytes") from error
    certificate, signatures = decode_certificate(certificate_raw)
    if certificate.report_digest != document.digest:
        raise tampered(
            "CERTIFICATE_OTHER_REPORT", f"a certificate of {document.digest}",
            certificate.report_digest,
        )  # fmt: skip
    if not signatures:
        raise tampered("CERTIFICATE_UNSIGNED", "a signed certificate", "no signature")
    for item in signatures:
        verify_signature(item, certificate_digest(certificate), trust, PURPOSE)
    return certificate
