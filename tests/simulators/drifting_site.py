"""Studies that arrive one after the other at a serving site, its monitors run after each.

`play` stops at the first alarm that the caller waits for.  What it returns is read from the site
afterwards: alarms, items, states, records and the report, made twice, which must be the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapters.compose import Site
from adapters.database.runs import OPEN_STATUSES
from adapters.monitoring.reading import SETTLED
from adapters.monitoring.reporting import make_report, write_report
from adapters.monitoring.running import run_monitors
from audit.record import Record
from governance.monitoring.reevaluation import KIND, OPEN
from tests.simulators.governed_site import records, state_of

RUN_WITHIN_S = 1200.0
WAIT_S = 0.2
Served = AbstractContextManager[tuple[Site, Callable[[], None]]]


@dataclass(frozen=True, slots=True)
class Played:
    """What happened.

    Parameters
    ----------
    alarm_at : number of the study whose run raised the awaited alarm, from 1; 0 without one.
    first_at : the same of the first alarm of any item.
    items : open re-evaluation items by name.
    ends : how the runs ended, in their order.
    """

    digest: str
    alarm_at: int
    first_at: int
    items: dict[str, dict[str, Any]]
    state: str
    ends: tuple[str, ...]
    guards: tuple[Record, ...]
    lifecycle: tuple[Record, ...]
    report: dict[str, Any]


def play(
    place: Served,
    root: Path,
    begin: Callable[[Site], str],
    arrive: Callable[[Site, int], None],
    studies: int,
    *,
    then: Callable[[Site, Played], None],
    awaited: str = "",
) -> Played:
    """Let studies arrive until one raises an alarm.

    Parameters
    ----------
    begin : puts window and plan in force and returns the release digest.
    arrive : stores one study, by its number from 0, in the archive.
    then : what people do afterwards, at the open site.
    awaited : the plan's item whose alarm ends the play; without one, any alarm does.
    """
    with place as (site, turn):
        digest = begin(site)
        later = replace(site, now=lambda: site.now() + 2 * SETTLED)  # a case settles at once
        alarm_at = first_at = 0
        for number in range(studies):
            arrive(site, number)
            _wait(site, turn, digest, number)
            run_monitors(later)  # the serving site runs them each minute, too
            alarmed = {str(item["item"]) for item in _open_items(site).values()}
            first_at = first_at or (number + 1 if alarmed else 0)
            if awaited in alarmed or (alarmed and not awaited):
                alarm_at = number + 1
                break
        found = Played(
            digest,
            alarm_at,
            first_at,
            _open_items(site),
            state_of(site, digest),
            _ends(site),
            tuple(records(site, "guard")),
            tuple(records(site, "lifecycle")),
            _report(site, digest, root),
        )
        then(site, found)
    return found


def _wait(site: Site, turn: Callable[[], None], digest: str, before: int) -> None:
    """Do what is due until one more run of the release has closed."""
    ends = time.monotonic() + RUN_WITHIN_S
    while _over(site, digest) <= before:
        assert time.monotonic() < ends, f"run {before + 1} did not end in {RUN_WITHIN_S:g} s"
        turn()
        time.sleep(WAIT_S)


def _over(site: Site, digest: str) -> int:
    """Return how many runs of the release have ended."""
    with site.database.reading() as transaction:
        counts = transaction.run_counts()
    return sum(
        count
        for (_, release, status), (count, _) in counts.items()
        if release == digest and status not in OPEN_STATUSES
    )


def _ends(site: Site) -> tuple[str, ...]:
    with site.database.reading() as transaction:
        rows = transaction.runs(limit=1000)
    closed = [row for row in rows if row.closed_at is not None]
    return tuple(row.status for row in sorted(closed, key=lambda row: row.opened_at))


def _open_items(site: Site) -> dict[str, dict[str, Any]]:
    with site.database.reading() as transaction:
        items = transaction.governed_all(KIND)
    return {item.name: dict(item.content) for item in items if item.content["state"] == OPEN}


def _report(site: Site, digest: str, root: Path) -> dict[str, Any]:
    report = make_report(site, digest)
    files = [path.read_bytes() for path in write_report(report, root / "report")]
    again = make_report(site, digest, report["log"]["size"])
    assert [path.read_bytes() for path in write_report(again, root / "again")] == files
    return report
