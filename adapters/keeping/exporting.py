"""Exports of the log: tables and views with the hash of every record, chosen by filters.

    bundle          the whole log with its checkpoints, key and small verifier
    csv, parquet    one row a record: its columns, its leaf hash, and the record itself
    ndjson          one line a record: index, leaf hash, and the stored bytes
    fhir            NDJSON of AuditEvents
    dicom           one PS3.15 message a line

Beside the file lies the signed checkpoint of the tree that the indices are of.  That somebody
read is recorded before the first record is read; what left, and the digest of the file, after
the last.  A file is whole or not there.

Read next: `table.py`, `../audit_views/message.py`, `audit/bundle.py`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.audit_views import dicom_message, fhir_event
from adapters.audit_views.message import message_of
from adapters.database import Transaction, bodies
from adapters.keeping.table import COLUMNS, parquet, row_of
from adapters.log_key import handovers
from audit.bundle import write_bundle
from audit.errors import ConfigurationError, SuiteError
from audit.kinds import KINDS
from audit.ports import StoredLeaf
from audit.tombstone import is_tombstone

if TYPE_CHECKING:
    from adapters.compose import Site

FORMATS = ("bundle", "csv", "ndjson", "parquet", "fhir", "dicom")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which records; an empty field leaves all of them.

    Parameters
    ----------
    start, end : recorded at or after, and before; aware UTC.
    plugin : name of a plugin.
    release : digest, or the beginning of one.
    """

    kinds: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    plugin: str = ""
    release: str = ""
    pseudonym: str = ""
    run_id: str = ""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            raise ConfigurationError(
                f"expected kinds of record, found {', '.join(unknown)}",
                advice=f"Known are {', '.join(sorted(KINDS))}.",
            )

    def stated(self) -> dict[str, Any]:
        """Return the filters as a record states them."""
        return {
            "kinds": list(self.kinds),
            "start": self.start.isoformat() if self.start else "",
            "end": self.end.isoformat() if self.end else "",
            "plugin": bodies.coded(self.plugin) if self.plugin else "",
            "release": bodies.coded(self.release) if self.release else "",
            "pseudonym": bodies.coded(self.pseudonym) if self.pseudonym else "",
            "run_id": bodies.coded(self.run_id) if self.run_id else "",
        }

    def takes(self, leaf: StoredLeaf) -> bool:
        """Return whether a record is one of them; a tombstone only by kind and time."""
        if (self.kinds and leaf.kind not in self.kinds) or (
            self.run_id and leaf.run_id != self.run_id
        ):
            return False
        if (self.start and leaf.recorded_at < self.start) or (
            self.end and leaf.recorded_at >= self.end
        ):
            return False
        if not (self.plugin or self.release or self.pseudonym):
            return True
        if is_tombstone(leaf.leaf):
            return False
        record = json.loads(leaf.leaf)
        return (
            self.plugin in ("", plugin_of(record["body"]))
            and _names_release(record, self.release)
            and self.pseudonym in ("", record.get("subject", {}).get("pseudonym"))
        )


@dataclass(frozen=True, slots=True)
class Exported:
    """What left: the file, how many records, its digest, and the records about it."""

    path: Path
    count: int
    sha256: str
    event_id: str


def plugin_of(body: Mapping[str, Any]) -> str:
    """Return the name of the plugin that a record is about, empty where there is none."""
    found = body.get("plugin", "")
    return str(found.get("id", "") if isinstance(found, Mapping) else found)


def export(
    site: Site, path: Path, form: str, choice: Choice, person: str, purpose: str = "export"
) -> Exported:
    """Write the chosen records into a file and record it.

    Raises
    ------
    ConfigurationError : the form is unknown, its library is not installed, or a bundle is to
        hold a part of the log only.
    """
    if form == "bundle" and choice != Choice():
        raise ConfigurationError("expected a bundle of the whole log, found filters")
    if form not in FORMATS:
        raise ConfigurationError(f"expected a format in {', '.join(FORMATS)}, found {form!r}")
    with site.database.transaction() as transaction:
        site.journal.access(transaction, "audit-log", purpose, person)
    site.seal(force=True)
    building = path.with_name(f".{path.name}.part")
    try:
        count, note = _write(site, building, form, choice)
        digest = _digest(building)
    except (SuiteError, OSError) as error:
        building.unlink(missing_ok=True)
        code = error.code if isinstance(error, SuiteError) else "STORAGE"
        _record(site, form, choice, purpose, person, 0, f"sha256:{'0' * 64}", code)
        raise
    event_id = _record(site, form, choice, purpose, person, count, digest, "")
    building.replace(path)
    if form != "bundle":
        path.with_name(f"{path.name}.checkpoint.txt").write_text(note, "utf-8")
    return Exported(path, count, digest, event_id)


