"""Run the monitors of every release at work: read, fold, keep, and alarm where it is due.

State, cursor and alarm are one transaction: a crash repeats a turn, and the same cases give the
same sums.  An item that fails is logged and tried again; it never touches a result, and when it
has not run for longer than its window it is an alarm of its own (`STOPPED`).

Read next: `alarming.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from adapters.database.monitoring import MonitorRow
from adapters.monitoring.alarming import alarm, alarm_name, follow_up
from adapters.monitoring.plans import plan_of, window_of
from adapters.monitoring.reading import BATCH, read
from adapters.monitoring.resources import keep_resources
from audit import canonical
from audit.errors import SuiteError
from governance.monitoring import plan as plans
from governance.monitoring import watch as watches
from governance.monitoring.actions import STOPPED
from governance.monitoring.plan import OUTCOME, Item, Plan
from governance.monitoring.reference import ReferenceWindow
from governance.monitoring.watch import State
from governance.ports import Deployment
from governance.release import digest_of

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

AT_WORK = ("shadow", "canary", "active")
_TURNS = 50
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """A release at work, its plan and its window."""

    deployment: Deployment
    plan: Plan
    window: ReferenceWindow | None


def watched(site: Site) -> tuple[Watched, ...]:
    """Return the releases whose monitors shall run here."""
    with site.database.reading() as transaction:
        found = [
            (item, plan_of(site, transaction, item.plugin, item.release_digest))
            for item in transaction.deployments()
            if item.site == site.configuration.site.name and item.state in AT_WORK
        ]
    return tuple(Watched(i, plan, window_of(site, i.release_digest)) for i, plan in found)


def run_monitors(site: Site) -> tuple[str, ...]:
    """Run every item of every plan once, and do what alarms ask for; return the new alarms."""
    raised: list[str] = []
    _keep_resources(site)
    for release in watched(site):
        raised += raise_stopped(site, release)  # before they run: an outage is seen, too
        for item in release.plan.items:
            try:
                raised += run_item(site, release, item)
            except SuiteError as error:
                _log.warning("monitor failed", item=item.name, code=error.code)
            except Exception as error:  # broad: a monitor must never be in the way of a result
                _log.error("monitor broke", item=item.name, error=type(error).__name__)
    follow_up(site)
    return tuple(raised)


def _keep_resources(site: Site) -> None:
    try:
        keep_resources(site)
    except (SuiteError, OSError) as error:  # measuring must not keep the monitors from running
        _log.warning("resources not measured", error=type(error).__name__)


def run_item(site: Site, release: Watched, item: Item) -> tuple[str, ...]:
    """Fold what came since the last run into an item; return the name of an alarm it raised."""
    for _ in range(_TURNS):
        more, name = site.database.run(lambda tx: _turn(site, tx, release, item))
        if name or not more:
            return (name,) if name else ()
    return ()


def item_digest(item: Item) -> str:
    """Return the digest of an item; another item of the same name begins anew."""
    return digest_of(canonical.encode(json.loads(json.dumps(plans.stated(item)))))


def _turn(site: Site, transaction: Transaction, release: Watched, item: Item) -> tuple[bool, str]:
    digest, now = release.deployment.release_digest, site.now()
    row = transaction.monitor(digest, item.name)
    own = item_digest(item)
    is_same = row is not None and row.item_digest == own
    before = watches.decode(json.loads(row.state)) if row and is_same else State()
    cursor = (row.cursor_at, row.cursor_id) if row and is_same else (None, "")
    batch = read(transaction, digest, item, cursor, now)
    begin = State() if item.metric == OUTCOME and before.beyond is None else before
    after = watches.run(item, digest, release.window, begin, batch.cases)
    if before.beyond is not None:
        batch, after = type(batch)((), cursor), before  # waits for a decision, cases wait too
    transaction.put_monitor(
        MonitorRow(
            digest, item.name, own, json.dumps(watches.encode(after)),
            *_summary(release, item, after), *batch.cursor, now,
        )
    )  # fmt: skip
    if after.beyond is None or before.beyond is not None:
        return len(batch.cases) == BATCH, ""
    told = f"{after.beyond.name} after {after.n} cases"
    name = alarm(site, transaction, release.deployment, item, item.name, told, after.beyond)
    return False, name


def _summary(release: Watched, item: Item, state: State) -> tuple[str, int, float]:
    digest = release.deployment.release_digest
    watch = watches.watch_of(item, digest, release.window, state)
    nearest = next(iter(watches.standing(watch, state)), None)
    share = 0.0 if nearest is None else nearest.evidence / nearest.threshold
    return watches.condition(watch, state), state.n + len(state.first), share


def raise_stopped(site: Site, release: Watched) -> tuple[str, ...]:
    """Raise an alarm for every item that has not run within its window; return their names."""
    now = site.now()
    raised: list[str] = []
    for item in stopped(site, release, now):
        name = alarm_name(f"{STOPPED}-{item.name}", release.deployment.release_digest)

        def write(transaction: Transaction, item: Item = item) -> str:
            about = f"{STOPPED}-{item.name}"
            hours = f"not run for {item.every_hours:g} hours"
            return alarm(site, transaction, release.deployment, item, about, hours)

        if site.database.run(write):
            raised.append(name)
    return tuple(raised)


def stopped(site: Site, release: Watched, now: datetime) -> tuple[Item, ...]:
    """Return the items of a release whose last run is older than their window."""
    with site.database.reading() as transaction:
        digest = release.deployment.release_digest
        rows = {row.item: row.last_run_at for row in transaction.last_monitored([digest])}
    found = []
    for item in release.plan.items:
        last = max(rows.get(item.name, release.deployment.since), release.deployment.since)
        if now - last > timedelta(hours=item.every_hours):
            found.append(item)
    return tuple(found)
