"""How monitoring stands at this site: every item of every plan, and the items that are open.

Read next: `running.py`; the page and `osteon monitor status` show it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.database.monitoring import MonitorRow
from adapters.monitoring.plans import plan_of
from adapters.monitoring.running import AT_WORK, Watched, item_digest, stopped, watched
from governance.monitoring import silence
from governance.monitoring.fatigue import Fatigue, episodes, fatigue
from governance.monitoring.plan import Item
from governance.monitoring.reevaluation import KIND, OPEN
from governance.monitoring.state import decode
from governance.monitoring.strata import Part, parts
from governance.ports import GovernedDocument

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

NOT_RUN = "not-run"
STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Line:
    """One item of a plan as it stands.

    Parameters
    ----------
    condition : collecting, watching, alarmed, blind; not-run or stopped where it does not run.
    nearest : greatest evidence over its threshold; an alarm is at 1.
    """

    plugin: str
    release_digest: str
    item: Item
    condition: str
    cases: int
    nearest: float
    last_run_at: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything about monitoring here.

    Parameters
    ----------
    items : every alarm as it stands, open ones first, then the newest first.
    fatigue : by release digest, of each that is at work or has had an alarm.
    silences : those that are in force, also of alarms that were not raised yet.
    """

    lines: tuple[Line, ...]
    items: tuple[GovernedDocument, ...]
    fatigue: Mapping[str, Fatigue]
    silences: tuple[GovernedDocument, ...] = ()

    @property
    def open_items(self) -> tuple[GovernedDocument, ...]:
        """Return the re-evaluation items that wait for a decision."""
        return tuple(item for item in self.items if item.content["state"] == OPEN)

    @property
    def is_covered(self) -> bool:
        """Return whether every item of every plan runs."""
        return all(line.condition not in (NOT_RUN, STOPPED) for line in self.lines)


def standing(site: Site) -> Standing:
    """Return how monitoring stands now."""
    now = site.now()
    lines: list[Line] = []
    for release in watched(site):
        lines += _lines(site, release, now)
    with site.database.reading() as transaction:
        names = [item.name for item in transaction.governed_all(KIND)]
        alarms = [
            alarm for name in names for alarm in episodes(transaction.governed_history(KIND, name))
        ]
        silences = tuple(
            one for one in transaction.governed_all(silence.KIND) if silence.is_silent(one, now)
        )
        weights = _weights(site, transaction, alarms, {line.release_digest for line in lines}, now)
    ordered = sorted((alarm[-1] for alarm in alarms), key=lambda item: item.name)
    ordered.sort(key=lambda item: str(item.content["opened_at"]), reverse=True)
    ordered.sort(key=lambda item: item.content["state"] != OPEN)
    return Standing(tuple(lines), tuple(ordered), weights, silences)


def _weights(
    site: Site,
    transaction: Transaction,
    alarms: Sequence[Sequence[GovernedDocument]],
    at_work: set[str],
    now: datetime,
) -> dict[str, Fatigue]:
    """Return how the alarms of each release weigh, since it first came to work here."""
    by_release: dict[str, list[Sequence[GovernedDocument]]] = {one: [] for one in at_work}
    for alarm in alarms:
        by_release.setdefault(str(alarm[-1].content["release_digest"]), []).append(alarm)
    since: dict[str, datetime] = {}
    for plugin in sorted({item.plugin for item in transaction.deployments()}):
        for item in transaction.deployment_history(plugin):
            if item.site == site.configuration.site.name and item.state in AT_WORK:
                since.setdefault(item.release_digest, item.since)
    return {
        digest: fatigue(found, now, since.get(digest))
        for digest, found in sorted(by_release.items())
    }


def lines_of(site: Site, release_digest: str) -> tuple[Line, ...]:
    """Return the items of any release here; one that is not at work shows how it last stood."""
    at_work = [one for one in watched(site) if one.deployment.release_digest == release_digest]
    if at_work:
        return tuple(_lines(site, at_work[0], site.now()))
    plugin = site.registry.row(release_digest).plugin
    with site.database.reading() as transaction:
        plan = plan_of(site, transaction, plugin, release_digest)
        rows = {row.item: row for row in transaction.last_monitored([release_digest])}
    return tuple(_line(plugin, release_digest, item, rows.get(item.name)) for item in plan.items)


def parts_of(site: Site, release_digest: str) -> tuple[tuple[Item, tuple[Part, ...]], ...]:
    """Return every split item of a release with where its strata stand."""
    plugin = site.registry.row(release_digest).plugin
    with site.database.reading() as transaction:
        plan = plan_of(site, transaction, plugin, release_digest)
        rows = {row.item: row for row in transaction.last_monitored([release_digest])}
    found = []
    for item in plan.items:
        row = rows.get(item.name)
        if item.by and row is not None and row.item_digest == item_digest(item):
            found.append((item, parts(item, decode(json.loads(row.state)))))
    return tuple(found)


def _lines(site: Site, release: Watched, now: datetime) -> list[Line]:
    digest = release.deployment.release_digest
    with site.database.reading() as transaction:
        rows = {row.item: row for row in transaction.last_monitored([digest])}
    late = {item.name for item in stopped(site, release, now)}
    plugin = release.deployment.plugin
    found = [_line(plugin, digest, item, rows.get(item.name)) for item in release.plan.items]
    return [replace(line, condition=STOPPED) if line.item.name in late else line for line in found]


def _line(plugin: str, digest: str, item: Item, row: MonitorRow | None) -> Line:
    if row is None:
        return Line(plugin, digest, item, NOT_RUN, 0, 0.0, None)
    return Line(plugin, digest, item, row.condition, row.cases, row.nearest, row.last_run_at)
