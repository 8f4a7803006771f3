"""Purge: content goes, proofs stay, two persons decide, a hold wins, a false tombstone is found."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from adapters.audit_repository.repository import Standing, write_standing
from adapters.compose import Site
from adapters.database import Database
from adapters.governance.persons import Somebody
from adapters.keeping import purging
from adapters.web.audit import record_page
from audit import tombstone
from audit.bundle import verify_bundle
from audit.errors import LogTamperedError, NotFoundError, RefusalError, StorageError
from audit.merkle import check_inclusion, leaf_hash
from audit.record import Subject, encode
from governance.holds import KIND as HOLD
from governance.holds import Hold
from governance.holds import encode as encode_hold
from tests.simulators.audit_records import PATIENT, RELEASE, record_of
from tests.simulators.governed_site import (
    ADMINISTRATOR,
    APPROVER,
    COMPLIANCE,
    Clock,
    governed_site,
    records,
)

OLD, NEW = 12, 4
RUN = "ab" * 16


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Site, Clock]]:
    """A site with records of eleven years ago and of today, under a policy of ten years."""
    with governed_site(tmp_path) as (site, clock):
        clock.forward(days=-11 * 366)
        _write(site, clock, OLD)
        clock.forward(days=11 * 366)
        _write(site, clock, NEW)
        yield site, clock


def _write(site: Site, clock: Clock, count: int) -> None:
    with site.database.transaction() as transaction:
        for number in range(count):
            body = {"code": f"MARKER{number}X", "where": "test"}
            run = {"run_id": RUN, "release_digest": RELEASE} if number == 3 else {}
            site.log.append(transaction, record_of("fault", body=body, now=clock(), **run))
    site.seal(force=True)


def _purge(site: Site) -> purging.Purged:
    order = purging.propose(site, ADMINISTRATOR)
    return purging.approve(site, order.name, APPROVER)


def _hold(site: Site, **changes: Any) -> None:
    values: dict[str, Any] = {
        "incident_id": "inc-1", "site": "test-site", "plugin": "trial", "release_digest": "none",
        "run_ids": (), "subjects": (), "placed_at": site.now(), "placed_by": "approver",
    }  # fmt: skip
    hold = encode_hold(Hold(**(values | changes)))
    with site.database.transaction() as transaction:
        transaction.put_governed(HOLD, "inc-1", hold, "approver", site.now())


@pytest.mark.reg("AIA-19.1")
def test_a_purge_leaves_tombstones_and_every_proof(site: tuple[Site, Clock]) -> None:
    """Content of what is over goes, the leaf hash stays; old and new proofs and roots hold."""
    here, _ = site
    with here.database.reading() as transaction:
        before = list(transaction.leaves(0, transaction.tree_size()))
        kept = {leaf.event_id: here.log.prove(transaction, leaf.event_id) for leaf in before}
        head = here.log.head(transaction)
    old = before[0]
    done = _purge(here)
    assert done.count >= OLD
    assert done.is_scrubbed
    summary = here.verify_log()
    assert summary.purged_count == done.count
    with here.database.reading() as transaction:
        after = list(transaction.leaves(0, len(before)))
        assert tombstone.is_tombstone(after[0].leaf)
        assert tombstone.decode(after[0].leaf).leaf_hash == leaf_hash(old.leaf)
        assert not any(tombstone.is_tombstone(leaf.leaf) for leaf in after[done.count :])
        for leaf in before:
            index, size, proof = kept[leaf.event_id]
            check_inclusion(leaf_hash(leaf.leaf), index, size, proof, head.root_hash)
            index, size, proof = here.log.prove(transaction, leaf.event_id)
            now = here.log.head(transaction).root_hash
            check_inclusion(leaf_hash(leaf.leaf), index, size, proof, now)
    (record,) = records(here, "purge")
    assert record.body["count"] == done.count
    assert (record.body["decided_by"], record.body["approved_by"]) == ("administrator", "approver")
    with pytest.raises(RefusalError, match="none"):
        purging.propose(here, ADMINISTRATOR)


def test_what_was_purged_is_in_no_file(site: tuple[Site, Clock]) -> None:
    """Neither the database file nor its write-ahead log holds a purged record's content."""
    here, _ = site
    with here.database.reading() as transaction:
        old = [leaf.event_id for leaf in transaction.records_before(here.now(), OLD)][:OLD]
    _purge(here)
    held = b"".join(path.read_bytes() for path in here.home.root.glob("site.db*"))
    assert old[5].encode() in held, "the tombstone is there"
    assert held.count(b"MARKER11X") == 0, "only an old record said so"
    assert b"MARKER3X" in held, "a record of today says so too"


