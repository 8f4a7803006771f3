"""Where each item of a monitoring plan stands, what closed since, and outcomes.

Monitoring reads what runs and reviews left in this database, never an image and never an archive.

Read next: `adapters/monitoring/running.py`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select

from adapters.database.schema import RUN, RUN_STATISTICS, put, put_if_absent
from adapters.database.schema_monitoring import MONITOR, OUTCOME
from adapters.database.schema_workspace import ASSESSMENT
from adapters.database.session import Session
from governance.monitoring.labels import Outcome, Predicted
from governance.oversight.assessment import Assessment, decode

NOT_LIVE = ("what_if", "replay")
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class MonitorRow:
    """Where an item stands.

    Parameters
    ----------
    item_digest : of the item as it was when the state began; another item begins anew.
    nearest : greatest evidence over its threshold; 1 is an alarm.
    cursor_at, cursor_id : the last case that was taken; None and empty before the first.
    """

    release_digest: str
    item: str
    item_digest: str
    state: str
    condition: str
    cases: int
    nearest: float
    cursor_at: datetime | None
    cursor_id: str
    last_run_at: datetime


@dataclass(frozen=True, slots=True)
class ClosedRun:
    """A closed run as monitoring sees it; ``statistics`` is None where it never got so far.

    Parameters
    ----------
    pacs, facts : the archive it lies in, and what reading told of the input.
    """

    run_id: str
    closed_at: datetime
    status: str
    seconds: float | None
    statistics: dict[str, Any] | None
    pacs: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class Monitoring(Session):
    """Monitors and outcomes of a transaction."""

    def put_monitor(self, row: MonitorRow) -> None:
        """Keep where an item stands."""
        put(self.connection, MONITOR, asdict(row))

    def monitor(self, release_digest: str, item: str) -> MonitorRow | None:
        """Return where an item stands; None before its first run."""
        query = select(MONITOR).where(
            MONITOR.c.release_digest == release_digest, MONITOR.c.item == item
        )
        row = self.connection.execute(query).first()
        return None if row is None else MonitorRow(**row._mapping)

    def closed_runs(
        self,
        release_digest: str,
        after: tuple[datetime | None, str] = (None, ""),
        until: datetime | None = None,
        limit: int = 500,
    ) -> tuple[ClosedRun, ...]:
        """Return runs of a release in the order of their closing, after a cursor."""
        query = (
            select(
                RUN.c.run_id, RUN.c.closed_at, RUN.c.status, RUN.c.seconds,
                RUN_STATISTICS.c.statistics, RUN.c.pacs, RUN.c.facts,
            )
            .outerjoin(RUN_STATISTICS, RUN.c.run_id == RUN_STATISTICS.c.run_id)
            .where(
                RUN.c.release_digest == release_digest,
                RUN.c.closed_at.is_not(None),
                RUN.c.mode.not_in(NOT_LIVE),
                RUN.c.status != "discarded",
                _after(RUN.c.closed_at, RUN.c.run_id, after),
            )
        )  # fmt: skip
        if until is not None:
            query = query.where(RUN.c.closed_at <= until)
        rows = self.connection.execute(query.order_by(RUN.c.closed_at, RUN.c.run_id).limit(limit))
        return tuple(
            ClosedRun(r, at, status, s, _json(text), pacs, _json(facts) or {})
            for r, at, status, s, text, pacs, facts in rows
        )

    def recent_runs(self, release_digest: str, limit: int) -> tuple[ClosedRun, ...]:
        """Return the newest runs of a release that left statistics, oldest first."""
        query = (
            select(RUN.c.run_id, RUN.c.closed_at, RUN.c.status, RUN.c.seconds)
            .add_columns(RUN_STATISTICS.c.statistics)
            .join(RUN_STATISTICS, RUN.c.run_id == RUN_STATISTICS.c.run_id)
            .where(
                RUN.c.release_digest == release_digest,
                RUN.c.closed_at.is_not(None),
                RUN.c.mode.not_in(NOT_LIVE),
            )
            .order_by(RUN.c.closed_at.desc(), RUN.c.run_id.desc())
            .limit(limit)
        )
        rows = self.connection.execute(query).all()
        return tuple(
            ClosedRun(r, at, status, s, json.loads(text)) for r, at, status, s, text in rows[::-1]
        )

    def facts_of(self, run_ids: Iterable[str]) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return the archive of each run, and what reading told of its input."""
        query = select(RUN.c.run_id, RUN.c.pacs, RUN.c.facts)
        rows = self.connection.execute(query.where(RUN.c.run_id.in_(sorted(set(run_ids)))))
        return {run_id: (pacs, _json(facts) or {}) for run_id, pacs, facts in rows}

    def studies_of(self, run_ids: Iterable[str]) -> dict[str, str]:
        """Return the Study Instance UID of each run."""
        found: dict[str, str] = {}
        listed = sorted(set(run_ids))
        for start in range(0, len(listed), _CHUNK):
            part = listed[start : start + _CHUNK]
            query = select(RUN.c.run_id, RUN.c.study_instance_uid).where(RUN.c.run_id.in_(part))
            found |= {str(row.run_id): str(row[1]) for row in self.connection.execute(query)}
        return found

    def assessments_after(
        self, release_digest: str, after: tuple[datetime | None, str], limit: int = 500
    ) -> tuple[Assessment, ...]:
        """Return clinical assessments of a release in order of decision, after a cursor."""
        query = select(ASSESSMENT.c.content).where(
            ASSESSMENT.c.release_digest == release_digest,
            ASSESSMENT.c.is_clinical.is_(True),
            _after(ASSESSMENT.c.decided_at, ASSESSMENT.c.assessment_id, after),
        )
        query = query.order_by(ASSESSMENT.c.decided_at, ASSESSMENT.c.assessment_id).limit(limit)
        return tuple(decode(json.loads(text)) for text in self.connection.scalars(query))

    def put_outcome(self, outcome: Outcome, stated: float, file_digest: str = "") -> bool:
        """Keep a report of an outcome; False when the same was reported before.

        ``file_digest`` is that of the import, by which a report knows what was told by when.
        """
        row = {
            "run_id": outcome.run_id,
            "reported_at": outcome.reported_at,
            "seen_at": outcome.seen_at,
            "event": outcome.event,
            "stated": stated,
            "file_digest": file_digest or None,
        }
        return put_if_absent(self.connection, OUTCOME, row)

    def outcomes(
        self, release_digest: str, files: Collection[str] | None = None
    ) -> tuple[tuple[Predicted, ...], tuple[Outcome, ...]]:
        """Return what a release stated and what was reported of it.

        ``files`` : digests of the imports that count; all without.
        """
        query = (
            select(OUTCOME, RUN.c.opened_at)
            .join(RUN, RUN.c.run_id == OUTCOME.c.run_id)
            .where(RUN.c.release_digest == release_digest)
            .order_by(OUTCOME.c.reported_at, OUTCOME.c.run_id)
        )
        rows = [
            row
            for row in self.connection.execute(query)
            if files is None or row.file_digest is None or row.file_digest in files
        ]
        stated = {row.run_id: Predicted(row.run_id, row.opened_at, row.stated) for row in rows}
        told = [Outcome(row.run_id, row.event, row.seen_at, row.reported_at) for row in rows]
        return tuple(stated.values()), tuple(told)

    def last_monitored(self, release_digests: Sequence[str]) -> tuple[MonitorRow, ...]:
        """Return where every item of some releases stands, by release and item."""
        query = select(MONITOR).where(MONITOR.c.release_digest.in_(list(release_digests)))
        rows = self.connection.execute(query.order_by(MONITOR.c.release_digest, MONITOR.c.item))
        return tuple(MonitorRow(**row._mapping) for row in rows)


def _json(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)


def _after(at: Any, name: Any, cursor: tuple[datetime | None, str]) -> Any:
    moment, last = cursor
    if moment is None:
        return at.is_not(None)
    return or_(at > moment, and_(at == moment, name > last))
