"""The sides of the audit log's benchmark: ours, raw SQLite, and pymerkle.

"Durable" is journal_mode=WAL with synchronous=FULL for all of them.  Raw SQLite is a table
of blobs, with no tree, no index and no check: what the disk and the library allow.  pymerkle
keeps leaves and their hashes in a table and computes the tree when it is asked.

Read next: `validation/benchmarks/audit_log.py`.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

from adapters.benchmarks.environments import FOLDER
from adapters.benchmarks.peer import Peer
from adapters.database import Database, Transaction
from adapters.database.group_commit import GroupCommit
from audit.bundle import small_verifier, verify_bundle, write_bundle
from audit.checkpoint import new_signer
from audit.errors import SuiteError
from audit.log import Log
from audit.merkle import check_inclusion, leaf_hash
from audit.record import Actor, Record, Source, Subject, encode, make_record
from validation.benchmarks.audit_log import milliseconds, paced, rates

ORIGIN = "osteon.example/log/bench"
GROUP = 500
CALLERS = 256
_SOURCE = Source("bench", "node-a", "research", Actor("service:node-a", "service"))
_BODY: dict[str, Any] = {
    "input": {
        "study_uid_p": "2.25.329800735698586629295641978511506172918",
        "series_uid_p": ["2.25.112", "2.25.113"],
        "frame_of_ref_uid_p": ["2.25.115"],
        "sop_class": ["1.2.840.10008.5.1.4.1.1.2"],
        "n_instances": 148,
        "content_sha256": "sha256:" + "0" * 64,
        "quality_flags": "not-evaluated",
    },
    "acquisition": {"ct": {"modality": "CT", "spacing_mm": [0.9766, 0.9766, 3.0]}},
    "notes": [],
}


def measure(size: int, appends: int, repeats: int, peers: Path = FOLDER) -> dict[str, Any]:
    """Return every figure of the log, each beside its peers, with the load of the machine."""
    with tempfile.TemporaryDirectory(prefix="osteon-bench-") as folder:
        root = Path(folder)
        table: dict[str, Any] = {"load_before": os.getloadavg()[0], "size": size}
        table["fsync_ms"] = dict(zip(("p50", "p99"), _fsync(root), strict=True))
        table |= _appending(root, appends, repeats, peers)
        table["acknowledgement"] = _acknowledging(root, min(appends, 10_000))
        table |= _whole(root, size, repeats)
        table["load_after"] = os.getloadavg()[0]
        return table


def _records(count: int) -> list[Record]:
    subject = Subject("hmac:v1:" + "7" * 32, "10-17", "F", "T-1")
    now = datetime.now(UTC)
    return [
        make_record("input_read", _SOURCE, now, _BODY, run_id=f"{number:032x}", subject=subject)
        for number in range(count)
    ]


class _Ours:
    """A site database with its log, new and empty."""

    def __init__(self, path: Path) -> None:
        self.database = Database(f"sqlite:///{path}")
        self.database.upgrade()
        self.log = Log(ORIGIN, new_signer(ORIGIN))
        self.group = GroupCommit(self.database, self.log)

    def append(self, records: Sequence[Record]) -> None:
        """Return when the records are durable and in the tree; one caller."""

        def write(store: Transaction) -> None:
            for record in records:
                self.log.append(store, record)

        self.group.run(write)

    def root(self) -> bytes:
        """Return the root hash of the whole tree."""
        with self.database.reading() as store:
            return self.log.head(store).root_hash


def _raw(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE leaf (number INTEGER PRIMARY KEY, leaf BLOB NOT NULL)")
    return connection


def _groups(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[at : at + GROUP] for at in range(0, len(items), GROUP)]


def _grouped(path: Path, records: Sequence[Record]) -> bytes:
    """Append groups from one caller and return the root."""
    ours = _Ours(path)
    for group in _groups(records):
        ours.append(group)
    root = ours.root()
    ours.database.close()
    return root


def _called(path: Path, records: Sequence[Record]) -> None:
    """Append one record for each call, many callers at once."""
    ours = _Ours(path)

    def work(first: int) -> None:
        for at in range(first, len(records), CALLERS):
            ours.append(records[at : at + 1])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ours.database.close()


def _inserted(path: Path, leaves: Sequence[bytes]) -> None:
    """Insert groups with raw SQLite."""
    with closing(_raw(path)) as connection:
        for group in _groups(leaves):
            connection.execute("BEGIN IMMEDIATE")
            rows = [(leaf,) for leaf in group]
            connection.executemany("INSERT INTO leaf (leaf) VALUES (?)", rows)
            connection.execute("COMMIT")


def _for_the_peer(folder: Path, leaves: Sequence[bytes]) -> None:
    """Write the leaves as the peer's script reads them."""
    folder.mkdir()
    (folder / "group").write_text(str(GROUP))
    (folder / "leaves").write_bytes(b"".join(leaves))
    ends = accumulate(len(leaf) for leaf in leaves)
    (folder / "ends").write_text(" ".join(str(end) for end in ends))


