"""The index of the embedded PACS: which instances are there, and in which order they came.

One SQLite file.  Event numbers only grow (AUTOINCREMENT) and are written in the
transaction of what they announce, so a reader that keeps the last number it saw misses
nothing and sees nothing twice.

Read next: `pacs.py`.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from adapters.part10 import Part10
from audit.errors import DatabaseBusyError, DiskFullError, RejectedError, StorageError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS study (
  study_uid TEXT PRIMARY KEY, patient_id TEXT, accession_number TEXT, study_date TEXT,
  study_id TEXT);
CREATE TABLE IF NOT EXISTS series (
  study_uid TEXT, series_uid TEXT, modality TEXT, expected_count INTEGER, tags TEXT,
  PRIMARY KEY (study_uid, series_uid));
CREATE TABLE IF NOT EXISTS instance (
  sop_uid TEXT PRIMARY KEY, sop_class_uid TEXT, study_uid TEXT, series_uid TEXT,
  path TEXT, digest TEXT, arrived_at TEXT, sender TEXT);
CREATE INDEX IF NOT EXISTS instance_series ON instance (study_uid, series_uid);
CREATE TABLE IF NOT EXISTS event (
  number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, study_uid TEXT, series_uid TEXT,
  sop_uid TEXT, arrived_at TEXT, sender TEXT);
"""
_SEARCH_COLUMNS = {
    "StudyInstanceUID": "study.study_uid",
    "PatientID": "study.patient_id",
    "AccessionNumber": "study.accession_number",
    "StudyDate": "study.study_date",
    "StudyID": "study.study_id",
    "Modality": "series.modality",
    "ModalitiesInStudy": "series.modality",
    "SeriesInstanceUID": "series.series_uid",
    "SOPInstanceUID": "instance.sop_uid",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored instance; ``path`` is relative to the archive."""

    part10: Part10
    path: str
    digest: str
    arrived_at: datetime
    sender: str


class Index:
    """The SQLite index of one folder; every method may be called from any thread.

    Raises
    ------
    DatabaseBusyError, DiskFullError, StorageError : of every method; nothing was changed.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        with _translated():
            self._connection = sqlite3.connect(
                path, timeout=30.0, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def rows(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return the rows of one query."""
        with self._lock, _translated():
            return self._connection.execute(query, values).fetchall()

    def add(self, entries: Sequence[Entry]) -> None:
        """Add instances and announce each as ``new_instance``, all or none."""
        with self._transaction() as connection:
            for entry in entries:
                _insert(connection, entry)

    def remove_study(self, study_uid: str, at: datetime) -> None:
        """Take a study out and announce it as ``deleted``."""
        with self._transaction() as connection:
            for table in ("instance", "series", "study"):
                connection.execute(f"DELETE FROM {table} WHERE study_uid = ?", (study_uid,))
            connection.execute(
                "INSERT INTO event (kind, study_uid, arrived_at, sender) VALUES (?, ?, ?, '')",
                ("deleted", study_uid, at.isoformat()),
            )

    def remove_instance(self, sop_uid: str, at: datetime) -> None:
        """Take one instance out and announce it as ``deleted``."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO event (kind, study_uid, series_uid, sop_uid, arrived_at, sender)"
                " SELECT 'deleted', study_uid, series_uid, sop_uid, ?, '' FROM instance"
                " WHERE sop_uid = ?",
                (at.isoformat(), sop_uid),
            )
            connection.execute("DELETE FROM instance WHERE sop_uid = ?", (sop_uid,))

    def instance(self, sop_uid: str) -> sqlite3.Row | None:
        """Return the row of one instance, None when it is not there."""
        rows = self.rows("SELECT * FROM instance WHERE sop_uid = ?", (sop_uid,))
        return rows[0] if rows else None

    def search(self, keys: Mapping[str, str]) -> tuple[str, ...]:
        """Return the studies that match all keys; RejectedError for a key that is not kept."""
        unknown = sorted(set(keys) - set(_SEARCH_COLUMNS))
        if unknown:
            raise RejectedError(f"expected keys in {sorted(_SEARCH_COLUMNS)}, found {unknown}")
        where = " AND ".join(f"{_SEARCH_COLUMNS[key]} = ?" for key in keys) or "1"
        query = (
            "SELECT DISTINCT study.study_uid FROM study JOIN series USING (study_uid)"
            " JOIN instance ON instance.study_uid = series.study_uid"
            f" AND instance.series_uid = series.series_uid WHERE {where} ORDER BY study.study_uid"
        )
        return tuple(row["study_uid"] for row in self.rows(query, tuple(keys.values())))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, entry: Entry) -> None:
    part10, reference = entry.part10, entry.part10.reference
    study, series = reference.study_instance_uid, reference.series_instance_uid
    keys = part10.keys
    connection.execute(
        "INSERT OR IGNORE INTO study VALUES (?, ?, ?, ?, ?)",
        (
            study,
            keys.get("PatientID", ""),
            keys.get("AccessionNumber", ""),
            keys.get("StudyDate", ""),
            keys.get("StudyID", ""),
        ),
    )
    connection.execute(
        "INSERT OR IGNORE INTO series VALUES (?, ?, ?, ?, ?)",
        (study, series, part10.modality, part10.expected_count, json.dumps(dict(part10.tags))),
    )
    sop, at = reference.sop_instance_uid, entry.arrived_at.isoformat()
    added = connection.execute(
        "INSERT OR IGNORE INTO instance VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (sop, reference.sop_class_uid, study, series, entry.path, entry.digest, at, entry.sender),
    )
    if added.rowcount:  # another process may have stored the same instance meanwhile
        connection.execute(
            "INSERT INTO event (kind, study_uid, series_uid, sop_uid, arrived_at, sender)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            ("new_instance", study, series, sop, at, entry.sender),
        )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise DatabaseBusyError(
                "expected a free index of the folder, found it locked"
            ) from error
        if "full" in text:
            raise DiskFullError("expected room for the index of the folder, found none") from error
        raise StorageError(f"expected a usable index of the folder, found: {text}") from error
    except sqlite3.DatabaseError as error:
        raise StorageError("expected an intact index of the folder, found damage") from error
