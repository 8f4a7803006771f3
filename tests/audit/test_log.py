"""The log: records get their place once, in groups, and are signed in time."""

from datetime import timedelta
from itertools import pairwise

import pytest

from adapters.database import Database, Transaction
from audit.checkpoint import Signer, verify
from audit.errors import ConfigurationError, LogTamperedError, LogUnavailableError
from audit.log import CHECKPOINT_RECORDS, Log
from audit.merkle import check_consistency, check_inclusion, leaf_hash, prove_consistency, root_of
from audit.record import Record, make_record
from tests.simulators.site_database import ORIGIN, SOURCE, START, Recorded


def _record(number: int) -> Record:
    return make_record("fault", SOURCE, START, {"code": f"X{number}", "where": "test"})


def _append(site: Recorded, count: int) -> list[str]:
    with site.database.transaction() as transaction:
        return [site.log.append(transaction, _record(number)) for number in range(count)]


def test_record_has_no_place_before_the_sequencer(recorded: Recorded) -> None:
    """A committed record waits outside the tree, and nothing may leave because of it."""
    event_ids = _append(recorded, 2)
    with recorded.database.reading() as transaction:
        with pytest.raises(LogUnavailableError):
            recorded.log.require_included(transaction, event_ids)
        assert recorded.log.head(transaction).size == 0
    assert recorded.log.seal(recorded.database) == 2
    with recorded.database.reading() as transaction:
        recorded.log.require_included(transaction, event_ids)
        with pytest.raises(LogUnavailableError):
            recorded.log.require_included(transaction, ["unknown"])


def test_rolled_back_record_never_was(recorded: Recorded) -> None:
    """A record goes with its transaction: state and record are kept together or not at all."""

    def write_and_fail(transaction: Transaction) -> None:
        recorded.log.append(transaction, _record(1))
        transaction.set_cursor("x", "1")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        recorded.database.run(write_and_fail)
    assert recorded.log.seal(recorded.database) == 0
    with recorded.database.reading() as transaction:
        assert transaction.cursor("x") is None


def test_tree_is_that_of_the_stored_bytes(recorded: Recorded) -> None:
    """Grown in groups of any size, the root is that of all stored leaves in order."""
    for count in (1, 2, 5, 17):
        _append(recorded, count)
        recorded.log.seal(recorded.database)
    leaves = recorded.leaves()
    assert [leaf.leaf_index for leaf in leaves] == list(range(25))
    hashes = [leaf_hash(leaf.leaf) for leaf in leaves]
    with recorded.database.reading() as transaction:
        head = recorded.log.head(transaction)
        assert (head.size, head.root_hash) == (25, root_of(hashes))
        index, size, proof = recorded.log.prove(transaction, leaves[11].event_id)
        check_inclusion(hashes[11], index, size, proof, head.root_hash)


def test_group_limit_leaves_the_rest_waiting(sqlite_recorded: Recorded) -> None:
    """A group takes no more than its limit, in order of arrival."""
    event_ids = _append(sqlite_recorded, 5)
    with sqlite_recorded.database.transaction() as transaction:
        assert sqlite_recorded.log.integrate(transaction, limit=3) == 3
        places = transaction.leaf_indices(event_ids)
    assert [places[event_id] for event_id in event_ids] == [0, 1, 2, None, None]


def test_checkpoints_are_signed_in_time(sqlite_recorded: Recorded) -> None:
    """A checkpoint comes with the first record, then after 60 s or with the thousandth."""
    site = sqlite_recorded

    def sizes() -> list[int]:
        with site.database.reading() as transaction:
            return [item.tree_size for item in transaction.checkpoints()]

    site.log.seal(site.database)
    assert sizes() == []
    _append(site, 3)
    site.log.seal(site.database)
    assert sizes() == [3]
    _append(site, 3)
    site.clock.advance(59)
    site.log.seal(site.database)
    assert sizes() == [3]
    site.clock.advance(1)
    site.log.seal(site.database)
    assert sizes() == [3, 6]
    site.clock.advance(600)
    site.log.seal(site.database)
    assert sizes() == [3, 6]
    _append(site, 2 * CHECKPOINT_RECORDS + 10)
    site.clock.advance(-600)
    site.log.seal(site.database)
    assert sizes() == [3, 6, 6 + CHECKPOINT_RECORDS, 6 + 2 * CHECKPOINT_RECORDS]


def test_checkpoints_are_consistent(sqlite_recorded: Recorded) -> None:
    """Each signed checkpoint extends the one before, by proof."""
    site = sqlite_recorded
    for count in (3, 4, 9):
        _append(site, count)
        site.clock.advance(60)
        site.log.seal(site.database)
    with site.database.reading() as transaction:
        claims = [verify(item.note, site.key) for item in transaction.checkpoints()]
        for first, second in pairwise(claims):
            proof = prove_consistency(first.size, second.size, transaction.nodes)
            check_consistency(first.size, second.size, proof, first.root_hash, second.root_hash)


def test_log_without_its_key_integrates_and_does_not_sign(sqlite_database: Database) -> None:
    """A process without the signing key places records; asked to sign, it refuses."""
    log = Log(ORIGIN)
    with sqlite_database.transaction() as transaction:
        log.append(transaction, _record(1))
    assert log.seal(sqlite_database) == 1
    with sqlite_database.transaction() as transaction, pytest.raises(ConfigurationError):
        log.sign_checkpoint(transaction, START)


def test_key_of_another_origin_is_refused() -> None:
    """A log signs under its own name."""
    with pytest.raises(ConfigurationError, match="origin"):
        Log("osteon.test/other", Signer(ORIGIN, b"\x01" * 32))


def test_tree_that_does_not_extend_its_checkpoint_is_not_signed(
    sqlite_recorded: Recorded,
) -> None:
    """Where the stored tree was exchanged under a checkpoint, the log stops."""
    site = sqlite_recorded
    _append(site, 4)
    site.log.seal(site.database)
    with site.database.transaction() as transaction:
        connection = transaction.connection
        connection.exec_driver_sql("DROP TRIGGER tree_node_no_update")
        connection.exec_driver_sql("UPDATE tree_node SET hash = zeroblob(32) WHERE level = 2")
    _append(site, 1)
    with site.database.transaction() as transaction, pytest.raises(LogTamperedError):
        site.log.sign_checkpoint(transaction, START + timedelta(minutes=2))
