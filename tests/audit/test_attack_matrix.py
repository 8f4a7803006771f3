"""The attack matrix: what an administrator can do to the log is found offline, twice.

Each attack is done to a copy of the database file with its triggers removed; then both
verifiers see what is left of it, ours and the small one, in a bundle that the attacker
wrote.  In `make acceptance` the log has 10^6 records.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from sqlite3 import Connection, connect

import pytest

from adapters.database import Database
from audit.attested import Attested
from audit.bundle import (
    check_bundle_attested,
    read_bundle,
    small_verifier,
    verify_bundle,
    write_bundle,
)
from audit.checkpoint import Checkpoint, Signer, sign
from audit.cosignature import ED25519, Cosigner
from audit.errors import LogTamperedError
from audit.log import Log
from audit.merkle import Frontier, extend, leaf_hash
from audit.ports import Attestation
from audit.record import encode, make_record
from audit.verify import verify_site
from tests.simulators.site_database import ORIGIN, SOURCE, START

SIGNER = Signer(ORIGIN, b"\x07" * 32)
WITNESS = Cosigner("witness.test/a", ED25519, b"\x08" * 32)
SMALL, WHOLE = 2_500, 1_000_000
TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger'"


@dataclass(frozen=True)
class Grown:
    """A whole log, an older copy of its file, and what a witness and an anchor kept of it."""

    folder: Path
    size: int

    @property
    def bad(self) -> int:
        """The record that attacks change: in the second thousand."""
        return 1_500

    @property
    def anchor(self) -> Path:
        """The last checkpoint, kept elsewhere."""
        return self.folder / "anchor.txt"


def _grow(folder: Path, size: int) -> Grown:
    database = Database(f"sqlite:///{folder / 'site.db'}")
    database.upgrade()
    log = Log(ORIGIN, SIGNER, lambda: START)
    half = size // 2
    _append(database, log, 0, half)
    _settle(folder)
    shutil.copy(folder / "site.db", folder / "old.db")
    _append(database, log, half, size)
    with database.transaction() as store:
        log.sign_checkpoint(store, START, force=True)
        last = store.last_checkpoint()
        assert last is not None
        text = last.note.rpartition("\n\n")[0] + "\n"
        line = WITNESS.cosign(text, START)
        store.put_attestation(Attestation(last.tree_size, "a", "cosignature", line, START))
    (folder / "anchor.txt").write_text(last.note + line)
    database.close()
    _settle(folder)
    return Grown(folder, size)


def _append(database: Database, log: Log, start: int, stop: int) -> None:
    """Append records and sign the tree at the end, besides every thousand."""
    for first in range(start, stop, 10_000):
        with database.transaction() as store:
            for number in range(first, min(first + 10_000, stop)):
                body = {"code": f"X{number}", "where": "test"}
                moment = START + timedelta(seconds=number)
                log.append(store, make_record("fault", SOURCE, moment, body))
        log.seal(database)
    with database.transaction() as store:
        log.sign_checkpoint(store, START, force=True)


def _settle(folder: Path) -> None:
    """Bring the write-ahead log into the file, so that a copy of it is whole."""
    with closing(connect(folder / "site.db")) as live:
        live.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.fixture(
    scope="module",
    params=[SMALL, pytest.param(WHOLE, marks=pytest.mark.acceptance)],
    ids=lambda size: f"{size} records",
)
def grown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Grown:
    """The log of each size, grown once."""
    return _grow(tmp_path_factory.mktemp("grown"), request.param)


@contextmanager
def _attacked(grown: Grown, attack: Callable[[Connection, Grown], None]) -> Iterator[Path]:
    """Yield a copy of the database after the attack, without the triggers."""
    path = grown.folder / "attacked.db"
    for old in grown.folder.glob("attacked*"):
        old.unlink()
    shutil.copy(grown.folder / "site.db", path)
    with closing(connect(path, isolation_level=None)) as database:
        database.execute("BEGIN")
        for (name,) in database.execute(TRIGGERS).fetchall():
            database.execute(f"DROP TRIGGER {name}")
        attack(database, grown)
        database.execute("COMMIT")
    yield path
    for old in grown.folder.glob("attacked*"):
        old.unlink()


def _edit(database: Connection, grown: Grown) -> None:
    change = "CAST(replace(CAST(leaf AS TEXT), '\"X1500\"', '\"X9500\"') AS BLOB)"
    database.execute(f"UPDATE leaf SET leaf = {change} WHERE leaf_index = {grown.bad}")


def _edit_with_tree(database: Connection, grown: Grown) -> None:
    _edit(database, grown)
    _rehash(database)


def _rehash(database: Connection) -> list[bytes]:
    """Write the whole tree anew over what the records are now; return the leaf hashes."""
    rows = database.execute("SELECT leaf FROM leaf ORDER BY leaf_index")
    hashes = [leaf_hash(leaf) for (leaf,) in rows]
    database.execute("DELETE FROM tree_node")
    _, nodes = extend(Frontier(), hashes)
    rows_of = ((level, index, value) for (level, index), value in nodes)
    database.executemany("INSERT INTO tree_node VALUES (?, ?, ?)", rows_of)
    return hashes


def _move(database: Connection, low: int, high: int, by: int) -> None:
    """Shift the leaf indices from ``low`` to before ``high``, which are unique throughout."""
    database.execute(
        f"UPDATE leaf SET leaf_index = -leaf_index - 1 WHERE leaf_index >= {low} "
        f"AND leaf_index < {high}"
    )
    database.execute(f"UPDATE leaf SET leaf_index = -leaf_index - 1 + {by} WHERE leaf_index < 0")


def _delete(database: Connection, grown: Grown) -> None:
    database.execute(f"DELETE FROM leaf WHERE leaf_index = {grown.bad}")
    _move(database, grown.bad + 1, grown.size, -1)


def _insert(database: Connection, grown: Grown) -> None:
    _move(database, grown.bad, grown.size, 1)
    forged = make_record("stop", SOURCE, START, {"scope": "all", "decided_by": "x"})
    database.execute(
        "INSERT INTO leaf (event_id, kind, recorded_at, leaf, leaf_index) VALUES (?, ?, ?, ?, ?)",
        (forged.event_id, "stop", "2026-11-24T09:00:00.000000Z", encode(forged), grown.bad),
    )


def _reorder(database: Connection, grown: Grown) -> None:
    _move(database, grown.bad, grown.bad + 1, grown.size)
    _move(database, grown.bad + 1, grown.bad + 2, -1)
    _move(database, grown.bad + grown.size, grown.bad + grown.size + 1, 1 - grown.size)


def _cut(database: Connection, grown: Grown) -> None:
    keep = grown.size - 700
    database.execute(f"DELETE FROM leaf WHERE leaf_index >= {keep}")
    database.execute(f"DELETE FROM tree_node WHERE (node_index + 1) << level > {keep}")


def _cut_all(database: Connection, grown: Grown) -> None:
    _cut(database, grown)
    database.execute(f"DELETE FROM checkpoint WHERE tree_size > {grown.size - 700}")
    database.execute("DELETE FROM attestation")


def _rebuild(database: Connection, grown: Grown) -> None:
    """Edit, and write the tree and every checkpoint anew with the log's own key."""
    _edit(database, grown)
    hashes = _rehash(database)
    frontier, start = Frontier(), 0
    for (size,) in database.execute("SELECT tree_size FROM checkpoint ORDER BY 1").fetchall():
        frontier, start = extend(frontier, hashes[start:size])[0], size
        note = sign(Checkpoint(ORIGIN, size, frontier.root()), SIGNER)
        database.execute(
            "UPDATE checkpoint SET root_hash = ?, note = ? WHERE tree_size = ?",
            (frontier.root(), note, size),
        )
    database.execute("DELETE FROM attestation")


