"""A site database with its log, vault and journal, empty for each test.

`database` runs a test on SQLite and on PostgreSQL; `recorded` adds log, vault and journal
to it, `sqlite_recorded` to SQLite alone.

Read next: `postgresql.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.database import Database
from adapters.database.journal import SiteJournal
from adapters.database.vault import SqliteVault
from audit.checkpoint import Signer, VerifierKey
from audit.log import Log
from audit.ports import StoredLeaf
from audit.pseudonym import Pseudonyms
from audit.record import Actor, Record, Source, decode

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
ORIGIN = "osteon.test/site"
SOURCE = Source("site-a", "node-a", "research", Actor("service:osteon", "service"))


@dataclass
class Clock:
    """A clock that a test moves."""

    moment: datetime = START

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.moment += timedelta(seconds=seconds)


@dataclass
class Recorded:
    """A site database and everything that writes records into it."""

    database: Database
    vault: SqliteVault
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        signer = self.signer()
        self.key: VerifierKey = signer.verifier
        self.log = Log(ORIGIN, signer, self.clock)
        self.pseudonyms = Pseudonyms(b"\x01" * 32, self.vault)
        self.journal = SiteJournal(self.database, self.log, self.pseudonyms, SOURCE, self.clock)

    @staticmethod
    def signer() -> Signer:
        """Return the signer of the test log."""
        return Signer(ORIGIN, b"\x07" * 32)

    def leaves(self) -> tuple[StoredLeaf, ...]:
        """Return every record of the tree."""
        with self.database.reading() as transaction:
            return tuple(transaction.leaves(0, transaction.tree_size()))

    def records(self, kind: str | None = None) -> list[Record]:
        """Return the decoded records, or those of one kind."""
        return [decode(leaf.leaf) for leaf in self.leaves() if kind in (None, leaf.kind)]

    def kinds(self) -> list[str]:
        """Return the kinds of all records in order."""
        return [leaf.kind for leaf in self.leaves()]


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """An upgraded SQLite database."""
    database = Database(f"sqlite:///{tmp_path / 'site.db'}")
    database.upgrade()
    yield database
    database.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    return f"sqlite:///{tmp_path / 'site.db'}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An upgraded database of each kind."""
    database = Database(database_url)
    database.upgrade()
    yield database
    database.close()


@pytest.fixture
def recorded(database: Database, tmp_path: Path) -> Iterator[Recorded]:
    """A site with log, vault and journal on each kind of database."""
    vault = SqliteVault(tmp_path / "vault.db")
    yield Recorded(database, vault)
    vault.close()


@pytest.fixture
def sqlite_recorded(sqlite_database: Database, tmp_path: Path) -> Iterator[Recorded]:
    """A site with log, vault and journal on SQLite."""
    vault = SqliteVault(tmp_path / "vault.db")
    yield Recorded(sqlite_database, vault)
    vault.close()
