"""A folder as a target: whole files under names without patient data.

    root/<study digest>/RTSTRUCT-<instance digest>.dcm
    root/<study digest>/FHIR-<content digest>.json

A file appears at once and complete: written beside, flushed to the disk, renamed, the
folder flushed.  Whoever watches the folder never sees half a file.

Read next: `fhir.py`.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from adapters.delivery.target import DICOM_KINDS, Found, Sent, read
from audit.errors import DiskFullError, UnavailableError
from audit.pseudonym import short
from plugins.host.ports import Document

_SUFFIX = {"FHIR": ".json"}


class FolderTarget:
    """Writes documents as files, and compares the bytes that are there.

    Parameters
    ----------
    kinds : which documents it gets; all DICOM kinds by default, see `fhir_folder`.
    """

    def __init__(self, name: str, root: Path, kinds: frozenset[str] = DICOM_KINDS) -> None:
        self.name = name
        self.kinds = kinds
        self._root = Path(root)
        with _translated(name):
            self._root.mkdir(parents=True, exist_ok=True)

    def check(self) -> str:
        """Return how much room is left; raise when the folder cannot be written to."""
        with _translated(self.name):
            trial = self._root / f".{secrets.token_hex(8)}.part"
            trial.touch()
            trial.unlink()
            return f"folder, {shutil.disk_usage(self._root).free // 2**20} MB free"

    def send(self, documents: Sequence[Document]) -> tuple[Sent, ...]:
        """Write each document; a file with the same bytes is left alone."""
        return tuple(self._write(item) for item in documents)

    def verify(self, documents: Sequence[Document]) -> tuple[Found, ...]:
        """Read each file back."""
        return tuple(self._compare(item) for item in documents)

    def path_of(self, document: Document) -> Path:
        """Return where the file of a document lies."""
        study = short(document.study_instance_uid) if document.study_instance_uid else "none"
        name = short(document.sop_instance_uid or document.content_digest)
        suffix = _SUFFIX.get(document.kind, ".dcm")
        return self._root / study / f"{document.kind}-{name}{suffix}"

    def _write(self, document: Document) -> Sent:
        data, path = read(document.path), self.path_of(document)
        with _translated(self.name):
            if path.exists():
                return Sent("stored") if path.read_bytes() == data else _OTHER
            # The root is not made here: a share that is not mounted must not be hidden.
            path.parent.mkdir(exist_ok=True)
            write_whole(path, data)
        return Sent("stored")

    def _compare(self, document: Document) -> Found:
        path = self.path_of(document)
        with _translated(self.name):
            self._root.stat()
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return Found("missing")
        if data != read(document.path):
            return Found("different", "OTHER_CONTENT")
        return Found("verified")


_OTHER = Sent("refused", "OTHER_CONTENT")


def fhir_folder(name: str, root: Path) -> FolderTarget:
    """Return a folder that gets the FHIR bundles only."""
    return FolderTarget(name, root, frozenset({"FHIR"}))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it is whole or absent."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with temporary.open("wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    for folder in (path.parent, path.parent.parent):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn what the file system says into our errors; a share may come back."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"expected room in target {name}, found none") from error
        found = errno.errorcode.get(error.errno or 0, "an error")
        raise UnavailableError(
            f"expected to use the folder of target {name}, found {found}",
            advice="Mount the folder or correct its permissions; the work goes on by itself.",
        ) from error
