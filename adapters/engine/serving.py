"""A site at work: the engine, and the table of what it does periodically.

    feed        what arrived, what is complete                   0.1 s (local), poll interval
    due         attempts and deliveries whose time has come      1 s
    seal        the tree and its signed checkpoint               1 s, signs at most each 60 s
    reconcile   runs that the engine never got, or lost          10 s, and at start
    barred      workers of releases that may not run are ended   1 s
    alarms      releases with an alarm are suspended, if asked   5 s
    compare     releases in shadow or as canary, by study        5 s
    recalls     recalled results are marked where they lie        5 s
    search      the lines that the pages search                  2 s
    reviews     approved sets that come back, as reviews          5 s
    monitors    every item of every monitoring plan, and its alarms  60 s
    certificates  those of running releases are judged again     1 h, and at start
    geometry    the known-answer test of this installation       24 h, and at start
    releases    where those in use put a lesion of known place    24 h, in a thread of its own
    alive       our sign of life; work of dead machines adopted  a quarter of the lease,
                                                                 in a thread of its own
    notices     incident notices that nobody acknowledged        60 s, in a thread of its own:
                                                                 a silent recipient takes time
    seeds       points that refused studies wait for             1 s, likewise
    prescriptions  what states the doses of refused studies      1 s, likewise
    corrections inputs that came again, or are due to be reread  1 s, likewise
    forward     checkpoints to witnesses, authorities, anchors   5 s, in the thread of notices
    clocks      our clock against NTP servers, on record         1 h, in the thread of notices
    repository  records for each audit repository                5 s, in a thread of its own

Runs on folders (`osteon run`) are made by the process that was asked, on an engine of its
own: a serving site leaves them alone, and that process leaves the site's runs alone.

Read next: `../cli/serve.py`.
"""

from __future__ import annotations

import fcntl
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from adapters.audit_repository.feeder import feed
from adapters.audit_repository.repository import Repository
from adapters.configuration_watch import note_configuration
from adapters.corrections import STAGED
from adapters.database import Transaction
from adapters.database.runs import FOLDER, RunRow
from adapters.database.search import bring_up
from adapters.engine.engine import EngineSettings, WorkEngine
from adapters.engine.schedule import Periodic, Schedule
from adapters.engine.waiting import LEASE
from adapters.governance.alarming import heed_alarms
from adapters.governance.certifying import watch_certificates, watch_geometry
from adapters.governance.comparing import compare_pairs
from adapters.governance.stopping import end_barred_workers
from adapters.governance.withdrawing import withdraw_recalled
from adapters.incidents.sending import send_all_due
from adapters.monitoring.running import run_monitors
from adapters.oversight.finding import find_reviews
from adapters.release_geometry import watch_releases
from audit.errors import ConfigurationError, SuiteError

if TYPE_CHECKING:
    from adapters.compose import Site

ALIVE, LIMITS = "alive:", "limits:"
DELIVERY_LEASE = timedelta(minutes=5)
FILES_EXECUTOR = "files"
LOCAL_KINDS = ("folder", "dimse")
FORWARD_S = 5.0
LOCAL_POLL_S = 0.1
"""An archive of these kinds lies on this machine, and looking costs a tenth of a millisecond."""
_log = structlog.get_logger(__name__)


@contextmanager
def serving(site: Site) -> Iterator[Callable[[], None]]:
    """Start the engine of a site; the yielded function does what is due and returns."""
    with ExitStack() as stack:
        engine = _start(stack, site)
        yield Schedule(table(site, engine)).turn


@contextmanager
def serving_in_background(site: Site) -> Iterator[WorkEngine]:
    """Start the engine of a site and a thread that walks through the table."""
    with ExitStack() as stack:
        engine = _start(stack, site)
        stack.enter_context(Schedule(table(site, engine)))
        yield engine


