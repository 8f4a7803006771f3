"""The one place that builds a site: every port gets its adapter here.

A `Site` is made from a home and a configuration and closed with ``with``.  Nothing else
in the suite constructs adapters.

Read next: `engine/schedule.py` (what a serving site does), `cli/demo.py` (one journey).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from adapters.archives import build_archives, build_targets
from adapters.attestation.building import build_attestors
from adapters.attestation.forwarding import Forwarder
from adapters.audit_repository import build_repositories
from adapters.audit_repository.repository import Repository
from adapters.config import Configuration, load
from adapters.corrections import Corrections
from adapters.database import Database
from adapters.database.journal import SiteJournal, require_not_taken_out
from adapters.database.vault import SqliteVault
from adapters.delivery import SiteDelivery, Target
from adapters.documents.composer import DocumentComposer
from adapters.engine.execution import RunExecutor
from adapters.engine.feed import StudyFeed
from adapters.engine.notices import Notices
from adapters.governance.rota import Rota
from adapters.home import Home, locate_configuration
from adapters.keeping.exporting import Choice, export
from adapters.keys import SiteKeys, load_keys
from adapters.log_key import log_keys, settle_log_key
from adapters.monitor import StatisticsMonitor
from adapters.pacs import Pacs
from adapters.passwords import add_account
from adapters.prescriptions.finder import PrescriptionFinder
from adapters.prescriptions.sources import PrescriptionSources
from adapters.registry import ReleaseRegistry
from adapters.rt.read_folder import FolderScan
from adapters.seeds.finder import SeedFinder
from adapters.site_cases import SiteCases
from adapters.site_gates import site_gates
from adapters.watches import (
    corrections,
    prescription_finder,
    prescription_sources,
    seed_finder,
)
from audit.errors import StorageError
from audit.log import Log
from audit.pseudonym import Pseudonyms
from audit.record import Actor, Source
from audit.verify import Summary, verify_store
from governance.gates import Gate
from plugins.host.ports import Document, House
from plugins.host.runner import ReleaseWorkers
from plugins.host.staging import FolderStaging
from plugins.host.steps import LEAVES

COURSE_DAYS = 60
"""A course of radiotherapy takes up to eight weeks."""


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
    pseudonyms: Pseudonyms
    log: Log
    journal: SiteJournal
    archives: dict[str, Pacs]
    targets: tuple[Target, ...]
    registry: ReleaseRegistry
    gates: tuple[Gate, ...]
    house: House
    feed: StudyFeed
    seeds: SeedFinder
    prescriptions: PrescriptionFinder
    corrections: Corrections
    executor: RunExecutor
    now: Callable[[], datetime]
    forwarder: Forwarder
    works_on_files: bool = False
    repositories: tuple[Repository, ...] = ()

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

    def verify_log(self, anchors: Sequence[str] = ()) -> Summary:
        """Recompute the tree over every record; LogTamperedError names the first bad one.

        ``anchors`` are signed checkpoints that were kept elsewhere.
        """
        self.seal(force=True)
        with self.database.reading() as transaction:
            return verify_store(transaction, log_keys(self.keys, transaction), anchors)

    def log_read(self, purpose: str, person: str = "") -> None:
        """Record that somebody reads the log; whoever reads it says so first."""
        who = person or f"service:{self.node}"
        with self.database.transaction() as transaction:
            self.journal.access(transaction, "audit-log", purpose, who)

    def export_log(self, path: Path, person: str = "") -> int:
        """Write the whole log as a bundle, on record, and return the number of records."""
        return export(self, path, "bundle", Choice(), person or f"service:{self.node}").count

    @property
    def node(self) -> str:
        """Name of this machine within the site."""
        return self.configuration.site.node


def create_site(home: Home, configuration: Configuration | None = None) -> str:
    """Make keys, databases and the first administrator of a home; what exists is kept.

    Returns
    -------
    the one-time password of the first administrator, empty when there was one already.
    """
    home.create()
    with ExitStack() as stack:
        ground = _ground(stack, home, configuration or _configured(home, None), utc_now)
        with ground.database.reading() as transaction:
            known = transaction.accounts()
        return "" if known else add_account(ground, "admin", "administrator")


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
        yield _build(stack, home, chosen, _Given(archives, targets, scans or {}, now))


def revision_of(home: Home, config: Path | None = None) -> str:
    """Return at which migration the site database is, without changing it; empty: not made."""
    database = Database(_database_url(home.create(), _configured(home, config)))
    try:
        return database.check()
    except StorageError:
        return ""
    finally:
        database.close()


def _configured(home: Home, config: Path | None) -> Configuration:
    return load(locate_configuration(home, config))


def _database_url(home: Home, configuration: Configuration) -> str:
    return configuration.database.url.get_secret_value() or f"sqlite:///{home.file('site.db')}"


@dataclass(frozen=True, slots=True)
class _Ground:
    """Keys, database and log of a site, on which everything else stands."""

    keys: SiteKeys
    database: Database
    vault: SqliteVault
    log: Log
    pseudonyms: Pseudonyms
    journal: SiteJournal
    registry: ReleaseRegistry
    now: Callable[[], datetime]

    def left_by(self, run_id: str) -> tuple[Document, ...]:
        """Return the documents of a run that left or will; none of one that stays at home."""
        with self.database.reading() as transaction:
            row = transaction.run(run_id)
            held = {item.state for item in transaction.deliveries(run_id)} == {"held"}
            leaves = row is not None and row.mode in LEAVES and not held
            return transaction.documents(run_id) if leaves else ()


def _ground(
    stack: ExitStack, home: Home, configuration: Configuration, now: Callable[[], datetime]
) -> _Ground:
    section = configuration.site
    keys = load_keys(home, now())
    database = Database(_database_url(home, configuration))
    stack.callback(database.close)
    database.upgrade()
    settle_log_key(home, database)
    vault_url = configuration.database.vault_url.get_secret_value()
    vault = SqliteVault(vault_url or home.file("vault.db"))
    stack.callback(vault.close)
    log = Log(keys.log.verifier.name, keys.log, cosigners=(keys.log_cosigner,))
    pseudonyms = Pseudonyms(keys.pseudonym, vault)
    service = Actor(f"service:{section.node}", "service")
    source = Source(section.name, section.node, section.mode, service)
    journal = SiteJournal(database, log, pseudonyms, source, now)
    registry = ReleaseRegistry(home, database, section.name, section.mode, now, journal)
    return _Ground(keys, database, vault, log, pseudonyms, journal, registry, now)


def _house(
    stack: ExitStack, home: Home, configuration: Configuration, ground: _Ground, doors: _Doors
) -> House:
    limits = configuration.limits
    cases = SiteCases(
        ground.database,
        doors.archives,
        home.staging,
        limits,
        ground.pseudonyms,
        ground.journal,
        doors.scans,
    )
    manifest, require_recorded = ground.registry.manifest, ground.journal.require_recorded
    return House(
        releases=ground.registry,
        cases=cases,
        workers=stack.enter_context(ReleaseWorkers(home.releases)),
        staging=FolderStaging(
            home.staging, limit_mb=limits.staging_mb, free_space_mb=limits.free_space_mb
        ),
        journal=ground.journal,
        composer=DocumentComposer(
            home.outbox,
            cases.sources,
            manifest,
            configuration.site.name,
            headers=cases.headers,
            tells_refusals=configuration.answers.refusals,
            written_by=ground.left_by,
        ),
        delivery=SiteDelivery(
            ground.database,
            doors.targets,
            require_recorded=require_recorded,
            now=doors.now,
            may_leave=partial(require_not_taken_out, lock=True),
        ),
        monitor=StatisticsMonitor(ground.database, home.outbox),
    )


@dataclass(frozen=True, slots=True)
class _Doors:
    """Archives, targets, folders read by hand, and the clock."""

    archives: dict[str, Pacs]
    targets: tuple[Target, ...]
    scans: Mapping[str, FolderScan]
    now: Callable[[], datetime]


def _build(stack: ExitStack, home: Home, configuration: Configuration, given: _Given) -> Site:
    ground = _ground(stack, home, configuration, given.now)
    archives = given.archives
    if archives is None:
        archives = build_archives(configuration.pacs, home)
    for archive in archives.values():
        if hasattr(archive, "close"):
            stack.callback(archive.close)
    targets = given.targets
    if targets is None:
        targets = build_targets(configuration.targets, archives, home)
    doors = _Doors(archives, tuple(targets), given.scans, given.now)
    house = _house(stack, home, configuration, ground, doors)
    section, watched = configuration.site, _watched(configuration, archives)
    sources = prescription_sources(stack, home, configuration, ground)
    return Site(
        home=home,
        configuration=configuration,
        keys=ground.keys,
        database=ground.database,
        vault=ground.vault,
        pseudonyms=ground.pseudonyms,
        log=ground.log,
        journal=ground.journal,
        archives=archives,
        targets=doors.targets,
        registry=ground.registry,
        gates=site_gates(ground.registry, home, configuration),
        house=house,
        feed=_feed(ground, configuration, archives, sources, given.now),
        seeds=seed_finder(stack, configuration, ground, watched),
        prescriptions=prescription_finder(configuration, ground, watched, sources),
        corrections=corrections(home, configuration, ground, watched),
        executor=RunExecutor(
            house,
            ground.database,
            ground.journal,
            Notices(configuration.notices, section.name),
            house.cases.forget,
            given.now,
            None if given.scans else configuration.engine.global_concurrency or None,
        ),
        now=given.now,
        forwarder=_forwarder(ground, configuration),
        works_on_files=bool(given.scans),
        repositories=_repositories(stack, configuration),
    )


def _forwarder(ground: _Ground, configuration: Configuration) -> Forwarder:
    section = configuration.log
    attestors = build_attestors(section, configuration.notices, ground.now)
    return Forwarder(
        ground.database, attestors, ground.journal, ground.now,
        section.clock_limit_ms, section.ntp_servers,
    )  # fmt: skip


def _repositories(stack: ExitStack, configuration: Configuration) -> tuple[Repository, ...]:
    found = build_repositories(configuration.audit_repositories)
    for repository in found:
        stack.callback(repository.transport.close)
    return found


def _course(configuration: Configuration) -> timedelta:
    """Return how long a patient counts as in course after a result."""
    days = configuration.governance.course_days
    if days is None:
        days = COURSE_DAYS if configuration.site.mode == "clinical" else 0
    return timedelta(days=days)


def _feed(
    ground: _Ground,
    configuration: Configuration,
    archives: Mapping[str, Pacs],
    sources: PrescriptionSources,
    now: Callable[[], datetime],
) -> StudyFeed:
    oversight = configuration.oversight
    rota = Rota(ground.registry, ground.pseudonyms, ground.journal, _course(configuration), now)
    return StudyFeed(
        ground.database, ground.journal, _watched(configuration, archives), ground.registry, rota,
        sources, configuration.trigger, configuration.site.mode, now,
        oversight.quiet_time_s if oversight.find_reviews else None,
    )  # fmt: skip


def _watched(configuration: Configuration, archives: Mapping[str, Pacs]) -> dict[str, Pacs]:
    """Return the archives whose studies trigger runs; one that is a target only does not."""
    unwatched = {section.name for section in configuration.pacs if not section.watch}
    return {name: archive for name, archive in archives.items() if name not in unwatched}


@dataclass(frozen=True, slots=True)
class _Given:
    """What a caller of `open_site` brings instead of the configured."""

    archives: dict[str, Pacs] | None
    targets: Sequence[Target] | None
    scans: Mapping[str, FolderScan]
    now: Callable[[], datetime]
