"""What each page shows: one frozen context for each, computed here and not in a template.

Read next: `app.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adapters.database.runs import RunRow
from adapters.hand import PERMITTED
from adapters.run_record import explanation_body, inference_body, unwritten_refusal
from adapters.web.access import INCIDENT_REPORTERS, OPERATORS, SEEDERS, Session
from audit.errors import NotFoundError
from audit.merkle import leaf_hash
from audit.ports import StoredLeaf
from audit.record import decode

if TYPE_CHECKING:
    from adapters.compose import Site

PAGE_SIZE = 50
TONES = {
    "done": "good", "verified": "good", "stored": "good",
    "failed": "bad", "refused": "wait", "abstained": "wait", "superseded": "wait",
}  # fmt: skip
SEED_WANTED = {"SEED_REQUIRED", "SEED_OUTSIDE", "SEED_FRAME_OF_REFERENCE"}
"""Reason codes of `plugins.host.envelope` that another seed point would lift."""


@dataclass(frozen=True, slots=True)
class RunLine:
    """One line of the table of runs."""

    run_id: str
    plugin: str
    plugin_version: str
    release: str
    mode: str
    status: str
    tone: str
    opened_at: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunsPage:
    """The table of runs with what waits and how long the log is."""

    rows: tuple[RunLine, ...]
    waiting_count: int
    tree_size: int
    newer: int | None
    older: int | None


@dataclass(frozen=True, slots=True)
class FindingLine:
    """One measured quantity of a result with unit, interval and release."""

    name: str
    quantity: str
    value: str
    interval: str
    release: str


@dataclass(frozen=True, slots=True)
class DeliveryLine:
    """State of one document at one target."""

    kind: str
    target: str
    state: str
    tone: str
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordLine:
    """One audit record of the run."""

    leaf_index: int | None
    kind: str
    recorded_at: str
    outcome: str
    leaf_hash: str


@dataclass(frozen=True, slots=True)
class RunPage:
    """Everything about one run."""

    run_id: str
    facts: tuple[tuple[str, str], ...]
    abstained: bool
    refused: bool
    why: str
    unwritten: str
    marks: tuple[str, ...]
    superseded_by: str | None
    has_overview: bool
    findings: tuple[FindingLine, ...]
    explanation: tuple[tuple[str, str], ...]
    deliveries: tuple[DeliveryLine, ...]
    records: tuple[RecordLine, ...]
    may_act: bool
    may_retry: bool
    may_discard: bool
    may_force: bool
    may_seed: bool
    may_report: bool


def runs_page(site: Site, offset: int = 0) -> RunsPage:
    """Return the table of runs from ``offset`` on, newest first."""
    with site.database.reading() as transaction:
        rows = transaction.runs(limit=PAGE_SIZE + 1, offset=offset)
        waiting = transaction.open_run_count()
        tree_size = transaction.tree_size()
    lines = tuple(
        RunLine(
            row.run_id,
            row.plugin,
            row.plugin_version,
            row.release_digest.removeprefix("sha256:")[:12],
            row.mode,
            row.status,
            TONES.get(row.status, "wait"),
            _time(row.opened_at),
            row.reason,
        )
        for row in rows[:PAGE_SIZE]
    )
    return RunsPage(
        lines,
        waiting,
        tree_size,
        max(0, offset - PAGE_SIZE) if offset else None,
        offset + PAGE_SIZE if len(rows) > PAGE_SIZE else None,
    )


def run_page(site: Site, run_id: str, session: Session) -> RunPage:
    """Return everything about a run; NotFoundError when the id is unknown."""
    with site.database.reading() as transaction:
        row = transaction.run(run_id)
        if row is None:
            raise NotFoundError(f"expected a run with id {run_id[:32]}, found none")
        deliveries = transaction.deliveries(run_id)
        leaves = transaction.records_of(run_id)
        inference = inference_body(transaction, run_id)
        explanation = explanation_body(transaction, run_id)
        unwritten = unwritten_refusal(transaction, run_id)
        marks = transaction.marks(run_id)
    facts = (
        ("plugin", f"{row.plugin} {row.plugin_version}"),
        ("release", row.release_digest),
        ("mode", row.mode),
        ("trigger", row.trigger),
        ("status", row.status),
        ("reason", row.reason or "–"),
        ("opened", _time(row.opened_at)),
        ("closed", _time(row.closed_at)),
    )
    return RunPage(
        run_id=run_id,
        facts=facts,
        abstained=row.status == "abstained",
        refused=row.status == "refused",
        why=row.reason,
        unwritten=unwritten,
        marks=tuple(f"mark_{code}" for code in marks),
        superseded_by=row.superseded_by,
        has_overview=overview_path(site, run_id) is not None,
        findings=_findings(inference, f"{row.plugin} {row.plugin_version}"),
        explanation=_explanation(explanation),
        deliveries=tuple(
            DeliveryLine(
                d.kind, d.target, d.state, TONES.get(d.state, "wait"), d.attempts, d.reason
            )
            for d in deliveries
        ),
        records=tuple(_record(leaf) for leaf in leaves),
        may_act=session.role in OPERATORS,
        may_retry=row.status in PERMITTED["retry"],
        may_discard=row.status in PERMITTED["discard"],
        may_force=row.status in PERMITTED["force"],
        may_seed=session.role in SEEDERS and _needs_seed(row),
        may_report=session.role in INCIDENT_REPORTERS,
    )


def overview_path(site: Site, run_id: str) -> Any:
    """Return the overview picture of a run, None when there is none."""
    folder = site.home.outbox / run_id
    pictures = sorted(folder.glob("*.png")) if run_id.isalnum() and folder.is_dir() else []
    return pictures[0] if pictures else None


def _needs_seed(row: RunRow) -> bool:
    codes = {reason.split()[0] for reason in row.reason.split("; ") if reason.strip()}
    return row.status == "refused" and row.superseded_by is None and bool(SEED_WANTED & codes)


def _record(leaf: StoredLeaf) -> RecordLine:
    record = decode(leaf.leaf)
    digest = leaf_hash(leaf.leaf).hex()[:16]
    outcome = str(record.outcome.code)
    return RecordLine(leaf.leaf_index, leaf.kind, _time(record.recorded_at), outcome, digest)


def _findings(inference: Mapping[str, Any], release: str) -> tuple[FindingLine, ...]:
    lines = []
    for region in inference.get("output", {}).get("rois", ()):
        for key, quantity, unit in (
            ("volume_ml", "volume", "ml"),
            ("max_diameter_mm", "maximum 3D diameter", "mm"),
        ):
            if key in region:
                value = f"{float(region[key]):.1f} {unit}"
                lines.append(FindingLine(region["name"], quantity, value, "", release))
    return tuple(lines)


def _explanation(body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    contributions, faithfulness = body.get("contributions", ()), body.get("faithfulness", {})
    pairs = contributions.items() if isinstance(contributions, Mapping) else contributions
    lines = [(str(name), f"{float(value):.3f}") for name, value in pairs]
    lines += [(str(name), f"{float(value):.3f}") for name, value in faithfulness.items()]
    return tuple(lines)


def _time(moment: datetime | None) -> str:
    return "–" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")
