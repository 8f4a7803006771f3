"""The outbox: the files of one run, all of them or none.

Files are written into a folder beside the outbox's own, brought to disk, and moved into
place in one step; a crash leaves either the old folder, the new one, or none with a
remainder that the next writing removes.

Read next: `composer.py`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from audit.errors import DiskFullError, StorageError


def write_outbox(outbox: Path, run_id: str, files: Mapping[str, bytes]) -> Path:
    """Write the files of a run, replacing what an earlier attempt left; return the folder.

    Raises
    ------
    DiskFullError : there is no space; the earlier state is unchanged.
    StorageError : the outbox cannot be written.
    """
    folder, fresh, old = (outbox / f"{run_id}{end}" for end in ("", ".new", ".old"))
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, content in files.items():
            _write_file(fresh / name, content)
        _sync_folder(fresh)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        _sync_folder(outbox)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError("expected space for the outbox, found none") from error
        raise StorageError(f"expected a writable outbox, found {type(error).__name__}") from error
    return folder


def _write_file(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring the names of a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
