"""The one place that builds a site: every port gets its adapter here.

A `Site` is made from a home and a configuration and closed with ``with``.  Nothing else
in the suite constructs adapters.

Read next: `engine/schedule.py` (what a serving site does), `cli/demo.py` (one journey).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from adapters.archives import build_archives, build_targets
from adapters.config import Configuration, load
from adapters.database import Database
from adapters.database.journal import SiteJournal
from adapters.database.vault import SqliteVault
from adapters.delivery import SiteDelivery, Target
from adapters.documents.composer import DocumentComposer
from adapters.engine.execution import RunExecutor
from adapters.engine.feed import StudyFeed
from adapters.engine.notices import Notices
from adapters.home import Home
from adapters.keys import SiteKeys, load_keys
from adapters.monitor import StatisticsMonitor
from adapters.pacs import Pacs
from adapters.passwords import add_account
from adapters.registry import ReleaseRegistry
from adapters.rt.read_folder import FolderScan
from adapters.site_cases import SiteCases
from audit.log import Log
from audit.pseudonym import Pseudonyms
from audit.record import Actor, Source
from audit.record import Actor, Source
from audit.verify import Summary, verify_store
from plugins.host.ports import House
from plugins.host.runner import ReleaseWorkers
from plugins.host.staging import FolderStaging


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Site:
    """Everything of one site, put together."""

    home: Home
    configuration: Configuration
    keys: SiteKeys
    database: Database
    vault: SqliteVault
    log: Log
    journal: SiteJournal
    archives: dict[str, Pacs]
    targets: tuple[Target, ...]
    registry: ReleaseRegistry
    workers: ReleaseWorkers
    house: House
    feed: StudyFeed
    executor: RunExecutor
    now: Callable[[], datetime]

    def seal(self, *, force: bool = False) -> None:
        """Place every committed record in the tree and sign a checkpoint where it is due."""
        self.log.seal(self.database)
        if force:
            with self.database.transaction() as transaction:
                self.log.sign_checkpoint(transaction, self.now(), force=True)

    def configuration_changed(self, setting: str, before: str, after: str, person: str) -> None:
        """Record that a person changed a setting of the site."""
        with self.database.transaction() as transaction:
            self.journal.configuration_change(transaction, setting, before, after, person)

    def verify_log(self) -> Summary:
        """Recompute the tree over every record; LogTamperedError names the first bad one."""
        self.seal(force=True)
        with self.database.reading() as transaction:
            return verify_store(transaction, self.keys.log.verifier)


def create_site(home: Home, configuration: Configuration | None = None) -> str:
    """Make keys, databases and the first administrator of a home; what exists is kept.

    Returns
    -------
    the one-time password of the first administrator, empty when there was one already.
    """
    home.create()
    load_keys(home, utc_now())
    database = Database(_database_url(home, configuration or _configured(home, None)))
    database.upgrade()
    with database.reading() as transaction:
        known = transaction.accounts()
    password = "" if known else add_account(database, "admin", "administrator", utc_now())
    database.close()
    return password


@contextmanager
def open_site(
    home: Home,
    config: Path | None = None,
    *,
    configuration: Configuration | None = None,
    archives: dict[str, Pacs] | None = None,
    targets: Sequence[Target] | None = None,
    scans: Mapping[str, FolderScan] | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Iterator[Site]:
    """Open a site for work; archives and targets given here replace the configured ones."""
    home.create()
    chosen = configuration or _configured(home, config)
    with ExitStack() as stack:
        site = _build(stack, home, chosen, archives, targets, scans or {}, now)
        yield site


def _configured(home: Home, config: Path | None) -> Configuration:
    path = config or home.configuration
    return load(path if config is not None or path.exists() else None)


def _database_url(home: Home, configuration: Configuration) -> str:
    return configuration.database.url.get_secret_value() or f"sqlite:///{home.file('site.db')}"


def _build(
    stack: ExitStack,
    home: Home,
    configuration: Configuration,
    archives: dict[str, Pacs] | None,
    targets: Sequence[Target] | None,
    scans: Mapping[str, FolderScan],
    now: Callable[[], datetime],
) -> Site:
    section = configuration.site
    # 1. Keys, database, log: the ground.
    keys = load_keys(home, now())
    database = Database(_database_url(home, configuration))
    stack.callback(database.close)
    database.upgrade()
    vault = SqliteVault(home.file("vault.db"))
    stack.callback(vault.close)
    log = Log(keys.log.verifier.name, keys.log)
    registry = ReleaseRegistry(home, database, section.name, section.mode, now)
    pseudonyms = Pseudonyms(keys.pseudonym, vault)
    service = Actor(f"service:{section.node}", "service")
    source = Source(section.name, section.node, section.mode, service)
    journal = SiteJournal(database, log, pseudonyms, source, now)
    # 2. Doors.
    if archives is None:
        archives = build_archives(configuration.pacs, home)
    for archive in archives.values():
        if hasattr(archive, "close"):
            stack.callback(archive.close)
    chosen = (
        tuple(targets)
        if targets is not None
        else build_targets(configuration.targets, archives, home)
    )
    # 3. The hall.
    cases = SiteCases(
        database, archives, home.staging, configuration.limits, pseudonyms, journal, scans
    )
    workers = stack.enter_context(ReleaseWorkers(home.releases))
    limits = configuration.limits
    house = House(
        releases=registry,
        cases=cases,
        workers=workers,
        staging=FolderStaging(
            home.staging, limit_mb=limits.staging_mb, free_space_mb=limits.free_space_mb
        ),
        journal=journal,
        composer=DocumentComposer(home.outbox, cases.sources, registry.manifest, section.name),
        delivery=SiteDelivery(database, chosen, require_recorded=journal.require_recorded, now=now),
        monitor=StatisticsMonitor(database),
    )
    # 4. What drives it.
    feed = StudyFeed(
        database,
        journal,
        archives,
        registry,
        configuration.trigger,
        section.name,
        section.mode,
        now,
    )
    notices = Notices(configuration.notices, section.name)
    return Site(
        home=home,
        configuration=configuration,
        keys=keys,
        database=database,
        vault=vault,
        log=log,
        journal=journal,
        archives=archives,
        targets=chosen,
        registry=registry,
        workers=workers,
        house=house,
        feed=feed,
        executor=RunExecutor(house, database, notices, now),
        now=now,
    )
