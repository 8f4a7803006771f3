"""The page of a recall: every result that a release made, what to do, and what was done.

Read next: `governance/recall.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.governance.recalling import read_recall
from adapters.web.access import Session
from adapters.web.formats import NONE, moment
from governance.ports import GovernedDocument
from governance.recall import ACKNOWLEDGERS, HANDLED, HANDLERS, KIND, RecalledRun, unacknowledged

if TYPE_CHECKING:
    from adapters.compose import Site


@dataclass(frozen=True, slots=True)
class RecallLine:
    """One recalled result with what to do."""

    run: RecalledRun
    patient: str
    opened_at: str
    objects: str
    handled: str


@dataclass(frozen=True, slots=True)
class RecallPage:
    """The recall list of a release."""

    path: str
    title: str
    digest: str
    recalled_at: str
    reason: str
    told: tuple[str, ...]
    waiting: tuple[str, ...]
    patient_count: int
    rows: tuple[RecallLine, ...]
    may_acknowledge: bool
    may_handle: bool
    zone: str


def recall_page(site: Site, digest: str, session: Session) -> RecallPage:
    """Return the recall list; that the reader has read it is on record before."""
    zone = site.configuration.site.time_zone
    row = site.registry.row(digest)
    found = read_recall(site, digest, session)
    with site.database.reading() as transaction:
        document = transaction.governed(KIND, digest)
        waiting = unacknowledged(transaction, digest)
        handled = {
            item.name.partition("/")[2]: item
            for item in transaction.governed_all(HANDLED)
            if item.name.startswith(f"{digest}/")
        }
    content = document.content if document else {}
    return RecallPage(
        path=digest.removeprefix("sha256:"),
        title=f"{row.plugin} {row.version}",
        digest=digest,
        recalled_at=_recalled_at(document, zone),
        reason=str(content.get("reason", "")),
        told=tuple(content.get("told", ())),
        waiting=waiting,
        patient_count=len(found.patients),
        rows=tuple(_recall_line(run, handled, zone) for run in found.runs),
        may_acknowledge=document is not None and session.role in ACKNOWLEDGERS,
        may_handle=session.role in HANDLERS,
        zone=zone,
    )


def _recall_line(run: RecalledRun, handled: dict[str, GovernedDocument], zone: str) -> RecallLine:
    objects: dict[tuple[str, str], int] = {}
    for item in run.documents:
        key = (f"{item.kind} {item.target}".strip(), item.state)
        objects[key] = objects.get(key, 0) + 1
    shown = ", ".join(
        f"{name} ({state}){f' × {count}' if count > 1 else ''}"
        for (name, state), count in objects.items()
    )
    note = handled.get(run.pseudonym)
    said = f"{note.content['done']} ({note.recorded_by})" if note else ""
    return RecallLine(
        run, run.pseudonym.rpartition(":")[2][:12], moment(run.opened_at, zone), shown or NONE, said
    )


def _recalled_at(document: GovernedDocument | None, zone: str) -> str:
    return moment(document.recorded_at, zone) if document else ""
