"""Report and certificate of a run: made from what is on record, and put on record.

    1  the run is read and held against the record (`kept_runs.py`)
    2  the results are judged by the criteria that were fixed
    3  the values of the report are made; `certify` makes them again and compares
    4  report or certificate is signed, written and recorded

Read next: `validation/report/issuing.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from adapters.documents.report_html import report_html
from adapters.documents.report_pdf import report_pdf
from adapters.governance.persons import Person
from adapters.validation.baseline import ISSUED, baseline_of
from adapters.validation.kept_runs import (
    CERTIFICATE,
    REPORT,
    KeptRun,
    manifest_of,
    recorded_pictures,
)
from adapters.writing import write_whole
from audit.errors import ConfigurationError, NotFoundError, RefusalError
from governance.certificate import Certificate, issue
from governance.release import digest_of
from governance.report import LANGUAGES
from governance.strata import Stratum
from validation.cohort.coverage import coverage
from validation.conformance.pack import require_pack
from validation.criteria.judging import judge
from validation.criteria.verdict import strata_verdicts, verdict_of
from validation.report.content import Made, report_of
from validation.report.document import ReportDocument, decode, require_signed, signed, tampered
from validation.report.issuing import LASTS, certificate_of
from validation.report.metric_terms import MEASURED
from validation.report.subject import groups_of, headline_of, verdicts_of
from validation.report.summary import Subject, measured, summarise
from validation.statistics.resampling import of_mean

if TYPE_CHECKING:
    from adapters.compose import Site

KIND = "validation-report"
"""Kind of the governed document of a report, by its run."""
CERTIFIERS = ("engineer", "physicist", "approver")


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of a report."""

    document: ReportDocument
    names: tuple[str, ...]
    pdf_advice: str = ""


def compute(site: Site, run: KeptRun) -> tuple[ReportDocument, tuple[Stratum, ...]]:
    """Return the report of a run, unsigned, with the strata as a certificate states them."""
    results, criteria = run.results, run.criteria
    generator = np.random.default_rng(results.seed)
    baseline, look = baseline_of(site, results, criteria)
    judgements = judge(criteria, results, baseline, generator, look)
    strata = strata_verdicts(criteria, results, judgements, run.cohort.strata)
    manifest = manifest_of(site, results.release_digest)
    cohort = run.cohort
    subject = Subject(
        plugin=manifest["plugin"],
        version=manifest["version"],
        intended_purpose=manifest["intended_purpose"],
        cohort={
            "name": cohort.name, "version": cohort.version, "purpose": cohort.purpose,
            "reference_standard": cohort.reference_standard, "legal_basis": cohort.legal_basis,
            "de_identification": cohort.de_identification, "seal": cohort.seal.state,
        },
        headline=headline_of(criteria),
        verdict=verdict_of(judgements),
        verdicts=verdicts_of(criteria, judgements),
        groups=groups_of(criteria, strata, cohort.strata),
        gaps=_gaps(run),
        criteria={
            "purpose": criteria.purpose, "known_before": criteria.known_before,
            "post_hoc": "yes" if criteria.post_hoc else "no",
        },
    )  # fmt: skip
    values = summarise(results, subject, MEASURED, of_mean)
    return ReportDocument(values, measured(results, subject.verdicts)), strata


def write_report(site: Site, run: KeptRun, *, pdf: bool = True) -> Written:
    """Write report.json, both pages and the PDF into the run's folder, and record the digest."""
    document, _ = compute(site, run)
    write_whole(run.folder / REPORT, signed(document, site.keys.sealer, site.now()))
    made, names, advice = Made(document, recorded_pictures(site, run)), [REPORT], ""
    for language in LANGUAGES:
        html = report_html(report_of(made, language))
        write_whole(run.folder / f"report-{language}.html", html.encode())
        names.append(f"report-{language}.html")
        if pdf and not advice:
            try:
                write_whole(run.folder / f"report-{language}.pdf", report_pdf(html))
                names.append(f"report-{language}.pdf")
            except ConfigurationError as error:
                advice = error.advice
    content = {"report_digest": document.digest, "verdict": document.results["verdict"]}
    _record(site, KIND, run.results.run_id, content, f"service:{site.node}")
    return Written(document, tuple(names), advice)


def certify_run(
    site: Site, run: KeptRun, person: Person, lasts: timedelta = LASTS
) -> tuple[Certificate, bytes]:
    """Issue the certificate of a run, whatever its verdict, and return it with its bytes.

    Raises
    ------
    NotFoundError : the run has no report, or its release does not lie here.
    ReportTamperedError : the report is not what the results give, or not what is on record.
    RefusalError : the role may not certify (ROLE_NOT_PERMITTED).
    MetricDriftError : the metrics are not what measured, or do not give what they must.
    """
    if person.role not in CERTIFIERS:
        raise RefusalError(
            f"expected a role of {', '.join(CERTIFIERS)}, found {person.role}",
            reasons=("ROLE_NOT_PERMITTED",),
        )
    require_pack(run.results.metric_pack)
    stated = read_report(site, run)
    site.registry.verify(run.results.release_digest)
    document, strata = compute(site, run)
    if document.digest != stated.digest:
        raise tampered("REPORT_CHANGED", f"the report {document.digest}", stated.digest)
    now = site.now()
    certificate = certificate_of(run.results, document, strata, now, lasts)
    keys = site.keys
    raw = issue(certificate, keys.certificate, keys.certificate_key_id, now)
    write_whole(run.folder / CERTIFICATE, raw)
    content = {
        "certificate": digest_of(raw), "release_digest": certificate.release_digest,
        "report_digest": document.digest, "verdict": certificate.verdict,
        "run": run.results.run_id,
    }  # fmt: skip
    _record(site, ISSUED, certificate.certificate_id, content, person.account_id)
    return certificate, raw


def read_report(site: Site, run: KeptRun) -> ReportDocument:
    """Return the report that lies in a run's folder, signed and on record.

    Raises
    ------
    NotFoundError : there is none.
    ReportTamperedError, SignatureError : it was changed since it was made.
    """
    path = run.folder / REPORT
    if not path.exists():
        raise NotFoundError(
            "expected the report of the run, found none",
            advice="Make it: `osteon validate report`.",
        )
    document = decode(path.read_bytes())
    require_signed(document, site.registry.trust())
    with site.database.reading() as transaction:
        record = transaction.governed(KIND, run.results.run_id)
    if record is None or record.content["report_digest"] != document.digest:
        raise tampered("REPORT_NOT_ON_RECORD", "the report that is on record", document.digest)
    return document


def _gaps(run: KeptRun) -> tuple[str, ...]:
    """Return levels of the intended population without a patient, by axis."""
    empty = coverage(run.cohort).not_covered
    return tuple(f"{axis}: {level}" for axis, level in sorted(empty, key=lambda item: item[0]))


def _record(site: Site, kind: str, name: str, content: dict[str, str], person: str) -> None:
    with site.database.transaction() as transaction:
        known = transaction.governed(kind, name)
        document = transaction.put_governed(kind, name, content, person, site.now())
        if known is None or known.digest != document.digest:
            site.journal.governed(transaction, document)
    site.seal()
