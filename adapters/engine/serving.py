"""A site at work: the engine, and the table of what it does periodically.

    feed      what arrived, what is complete                     every poll interval
    due       attempts and deliveries whose time has come        1 s
    seal      the tree and its signed checkpoint                 1 s, signs at most each 60 s
    alive     our sign of life; work of dead machines adopted    a quarter of the lease
    orphans   runs that were noted and never queued (crash)      10 s, and at start

Read next: `../cli/serve.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.engine.engine import EngineSettings, WorkEngine
from adapters.engine.schedule import Periodic, Schedule

if TYPE_CHECKING:
    from adapters.compose import Site

ALIVE = "alive:"


@contextmanager
def serving(site: Site) -> Iterator[Callable[[], None]]:
    """Start the engine of a site; the yielded function does what is due and returns."""
    with WorkEngine(settings_of(site), site.executor) as engine:
        schedule = Schedule(table(site, engine))
        yield schedule.turn


@contextmanager
def serving_in_background(site: Site) -> Iterator[WorkEngine]:
    """Start the engine of a site and a thread that walks through the table."""
    with WorkEngine(settings_of(site), site.executor) as engine, Schedule(table(site, engine)):
        yield engine


def settings_of(site: Site) -> EngineSettings:
    """Return the engine settings of a site's configuration."""
    section = site.configuration.engine
    url = site.configuration.database.engine_url.get_secret_value()
    return EngineSettings(
        url=url or f"sqlite:///{site.home.file('engine.db')}",
        executor_id=section.executor_id or site.configuration.site.node,
        concurrency=section.concurrency,
        global_concurrency=section.global_concurrency or None,
        polling_interval_s=section.polling_interval_s,
    )


def table(site: Site, engine: WorkEngine) -> tuple[Periodic, ...]:
    """Return the one table of periodic work."""
    trigger, lease = site.configuration.trigger, site.configuration.engine.lease_s

    def feed() -> None:
        site.feed.poll()
        for run_id in site.feed.settle():
            submit(site, engine, run_id)

    return (
        Periodic("orphans", 10.0, lambda: submit_orphans(site, engine)),
        Periodic("feed", trigger.poll_interval_s, feed),
        Periodic("due", min(1.0, trigger.poll_interval_s), lambda: submit_due(site, engine)),
        Periodic("seal", 1.0, site.seal),
        Periodic("alive", lease / 4, lambda: keep_alive(site, engine)),
    )


def submit(site: Site, engine: WorkEngine, run_id: str) -> None:
    """Queue the present attempt of a run in the lane of its priority."""
    with site.database.reading() as transaction:
        row = transaction.run(run_id)
    if row is None:
        return
    if row.attempts > 1:
        engine.submit_again(run_id, row.attempts, row.priority)
    else:
        engine.submit(run_id, row.attempts, row.priority)


def submit_orphans(site: Site, engine: WorkEngine) -> None:
    """Queue what is noted as queued: asking twice for the same attempt is one attempt."""
    with site.database.reading() as transaction:
        rows = transaction.runs(status="queued", limit=1000)
    for row in rows:
        submit(site, engine, row.run_id)


def submit_due(site: Site, engine: WorkEngine) -> None:
    """Queue attempts and deliveries whose time has come."""
    now = site.now()
    with site.database.transaction() as transaction:
        due = transaction.due_runs(now)
        for row in due:
            transaction.set_run_status(row.run_id, "queued")
        delivering = transaction.due_deliveries(now)
    for row in due:
        submit(site, engine, row.run_id)
    for run_id in delivering:
        with site.database.reading() as transaction:
            waiting = transaction.run(run_id)
            rows = transaction.deliveries(run_id)
        if waiting is not None and waiting.status == "delivering":
            engine.submit_delivery(run_id, sum(item.attempts for item in rows), waiting.priority)


def keep_alive(site: Site, engine: WorkEngine) -> None:
    """Say that this executor lives, and adopt the work of those that do not."""
    now = site.now()
    with site.database.transaction() as transaction:
        transaction.set_cursor(ALIVE + engine.settings.executor_id, now.isoformat())
    engine.adopt(lambda executor: _lives(site, executor, now))


def _lives(site: Site, executor_id: str, now: datetime) -> bool:
    with site.database.reading() as transaction:
        seen = transaction.cursor(ALIVE + executor_id)
    if seen is None:
        return False
    age_s = (now - datetime.fromisoformat(seen)).total_seconds()
    return age_s < site.configuration.engine.lease_s
