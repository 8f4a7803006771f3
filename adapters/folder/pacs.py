"""The embedded PACS: a folder of Part 10 files behind the `Pacs` port.

    root/index.db                 what is there, in which order it came (`index.py`)
    root/objects/AA/BB/CC.dcm     AA, BB, CC: digests of study, series, SOP Instance UID
    root/inbox/                   files that anybody drops here are taken up
    root/refused/                 dropped files that are not usable DICOM
    root/incoming/                half-written files; wiped on start

A store is durable when it returns: the file is written beside, flushed, renamed, and its
row committed; a crash between leaves a file without a row, which the repetition of the
store replaces.  File names carry no patient data.

Decision, 2026-11: own index or `dicomweb_client.DICOMfileClient`?  Own.  That client
serves one thread only, still finds a deleted instance, writes the index row before the
file and flushes neither (a crash leaves an index of files that do not exist), overwrites
in place, and has no order of arrival, which a durable cursor needs.

Read next: `index.py`, then `importing.py`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from adapters.folder.importing import ImportResult, import_files, take_inbox
from adapters.folder.index import Entry, Index
from adapters.pacs import Change, ChangeBatch, InstanceReference, SeriesSummary, StoreOutcome
from adapters.part10 import Part10, complete_part10, same_content
from audit.errors import DiskFullError, InputError, NotFoundError, RejectedError, StorageError
from audit.pseudonym import short

DUPLICATE_INSTANCE = 0x0111  # PS3.7 C.5.3, Duplicate SOP Instance
OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3
WRONG_STUDY = 0xA900  # PS3.4 B.2.3, the data set does not match what was announced
CANNOT_UNDERSTAND = 0xC000  # PS3.4 B.2.3
WRITERS = 4
"""Files that are brought to disk at the same time, which a disk does in one go."""


@dataclass(slots=True)
class _Storing:
    """One call of `store`: what was taken so far, while it is brought to disk."""

    study_instance_uid: str
    pool: ThreadPoolExecutor
    contents: dict[str, bytes] = field(default_factory=dict)
    arriving: list[tuple[Part10, str, Future[str]]] = field(default_factory=list)

    def entries(self, sender: str) -> tuple[Entry, ...]:
        """Wait until every file is on disk and return the rows that announce them."""
        at = datetime.now(UTC)
        return tuple(
            Entry(part10, path, written.result(), at, sender)
            for part10, path, written in self.arriving
        )


class FolderPacs:
    """An archive in a folder; any thread and any number of processes may use it.

    Raises
    ------
    DiskFullError : of `store`; nothing of the call was announced.
    DatabaseBusyError, StorageError : the folder or its index cannot be used.
    """

    capabilities = frozenset(
        {"search", "retrieve", "store", "changes", "instance_changes", "read_back"}
    )

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = Path(root)
        with _translated():
            for part in ("objects", "inbox", "incoming"):
                (self.root / part).mkdir(parents=True, exist_ok=True)
        self._index = Index(self.root / "index.db")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def check(self) -> str:
        """Return how much is there and how much room is left."""
        count = self._index.rows("SELECT COUNT(*) AS n FROM instance")[0]["n"]
        with _translated():
            free_mb = shutil.disk_usage(self.root).free // 2**20
        return f"folder archive, {count} instances, {free_mb} MB free"

    def changes(self, cursor: str | None, limit: int = 1000) -> ChangeBatch:
        """Return events after the event number ``cursor``; takes the inbox up first."""
        take_inbox(self)
        after = _event_number(cursor)
        rows = self._index.rows(
            "SELECT * FROM event WHERE number > ? ORDER BY number LIMIT ?", (after, limit + 1)
        )
        changes = tuple(
            Change(
                row["kind"],
                row["study_uid"],
                datetime.fromisoformat(row["arrived_at"]),
                row["series_uid"],
                row["sop_uid"],
                row["sender"],
            )
            for row in rows[:limit]
        )
        last = rows[: len(changes)][-1]["number"] if changes else after
        return ChangeBatch(changes, str(last), more=len(rows) > limit)

    def search_studies(self, **keys: str) -> tuple[str, ...]:
        """Return Study Instance UIDs that match the keywords exactly."""
        return self._index.search(keys)

    def search_series(self, study_instance_uid: str) -> tuple[SeriesSummary, ...]:
        """Return the series of a study with what they announce and hold."""
        rows = self._index.rows(
            "SELECT series.*, COUNT(*) AS n FROM series JOIN instance USING (study_uid, series_uid)"
            " WHERE study_uid = ? GROUP BY series_uid ORDER BY series_uid",
            (study_instance_uid,),
        )
        return tuple(
            SeriesSummary(
                study_instance_uid,
                row["series_uid"],
                row["modality"],
                row["n"],
                # more than announced: the announcement was of one of several acquisitions
                row["expected_count"] if row["n"] <= (row["expected_count"] or 0) else None,
                json.loads(row["tags"]),
            )
            for row in rows
        )

    def search_instances(
        self, study_instance_uid: str, series_instance_uid: str
    ) -> tuple[InstanceReference, ...]:
        """Return the instances of a series, sorted by UID."""
        rows = self._series_rows(study_instance_uid, series_instance_uid)
        return tuple(
            InstanceReference(
                row["study_uid"], row["series_uid"], row["sop_uid"], row["sop_class_uid"]
            )
            for row in rows
        )

    def last_arrival(self, study_instance_uid: str) -> tuple[datetime, str] | None:
        """Return when and from whom the last instance of a study came."""
        rows = self._index.rows(
            "SELECT arrived_at, sender FROM instance WHERE study_uid = ?"
            " ORDER BY arrived_at DESC LIMIT 1",
            (study_instance_uid,),
        )
        if not rows:
            return None
        return datetime.fromisoformat(rows[0]["arrived_at"]), str(rows[0]["sender"])

    def retrieve_series(self, study_instance_uid: str, series_instance_uid: str) -> Iterator[bytes]:
        """Yield each instance of a series as Part 10 bytes."""
        for row in self._series_rows(study_instance_uid, series_instance_uid):
            yield self._bytes(row["path"])

    def retrieve_instance(self, reference: InstanceReference) -> bytes:
        """Return one instance; NotFoundError when it is not in the named series."""
        row = self._index.instance(reference.sop_instance_uid)
        named = (reference.study_instance_uid, reference.series_instance_uid)
        if row is None or (row["study_uid"], row["series_uid"]) != named:
            raise NotFoundError(
                f"expected instance {short(reference.sop_instance_uid)} in archive {self.name},"
                " found none"
            )
        return self._bytes(row["path"])

    def store(
        self, study_instance_uid: str, files: Sequence[bytes], *, sender: str = ""
    ) -> tuple[StoreOutcome, ...]:
        """Store files of one study durably; the same instance again is a duplicate."""
        with ThreadPoolExecutor(WRITERS, thread_name_prefix="folder-pacs") as pool, _translated():
            storing = _Storing(study_instance_uid, pool)
            outcomes = tuple(self._store(data, storing) for data in files)
            entries = storing.entries(sender)
            # the folders once for all files: a row must never outlive its file's name
            _flush_folders(self.root, [self.root / entry.path for entry in entries], pool)
        self._index.add(entries)
        return outcomes

    def delete_study(self, study_instance_uid: str) -> None:
        """Take a study out, announce it as deleted, then remove its files."""
        folder = self.root / "objects" / _name(study_instance_uid)
        self._index.remove_study(study_instance_uid, datetime.now(UTC))
        shutil.rmtree(folder, ignore_errors=True)

    def delete_instance(self, reference: InstanceReference) -> None:
        """Take one instance out if it is there, announce it, then remove its file."""
        row = self._index.instance(reference.sop_instance_uid)
        if row is not None:
            self._index.remove_instance(reference.sop_instance_uid, datetime.now(UTC))
            (self.root / row["path"]).unlink(missing_ok=True)

    def import_folder(self, folder: Path, *, sender: str = "") -> ImportResult:
        """Take up every DICOM file below ``folder``; the files stay where they are."""
        return import_files(self, folder, sender)

    def _store(self, data: bytes, storing: _Storing) -> StoreOutcome:
        try:
            complete, part10 = complete_part10(data)
        except InputError as error:
            return StoreOutcome("", "failed", CANNOT_UNDERSTAND, error.code)
        reference = part10.reference
        sop = reference.sop_instance_uid
        if reference.study_instance_uid != storing.study_instance_uid:
            return StoreOutcome(sop, "failed", WRONG_STUDY, "the object is of another study")
        known = self._index.instance(sop)
        if sop in storing.contents or known is not None:
            kept = storing.contents[sop] if known is None else self._bytes(known["path"])
            if same_content(kept, complete):
                return StoreOutcome(sop, "duplicate")
            reason = "another object has this SOP Instance UID; the first one was kept"
            return StoreOutcome(sop, "failed", DUPLICATE_INSTANCE, reason)
        uids = (storing.study_instance_uid, reference.series_instance_uid, sop)
        path = f"objects/{'/'.join(_name(uid) for uid in uids)}.dcm"
        written = storing.pool.submit(_write, self.root / "incoming", self.root / path, complete)
        storing.contents[sop] = complete
        storing.arriving.append((part10, path, written))
        return StoreOutcome(sop, "stored")

    def _series_rows(self, study_uid: str, series_uid: str) -> list[sqlite3.Row]:
        return self._index.rows(
            "SELECT * FROM instance WHERE study_uid = ? AND series_uid = ? ORDER BY sop_uid",
            (study_uid, series_uid),
        )

    def _bytes(self, path: str) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(
                f"expected file {path} in archive {self.name}, found none"
            ) from error
        except OSError as error:
            raise StorageError(f"expected to read {path} in archive {self.name}") from error


def _name(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def _event_number(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isdigit():
        raise RejectedError("expected a cursor of this archive, found another text")
    return int(cursor)


def _write(incoming: Path, path: Path, data: bytes) -> str:
    """Write a file so that it is whole or absent after a crash, and return its digest."""
    temporary = incoming / secrets.token_hex(16)
    try:
        with temporary.open("wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _flush_folders(root: Path, files: Sequence[Path], pool: ThreadPoolExecutor) -> None:
    """Flush the folders of new files, up to the root of the archive."""
    folders = {parent for path in files for parent in path.parents if root in parent.parents}
    for flushed in [pool.submit(_flush, folder) for folder in sorted(folders, reverse=True)]:
        flushed.result()


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError("expected room in the folder archive, found none") from error
        raise StorageError(
            f"expected a usable folder archive, found {errno.errorcode.get(error.errno or 0, '?')}"
        ) from error
