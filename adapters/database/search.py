"""The lines that the pages search: copies of the placed records' own words.

A page never scans the log.  `catch_up` reads records after the last line and writes their
lines and what they say of a patient; it may be called by anybody at any time, and twice.
Pages go by leaf index (keyset), so that the thousandth page costs what the first does.

Read next: `schema_workspace.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, delete, exists, func, or_, select

from adapters.database.records import Records
from adapters.database.schema import insert, put
from adapters.database.schema_workspace import PATIENT_LINE, RECORD_LINE
from audit.kinds import NOT_EVALUATED
from audit.tombstone import is_tombstone

if TYPE_CHECKING:
    from adapters.database.database import Database

BATCH = 2000
_DISORDER = 2000
"""How far, in records, the order of the tree may differ from that of the clock."""


@dataclass(frozen=True, slots=True)
class RecordLine:
    """One record as the pages list it."""

    leaf_index: int
    recorded_at: datetime
    kind: str
    mode: str
    outcome: int
    actor: str
    role: str
    plugin: str | None
    release_digest: str | None
    run_id: str | None
    pseudonym: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched; an empty wish excludes nothing.

    Parameters
    ----------
    since, until : aware UTC; ``until`` itself is excluded.
    failed : only records whose outcome is not a success.
    """

    kind: str = ""
    plugin: str = ""
    release: str = ""
    patient: str = ""
    person: str = ""
    run: str = ""
    since: datetime | None = None
    until: datetime | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class PatientLine:
    """What the log says of one patient, by pseudonym."""

    pseudonym: str
    first_at: datetime
    last_at: datetime
    record_count: int
    run_count: int
    age_band: str
    sex: str
    site_code: str


class Search(Records):
    """Searching the log in a transaction."""

    def line_count(self) -> int:
        """Return how many records have their line."""
        last = self.connection.scalar(select(func.max(RECORD_LINE.c.leaf_index)))
        return 0 if last is None else int(last) + 1

    def catch_up(self, limit: int = BATCH) -> int:
        """Write the lines of the next placed records; return how many."""
        self.lock_sequencer()
        start = self.line_count()
        stop = min(self.tree_size(), start + limit)
        lines = [
            line_of(json.loads(leaf.leaf), leaf.leaf_index or 0, leaf.recorded_at)
            for leaf in self.leaves(start, stop)
            if not is_tombstone(leaf.leaf)
        ]
        if lines:
            statement = insert(self.connection, RECORD_LINE).on_conflict_do_nothing()
            rows = [{k: v for k, v in line.items() if k != "subject"} for line in lines]
            self.connection.execute(statement, rows)
            self._note_patients(lines)
        return stop - start

    def forget_lines(self, indices: Sequence[int]) -> None:
        """Remove the lines of records that were purged, and patients of whom none is left."""
        for start in range(0, len(indices), 500):
            part = indices[start : start + 500]
            self.connection.execute(delete(RECORD_LINE).where(RECORD_LINE.c.leaf_index.in_(part)))
        left = exists().where(RECORD_LINE.c.pseudonym == PATIENT_LINE.c.pseudonym)
        self.connection.execute(delete(PATIENT_LINE).where(~left))

    def search_records(
        self, wanted: Wanted, *, before: int | None = None, limit: int = 50
    ) -> tuple[RecordLine, ...]:
        """Return matching records, newest first, from below leaf index ``before``."""
        query = self._matching(wanted)
        if before is not None:
            query = query.where(RECORD_LINE.c.leaf_index < before)
        query = query.order_by(RECORD_LINE.c.leaf_index.desc()).limit(limit)
        return tuple(RecordLine(*row) for row in self.connection.execute(query))

    def search_oldest(
        self, wanted: Wanted, *, after: int = -1, limit: int = 50
    ) -> tuple[RecordLine, ...]:
        """Return matching records, oldest first, from above leaf index ``after``."""
        query = self._matching(wanted).where(RECORD_LINE.c.leaf_index > after)
        query = query.order_by(RECORD_LINE.c.leaf_index).limit(limit)
        return tuple(RecordLine(*row) for row in self.connection.execute(query))

    def record_kinds(self) -> tuple[str, ...]:
        """Return the kinds of which there are records."""
        return self._skipping(RECORD_LINE.c.kind)

    def record_plugins(self) -> tuple[str, ...]:
        """Return the plugins of which there are records."""
        return self._skipping(RECORD_LINE.c.plugin)

    def record_actors(self, limit: int = 200) -> tuple[str, ...]:
        """Return who caused records, at most ``limit``."""
        return self._skipping(RECORD_LINE.c.actor, limit)

    def patient_lines(
        self, *, before: tuple[datetime, str] | None = None, limit: int = 50
    ) -> tuple[PatientLine, ...]:
        """Return patients by their last record, newest first, after the one that is named."""
        query = select(PATIENT_LINE)
        if before is not None:
            moment, pseudonym = before
            earlier = PATIENT_LINE.c.last_at < moment
            same = and_(PATIENT_LINE.c.last_at == moment, PATIENT_LINE.c.pseudonym < pseudonym)
            query = query.where(or_(earlier, same))
        query = query.order_by(PATIENT_LINE.c.last_at.desc(), PATIENT_LINE.c.pseudonym.desc())
        return tuple(PatientLine(*row) for row in self.connection.execute(query.limit(limit)))

    def patient_line(self, pseudonym: str) -> PatientLine | None:
        """Return what the log says of a patient; None when nothing."""
        query = select(PATIENT_LINE).where(PATIENT_LINE.c.pseudonym == pseudonym)
        row = self.connection.execute(query).first()
        return None if row is None else PatientLine(*row)

    def _skipping(self, column: Any, limit: int = 200) -> tuple[str, ...]:
        """Return the values of an indexed column by jumps: a scan would read every line."""
        found: list[str] = []
        query = select(func.min(column))
        value = self.connection.scalar(query)
        while value is not None and len(found) < limit:
            found.append(str(value))
            value = self.connection.scalar(query.where(column > value))
        return tuple(found)

    def _matching(self, wanted: Wanted) -> Select[Any]:
        columns = RECORD_LINE.c
        query = select(RECORD_LINE)
        for column, value in (
            (columns.kind, wanted.kind),
            (columns.plugin, wanted.plugin),
            (columns.release_digest, wanted.release),
            (columns.pseudonym, wanted.patient),
            (columns.actor, wanted.person),
            (columns.run_id, wanted.run),
        ):
            if value:
                query = query.where(column == value)
        if wanted.failed:
            query = query.where(columns.outcome > 0)
        if wanted.since is not None:
            first = self._index_at(wanted.since)
            query = query.where(columns.leaf_index >= first - _DISORDER)
            query = query.where(columns.recorded_at >= wanted.since)
        if wanted.until is not None:
            last = self._index_at(wanted.until)
            query = query.where(columns.leaf_index < last + _DISORDER)
            query = query.where(columns.recorded_at < wanted.until)
        return query

    def _index_at(self, moment: datetime) -> int:
        """Return the leaf index of the first record from a moment on."""
        query = select(RECORD_LINE.c.leaf_index).where(RECORD_LINE.c.recorded_at >= moment)
        found = self.connection.scalar(query.order_by(RECORD_LINE.c.recorded_at).limit(1))
        return self.line_count() if found is None else int(found)

    def _note_patients(self, lines: list[dict[str, Any]]) -> None:
        by_patient: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            if line["pseudonym"]:
                by_patient.setdefault(line["pseudonym"], []).append(line)
        known: dict[str, PatientLine] = {}
        names = list(by_patient)
        for start in range(0, len(names), 500):
            part = names[start : start + 500]
            query = select(PATIENT_LINE).where(PATIENT_LINE.c.pseudonym.in_(part))
            known |= {row[0]: PatientLine(*row) for row in self.connection.execute(query)}
        for pseudonym, found in by_patient.items():
            put(self.connection, PATIENT_LINE, _patient(pseudonym, found, known.get(pseudonym)))


