"""Patients by pseudonym: what was done with whose studies; identity only behind broken glass.

Glass is broken by a person of the treating house for one patient, with a cause and words, for
a quarter of an hour; that it was, and each look at the identity, is on record.  Nobody else
sees an identity anywhere on these pages.

Read next: `templates/patient.html`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from adapters.database.search import PatientLine, Wanted
from adapters.database.visits import Grant
from adapters.web.access import GLASS_BREAKERS, Session
from adapters.web.audit import TimelineLine, details, timeline_line
from adapters.web.formats import key_of, moment, read_key, read_moment, short_digest
from adapters.web.pages import RunLine, run_line
from adapters.web.shell import Pages, csrf_holds
from adapters.web.visit import catch_up, note_access
from audit.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from adapters.compose import Site

PAGE_SIZE = 50
CAUSES = ("treatment", "incident", "recall", "complaint", "erasure")
LASTS = timedelta(minutes=15)
SHORTEST_REASON = 10
_RUNS = 200
_OF_RUNS = ("input_read", "run_closed")
"""Kinds of record that every run has that got anywhere, and that name the patient."""


@dataclass(frozen=True, slots=True)
class PatientRow:
    """One patient in the list."""

    pseudonym: str
    short: str
    age_band: str
    sex: str
    site_code: str
    runs: int
    records: int
    first_at: str
    last_at: str


@dataclass(frozen=True, slots=True)
class PatientsPage:
    """The list of patients."""

    rows: tuple[PatientRow, ...]
    older: str | None
    newest: bool
    zone: str


@dataclass(frozen=True, slots=True)
class PatientPage:
    """One patient: runs of a day or all, what the log says, and the glass."""

    row: PatientRow
    on: str
    zone: str
    runs: tuple[RunLine, ...]
    oversight: Mapping[str, str]
    records: tuple[tuple[str, TimelineLine], ...]
    may_break: bool
    causes: tuple[str, ...]
    identity: str
    issuer: str
    grant_ends: str


def patients_page(site: Site, before: str) -> PatientsPage:
    """Return patients by their last record, newest first."""
    zone = site.configuration.site.time_zone
    place = read_key(before)
    with site.database.reading() as transaction:
        rows = transaction.patient_lines(before=place, limit=PAGE_SIZE + 1)
    last = rows[PAGE_SIZE - 1] if len(rows) > PAGE_SIZE else None
    older = urlencode({"before": key_of(last.last_at, last.pseudonym)}) if last else None
    shown = tuple(_row(row, zone) for row in rows[:PAGE_SIZE])
    return PatientsPage(shown, older, place is not None, zone)


def patient_page(site: Site, pseudonym: str, on: str, session: Session) -> PatientPage:
    """Return everything about one patient, of one day where one is given.

    Raises
    ------
    NotFoundError : the log says nothing of such a patient.
    """
    zone = site.configuration.site.time_zone
    begin = read_moment(on, zone)
    end = begin + timedelta(days=1) if begin else None
    with site.database.reading() as transaction:
        line = transaction.patient_line(pseudonym)
        if line is None:
            raise NotFoundError("expected a patient of the log, found none")
        asked = Wanted(patient=pseudonym, since=begin, until=end)
        ids = [
            row.run_id
            for kind in _OF_RUNS
            for row in transaction.search_records(replace(asked, kind=kind), limit=_RUNS)
            if row.run_id
        ]
        runs = transaction.runs_named(dict.fromkeys(ids))
        decided = {
            item.run_id: item.action
            for run in runs
            for item in transaction.assessments_of(run.run_id)
        }
        records = transaction.search_records(asked, limit=PAGE_SIZE)
        said = details(transaction, records)
        grant = transaction.open_grant(session.account_id, pseudonym, site.now())
    identity, issuer = _identity(site, pseudonym) if grant else ("", "")
    return PatientPage(
        row=_row(line, zone),
        on=on,
        zone=zone,
        runs=tuple(run_line(row, zone) for row in runs),
        oversight=decided,
        records=tuple(
            (moment(r.recorded_at, zone)[:10], timeline_line(r, zone, said)) for r in records
        ),
        may_break=session.role in GLASS_BREAKERS,
        causes=CAUSES,
        identity=identity,
        issuer=issuer,
        grant_ends=moment(grant.ends_at, zone) if grant else "",
    )


def patient_routes(app: FastAPI, view: Pages) -> None:
    """Add the pages of patients."""
    site = view.site

    @app.get("/patients")
    def patients(request: Request, before: str = "") -> Response:
        note_access(site, request, "patients", "search")
        catch_up(site)
        return view.render(request, "patients.html", page=patients_page(site, before))

    @app.get("/patients/{pseudonym}")
    def patient(request: Request, pseudonym: str, on: str = "") -> Response:
        catch_up(site)
        page = patient_page(site, pseudonym, on, request.state.session)
        what = "patient-identity" if page.identity else "patient"
        note_access(site, request, what, "review", pseudonym=pseudonym)
        return view.render(request, "patient.html", page=page)

    @app.post("/patients/{pseudonym}/break-glass")
    def break_glass(
        request: Request,
        pseudonym: str,
        csrf: Annotated[str, Form()],
        cause: Annotated[str, Form()],
        reason: Annotated[str, Form()],
    ) -> Response:
        if not csrf_holds(request, csrf):
            return view.message(request, 403, "forbidden")
        grant_identity(site, request.state.session, pseudonym, cause, reason)
        return RedirectResponse(f"/patients/{quote(pseudonym)}", 303)


def grant_identity(site: Site, session: Session, pseudonym: str, cause: str, reason: str) -> Grant:
    """Let a person see one identity for a while; the record names cause and patient.

    Raises
    ------
    ConfigurationError : the cause is none of the list, or the reason says nothing.
    NotFoundError : the log says nothing of such a patient.
    """
    words = " ".join(reason.split())
    if cause not in CAUSES:
        raise ConfigurationError(f"expected a cause in {', '.join(CAUSES)}, found another")
    if len(words) < SHORTEST_REASON:
        raise ConfigurationError(f"expected a reason of at least {SHORTEST_REASON} letters")
    now = site.now()
    grant = Grant(session.account_id, pseudonym, cause, words[:400], now, now + LASTS)
    with site.database.transaction() as transaction:
        if transaction.patient_line(pseudonym) is None:
            raise NotFoundError("expected a patient of the log, found none")
        transaction.break_glass(grant)
        person = f"account:{session.account_id}"
        site.journal.access(transaction, "break-glass", cause, person, pseudonym=pseudonym)
    return grant


def _identity(site: Site, pseudonym: str) -> tuple[str, str]:
    """Return number and issuer behind a pseudonym; dashes where the patient was erased."""
    try:
        stated = site.pseudonyms.reveal(pseudonym)
    except NotFoundError:
        return "–", ""
    issuer, _, number = stated.removeprefix("patient:").partition("|")
    return number, issuer


def _row(line: PatientLine, zone: str) -> PatientRow:
    return PatientRow(
        pseudonym=line.pseudonym,
        short=short_digest(line.pseudonym),
        age_band=line.age_band,
        sex=line.sex,
        site_code=line.site_code,
        runs=line.run_count,
        records=line.record_count,
        first_at=moment(line.first_at, zone),
        last_at=moment(line.last_at, zone),
    )
