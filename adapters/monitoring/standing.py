"""How monitoring stands at this site: every item of every plan, and the items that are open.

Read next: `running.py`; the page and `osteon monitor status` show it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.database.monitoring import MonitorRow
from adapters.monitoring.plans import plan_of
from adapters.monitoring.running import Watched, stopped, watched
from governance.monitoring.plan import Item
from governance.monitoring.reevaluation import KIND, OPEN, Fatigue, fatigue
from governance.ports import GovernedDocument

if TYPE_CHECKING:
    from adapters.compose import Site

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
    """Everything about monitoring here."""

    lines: tuple[Line, ...]
    items: tuple[GovernedDocument, ...]
    fatigue: Fatigue

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
        items = transaction.governed_all(KIND)
        histories = [transaction.governed_history(KIND, item.name) for item in items]
    ordered = tuple(sorted(items, key=lambda item: (item.content["state"] != OPEN, item.name)))
    return Standing(tuple(lines), ordered, fatigue(histories, now))


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
