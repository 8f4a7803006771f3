"""An upgrade from every earlier schema keeps every record and every proof."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

import adapters.database.migrations as migrations
from adapters.database import Database
from audit.log import Log
from audit.merkle import check_consistency, check_inclusion, leaf_hash, prove_consistency
from audit.verify import verify_site
from tests.simulators.audit_records import record_of
from tests.simulators.site_database import ORIGIN, START, Clock, Recorded

_FOLDER = Path(migrations.__file__).parent
REVISIONS = sorted(path.name[:4] for path in (_FOLDER / "versions").glob("[0-9]*.py"))
COUNT = 40


def _make(url: str, revision: str) -> None:
    """Make a database as an earlier suite left it."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def _append(database: Database, log: Log, clock: Clock, count: int) -> None:
    with database.transaction() as transaction:
        for number in range(count):
            kind = ("inference", "fault", "access")[number % 3]
            log.append(transaction, record_of(kind, now=clock()))
    log.seal(database)
    clock.advance(60)


@pytest.mark.reg("AIA-18")
@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_an_upgrade_keeps_every_proof(database_url: str, revision: str) -> None:
    """Proofs made before hold after; the log goes on, and extends what was signed before."""
    _make(database_url, revision)
    clock = Clock(START)
    log = Log(ORIGIN, Recorded.signer(), clock)
    old = Database(database_url)
    for _ in range(3):
        _append(old, log, clock, COUNT)
    with old.reading() as transaction:
        before = list(transaction.leaves(0, transaction.tree_size()))
        head = log.head(transaction)
        signed = transaction.checkpoints()
        kept = {leaf.event_id: log.prove(transaction, leaf.event_id) for leaf in before}
    old.close()
    assert len(before) == 3 * COUNT
    assert len(signed) == 3

    new = Database(database_url)
    new.upgrade()
    assert REVISIONS[-1] in new.check()
    key = Recorded.signer().verifier
    notes = [item.note for item in signed]
    assert verify_site(new, key, notes, now=clock()).tree_size == 3 * COUNT
    _append(new, log, clock, COUNT)
    assert verify_site(new, key, notes, now=clock()).tree_size == 4 * COUNT
    with new.reading() as transaction:
        after = list(transaction.leaves(0, 3 * COUNT))
        assert [leaf.leaf for leaf in after] == [leaf.leaf for leaf in before]
        assert transaction.checkpoints()[:3] == signed
        for leaf in after:
            index, size, proof = kept[leaf.event_id]
            check_inclusion(leaf_hash(leaf.leaf), index, size, proof, head.root_hash)
            index, size, proof = log.prove(transaction, leaf.event_id)
            root = log.head(transaction).root_hash
            check_inclusion(leaf_hash(leaf.leaf), index, size, proof, root)
        for item in signed:
            proof = prove_consistency(item.tree_size, size, transaction.nodes)
            check_consistency(item.tree_size, size, proof, item.root_hash, root)
    new.close()


def test_the_line_of_migrations_has_no_gap() -> None:
    """Every revision is upgraded from: the test above covers all but the newest."""
    assert [f"{number:04d}" for number in range(1, len(REVISIONS) + 1)] == REVISIONS


def test_an_upgrade_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in a migration leaves the database as it was; the next start ends it."""
    url = f"sqlite:///{tmp_path / 'site.db'}"
    _make(url, "0001")
    database = Database(url)
    real = command.upgrade

    def die(config: Config, revision: str) -> None:
        real(config, revision)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "upgrade", die)
    with pytest.raises(KeyboardInterrupt):
        database.upgrade()
    monkeypatch.undo()
    with database.reading() as transaction:
        found = transaction.connection.scalar(text("SELECT version_num FROM alembic_version"))
    assert found == "0001"
    database.upgrade()
    assert REVISIONS[-1] in database.check()
    database.close()