def _write(site: Site, path: Path, form: str, choice: Choice) -> tuple[int, str]:
    """Write a file and return how many records it holds, and the checkpoint of their tree."""
    with site.database.reading() as transaction:
        checkpoint = transaction.last_checkpoint()
        size = checkpoint.tree_size if checkpoint else 0
        leaves = (leaf for leaf in transaction.leaves(0, size) if choice.takes(leaf))
        note = checkpoint.note if checkpoint else ""
        if form == "bundle":
            return _bundle(site, transaction, path), note
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        if form == "parquet":
            os.close(descriptor)
            return parquet(path, leaves, size, note), note
        count = -1 if form == "csv" else 0  # the line of headings is no record
        with os.fdopen(descriptor, "wb") as file:
            for line in _lines(form, leaves, size):
                file.write(line)
                count += 1
            file.flush()
            os.fsync(file.fileno())
    return count, note


def _bundle(site: Site, transaction: Transaction, path: Path) -> int:
    leaves = transaction.leaves(0, transaction.tree_size())
    signed, attested = transaction.checkpoints(), transaction.attestations()
    return write_bundle(
        path, leaves, signed, site.keys.log.verifier, attested, handovers(transaction)
    )


def _lines(form: str, leaves: Iterable[StoredLeaf], size: int) -> Iterator[bytes]:
    """Yield the lines of a text format."""
    if form == "csv":
        yield _csv_line(COLUMNS)
        for leaf in leaves:
            yield _csv_line(row_of(leaf, size).values())
        return
    writers: dict[str, Callable[[StoredLeaf, int], bytes]] = {
        "ndjson": _json_line,
        "fhir": _event_line,
        "dicom": _message_line,
    }
    for leaf in leaves:
        if form == "ndjson" or not is_tombstone(leaf.leaf):
            yield writers[form](leaf, size)


def _csv_line(values: Iterable[object]) -> bytes:
    text = StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(["" if v is None else v for v in values])
    return text.getvalue().encode()


def _json_line(leaf: StoredLeaf, size: int) -> bytes:
    row = row_of(leaf, size)
    head = f'{{"leaf_index":{leaf.leaf_index},"leaf_sha256":"{row["leaf_sha256"]}"'
    name = "tombstone" if is_tombstone(leaf.leaf) else "record"
    return f'{head},"tree_size":{size},"{name}":'.encode() + leaf.leaf + b"}\n"


def _event_line(leaf: StoredLeaf, size: int) -> bytes:
    event = fhir_event.encode(message_of(leaf.leaf, leaf.leaf_index or 0, size))
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _message_line(leaf: StoredLeaf, size: int) -> bytes:
    return dicom_message.encode(message_of(leaf.leaf, leaf.leaf_index or 0, size)) + b"\n"


def _record(
    site: Site,
    form: str,
    choice: Choice,
    purpose: str,
    person: str,
    count: int,
    digest: str,
    reason: str,
) -> str:
    body = {
        "what": "audit-log",
        "format": form,
        "purpose": bodies.coded(purpose),
        "count": count,
        "sha256": digest,
        "filters": choice.stated(),
    }
    with site.database.transaction() as transaction:
        event_id = site.journal.export(transaction, body, person, reason)
    site.seal()
    return event_id


def _names_release(record: Mapping[str, Any], wanted: str) -> bool:
    digest = str(record.get("release_digest") or "")
    bare = wanted.removeprefix("sha256:")
    return not wanted or (bool(digest) and digest.removeprefix("sha256:").startswith(bare))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
