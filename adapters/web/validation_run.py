"""One run of the harness as a page: its report, and what the record knows around it.

    certificate     what it says, whether it counts now, whether the release has it
    cohort          leaked patients, every look at it, the budget of its seal
    record          each document of the run with its place in the log
    report          the same sections as the printed report, pictures by their own address
    queue           while the run is open: every case of its plan

Where a file of the run differs from what is on record, the page says so by its code and shows
no report.

Read next: `templates/validation.html`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup

from adapters.documents.report_html import report_head, report_sections
from adapters.validation.album import pictures_of
from adapters.validation.asking import VALIDATION
from adapters.validation.kept_runs import (
    CERTIFICATE,
    REPORT,
    KeptRun,
    read_run,
    recorded_pictures,
)
from adapters.validation.progress import Progress, progress_of
from adapters.validation.reporting import read_report
from adapters.validation.running import RESULTS
from adapters.validation.standings import RunStanding, cohorts_by_digest, standing
from adapters.validation.traces import (
    Leakage,
    budget_of,
    leakage_of,
    looks_at,
    traces_of,
)
from adapters.web.formats import moment, short_digest
from audit.errors import NotFoundError, RefusalError, SuiteError
from governance.certificate import ATTACHMENT, decode, objections
from governance.certification import suspended
from governance.gates import Objection
from governance.release import digest_of
from governance.report import Language, Picture
from validation.cohort.manifest import Cohort
from validation.report.content import Made, report_of

if TYPE_CHECKING:
    from adapters.compose import Site

FILES = (CERTIFICATE, REPORT, RESULTS, "report-en.pdf", "report-de.pdf")
"""Files of a run that a reader may take; the first three verify offline."""
TONES = {"pass": "good", "fail": "bad", "insufficient": "wait"}
CASE_TONES = {"done": "good", "failed": "bad", "working": "wait", "waiting": ""}


@dataclass(frozen=True, slots=True)
class CertificatePart:
    """What the certificate says and whether it counts now; ``fault`` where it cannot be read."""

    certificate_id: str
    digest: str
    verdict: str
    tone: str
    issued_at: str
    expires_at: str
    is_attached: bool
    objections: tuple[Objection, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class LookLine:
    """One look at the cohort, as the page prints it."""

    number: int
    at: str
    person: str
    run_id: str
    release: str
    refused: str
    is_this: bool


@dataclass(frozen=True, slots=True)
class CohortPart:
    """What of the cohort matters for the verdict; None of it where its manifest is elsewhere."""

    name: str
    sealed: bool
    budget: int
    leakage: Leakage
    looks: tuple[LookLine, ...]


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One document of the run and its place in the log."""

    what: str
    at: str
    person: str
    digest: str
    leaf_index: int | None


@dataclass(frozen=True, slots=True)
class CaseLine:
    """One case of an open run in the work queue."""

    case_id: str
    state: str
    tone: str
    looks: int
    asked: int
    node: str
    at: str


@dataclass(frozen=True, slots=True)
class QueuePart:
    """The work queue of an open run."""

    looks: int
    asked: int
    changed_at: str
    cases: tuple[CaseLine, ...]


@dataclass(frozen=True, slots=True)
class RunPage:
    """Everything about one run; ``body`` is empty where there is no report to show."""

    run_id: str
    title: str
    state: str
    verdict: str
    tone: str
    release_path: str
    release_digest: str
    cohort_digest: str
    method: str
    asked_by: str
    began_at: str
    ended_at: str
    head: Markup
    body: Markup
    fault: str
    advice: str
    certificate: CertificatePart | None
    cohort: CohortPart | None
    traces: tuple[TraceLine, ...]
    files: tuple[str, ...]
    queue: QueuePart | None
    zone: str


def run_page(site: Site, run_id: str, language: str) -> RunPage:
    """Return the page of a run; NotFoundError where none of that id is on record."""
    run, zone = standing(site, run_id), site.configuration.site.time_zone
    cohort = cohorts_by_digest(site).get(run.cohort_digest)
    head, body, fault, advice = _report(site, run, "de" if language == "de" else "en")
    folder = _folder(site, run)
    return RunPage(
        run_id=run.run_id,
        title=f"{run.plugin} {run.version}".strip() or short_digest(run.release_digest),
        state=run.state,
        verdict=run.verdict,
        tone=TONES.get(run.verdict, "wait"),
        release_path=run.release_digest.removeprefix("sha256:") if run.plugin else "",
        release_digest=run.release_digest,
        cohort_digest=run.cohort_digest,
        method=str(run.plan.get("method", "")),
        asked_by=run.asked_by,
        began_at=moment(run.began_at, zone),
        ended_at=moment(run.ended_at, zone),
        head=head,
        body=body,
        fault=fault,
        advice=advice,
        certificate=_certificate(site, run, zone) if run.certificate_id else None,
        cohort=_cohort(site, run, cohort, zone) if cohort else None,
        traces=tuple(
            TraceLine(t.what, moment(t.at, zone), t.person, t.digest, t.leaf_index)
            for t in traces_of(site, run)
        ),
        files=tuple(name for name in FILES if (folder / name).is_file()),
        queue=_queue(progress_of(site, run, cohort), zone)
        if cohort and run.state == "open"
        else None,
        zone=zone,
    )


