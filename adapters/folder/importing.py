"""Taking files up into the embedded PACS: a folder once, or the inbox at every poll.

A file in the inbox is taken when it is whole; one that is still being written is not, and
stays until it is whole or `PATIENCE_S` has passed since it last changed.

Read next: `pacs.py`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from adapters.pacs import StoreOutcome
from adapters.part10 import read_part10
from audit.errors import InputError

PATIENCE_S = 60.0
BATCH_BYTES = 32 * 2**20
_log = structlog.get_logger(__name__)


class Archive(Protocol):
    """What importing needs of the folder archive."""

    root: Path

    def store(
        self, study_instance_uid: str, files: Sequence[bytes], *, sender: str = ""
    ) -> tuple[StoreOutcome, ...]:
        """Store files of one study."""
        ...


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of the files of a folder.

    Parameters
    ----------
    refused : (number of the file in sorted order, error code or reason) of each file that
        was not taken; names of foreign files may carry patient data and are not repeated.
    """

    stored: int
    duplicate: int
    refused: tuple[tuple[int, str], ...]
    study_instance_uids: tuple[str, ...]


def import_files(archive: Archive, folder: Path, sender: str) -> ImportResult:
    """Take up every DICOM file below ``folder`` and say what became of each."""
    taking = _Taking(archive, sender)
    for number, path in enumerate(_files(folder)):
        taking.add(number, path.read_bytes())
    taking.flush()
    return ImportResult(
        taking.counts["stored"],
        taking.counts["duplicate"],
        tuple(sorted(taking.refused)),
        tuple(sorted(taking.studies)),
    )


class _Taking:
    """Files on their way into the archive; neighbours of one study go together."""

    def __init__(self, archive: Archive, sender: str) -> None:
        self._archive = archive
        self._sender = sender
        self._study = ""
        self._batch: list[tuple[int, bytes]] = []
        self.counts: Counter[str] = Counter()
        self.refused: list[tuple[int, str]] = []
        self.studies: set[str] = set()

    def add(self, number: int, data: bytes) -> None:
        """Take one file; it may be stored later, by `flush`."""
        try:
            study = read_part10(data).reference.study_instance_uid
        except InputError as error:
            self.refused.append((number, error.code))
            return
        size = sum(len(item) for _, item in self._batch)
        if study != self._study or size > BATCH_BYTES:
            self.flush()
        self._study = study
        self._batch.append((number, data))

    def flush(self) -> None:
        """Store what waits."""
        files = [data for _, data in self._batch]
        outcomes = self._archive.store(self._study, files, sender=self._sender) if files else ()
        for (number, _), outcome in zip(self._batch, outcomes, strict=True):
            if outcome.status == "failed":
                self.refused.append((number, outcome.reason))
                continue
            self.counts[outcome.status] += 1
            self.studies.add(self._study)
        self._batch = []


def take_inbox(archive: Archive) -> None:
    """Move what lies in the inbox into the archive; unusable files into ``refused``."""
    for path in _files(archive.root / "inbox"):
        try:
            _, status, reason = _take(archive, path, "inbox")
            if status != "failed":
                path.unlink(missing_ok=True)
            elif time.time() - path.stat().st_mtime > PATIENCE_S:
                _refuse(archive.root, path, reason)
        except FileNotFoundError:
            continue  # another process took it first


def _take(archive: Archive, path: Path, sender: str) -> tuple[str, str, str]:
    """Return the study, the status and the reason of one file."""
    data = path.read_bytes()
    try:
        study = read_part10(data).reference.study_instance_uid
    except InputError as error:
        return "", "failed", error.code
    outcome = archive.store(study, [data], sender=sender)[0]
    return study, outcome.status, outcome.reason


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent) / name
            if path.is_file():
                yield path


def _refuse(root: Path, path: Path, reason: str) -> None:
    refused = root / "refused"
    refused.mkdir(exist_ok=True)
    number = sum(1 for _ in refused.iterdir()) + 1
    path.replace(refused / f"{number:06d}")
    _log.warning("inbox file refused", number=number, reason=reason)