def bring_up(database: Database, batches: int = 50) -> int:
    """Write the lines of placed records, at most so many batches; return how many lines."""
    written = 0
    for _ in range(batches):
        with database.reading() as transaction:
            if transaction.line_count() >= transaction.tree_size():
                break
        written += database.run(Search.catch_up)
    return written


def line_of(record: Mapping[str, Any], leaf_index: int, recorded_at: datetime) -> dict[str, Any]:
    """Return the columns of a record's line, and its subject."""
    subject = record.get("subject", {})
    pseudonym = subject.get("pseudonym", NOT_EVALUATED)
    return {
        "leaf_index": leaf_index,
        "recorded_at": recorded_at,
        "kind": record["kind"],
        "mode": record["mode"],
        "outcome": record["outcome"]["code"],
        "actor": record["actor"]["id"],
        "role": record["actor"]["role"],
        "plugin": _plugin(record["body"]),
        "release_digest": record.get("release_digest"),
        "run_id": record.get("run_id"),
        "pseudonym": None if pseudonym == NOT_EVALUATED else pseudonym,
        "subject": subject,
    }


def _plugin(body: Mapping[str, Any]) -> str | None:
    stated = body.get("plugin")
    name = stated.get("id") if isinstance(stated, Mapping) else stated
    return name if isinstance(name, str) and name else None


def _patient(
    pseudonym: str, lines: list[dict[str, Any]], known: PatientLine | None
) -> dict[str, Any]:
    times = [line["recorded_at"] for line in lines]
    values: dict[str, Any] = {
        "pseudonym": pseudonym,
        "first_at": min(times) if known is None else min(known.first_at, *times),
        "last_at": max(times) if known is None else max(known.last_at, *times),
        "record_count": len(lines) + (known.record_count if known else 0),
        "run_count": sum(line["kind"] == "run_closed" for line in lines)
        + (known.run_count if known else 0),
    }
    for key in ("age_band", "sex", "site_code"):
        stated = [line["subject"].get(key, NOT_EVALUATED) for line in lines]
        stated = [value for value in stated if value != NOT_EVALUATED]
        before = getattr(known, key) if known else NOT_EVALUATED
        values[key] = stated[-1] if stated else before
    return values