def _appending(root: Path, count: int, repeats: int, peers: Path) -> dict[str, Any]:
    """Return durable appends a second of each side, and whether the trees agree.

    A peer that is not installed is named instead.
    """
    records = _records(count)
    leaves = [encode(record) for record in records]
    roots: dict[str, bytes] = {}

    def grouped(number: int) -> int:
        roots["ours"] = _grouped(root / f"grouped-{number}.db", records)
        return count

    def called(number: int) -> int:
        _called(root / f"callers-{number}.db", records)
        return count

    def raw(number: int) -> int:
        _inserted(root / f"raw-{number}.db", leaves)
        return count

    sides: dict[str, Callable[[int], int]] = {
        "ours, groups of 500 from one caller": grouped,
        f"ours, {CALLERS} callers of one record each": called,
        "raw SQLite, groups of 500": raw,
    }
    folder, missing = root / "pymerkle", None
    _for_the_peer(folder, leaves)
    with ExitStack() as stack:
        try:
            peer = stack.enter_context(Peer("pymerkle", "log_pymerkle", folder, peers))
            sides["pymerkle, groups of 500"] = lambda _: count if peer.run() else 0
        except SuiteError as error:
            missing = str(error)
        found = {name: asdict(rate) for name, rate in rates(sides, repeats).items()}
    theirs = None if missing else (folder / "root").read_bytes()
    return {
        "record_bytes": len(leaves[0]),
        "appends_per_s": found,
        "roots_agree": missing or roots["ours"] == theirs,
    }


def _acknowledging(root: Path, count: int) -> dict[str, Any]:
    """Return the latency of durable acknowledgements at 1,000 a second."""
    records = _records(count)
    ours = _Ours(root / "paced.db")
    table = {"ours": asdict(paced(lambda n: ours.append(records[n : n + 1]), 1000, count, 32))}
    ours.database.close()
    leaves = [encode(record) for record in records]
    with closing(_raw(root / "paced-raw.db")) as connection:
        mutex = threading.Lock()

        def insert(number: int) -> None:
            with mutex:
                connection.execute("INSERT INTO leaf (leaf) VALUES (?)", (leaves[number],))

        table["raw SQLite, one commit each"] = asdict(paced(insert, 1000, count, 32))
    return table


def _whole(root: Path, size: int, repeats: int) -> dict[str, Any]:
    """Return proofs and the full offline verification of a large log."""
    ours = _Ours(root / "whole.db")
    for start in range(0, size, 10_000):
        ours.append(_records(min(10_000, size - start)))
    path = root / "whole.zip"
    with ours.database.transaction() as store:
        ours.log.sign_checkpoint(store, datetime.now(UTC), force=True)
    with ours.database.reading() as store:
        assert ours.log.signer is not None
        key = ours.log.signer.verifier
        write_bundle(path, store.leaves(0, size), store.checkpoints(), key)
    proofs = _proofs(ours, size)
    program = root / "verify_log.py"
    program.write_bytes(small_verifier())

    def small(_: int) -> int:
        command = [sys.executable, "-I", "-S", str(program), str(path), "--key", key.text()]
        subprocess.run(command, check=True, capture_output=True)
        return size

    with closing(sqlite3.connect(root / "whole.db")) as connection:

        def hashing(_: int) -> int:
            for (leaf,) in connection.execute("SELECT leaf FROM leaf ORDER BY leaf_index"):
                leaf_hash(leaf)
            return size

        sides: dict[str, Callable[[int], int]] = {
            "ours, bundle": lambda _: verify_bundle(path, key).tree_size,
            "small verifier, bundle": small,
            "raw SQLite, read and hash each": hashing,
        }
        found = {name: asdict(rate) for name, rate in rates(sides, repeats).items()}
    ours.database.close()
    return {"proof": proofs, "verified_per_s": found}


def _proofs(ours: _Ours, size: int) -> dict[str, Any]:
    """Return length and times of inclusion proofs over the whole tree."""
    with ours.database.reading() as store:
        places = [(number * 7919) % size for number in range(200)]
        leaves = [next(iter(store.leaves(place, place + 1))) for place in places]
        root_hash = ours.log.head(store).root_hash
        proofs = [ours.log.prove(store, leaf.event_id) for leaf in leaves]

        def check(number: int) -> None:
            index, whole, proof = proofs[number]
            value = leaf_hash(leaves[number].leaf)
            check_inclusion(value, index, whole, proof, root_hash)

        made = milliseconds(lambda n: ours.log.prove(store, leaves[n].event_id), 200)
        checked = milliseconds(check, 200)
    return {
        "hashes": max(len(proof) for _, _, proof in proofs),
        "made_ms": dict(zip(("p50", "p99"), made, strict=True)),
        "checked_ms": dict(zip(("p50", "p99"), checked, strict=True)),
    }


def _fsync(root: Path) -> tuple[float, float]:
    """Return median and 99th percentile of a durable write of 4 KiB on this disk."""
    descriptor = os.open(root / "fsync", os.O_CREAT | os.O_RDWR)

    def write(number: int) -> None:
        os.pwrite(descriptor, b"x" * 4096, 4096 * number)
        os.fdatasync(descriptor)

    try:
        return milliseconds(write, 500)
    finally:
        os.close(descriptor)


def show(table: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return the figures as lines of name and value."""
    lines: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            lines += show(value, f"{prefix}{key}: ")
        else:
            lines.append((prefix + key, f"{value:.3g}" if isinstance(value, float) else str(value)))
    return lines
