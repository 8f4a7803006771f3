"""Answers kept on disk between the steps of a run; fulfils the port `Staging`.

One file a run, ``RUN_ID/answer.bin``: magic, sizes, SHA-256, then block and header of
`wire.py`.  It appears whole or not at all, and is on the disk when `save` returns.

Read next: `ports.py`.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from audit.errors import DiskFullError, NotFoundError, StorageError
from plugins.host.findings import Explanation, Prediction
from plugins.host.ports import Answer
from plugins.host.wire import Message, WireError, decode, encode

_MAGIC = b"osteon.answer/1\n"
_HEAD = struct.Struct("<16sQQ32s")
_MEGABYTE = 1_000_000


class FolderStaging:
    """Keeps answers below a folder.

    Parameters
    ----------
    root : the home's ``staging`` folder.
    limit_mb : all staged answers together are at most this large.
    free_space_mb : what must stay free on the disk after writing.
    statvfs : asks the file system for its free space.
    """

    def __init__(
        self,
        root: Path,
        *,
        limit_mb: int = 8192,
        free_space_mb: int = 512,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self._root = root
        self._limit = limit_mb * _MEGABYTE
        self._free = free_space_mb * _MEGABYTE
        self._statvfs = statvfs

    def save(self, run_id: str, answer: Answer) -> str:
        """Keep the answer durably and return its digest (see `answer_digest`).

        Raises
        ------
        DiskFullError : the limit or the free space does not allow it; nothing was kept.
        """
        message = encode(answer, Answer)
        folder = self._folder(run_id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._check_space(_HEAD.size + message.size + len(message.header))
        building = folder / "answer.new"
        try:
            _write(building, message)
            building.replace(folder / "answer.bin")
            _sync(folder)
            _sync(self._root)
        except OSError as error:
            building.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise DiskFullError("expected space for a staged answer, found none") from error
            raise StorageError(f"a staged answer cannot be written: {error.strerror}") from error
        return answer_digest(answer)

    def load(self, run_id: str) -> Answer:
        """Return what `save` kept.

        Raises
        ------
        NotFoundError : nothing is there.
        StorageError : the file is not what was written.
        """
        path = self._folder(run_id) / "answer.bin"
        try:
            with path.open("rb") as file:
                content = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        except FileNotFoundError as error:
            raise NotFoundError(f"expected a staged answer of run {run_id}, found none") from error
        except (OSError, ValueError) as error:
            raise StorageError(f"the staged answer of run {run_id} cannot be read") from error
        try:
            magic, block_size, header_size, digest = _HEAD.unpack_from(content)
            body = content[_HEAD.size :]
            block, header = body[:block_size], body[block_size:]
            whole = len(header) == header_size and hashlib.sha256(body).digest() == digest
            if magic != _MAGIC or not whole:
                raise WireError("another content")
            answer: Answer = decode(header, block, Answer)
        except (struct.error, WireError) as error:
            raise StorageError(f"the staged answer of run {run_id} is damaged") from error
        return answer

    def wipe(self, run_id: str) -> None:
        """Remove everything staged for the run; nothing there is as good."""
        shutil.rmtree(self._folder(run_id), ignore_errors=True)

    def _folder(self, run_id: str) -> Path:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", run_id):
            raise NotFoundError(f"expected a run id, found {run_id[:40]!r}")
        return self._root / run_id

    def _check_space(self, wanted: int) -> None:
        used = sum(path.stat().st_size for path in self._root.glob("*/answer.*"))
        if used + wanted > self._limit:
            raise DiskFullError(
                f"expected at most {self._limit // _MEGABYTE} MB of staged answers, "
                f"found {(used + wanted) // _MEGABYTE} MB with this one",
                advice="Raise limits.staging_mb, or look for runs that do not close.",
            )
        status = self._statvfs(self._root)
        free = status.f_bavail * status.f_frsize
        if free - wanted < self._free:
            raise DiskFullError(
                f"expected {(self._free + wanted) // _MEGABYTE} MB free for staging, "
                f"found {free // _MEGABYTE} MB"
            )


def answer_digest(answer: Answer) -> str:
    """Return sha256:<hex> over prediction and explanation, without times and runtime.

    Two answers have the same digest exactly when every number in them is the same.
    """
    sink = hashlib.sha256(b"osteon.answer/1\0")
    _feed(sink.update, encode(answer.prediction, Prediction))
    if answer.explanation is not None:
        timeless = replace(answer.explanation, seconds=0.0)
        _feed(sink.update, encode(timeless, Explanation))
    return f"sha256:{sink.hexdigest()}"


def _feed(update: Callable[[bytes | memoryview], None], message: Message) -> None:
    update(message.header)
    for _, buffer in message.buffers:
        update(buffer)


def _write(path: Path, message: Message) -> None:
    """Write the file and have it on the disk; the padding between arrays is zero bytes."""
    sink = hashlib.sha256()
    with path.open("wb") as file:
        file.write(bytes(_HEAD.size))
        position = 0
        for offset, buffer in (*message.buffers, (message.size, memoryview(message.header))):
            for part in (bytes(offset - position), buffer):
                sink.update(part)
                file.write(part)
            position = offset + buffer.nbytes
        file.seek(0)
        file.write(_HEAD.pack(_MAGIC, message.size, len(message.header), sink.digest()))
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