def _start(stack: ExitStack, site: Site) -> WorkEngine:
    settings = settings_of(site)
    stack.enter_context(_alone(site, settings.executor_id))
    sweep(site)
    if not site.works_on_files:
        note_configuration(site)
        agree_on_limits(site, settings)
    say_alive(site, settings.executor_id)
    engine = stack.enter_context(WorkEngine(settings, site.executor))
    lease = site.configuration.engine.lease_s
    alive = Periodic("alive", lease / 4, lambda: keep_alive(site, engine))
    stack.enter_context(Schedule((alive,)))
    if not site.works_on_files:
        outside = (
            Periodic("notices", 60.0, lambda: send_all_due(site)),
            Periodic("forward", FORWARD_S, site.forwarder.turn),
            Periodic("clocks", 3600.0, site.forwarder.read_clocks),
        )
        stack.enter_context(Schedule(outside))
        placing = Periodic("releases", 3600.0, lambda: watch_releases(site))
        stack.enter_context(Schedule((placing,)))
        for repository in site.repositories:
            stack.enter_context(Schedule((_feeding(site, repository),)))
        for name, pause_s, look in (
            ("seeds", 1.0, site.seeds.look),
            ("prescriptions", 1.0, site.prescriptions.look),
            ("corrections", 1.0, site.corrections.look),
        ):
            line = Periodic(name, pause_s, partial(submit_found, site, engine, look))
            stack.enter_context(Schedule((line,)))
    return engine


def _feeding(site: Site, repository: Repository) -> Periodic:
    return Periodic(f"repository {repository.name}", 5.0, lambda: feed(site, repository))


def submit_found(site: Site, engine: WorkEngine, look: Callable[[], Iterable[str]]) -> None:
    """Look for runs that something outside asks for, and queue their attempts."""
    for run_id in look():
        submit(site, engine, run_id)


@contextmanager
def _alone(site: Site, executor_id: str) -> Iterator[None]:
    """Hold the lock of an executor id: two processes under one would undo each other."""
    with site.home.file(f"{executor_id}.lock").open("w") as file:
        if site.works_on_files:
            fcntl.flock(file, fcntl.LOCK_EX)  # the next `osteon run` waits for its turn
        else:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigurationError(
                    f"expected to serve this home alone as {executor_id!r}, found another process",
                    advice="Stop the other one, or give this one its own engine.executor_id.",
                ) from error
        yield


def settings_of(site: Site) -> EngineSettings:
    """Return the engine settings of a site's configuration."""
    section = site.configuration.engine
    if site.works_on_files:
        url, executor_id = f"sqlite:///{site.home.file('engine-files.db')}", FILES_EXECUTOR
    else:
        url = site.configuration.database.engine_url.get_secret_value()
        url = url or f"sqlite:///{site.home.file('engine.db')}"
        executor_id = section.executor_id or site.configuration.site.node
    return EngineSettings(
        url=url,
        executor_id=executor_id,
        concurrency=section.concurrency,
        global_concurrency=section.global_concurrency or None,
        polling_interval_s=section.polling_interval_s,
    )


def table(site: Site, engine: WorkEngine) -> tuple[Periodic, ...]:
    """Return the one table of periodic work."""
    poll_s = site.configuration.trigger.poll_interval_s
    local = {item.name for item in site.configuration.pacs if item.kind in LOCAL_KINDS}
    remote = set(site.archives) - local

    def feed(names: set[str]) -> None:
        for run_id in site.feed.turn(names):
            submit(site, engine, run_id)

    def withdraw() -> None:
        for run_id in withdraw_recalled(site):
            submit(site, engine, run_id)

    lines = (
        Periodic("reconcile", 10.0, lambda: reconcile(site, engine)),
        Periodic("due", min(1.0, poll_s), lambda: submit_due(site, engine)),
        Periodic("seal", 1.0, site.seal),
    )
    if site.works_on_files:
        return lines
    feeds = (
        Periodic("feed", min(LOCAL_POLL_S, poll_s), lambda: feed(local)),
        Periodic("feed-remote", poll_s, lambda: feed(remote)),
    )
    return (
        *(line for line, names in zip(feeds, (local, remote), strict=True) if names),
        *lines,
        Periodic("barred", 1.0, lambda: end_barred_workers(site)),
        Periodic("compare", 5.0, lambda: compare_pairs(site)),
        Periodic("alarms", 5.0, lambda: heed_alarms(site)),
        Periodic("recalls", 5.0, withdraw),
        Periodic("search", 2.0, lambda: bring_up(site.database)),
        Periodic("reviews", 5.0, lambda: find_reviews(site)),
        Periodic("monitors", 60.0, lambda: run_monitors(site)),
        Periodic("certificates", 3600.0, lambda: watch_certificates(site)),
        Periodic("geometry", 86400.0, lambda: watch_geometry(site)),
    )


def is_ours(site: Site, row: RunRow) -> bool:
    """Return whether this process makes this run's attempts."""
    return (row.pacs == FOLDER) == site.works_on_files


