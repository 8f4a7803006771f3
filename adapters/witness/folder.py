"""What a witness keeps, in one folder: its keys, the logs that it knows, the last checkpoints.

    witness.key       its two keys (Ed25519 and ML-DSA-44), one seed each, mode 0600
    logs.txt          public keys of the logs that it witnesses, one a line
    seen/DIGEST.txt   the last cosigned checkpoint of a log, DIGEST = SHA-256 of its origin

Every file is replaced whole and is on the disk before the answer leaves.

Read next: `server.py`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audit.checkpoint import VerifierKey, parse_key
from audit.cosignature import ED25519, ML_DSA_44, Cosigner
from audit.errors import ConfigurationError, StorageError
from audit.keys import read_secret, symmetric_key, write_secret

LOGS, NAME = "logs.txt", "name.txt"
_KINDS = ((ED25519, "ed25519.key"), (ML_DSA_44, "ml-dsa-44.key"))


class SeenFolder:
    """The last cosigned note of each log; fulfils `audit.witness.WitnessStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mutex = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def locked(self, origin: str) -> Iterator[None]:
        """Hold the folder alone, against threads and against another process."""
        del origin
        with self._mutex, (self._folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def last(self, origin: str) -> str | None:
        """Return the note that was cosigned last, None before the first.

        Raises
        ------
        StorageError : it cannot be read; the witness then cosigns nothing.
        """
        try:
            return self.place(origin).read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError("expected the last checkpoint to be readable") from error

    def put(self, origin: str, note: str) -> None:
        """Keep a cosigned note in place of the one before; durable on return."""
        place = self.place(origin)
        building = place.with_suffix(".new")
        try:
            with building.open("w", encoding="utf-8") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            building.replace(place)
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError("expected to keep a checkpoint, found the disk unwilling") from error

    def place(self, origin: str) -> Path:
        """Return the file of a log."""
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.txt"


def witness_keys(folder: Path, name: str = "") -> tuple[Cosigner, ...]:
    """Return the cosigners of a witness folder; made at the first call, which needs a name.

    Raises
    ------
    ConfigurationError : there are none yet and no name was given, or the name is another.
    """
    place = folder / NAME
    if not place.exists():
        if not name:
            raise ConfigurationError(
                "expected a witness in this folder, found none",
                advice="Make one first: osteon witness init --folder DIR --name NAME.",
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for kind, _ in _KINDS:
            Cosigner(name, kind, bytes(32))  # refuses a name that no key can have
        write_secret(place, name)
    kept = read_secret(place)
    if name and name != kept:
        raise ConfigurationError(f"expected the witness {name}, found {kept}")
    return tuple(Cosigner(kept, kind, symmetric_key(folder / file)) for kind, file in _KINDS)


def add_log(folder: Path, key: VerifierKey) -> None:
    """Note that the witness knows a log; a second call changes nothing.

    Raises
    ------
    ConfigurationError : the log has another key here already.
    """
    logs = known_logs(folder)
    known = logs.get(key.name)
    if known == key:
        return
    if known is not None:
        raise ConfigurationError(f"expected one key of log {key.name}, found another one kept")
    with (folder / LOGS).open("a", encoding="utf-8") as file:
        file.write(key.text() + "\n")
        file.flush()
        os.fsync(file.fileno())


def known_logs(folder: Path) -> dict[str, VerifierKey]:
    """Return the logs that a witness knows, by origin."""
    try:
        lines = (folder / LOGS).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    keys = [parse_key(line) for line in lines if line.strip() and not line.startswith("#")]
    return {key.name: key for key in keys}