def test_the_page_of_a_purged_record_shows_its_place(site: tuple[Site, Clock]) -> None:
    """Hash, proof and what took it; the content is gone."""
    here, _ = site
    before = record_page(here, 2)
    done = _purge(here)
    page = record_page(here, 2)
    assert page.leaf_hash == before.leaf_hash
    assert page.is_included
    assert done.event_id in page.raw
    assert "MARKER" in before.raw
    assert "MARKER" not in page.raw


@pytest.mark.parametrize("role", ["compliance", "engineer", "clinician", "approver"])
def test_only_an_administrator_proposes(site: tuple[Site, Clock], role: str) -> None:
    """Whoever reads the log, or decides about releases, cannot begin to take it away."""
    with pytest.raises(RefusalError):
        purging.propose(site[0], Somebody(role, role))


@pytest.mark.parametrize(
    "second", [ADMINISTRATOR, COMPLIANCE, Somebody("administrator", "approver")]
)
def test_one_person_alone_purges_nothing(site: tuple[Site, Clock], second: Somebody) -> None:
    """An approver, and another account than the one that proposed."""
    here, _ = site
    order = purging.propose(here, ADMINISTRATOR)
    with pytest.raises(RefusalError):
        purging.approve(here, order.name, second)
    assert here.verify_log().purged_count == 0
    with pytest.raises(NotFoundError):
        purging.approve(here, "purge-20200101-abcdef", APPROVER)


def test_an_order_is_carried_out_once(site: tuple[Site, Clock]) -> None:
    """The same order again is refused."""
    here, _ = site
    order = purging.propose(here, ADMINISTRATOR)
    purging.approve(here, order.name, APPROVER)
    with pytest.raises(NotFoundError):
        purging.approve(here, order.name, APPROVER)


@pytest.mark.reg("AIA-73.6")
@pytest.mark.parametrize("what", [{"run_ids": (RUN,)}, {"release_digest": RELEASE}])
def test_a_hold_wins(site: tuple[Site, Clock], what: dict[str, Any]) -> None:
    """What a hold names, and what names nothing, stays until it is lifted; also after proposal."""
    here, _ = site
    order = purging.propose(here, ADMINISTRATOR)
    _hold(here, **what)
    with pytest.raises(RefusalError, match="none"):
        purging.approve(here, order.name, APPROVER)
    assert purging.plan(here).count == 0
    _hold(here, lifted_at=here.now(), **what)
    assert purging.approve(here, order.name, APPROVER).count >= OLD


def test_a_hold_of_a_patient_keeps_the_patients_records(site: tuple[Site, Clock]) -> None:
    """Records of other runs may go while one patient's stay."""
    here, clock = site
    clock.forward(days=-11 * 366)
    with here.database.transaction() as transaction:
        for subject in (Subject(PATIENT), Subject("hmac:v1:" + "0" * 32)):
            here.log.append(transaction, record_of("run_closed", now=clock(), subject=subject))
    clock.forward(days=11 * 366)
    here.seal(force=True)
    _hold(here, subjects=(PATIENT,))
    before = purging.plan(here)
    taken = _purge(here)
    assert taken.count == before.count
    with here.database.reading() as transaction:
        left = list(transaction.records_before(here.now() - timedelta(days=3660), 10**6))
    assert any(PATIENT.encode() in leaf.leaf for leaf in left)
    assert not any(b"hmac:v1:" + b"0" * 32 in leaf.leaf for leaf in left)