def _column(name: str, value: str) -> Callable[[Connection, Grown], None]:
    def change(database: Connection, grown: Grown) -> None:
        database.execute(f"UPDATE leaf SET {name} = ? WHERE leaf_index = {grown.bad}", (value,))

    return change


def _swap_signatures(database: Connection, grown: Grown) -> None:
    rows = dict(database.execute("SELECT tree_size, note FROM checkpoint").fetchall())
    one, two = sorted(rows)[:2]
    texts = {size: rows[size].rpartition("\n\n") for size in (one, two)}
    for size, other in ((one, two), (two, one)):
        note = texts[size][0] + "\n\n" + texts[other][2]
        database.execute("UPDATE checkpoint SET note = ? WHERE tree_size = ?", (note, size))


def _roll_back(database: Connection, grown: Grown) -> None:
    """Put the older file in the place of the newer one."""
    database.execute("COMMIT")
    with closing(connect(grown.folder / "old.db")) as old:
        old.backup(database)
    database.execute("BEGIN")


RANGE = r"records? (\d+) to (\d+)"
INTERNAL = {
    "edit": (_edit, r"record 1500 "),
    "edit and write the tree anew": (_edit_with_tree, RANGE),
    "delete": (_delete, r"record 1500 "),
    "insert": (_insert, r"record 1500 "),
    "reorder": (_reorder, r"record 1500 "),
    "cut the tail": (_cut, "record {cut}"),
    "swap signatures": (_swap_signatures, r"signature"),
}
BY_OTHERS = {
    "cut the tail with its checkpoints": (_cut_all, "record {cut}"),
    "write the whole log anew with its key": (_rebuild, r"records 0 to (\d+)|forked before"),
    "roll the database file back": (_roll_back, "record {half}"),
}
COLUMNS = {
    "kind": _column("kind", "stop"),
    "run id": _column("run_id", "f" * 32),
    "time": _column("recorded_at", "2020-01-01T00:00:00.000000Z"),
    "event id": _column("event_id", "00000000-0000-7000-8000-000000000000"),
}


