"""Files that a command writes where its operator asked: whole or not at all, faults in words.

What the file system says (a read-only folder, a full disk, a file where a folder should be) is
translated here, with the name of the file and its errno name, never with the path.

Read next: `audit/errors.py`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from audit.errors import DiskFullError, StorageError

WHERE_TO_WRITE = "Name a folder that exists, that you may write to and that has room; try again."


def as_storage_error(error: OSError, expected: str) -> StorageError:
    """Return an error of the file system in our words: what was expected, and what was found."""
    name = errno.errorcode.get(error.errno or 0, "an error")
    found = f"{name} ({error.strerror})" if error.strerror else name
    kind = DiskFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
    return kind(f"expected {expected}, found {found}", advice=WHERE_TO_WRITE)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system says about a file that is written into our errors.

    Raises
    ------
    StorageError : the file cannot be written; DiskFullError where there is no room.
    """
    try:
        yield
    except OSError as error:
        raise as_storage_error(error, f"to write {path.name}") from error


def write_whole(path: Path, content: bytes, *, make_folder: bool = False) -> None:
    """Write a file whole or not at all; what was there before stays when writing fails.

    Raises
    ------
    StorageError : the file cannot be written; nothing is left beside it.
    """
    building = path.with_name(f".{path.name}.new")
    with writing(path):
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            building.write_bytes(content)
            building.replace(path)
        except OSError:
            with suppress(OSError):  # the fault that is told is the first
                building.unlink(missing_ok=True)
            raise
