"""Verification: every way to change the log behind its back is found and named."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from adapters.database import Transaction
from audit.checkpoint import Checkpoint, new_signer, sign
from audit.errors import LogTamperedError, StorageError
from audit.merkle import EMPTY_ROOT, leaf_hash
from audit.ports import StoredLeaf
from audit.record import encode, make_record
from audit.verify import LEFTOVER_AGE, verify_records, verify_site
from tests.simulators.site_database import ORIGIN, SOURCE, START, Recorded

TRIGGERS = (
    "leaf_no_update",
    "leaf_no_delete",
    "tree_node_no_update",
    "tree_node_no_delete",
    "checkpoint_no_update",
    "checkpoint_no_delete",
)
COUNT = 12


def _append(site: Recorded, count: int) -> None:
    with site.database.transaction() as transaction:
        for number in range(count):
            body = {"code": f"X{number}", "where": "test"}
            site.log.append(transaction, make_record("fault", SOURCE, site.clock(), body))


@pytest.fixture
def site(sqlite_recorded: Recorded) -> Recorded:
    """A log of 12 records under checkpoints of 5, 9 and 12."""
    for count in (5, 4, 3):
        _append(sqlite_recorded, count)
        sqlite_recorded.log.seal(sqlite_recorded.database)
        sqlite_recorded.clock.advance(60)
    return sqlite_recorded


def _tamper(site: Recorded, change: Callable[[Connection], None]) -> None:
    """Change the file as an administrator can, who drops the triggers first."""
    with site.database.transaction() as transaction:
        for trigger in TRIGGERS:
            transaction.connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        change(transaction.connection)


def _sql(*statements: str) -> Callable[[Connection], None]:
    def change(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    return change


EDIT = "UPDATE leaf SET leaf = CAST(replace(CAST(leaf AS TEXT), '{0}', '{1}') AS BLOB) {2}"
AT_7 = "WHERE leaf_index = 7"
SHIFT = (
    "UPDATE leaf SET leaf_index = -leaf_index - 1 WHERE leaf_index > 7",
    "UPDATE leaf SET leaf_index = -leaf_index - 2 WHERE leaf_index < 0",
)
ATTACKS = {
    "edit": (_sql(EDIT.format("X2", "X3", AT_7)), "record 7"),
    "edit the outcome": (_sql(EDIT.format('"code":0', '"code":8', AT_7)), "record 7"),
    "not a record": (_sql(f"UPDATE leaf SET leaf = x'00' {AT_7}"), "record 7"),
    "delete": (_sql(f"DELETE FROM leaf {AT_7}"), "expected record 7, found index 8"),
    "delete and close the gap": (_sql(f"DELETE FROM leaf {AT_7}", *SHIFT), "record 7"),
    "reorder": (
        _sql(
            "UPDATE leaf SET leaf_index = 99 WHERE leaf_index = 3",
            "UPDATE leaf SET leaf_index = 3 WHERE leaf_index = 4",
            "UPDATE leaf SET leaf_index = 4 WHERE leaf_index = 99",
        ),
        "record 3",
    ),
    "cut the tail": (_sql("DELETE FROM leaf WHERE leaf_index > 9"), "cut at record 10"),
    "cut the tail and its nodes": (
        _sql(
            "DELETE FROM leaf WHERE leaf_index > 9",
            "DELETE FROM tree_node WHERE (node_index + 1) << level > 10",
        ),
        "cut at record 10",
    ),
    "cut the whole log": (_sql("DELETE FROM leaf", "DELETE FROM tree_node"), "cut at record 0"),
    "other kind in the column": (_sql(f"UPDATE leaf SET kind = 'stop' {AT_7}"), "record 7"),
    "other id in the column": (_sql(f"UPDATE leaf SET event_id = 'x' {AT_7}"), "record 7"),
    "edit a checkpoint": (
        _sql("UPDATE checkpoint SET note = replace(note, '9', '8') WHERE tree_size = 9"),
        "signature",
    ),
    "edit a checkpoint's row": (
        _sql("UPDATE checkpoint SET root_hash = zeroblob(32) WHERE tree_size = 9"),
        "checkpoint 9",
    ),
    "edit an inner node": (
        _sql("UPDATE tree_node SET hash = zeroblob(32) WHERE level = 3"),
        "stored tree",
    ),
    "delete an inner node": (_sql("DELETE FROM tree_node WHERE level = 3"), "level 3"),
}


def test_untouched_log_verifies(site: Recorded) -> None:
    """A log that nobody touched verifies, and says how much of it is signed."""
    summary = verify_site(site.database, site.key, now=site.clock())
    assert (summary.tree_size, summary.signed_size, summary.checkpoint_count) == (12, 12, 3)
    with site.database.reading() as transaction:
        assert summary.root_hash == site.log.head(transaction).root_hash.hex()


@pytest.mark.parametrize(("change", "words"), ATTACKS.values(), ids=ATTACKS.keys())
def test_attack_is_found_and_named(
    site: Recorded, change: Callable[[Connection], None], words: str
) -> None:
    """Edit, delete, reorder and cut are found, also where the triggers were removed."""
    _tamper(site, change)
    with pytest.raises(LogTamperedError, match=words):
        verify_site(site.database, site.key, now=site.clock())


def test_inserted_record_is_found(site: Recorded) -> None:
    """A valid record that is slipped in between two others is found."""
    forged = encode(make_record("stop", SOURCE, START, {"scope": "all", "decided_by": "x"}))

    def insert(connection: Connection) -> None:
        shift = "UPDATE leaf SET leaf_index = -leaf_index - {0} WHERE leaf_index {1}"
        connection.exec_driver_sql(shift.format(2, "> 6"))
        connection.exec_driver_sql(shift.format(1, "< 0"))
        connection.exec_driver_sql(
            "INSERT INTO leaf (event_id, kind, recorded_at, leaf, leaf_index) "
            "VALUES ('forged', 'stop', '2026-11-24T09:00:00.000000Z', ?, 7)",
            (forged,),
        )

    _tamper(site, insert)
    with pytest.raises(LogTamperedError, match="record 7"):
        verify_site(site.database, site.key, now=site.clock())


def test_edit_with_all_hashes_is_found_by_the_signature(site: Recorded) -> None:
    """Who edits a record and rebuilds the whole tree still lacks the key of the log."""
    rebuilt: list[StoredLeaf] = []
    for leaf in site.leaves():
        data = leaf.leaf.replace(b"X2", b"X3") if leaf.leaf_index == 7 else leaf.leaf
        rebuilt.append(_copy(leaf, data))
    with site.database.reading() as transaction:
        notes = [item.note for item in transaction.checkpoints()]
    with pytest.raises(LogTamperedError, match="records 5 to 8"):
        verify_records(rebuilt, notes, site.key)


def test_log_rebuilt_with_its_checkpoints_is_found_by_an_anchor(site: Recorded) -> None:
    """Tail and checkpoints cut together are found by a checkpoint that lies elsewhere."""
    with site.database.reading() as transaction:
        anchor = transaction.checkpoints()[-1].note
    _tamper(
        site,
        _sql(
            "DELETE FROM leaf WHERE leaf_index > 8",
            "DELETE FROM tree_node WHERE (node_index + 1) << level > 9",
            "DELETE FROM checkpoint WHERE tree_size > 9",
        ),
    )
    assert verify_site(site.database, site.key, now=site.clock()).tree_size == 9
    with pytest.raises(LogTamperedError, match="cut at record 9"):
        verify_site(site.database, site.key, [anchor], now=site.clock())


def test_forked_log_is_found(site: Recorded) -> None:
    """Two signed trees of one size that differ are a fork."""
    fork = sign(Checkpoint(ORIGIN, 9, b"\x01" * 32), site.log.signer)
    with pytest.raises(LogTamperedError, match="two signed trees of this size differ"):
        verify_site(site.database, site.key, [fork], now=site.clock())


def test_checkpoint_of_another_key_is_refused(site: Recorded) -> None:
    """A log that somebody signed with a key of their own does not verify with ours."""
    with pytest.raises(LogTamperedError, match="signature"):
        verify_site(site.database, new_signer(ORIGIN).verifier, now=site.clock())


def test_record_outside_the_tree_is_found_when_it_is_late(site: Recorded) -> None:
    """A record that waits for seconds is normal; one that waits for minutes is not."""
    _append(site, 1)
    verify_site(site.database, site.key, now=site.clock())
    late = site.clock() + LEFTOVER_AGE + timedelta(seconds=1)
    with pytest.raises(LogTamperedError, match="outside") as caught:
        verify_site(site.database, site.key, now=late)
    assert "Start the service" in caught.value.advice
    site.log.seal(site.database)
    assert verify_site(site.database, site.key, now=late).tree_size == COUNT + 1


def test_log_goes_on_by_no_means_after_a_cut(site: Recorded) -> None:
    """The log itself stops before it signs over a cut tail."""
    _tamper(site, _sql("DELETE FROM leaf WHERE leaf_index > 9"))
    _append(site, 1)
    with pytest.raises(LogTamperedError, match="at least 12"):
        site.log.seal(site.database)


def test_empty_log_verifies(sqlite_recorded: Recorded) -> None:
    """A site without records has the empty tree, which a checkpoint may state."""
    summary = verify_site(sqlite_recorded.database, sqlite_recorded.key)
    assert (summary.tree_size, summary.root_hash) == (0, EMPTY_ROOT.hex())
    empty = sign(Checkpoint(ORIGIN, 0, EMPTY_ROOT), sqlite_recorded.log.signer)
    assert verify_records((), [empty], sqlite_recorded.key).checkpoint_count == 1
    wrong = sign(Checkpoint(ORIGIN, 0, b"\x01" * 32), sqlite_recorded.log.signer)
    with pytest.raises(LogTamperedError):
        verify_records((), [wrong], sqlite_recorded.key)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE leaf SET leaf = leaf",
        "UPDATE leaf SET leaf_index = NULL",
        "UPDATE leaf SET kind = 'x'",
        "DELETE FROM leaf",
        "UPDATE tree_node SET hash = hash",
        "DELETE FROM tree_node",
        "UPDATE checkpoint SET note = ''",
        "DELETE FROM checkpoint",
    ],
)
def test_database_refuses_to_change_the_log(recorded: Recorded, statement: str) -> None:
    """With its triggers in place the database itself refuses to change or delete."""
    _append(recorded, 2)
    recorded.log.seal(recorded.database)
    before = recorded.leaves()

    def change(transaction: Transaction) -> None:
        transaction.connection.exec_driver_sql(statement)

    with pytest.raises(StorageError, match="expected the database"):
        recorded.database.run(change)
    assert recorded.leaves() == before


def test_waiting_record_cannot_be_changed_either(recorded: Recorded) -> None:
    """Before it has its place a record may get one, and nothing else of it may change."""
    _append(recorded, 1)

    def change(transaction: Transaction) -> None:
        transaction.connection.exec_driver_sql("UPDATE leaf SET kind = 'x'")

    with pytest.raises(StorageError, match="expected the database"):
        recorded.database.run(change)
    assert recorded.log.seal(recorded.database) == 1


def _copy(leaf: StoredLeaf, data: bytes) -> StoredLeaf:
    return StoredLeaf(
        leaf.sequence,
        leaf.leaf_index,
        leaf.event_id,
        leaf.kind,
        leaf.run_id,
        leaf.recorded_at,
        data,
        leaf_hash(data),
    )