def _bundle(path: Path) -> Path:
    """Write the bundle that an attacker hands out: what lies in the database, unquestioned."""
    database = Database(f"sqlite:///{path}")
    bundle = path.with_name("attacked.zip")
    with database.reading() as store:
        leaves = store.leaves(0, store.tree_size())
        said = store.attestations()
        write_bundle(bundle, leaves, store.checkpoints(), SIGNER.verifier, said)
    database.close()
    return bundle


def _small(bundle: Path, *options: str) -> tuple[int, str]:
    program = bundle.with_name("verify_log.py")
    program.write_bytes(small_verifier())
    command = [sys.executable, "-I", "-S", str(program), str(bundle)]
    done = subprocess.run(
        [*command, "--key", SIGNER.verifier.text(), *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def _site(path: Path, *anchors: str) -> int:
    database = Database(f"sqlite:///{path}")
    try:
        return verify_site(database, SIGNER.verifier, anchors, now=START).tree_size
    finally:
        database.close()


def _names(words: str, pattern: str, grown: Grown) -> None:
    """Hold a verdict to what it must name: the first bad record, or the signed range with it."""
    wanted = pattern.format(cut=grown.size - 700, half=grown.size // 2)
    found = re.search(wanted, words)
    assert found, words
    if pattern == RANGE:
        assert int(found.group(1)) <= grown.bad <= int(found.group(2)), words


def test_the_untouched_log_is_good(grown: Grown) -> None:
    """Both verifiers and the database's own say the same of what nobody touched."""
    with _attacked(grown, lambda *_: None) as path:
        assert _site(path, grown.anchor.read_text()) == grown.size
        bundle = _bundle(path)
        summary = verify_bundle(bundle, SIGNER.verifier, [grown.anchor.read_text()])
        assert summary.tree_size == summary.signed_size == grown.size
        options = ("--anchor", str(grown.anchor), "--witness", WITNESS.key.text())
        code, words = _small(bundle, *options)
        assert code == 0, words
        assert f"GOOD: {grown.size} records" in words
        assert summary.root_hash in words


@pytest.mark.reg("TLOG-1")
@pytest.mark.parametrize("name", INTERNAL)
def test_an_attack_is_found_by_the_log_alone(grown: Grown, name: str) -> None:
    """Three findings, each naming the first bad record: database, bundle, small verifier."""
    attack, pattern = INTERNAL[name]
    with _attacked(grown, attack) as path:
        with pytest.raises(LogTamperedError) as by_site:
            _site(path)
        _names(str(by_site.value), pattern, grown)
        bundle = _bundle(path)
        with pytest.raises(LogTamperedError) as by_bundle:
            verify_bundle(bundle, SIGNER.verifier)
        _names(str(by_bundle.value), pattern, grown)
        code, words = _small(bundle)
        assert code == 1, words
        _names(words, pattern, grown)


@pytest.mark.reg("TLOG-1")
@pytest.mark.parametrize("name", BY_OTHERS)
def test_an_attack_with_the_key_is_found_by_what_others_keep(grown: Grown, name: str) -> None:
    """Such a log agrees with itself; a kept checkpoint or a missing cosignature tells."""
    attack, pattern = BY_OTHERS[name]
    anchor = grown.anchor.read_text()
    with _attacked(grown, attack) as path:
        assert _site(path) < grown.size or name.startswith("write")
        with pytest.raises(LogTamperedError) as by_site:
            _site(path, anchor)
        _names(str(by_site.value), pattern, grown)
        bundle = _bundle(path)
        assert _small(bundle)[0] == 0
        with pytest.raises(LogTamperedError) as by_bundle:
            verify_bundle(bundle, SIGNER.verifier, [anchor])
        _names(str(by_bundle.value), pattern, grown)
        code, words = _small(bundle, "--anchor", str(grown.anchor))
        assert code == 1, words
        _names(words, pattern, grown)
        # The witness: nobody cosigned what is left.
        opened = read_bundle(bundle)
        assert check_bundle_attested(opened) == Attested()
        with pytest.raises(LogTamperedError, match="witness"):
            check_bundle_attested(opened, (), [WITNESS.key])
        code, words = _small(bundle, "--witness", WITNESS.key.text())
        assert (code, "not every witness" in words) == (1, True)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_beside_the_record_is_held_against_it(grown: Grown, name: str) -> None:
    """A search column is no part of the leaf: the check of the database finds it.

    It leaves in no bundle, where both verifiers read ids and kinds from the records' bytes.
    """
    with _attacked(grown, COLUMNS[name]) as path:
        with pytest.raises(LogTamperedError, match=r"record 1500 "):
            _site(path)
        bundle = _bundle(path)
        assert verify_bundle(bundle, SIGNER.verifier).tree_size == grown.size
        assert _small(bundle)[0] == 0
