"""The pages of validation: every run of the harness, and the files and pictures of one.

A page shows what is on record; what lies in a run's folder counts only where it is that.
Nothing can be done on these pages: a run is asked for, judged and certified at the command line.

Read next: `validation_run.py` (one run), `templates/validations.html`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from starlette.responses import Response

from adapters.validation.progress import progress_of
from adapters.validation.standings import RunStanding, cohorts_by_digest, standing, standings
from adapters.web.commissionings import (
    CommissioningRow,
    commissioning_file,
    commissioning_rows,
)
from adapters.web.formats import moment
from adapters.web.shell import Pages, language_of
from adapters.web.validation_run import FILES, TONES, picture_of, run_page
from adapters.web.visit import catch_up, note_access
from audit.errors import NotFoundError
from validation.cohort.manifest import Cohort

if TYPE_CHECKING:
    from adapters.compose import Site


@dataclass(frozen=True, slots=True)
class QueueLine:
    """The work queue of one open run: cases by state, answers, its newest change."""

    waiting: int
    working: int
    done: int
    failed: int
    looks: int
    asked: int
    changed_at: str


@dataclass(frozen=True, slots=True)
class ValidationLine:
    """One run of the harness in the list; ``state`` as in `standings.STATES`."""

    run_id: str
    release: str
    release_path: str
    cohort: str
    method: str
    state: str
    verdict: str
    tone: str
    certificate_id: str
    began_at: str
    ended_at: str
    asked_by: str
    queue: QueueLine | None


@dataclass(frozen=True, slots=True)
class ValidationsPage:
    """The runs of the harness at the site, open ones apart, and what the site commissioned."""

    open: tuple[ValidationLine, ...]
    ended: tuple[ValidationLine, ...]
    commissionings: tuple[CommissioningRow, ...]
    zone: str


def validation_routes(app: FastAPI, view: Pages) -> None:
    """Add the pages of validation."""

    @app.get("/validation")
    def validations(request: Request) -> Response:
        return view.render(request, "validations.html", page=validations_page(view.site))

    @app.get("/validation/{run_id}")
    def validation(request: Request, run_id: str) -> Response:
        catch_up(view.site)
        page = run_page(view.site, run_id, language_of(request))
        note_access(view.site, request, "validation-run", "review", run_id=run_id)
        return view.render(request, "validation.html", page=page)

    @app.get("/validation/{run_id}/pictures/{name}")
    def picture(run_id: str, name: str) -> Response:
        return Response(picture_of(view.site, run_id, name), media_type="image/png")

    @app.get("/validation/{run_id}/files/{name}")
    def file(request: Request, run_id: str, name: str) -> Response:
        path = file_of(view.site, run_id, name)
        note_access(view.site, request, "validation-files", "review", run_id=run_id)
        return FileResponse(path, filename=f"{run_id[:12]}-{name}")

    @app.get("/validation/commissioning/{plan_id}/files/{name}")
    def commissioned(request: Request, plan_id: str, name: str) -> Response:
        path = commissioning_file(view.site, plan_id, name)
        note_access(view.site, request, "commissioning-files", "review")
        return FileResponse(path, filename=f"{plan_id}-{name}")


def validations_page(site: Site) -> ValidationsPage:
    """Return every run of the harness with its verdict, or how far it is."""
    zone, known = site.configuration.site.time_zone, cohorts_by_digest(site)
    lines = [_line(site, run, known.get(run.cohort_digest), zone) for run in standings(site)]
    return ValidationsPage(
        tuple(line for line in lines if line.state == "open"),
        tuple(line for line in lines if line.state != "open"),
        commissioning_rows(site),
        zone,
    )


def file_of(site: Site, run_id: str, name: str) -> Path:
    """Return a file of a run that may be taken; NotFoundError for any other."""
    path = Path(site.home.root) / "validations" / standing(site, run_id).run_id / name
    if name not in FILES or not path.is_file():
        raise NotFoundError("expected a file of a validation run, found none")
    return path


def _line(site: Site, run: RunStanding, cohort: Cohort | None, zone: str) -> ValidationLine:
    is_open = run.state == "open"
    return ValidationLine(
        run_id=run.run_id,
        release=f"{run.plugin} {run.version}".strip(),
        release_path=run.release_digest.removeprefix("sha256:"),
        cohort=f"{cohort.name} {cohort.version}" if cohort else "",
        method=str(run.plan.get("method", "")),
        state=run.state,
        verdict=run.verdict,
        tone=TONES.get(run.verdict, "wait"),
        certificate_id=run.certificate_id,
        began_at=moment(run.began_at, zone),
        ended_at=moment(run.ended_at, zone),
        asked_by=run.asked_by,
        queue=_queue(site, run, cohort, zone) if is_open and cohort else None,
    )


def _queue(site: Site, run: RunStanding, cohort: Cohort, zone: str) -> QueueLine:
    found = progress_of(site, run, cohort)
    changed: datetime | None = found.at
    return QueueLine(
        found.count("waiting"), found.count("working"), found.count("done"),
        found.count("failed"), found.looks, found.asked, moment(changed, zone),
    )  # fmt: skip
