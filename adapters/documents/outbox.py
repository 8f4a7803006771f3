"""The outbox: the files of one run, all of them or none.

Files are written into a folder beside the outbox's own, brought to disk, and moved into
place in one step; a crash leaves either the old folder, the new one, or none with a
remainder that the next writing removes.  Each file is written while the next one is still
being made.

Read next: `composer.py`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from audit.errors import DiskFullError, StorageError

WRITERS = 4
"""Files that are brought to disk at the same time, which a disk does in one go."""


class OutboxFolder:
    """The folder of a run while it is being filled (`open_outbox`)."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self._folder = folder
        self._pool = pool
        self._written: list[Future[str]] = []

    def put(self, name: str, content: bytes | Callable[[], bytes]) -> Future[str]:
        """Begin to write a file, or what a function makes, and return its ``sha256:<hex>``."""
        self._written.append(self._pool.submit(_write_file, self._folder / name, content))
        return self._written[-1]

    def finish(self) -> None:
        """Wait until every file is on disk; raise what went wrong with one."""
        for item in self._written:
            item.result()


@contextmanager
def open_outbox(outbox: Path, run_id: str) -> Iterator[OutboxFolder]:
    """Fill the folder of a run anew; it replaces the earlier one when the block ends.

    Raises
    ------
    DiskFullError : there is no space; the earlier state is unchanged.
    StorageError : the outbox cannot be written.
    """
    fresh = outbox / f"{run_id}.new"
    with _translated():
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(outbox / f"{run_id}.old", ignore_errors=True)
        fresh.mkdir(parents=True)
    try:
        with ThreadPoolExecutor(WRITERS, thread_name_prefix="outbox") as pool:
            filled = OutboxFolder(fresh, pool)
            yield filled
        with _translated():
            filled.finish()
            _replace(outbox, run_id)
    except BaseException:  # whatever went wrong, the earlier state stands alone
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _replace(outbox: Path, run_id: str) -> None:
    """Put the new folder into the place of the earlier one."""
    folder, fresh, old = (outbox / f"{run_id}{end}" for end in ("", ".new", ".old"))
    _sync_folder(fresh)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    _sync_folder(outbox)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError("expected space for the outbox, found none") from error
        raise StorageError(f"expected a writable outbox, found {type(error).__name__}") from error


def _write_file(path: Path, content: bytes | Callable[[], bytes]) -> str:
    data = content if isinstance(content, bytes) else content()
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _sync_folder(folder: Path) -> None:
    """Bring the names of a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