def _drop(site: Site, change: Callable[[Connection], object]) -> None:
    """Change the file as an administrator of the database can, without the triggers."""
    with site.database.transaction() as transaction:
        transaction.connection.exec_driver_sql("DROP TRIGGER leaf_no_update")
        change(transaction.connection)


def _false_tombstone(site: Site, index: int, purged_by: str) -> Callable[[Connection], object]:
    with site.database.reading() as transaction:
        leaf = next(iter(transaction.leaves(index, index + 1)))
    stone = tombstone.Tombstone(leaf.event_id, leaf.kind, leaf_hash(leaf.leaf), purged_by)
    content = tombstone.encode(stone)
    return lambda connection: connection.exec_driver_sql(
        "UPDATE leaf SET leaf = ? WHERE leaf_index = ?", (content, index)
    )


def _both(site: Site, tmp_path: Path) -> tuple[str, int, str]:
    """Return what our verifier and the small one say of the log: error, exit code, words."""
    path = tmp_path / "log.zip"
    site.export_log(path)
    program = tmp_path / "verify_log.py"
    with zipfile.ZipFile(path) as archive:
        program.write_bytes(archive.read("verify_log.py"))
    key = site.keys.log.verifier
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), str(path), "--key", key.text()],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        verify_bundle(path, key)
        return "", done.returncode, done.stdout + done.stderr
    except LogTamperedError as error:
        return str(error), done.returncode, done.stdout + done.stderr


def test_both_verifiers_accept_a_purge(site: tuple[Site, Clock], tmp_path: Path) -> None:
    """A log with tombstones in their place verifies with either."""
    _purge(site[0])
    error, code, words = _both(site[0], tmp_path)
    assert (error, code) == ("", 0), words
    assert words.startswith("GOOD")


def test_both_verifiers_find_a_false_tombstone(site: tuple[Site, Clock], tmp_path: Path) -> None:
    """A record of today under a tombstone of its own hash is found, and named."""
    here, _ = site
    done = _purge(here)
    index = done.count + 1
    _drop(here, _false_tombstone(here, index, done.event_id))
    error, code, words = _both(here, tmp_path)
    assert f"record {index}" in error
    assert code == 1
    assert f"record {index}" in words
    with pytest.raises(LogTamperedError, match="no purge"):
        here.verify_log()


def test_both_verifiers_find_a_purge_that_nobody_signed(
    site: tuple[Site, Clock], tmp_path: Path
) -> None:
    """A purge record that an administrator of the database slips in covers nothing."""
    here, clock = site
    with here.database.reading() as transaction:
        index = transaction.tree_size() - 1
    body = {
        "leaves": [[index, index]], "count": 1, "policy_sha256": "sha256:" + "0" * 64,
        "before": (clock() - timedelta(days=400)).isoformat(), "decided_by": "administrator",
        "approved_by": "approver", "signature": "A" * 88,
    }  # fmt: skip
    record = record_of("purge", body=body, now=clock())
    with here.database.transaction() as transaction:
        transaction.append_leaf(record.event_id, "purge", None, clock(), encode(record))
    here.seal(force=True)
    _drop(here, _false_tombstone(here, index, record.event_id))
    error, code, words = _both(here, tmp_path)
    assert error
    assert code == 1, words


