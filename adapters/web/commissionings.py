"""The commissionings of the site, as the pages of validation and of a release show them.

Nothing can be done here: a plan is fixed, run and signed at the command line, where who does it
has signed in.

Read next: `templates/commissionings.html`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.validation.commissioning import FOLDER
from adapters.validation.commissioning_lines import FILES, CommissioningLine, lines
from adapters.validation.standings import standings
from adapters.web.formats import moment
from audit.errors import NotFoundError
from governance import commissioning as rules

if TYPE_CHECKING:
    from adapters.compose import Site

TONES = {"pass": "good", "fail": "bad", "insufficient": "wait"}


@dataclass(frozen=True, slots=True)
class CheckCell:
    """One check of a commissioning; ``name`` as in `validation/commissioning/checks.py`."""

    name: str
    verdict: str
    tone: str


@dataclass(frozen=True, slots=True)
class CommissioningRow:
    """One plan as the pages print it; ``standing`` planned | ran | signed | ended."""

    plan_id: str
    release: str
    release_path: str
    cohort: str
    scanners: tuple[str, ...]
    standing: str
    tone: str
    verdict: str
    verdict_tone: str
    checks: tuple[CheckCell, ...]
    run_id: str
    planned: str
    ran_by: str
    signed_by: str
    expires_at: str
    routine_due_at: str
    objections: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ValidationRun:
    """One run of the harness on a release, as its page links it."""

    run_id: str
    state: str
    verdict: str
    tone: str
    began_at: str


def validation_runs(site: Site, release_digest: str) -> tuple[ValidationRun, ...]:
    """Return the runs of the harness on a release, newest first."""
    zone = site.configuration.site.time_zone
    return tuple(
        ValidationRun(
            run.run_id, run.state, run.verdict, TONES.get(run.verdict, "wait"),
            moment(run.began_at, zone),
        )
        for run in standings(site, release_digest)
    )  # fmt: skip


def commissioning_rows(site: Site, release_digest: str = "") -> tuple[CommissioningRow, ...]:
    """Return the commissionings of the site, or of one release, newest plan first."""
    zone = site.configuration.site.time_zone
    return tuple(_row(item, zone) for item in lines(site, release_digest))


def commissioning_file(site: Site, plan_id: str, name: str) -> Path:
    """Return a file of a commissioning that may be taken; NotFoundError for any other."""
    with site.database.reading() as transaction:
        known = transaction.governed(rules.PLAN, plan_id) is not None
    path = Path(site.home.root) / FOLDER / plan_id / name
    if not known or name not in FILES or not path.is_file():
        raise NotFoundError("expected a file of a commissioning, found none")
    return path


def _row(item: CommissioningLine, zone: str) -> CommissioningRow:
    standing, tone = _standing(item)
    return CommissioningRow(
        plan_id=item.plan_id,
        release=f"{item.plugin} {item.version}",
        release_path=item.release_digest.removeprefix("sha256:"),
        cohort=item.cohort,
        scanners=tuple(scanner.words for scanner in item.scanners),
        standing=standing,
        tone=tone,
        verdict=item.verdict,
        verdict_tone=TONES.get(item.verdict, ""),
        checks=tuple(CheckCell(n, v, TONES[v]) for n, v in item.checks if v in TONES),
        run_id=item.run_id,
        planned=f"{moment(item.planned_at, zone)} ({item.planned_by})",
        ran_by=item.ran_by,
        signed_by=item.signed_by,
        expires_at=moment(item.expires_at, zone) if item.expires_at else "",
        routine_due_at=moment(item.routine_due_at, zone) if item.routine_due_at else "",
        objections=item.objections,
        files=item.files,
    )


def _standing(item: CommissioningLine) -> tuple[str, str]:
    if item.signed_by:
        return ("ended", "bad") if item.objections else ("signed", "good")
    return ("ran", "wait") if item.verdict else ("planned", "wait")