def picture_of(site: Site, run_id: str, name: str) -> bytes:
    """Return a picture of a run by the name that its report gives it.

    Raises
    ------
    NotFoundError : the run kept none of that name.
    ReportTamperedError : it is not the one on record.
    """
    run = standing(site, run_id)
    with site.database.reading() as transaction:
        document = transaction.governed(VALIDATION, run.run_id)
    kept: dict[str, str] = document.content.get("pictures", {}) if document else {}
    for file, digest in kept.items():
        if _picture_name(file) == name:
            for png in pictures_of(_folder(site, run), {file: digest}).values():
                return png
    raise NotFoundError("expected a picture of a validation run, found none")


def _report(site: Site, run: RunStanding, language: Language) -> tuple[Markup, Markup, str, str]:
    """Return head and sections of the report, or why there is none: code and advice."""
    if not run.report_digest:
        return Markup(""), Markup(""), "", ""
    try:
        kept: KeptRun = read_run(site, run.run_id)
        made = Made(read_report(site, kept), recorded_pictures(site, kept))
    except SuiteError as error:
        code = error.reasons[0] if isinstance(error, RefusalError) else error.code
        return Markup(""), Markup(""), code, error.advice
    report = report_of(made, language)
    return report_head(report), report_sections(report, _source(run.run_id)), "", ""


def _source(run_id: str) -> Callable[[Picture], str]:
    return lambda picture: f"/validation/{quote(run_id)}/pictures/{quote(picture.name)}"


def _picture_name(file: str) -> str:
    """Return how the report calls a picture that the run kept."""
    case, _, given = Path(file).stem.rpartition("--")
    return f"{case}-{given.replace('+', '-')}.png"


def _certificate(site: Site, run: RunStanding, zone: str) -> CertificatePart:
    """Return the certificate that lies in the run's folder, held against record and keys."""
    path = _folder(site, run) / CERTIFICATE
    raw = path.read_bytes() if path.is_file() else b""
    if digest_of(raw) != run.certificate_digest:
        fault = "CERTIFICATE_NOT_ON_RECORD" if raw else "CERTIFICATE_NOT_HERE"
        return CertificatePart(
            run.certificate_id, run.certificate_digest, run.verdict, TONES.get(run.verdict, ""),
            "", "", False, (), fault,
        )  # fmt: skip
    stated, now = decode(raw)[0], site.now()
    with site.database.reading() as transaction:
        halted = suspended(transaction)
    against = objections(raw, run.release_digest, site.registry.trust(), now, halted)
    attached = site.registry.attachment(run.release_digest, ATTACHMENT) if run.plugin else None
    return CertificatePart(
        stated.certificate_id, run.certificate_digest, stated.verdict,
        TONES.get(stated.verdict, ""), moment(stated.issued_at, zone),
        moment(stated.expires_at, zone), attached == raw, against,
    )  # fmt: skip


def _cohort(site: Site, run: RunStanding, cohort: Cohort, zone: str) -> CohortPart:
    return CohortPart(
        name=f"{cohort.name} {cohort.version}",
        sealed=cohort.seal.state == "sealed",
        budget=budget_of(site, cohort),
        leakage=leakage_of(site, run, cohort),
        looks=tuple(
            LookLine(
                item.number, moment(item.at, zone), item.person, item.run_id,
                item.release_digest.removeprefix("sha256:"), item.refused,
                item.run_id == run.run_id,
            )
            for item in looks_at(site, cohort)
        ),
    )  # fmt: skip


def _queue(found: Progress, zone: str) -> QueuePart:
    return QueuePart(
        found.looks,
        found.asked,
        moment(found.at, zone),
        tuple(
            CaseLine(
                case.case_id, case.state, CASE_TONES[case.state], case.looks, case.asked,
                case.node, moment(case.at, zone),
            )
            for case in found.cases
        ),
    )  # fmt: skip


def _folder(site: Site, run: RunStanding) -> Path:
    return Path(site.home.root) / "validations" / run.run_id
