"""Backup and restore: a site comes back whole and verified, or nothing is put in place."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.compose import Site, open_site
from adapters.config import Configuration
from adapters.database import Database
from adapters.home import Home
from adapters.keeping import backup as backing
from adapters.keeping import dumps, restoring
from adapters.keeping.backup import back_up
from adapters.keeping.restoring import read_manifest, restore
from adapters.keeping.sealed_stream import CHUNK, Sealing, Unsealing
from adapters.witness.folder import SeenFolder, witness_keys
from audit.checkpoint import new_signer
from audit.errors import (
    AuthenticationError,
    ConfigurationError,
    EvidenceTamperedError,
    LogTamperedError,
    StorageError,
    SuiteError,
)
from audit.merkle import prove_consistency
from audit.witness import Request, Witness
from tests.simulators.audit_records import record_of
from tests.simulators.governed_site import add_accounts, add_release, records
from tests.simulators.postgresql import beside

PASSPHRASE = "correct horse battery staple"
STUDY, PATIENT = "1.2.276.0.7230010.3.1.2.1.99", "BACKUP-4711"


@dataclass
class _Backed:
    """A site, its backup, and where to restore it."""

    home: Home
    path: Path
    pseudonym: str
    digest: str
    target: Path
    key: Any


def _configuration(root: Path, **changes: Any) -> Configuration:
    return Configuration.model_validate(
        {"site": {"name": "test-site", "node": "node-a"}, "limits": {"free_space_mb": 1}} | changes
    )


def _fill(site: Site, count: int = 30) -> None:
    with site.database.transaction() as transaction:
        for _ in range(count):
            site.log.append(transaction, record_of("fault", now=site.now()))
    site.seal(force=True)


@pytest.fixture
def backed(tmp_path: Path) -> _Backed:
    """A site with records, a release, an outbox and a patient in the vault, and its backup."""
    home = Home(tmp_path / "home").create()
    (home.root / "osteon.toml").write_text('[site]\nname = "test-site"\nnode = "node-a"\n')
    with open_site(home) as site:
        add_accounts(site)
        digest = add_release(site, "1.0.0")
        pseudonym = site.pseudonyms.enrol(STUDY, PATIENT)
        (home.outbox / "run-1").mkdir()
        (home.outbox / "run-1" / "RTSTRUCT-1.dcm").write_bytes(b"DICOM" * 1000)
        _fill(site)
        done = back_up(site, tmp_path / "site.backup", PASSPHRASE, "account:administrator")
        assert done.tree_size >= 30
        key = site.keys.log.verifier
    return _Backed(home, done.path, pseudonym, digest, tmp_path / "restored", key)


@pytest.mark.reg("AIA-18")
def test_a_site_comes_back_whole(backed: _Backed) -> None:
    """Log, proofs, keys, vault, releases, outbox and accounts are what they were."""
    done = restore(backed.path, backed.target, PASSPHRASE, key=backed.key)
    assert done.is_key_given
    with open_site(Home(backed.target)) as site:
        summary = site.verify_log()
        assert summary.tree_size > done.tree_size
        assert site.keys.log.verifier == backed.key
        assert PATIENT in site.pseudonyms.reveal(backed.pseudonym)
        assert site.registry.verify(backed.digest)
        assert str(backed.target) in site.registry.row(backed.digest).path
        assert (site.home.outbox / "run-1" / "RTSTRUCT-1.dcm").read_bytes() == b"DICOM" * 1000
        with site.database.reading() as transaction:
            assert {item.account_id for item in transaction.accounts()} >= {"approver"}
        (record,) = records(site, "restore")
        assert record.body["tree_size"] == done.tree_size
        assert record.body["backup_sha256"] == done.sha256
    for key in (backed.target / "keys").glob("*.key"):
        assert key.stat().st_mode & 0o077 == 0


def test_a_backup_shows_nothing_to_who_has_no_passphrase(backed: _Backed) -> None:
    """Neither patient nor key nor configuration is in the file in clear."""
    content = backed.path.read_bytes()
    secret = (backed.home.keys / "log.key").read_bytes().strip()
    for needle in (PATIENT.encode(), STUDY.encode(), secret, b"DICOMDICOM"):
        assert needle not in content
    assert backed.path.stat().st_mode & 0o077 == 0
    with pytest.raises(AuthenticationError):
        restore(backed.path, backed.target, "another long passphrase")
    assert not backed.target.exists()
    assert not list(backed.target.parent.glob(".*restoring*"))


def test_a_restore_is_a_rollback_that_others_can_see(backed: _Backed) -> None:
    """A checkpoint that was kept after the backup does not fit the log that came back."""
    with open_site(backed.home) as site:
        _fill(site, 5)
        with site.database.reading() as transaction:
            later = transaction.last_checkpoint()
    assert later is not None
    restore(backed.path, backed.target, PASSPHRASE)
    with open_site(Home(backed.target)) as site:
        site.verify_log()
        with pytest.raises(LogTamperedError):
            site.verify_log([later.note])
        _fill(site, 40)
        with pytest.raises(LogTamperedError):
            site.verify_log([later.note])


def test_a_witness_refuses_the_log_that_was_set_back(backed: _Backed, tmp_path: Path) -> None:
    """It cosigned more than came back: what the restored log signs from here on is a fork."""
    with open_site(backed.home) as site:
        origin = site.log.origin
        witness = Witness(
            {origin: backed.key}, witness_keys(tmp_path / "w", "witness.test/a"),
            SeenFolder(tmp_path / "w" / "seen"), site.now,
        )  # fmt: skip
        _fill(site, 5)
        seen = _shown(site, witness, 0)
        assert seen[1] == 200
    restore(backed.path, backed.target, PASSPHRASE)
    with open_site(Home(backed.target)) as site:
        assert _shown(site, witness, seen[0])[1] in (400, 409), "it is shorter"
        _fill(site, 40)
        size, status = _shown(site, witness, seen[0])
        assert size > seen[0]
        assert status == 422


def _shown(site: Site, witness: Witness, old: int) -> tuple[int, int]:
    """Show the last checkpoint to a witness; return its size and what the witness says."""
    with site.database.reading() as transaction:
        last = transaction.last_checkpoint()
        assert last is not None
        grows = 0 < old <= last.tree_size
        proof = prove_consistency(old, last.tree_size, transaction.nodes) if grows else ()
    return last.tree_size, witness.add_checkpoint(Request(old, proof, last.note).encode()).status


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.02, 0.15, 0.3, 0.5, 0.8])
def test_a_restore_that_is_killed_leaves_a_whole_home_or_none(
    backed: _Backed, after_s: float
) -> None:
    """SIGKILL at any moment: the home is not there, or verifies; the next try ends it."""
    child = os.fork()
    if child == 0:
        try:
            restore(backed.path, backed.target, PASSPHRASE)
        finally:
            os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not backed.target.exists():
        restore(backed.path, backed.target, PASSPHRASE)
    with open_site(Home(backed.target)) as site:
        site.verify_log()
        assert len(records(site, "restore")) == 1


def test_keys_may_be_kept_elsewhere(backed: _Backed, tmp_path: Path) -> None:
    """Without keys in the backup they are asked for, and the right ones are needed."""
    with open_site(backed.home) as site:
        path = tmp_path / "keyless.backup"
        back_up(site, path, PASSPHRASE, "account:administrator", with_keys=False)
    manifest, _ = read_manifest(path)
    assert [name for name in manifest["members"] if name.endswith(".key")] == []
    with pytest.raises(ConfigurationError, match="keys"):
        restore(path, backed.target, PASSPHRASE)
    other = Home(tmp_path / "other").create()
    with open_site(other):
        pass
    with pytest.raises(SuiteError):
        restore(path, backed.target, PASSPHRASE, keys=other.keys)
    assert not backed.target.exists()
    restore(path, backed.target, PASSPHRASE, keys=backed.home.keys)
    with open_site(Home(backed.target)) as site:
        site.verify_log()
        assert PATIENT in site.pseudonyms.reveal(backed.pseudonym)


def test_a_home_that_is_in_use_is_left_alone(backed: _Backed) -> None:
    """Nothing is ever written over a home."""
    before = sorted(path.name for path in backed.home.root.iterdir())
    with pytest.raises(ConfigurationError, match="empty"):
        restore(backed.path, backed.home.root, PASSPHRASE)
    assert sorted(path.name for path in backed.home.root.iterdir()) == before


def _changed(path: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    other = path.with_name("changed.backup")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return other


def _flip(name: str, at: float) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        content = bytearray(parts[name])
        content[int(at * (len(content) - 1))] ^= 1
        parts[name] = bytes(content)

    return change


@pytest.mark.parametrize(
    "change",
    [
        _flip("manifest.json", 0.5), _flip("content.bin", 0.5), _flip("content.bin", 1.0),
        _flip("content.bin", 0.0), _flip("manifest.sig", 0.8),
        lambda parts: parts.update({"content.bin": parts["content.bin"][: -CHUNK // 2]}),
        lambda parts: parts.pop("manifest.sig"), lambda parts: parts.pop("content.bin"),
        lambda parts: parts.update({"manifest.json": b"{}"}),
    ],
)  # fmt: skip
def test_a_changed_backup_puts_nothing_in_place(
    backed: _Backed, change: Callable[[dict[str, bytes]], object]
) -> None:
    """One bit, a cut, a part that is missing: refused by name, and no file is left."""
    with pytest.raises((EvidenceTamperedError, AuthenticationError)):
        restore(_changed(backed.path, change), backed.target, PASSPHRASE)
    assert not backed.target.exists()
    assert not list(backed.target.parent.glob(".*restoring*"))


def test_a_backup_of_somebody_else_is_refused(backed: _Backed) -> None:
    """With the key that is known from elsewhere, a backup that another log signed is none."""
    with pytest.raises(EvidenceTamperedError):
        restore(backed.path, backed.target, PASSPHRASE, key=new_signer("x/y").verifier)


@pytest.mark.parametrize(
    "where", ["_unpack", "_put_keys", "_put_databases", "_check_log", "_move_paths"]
)
def test_a_restore_that_dies_leaves_nothing(
    backed: _Backed, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step: no home, no rest; the next try succeeds."""
    real = getattr(restoring, where)

    def die(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(restoring, where, die)
    with pytest.raises(KeyboardInterrupt):
        restore(backed.path, backed.target, PASSPHRASE)
    monkeypatch.undo()
    assert not backed.target.exists()
    restore(backed.path, backed.target, PASSPHRASE)
    assert backed.target.exists()


def test_what_a_killed_restore_left_is_in_nobodys_way(backed: _Backed) -> None:
    """A folder that a kill left beside the home is not the home, and goes at the next try."""
    left = backed.target.with_name(f".{backed.target.name}.restoring")
    (left / "home").mkdir(parents=True)
    (left / "home" / "half.db").write_bytes(b"half")
    restore(backed.path, backed.target, PASSPHRASE)
    assert not left.exists()
    assert not (backed.target / "half.db").exists()


def test_a_backup_that_dies_leaves_no_file(
    backed: _Backed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a backup is never there, and the one before stays."""
    kept = backed.path.read_bytes()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backing, "_manifest", die)
    with open_site(backed.home) as site, pytest.raises(KeyboardInterrupt):
        back_up(site, backed.path, PASSPHRASE, "account:administrator")
    assert backed.path.read_bytes() == kept
    assert not list(tmp_path.glob(".*part"))
    assert not list(backed.home.root.glob(".backup-*"))


def test_a_backup_of_a_site_at_work_is_one_state(backed: _Backed, tmp_path: Path) -> None:
    """Writers go on while it is made; what comes back verifies."""
    from threading import Event, Thread

    done = Event()
    with open_site(backed.home) as site:

        def write() -> None:
            while not done.is_set():
                _fill(site, 3)

        writer = Thread(target=write)
        writer.start()
        try:
            for number in range(3):
                back_up(site, tmp_path / f"{number}.backup", PASSPHRASE, "account:administrator")
        finally:
            done.set()
            writer.join()
    for number in range(3):
        restore(tmp_path / f"{number}.backup", tmp_path / f"back-{number}", PASSPHRASE)


def test_a_short_passphrase_is_refused(backed: _Backed, tmp_path: Path) -> None:
    """Before anything is written."""
    with open_site(backed.home) as site, pytest.raises(ConfigurationError, match="12"):
        back_up(site, tmp_path / "x.backup", "short", "account:administrator")
    assert not (tmp_path / "x.backup").exists()


@settings(max_examples=12)
@given(size=st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7]),
       step=st.integers(5000, 3 * CHUNK))  # fmt: skip
def test_a_sealed_stream_comes_back(size: int, step: int) -> None:
    """Any length, written and read in any pieces."""
    content, sink = (bytes(range(251)) * (size // 251 + 1))[:size], io.BytesIO()
    sealing = Sealing(sink, PASSPHRASE)
    for start in range(0, size, step):
        sealing.write(content[start : start + step])
    sealing.close()
    sink.seek(0)
    source, parts = Unsealing(sink, PASSPHRASE), []
    while part := source.read(step):
        parts.append(part)
    assert b"".join(parts) == content


def test_chunks_cannot_be_moved_or_left_out() -> None:
    """A stream that lacks a chunk, or has two in another order, does not open."""
    sink = io.BytesIO()
    sealing = Sealing(sink, PASSPHRASE)
    sealing.write(bytes(3 * CHUNK))
    sealing.close()
    whole, head, part = sink.getvalue(), 16 + 16 + 7, CHUNK + 16
    one, two, rest = (
        whole[head : head + part], whole[head + part : head + 2 * part], whole[head + 2 * part :]
    )  # fmt: skip
    for body in (two + one + rest, one + rest, one + two, one, b""):
        with pytest.raises(AuthenticationError):
            Unsealing(io.BytesIO(whole[:head] + body), PASSPHRASE).read()


@pytest.mark.server
def test_postgresql_comes_back_into_empty_databases_alone(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Site and vault in PostgreSQL: dumped, restored, verified; a full database is refused."""
    home = Home(tmp_path / "home").create()
    places = {"url": postgresql_url, "vault_url": beside(postgresql_url, "_vault")}
    places["engine_url"] = beside(postgresql_url, "_engine")
    _toml(home.root / "osteon.toml", places)
    _sql(places["engine_url"], "CREATE SCHEMA dbos", "CREATE TABLE dbos.work AS SELECT 42 AS n")
    with open_site(home) as site:
        pseudonym = site.pseudonyms.enrol(STUDY, PATIENT)
        _fill(site)
        done = back_up(site, tmp_path / "pg.backup", PASSPHRASE, "account:administrator")
    fresh = {"url": beside(postgresql_url, "_a"), "vault_url": beside(postgresql_url, "_b")}
    fresh["engine_url"] = beside(postgresql_url, "_c")
    _toml(tmp_path / "full.toml", places)
    _toml(tmp_path / "fresh.toml", fresh)
    target = tmp_path / "restored"
    with pytest.raises(ConfigurationError, match="empty"):
        restore(done.path, target, PASSPHRASE, configuration=tmp_path / "full.toml")
    # A try that dies between the two databases is made good by the next one.
    real = dumps.load

    def die_at_the_vault(source: Path, url: str, name: str, digest: str) -> None:
        if "vault" in name:
            raise StorageError("expected to go on, found the power gone")
        real(source, url, name, digest)

    monkeypatch.setattr(dumps, "load", die_at_the_vault)
    with pytest.raises(StorageError):
        restore(done.path, target, PASSPHRASE, configuration=tmp_path / "fresh.toml")
    monkeypatch.undo()
    assert not target.exists()
    restore(done.path, target, PASSPHRASE, configuration=tmp_path / "fresh.toml")
    with open_site(Home(target), tmp_path / "fresh.toml") as site:
        assert site.verify_log().tree_size > done.tree_size
        assert PATIENT in site.pseudonyms.reveal(pseudonym)
        _fill(site, 3)
        assert site.verify_log()
    assert _sql(fresh["engine_url"], "SELECT n FROM dbos.work") == [(42,)]
    with pytest.raises(ConfigurationError, match="empty"):
        restore(done.path, tmp_path / "again", PASSPHRASE, configuration=tmp_path / "fresh.toml")


def _sql(url: str, *statements: str) -> list[Any]:
    import psycopg

    rows: list[Any] = []
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
    return rows


def _toml(path: Path, database: dict[str, str]) -> None:
    lines = [f'{key} = "{value}"' for key, value in database.items()]
    path.write_text("\n".join(['[site]\nname = "test-site"\nnode = "node-a"\n[database]', *lines]))


def test_the_copy_of_a_database_is_whole(tmp_path: Path) -> None:
    """The online backup of SQLite is a sound database in one file."""
    database = Database(str(tmp_path / "site.db"))
    database.upgrade()
    assert dumps.dump(database.url, tmp_path / "copy.db")
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not dumps.dump(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / "x.db")
    database.close()