def submit(site: Site, engine: WorkEngine, run_id: str) -> None:
    """Queue the present attempt of a run in the lane of its priority."""
    with site.database.reading() as transaction:
        row = transaction.run(run_id)
    if row is not None and is_ours(site, row):
        engine.submit(run_id, row.attempts, row.priority)


def reconcile(site: Site, engine: WorkEngine) -> None:
    """Queue what the engine never got (a crash in between), and what it lost anew."""
    with site.database.reading() as transaction:
        rows = [
            row
            for status in ("queued", "running")
            for row in transaction.runs(status=status, limit=10_000)
            if is_ours(site, row)
        ]
    for row in rows:
        try:
            ended = engine.has_ended(row.run_id, row.attempts)
            if ended is None:
                engine.submit(row.run_id, row.attempts, row.priority)
            elif ended:
                site.executor.lost(row)
        except SuiteError as error:  # one run must not hold up the others
            _log.warning("run not reconciled", run_id=row.run_id, code=error.code)


def submit_due(site: Site, engine: WorkEngine) -> None:
    """Queue attempts and deliveries whose time has come."""
    now = site.now()

    def take(transaction: Transaction) -> tuple[list[RunRow], list[RunRow]]:
        due = [row for row in transaction.due_runs(now) if is_ours(site, row)]
        for row in due:
            transaction.set_run_status(row.run_id, "queued")
        delivering = []
        for run_id in transaction.due_deliveries(now):
            found = transaction.run(run_id, lock=True)
            if found is None or found.status != "delivering" or not is_ours(site, found):
                continue
            lease = transaction.cursor(LEASE + run_id)
            if not lease or datetime.fromisoformat(lease) <= now:
                until = (now + DELIVERY_LEASE).isoformat()
                transaction.set_cursor(LEASE + run_id, until)
                delivering.append(found)
        return due, delivering

    with site.database.reading() as transaction:
        if not transaction.due_runs(now) and not transaction.due_deliveries(now):
            return
    due, delivering = site.database.run(take)
    for row in due:
        engine.submit(row.run_id, row.attempts, row.priority)
    for row in delivering:
        engine.submit_delivery(row.run_id, uuid.uuid4().hex[:12], row.priority)


def agree_on_limits(site: Site, settings: EngineSettings) -> None:
    """Return where the living machines of the site have the same limits: they share one queue,
    and the limits of the last one to start would count for all.

    Raises
    ------
    ConfigurationError : another machine that lives has others.
    """
    mine = f"{settings.concurrency} and {settings.global_concurrency or 0}"
    with site.database.reading() as transaction:
        limits = transaction.cursors(LIMITS)
    now = site.now()
    for executor, theirs in sorted(limits.items()):
        if executor != settings.executor_id and theirs != mine and _lives(site, executor, now):
            raise ConfigurationError(
                f"expected engine.concurrency and global_concurrency {theirs} as {executor!r} "
                f"has, found {mine}",
                advice="Give all machines the same, or stop the others for engine.lease_s.",
            )
    site.database.run(lambda t: t.set_cursor(LIMITS + settings.executor_id, mine))


def say_alive(site: Site, executor_id: str) -> None:
    """Say that an executor lives."""
    moment = site.now().isoformat()
    site.database.run(lambda transaction: transaction.set_cursor(ALIVE + executor_id, moment))


def keep_alive(site: Site, engine: WorkEngine) -> None:
    """Say that this executor lives, and adopt the work of those that do not."""
    say_alive(site, engine.settings.executor_id)
    now = site.now()
    engine.adopt(lambda executor: _lives(site, executor, now))


def _lives(site: Site, executor_id: str, now: datetime) -> bool:
    with site.database.reading() as transaction:
        seen = transaction.cursor(ALIVE + executor_id)
    if seen is None:
        return False  # every executor says so before it takes its first work
    age_s = (now - datetime.fromisoformat(seen)).total_seconds()
    return age_s < site.configuration.engine.lease_s


def sweep(site: Site) -> None:
    """Remove what a crash left in the staging area of runs that are closed."""
    for folder in site.home.staging.iterdir():
        with site.database.reading() as transaction:
            row = transaction.run(folder.name)
        closed = row is not None and row.status in ("done", "refused", "abstained", "discarded")
        if closed or folder.name.startswith(STAGED):
            shutil.rmtree(folder, ignore_errors=True)