def test_both_verifiers_find_content_under_a_tombstone(
    site: tuple[Site, Clock], tmp_path: Path
) -> None:
    """A tombstone with another leaf hash breaks the root."""
    here, _ = site
    done = _purge(here)
    with here.database.reading() as transaction:
        leaf = next(iter(transaction.leaves(2, 3)))
    stone = tombstone.decode(leaf.leaf)
    other = tombstone.encode(
        tombstone.Tombstone(stone.event_id, stone.kind, b"\x01" * 32, done.event_id)
    )
    _drop(
        here,
        lambda c: c.exec_driver_sql("UPDATE leaf SET leaf = ? WHERE leaf_index = 2", (other,)),
    )
    error, code, _ = _both(here, tmp_path)
    assert "record 2" in error
    assert code == 1


def test_the_database_lets_nothing_but_a_tombstone_in(site: tuple[Site, Clock]) -> None:
    """The trigger refuses other bytes in the place of a record, and tombstones of others."""
    here, _ = site
    with here.database.reading() as transaction:
        first, second = transaction.leaves(0, 2)
    stone = tombstone.encode(
        tombstone.Tombstone(first.event_id, first.kind, leaf_hash(first.leaf), first.event_id)
    )
    for index, content in ((0, b"{}"), (0, second.leaf), (1, stone)):
        with pytest.raises(StorageError), here.database.transaction() as transaction:
            transaction.put_tombstones([(index, content)])
    assert here.verify_log().purged_count == 0


def test_a_purge_that_is_cut_short_changes_nothing(
    site: tuple[Site, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the purge record and the tombstones leaves the log as it was."""
    here, _ = site
    order = purging.propose(here, ADMINISTRATOR)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("adapters.database.Transaction.put_tombstones", die)
    with pytest.raises(KeyboardInterrupt):
        purging.approve(here, order.name, APPROVER)
    monkeypatch.undo()
    assert here.verify_log().purged_count == 0
    assert records(here, "purge") == []
    assert purging.approve(here, order.name, APPROVER).count >= OLD


def test_what_a_repository_does_not_have_stays(tmp_path: Path) -> None:
    """A record goes only when every audit repository has it; a new one is waited for."""
    repositories = [{"name": "arr", "kind": "fhir", "url": "http://127.0.0.1:1"}]
    with governed_site(tmp_path, audit_repositories=repositories) as (here, clock):
        clock.forward(days=-11 * 366)
        _write(here, clock, OLD)
        clock.forward(days=11 * 366)
        _write(here, clock, NEW)
        assert purging.plan(here).count == 0
        with here.database.transaction() as transaction:
            write_standing(transaction, "arr", Standing(next_index=5))
        assert purging.plan(here).leaves == ((0, 4),)
        assert _purge(here).count == 5


@pytest.mark.server
def test_a_site_on_postgresql_is_purged(postgresql_url: str, tmp_path: Path) -> None:
    """The whole act on the other database: tombstones, proofs, nothing left of the content."""
    with governed_site(tmp_path, database={"url": postgresql_url}) as (here, clock):
        clock.forward(days=-11 * 366)
        _write(here, clock, OLD)
        clock.forward(days=11 * 366)
        _write(here, clock, NEW)
        done = _purge(here)
        assert done.count >= OLD
        assert done.is_scrubbed
        assert here.verify_log().purged_count == done.count
        error, code, words = _both(here, tmp_path)
        assert (error, code) == ("", 0), words


@pytest.mark.server
def test_purge_on_postgresql(postgresql_url: str) -> None:
    """The trigger of PostgreSQL lets a tombstone in and nothing else."""
    database = Database(postgresql_url)
    database.upgrade()
    record = record_of("fault")
    with database.transaction() as transaction:
        transaction.append_leaf(record.event_id, "fault", None, record.recorded_at, encode(record))
        transaction.place_leaves(0, [transaction.waiting_leaves(1)[0][0]])
    stone = tombstone.encode(
        tombstone.Tombstone(record.event_id, "fault", leaf_hash(encode(record)), record.event_id)
    )
    with pytest.raises(StorageError), database.transaction() as transaction:
        transaction.put_tombstones([(0, b"{}")])
    with database.transaction() as transaction:
        transaction.put_tombstones([(0, stone)])
    assert database.scrub()
    database.close()
