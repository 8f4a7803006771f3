"""Driving a served site until its runs are over, and looking at what they left.

Read next: `example_site.py`, whose site is driven.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from adapters.compose import Site
from adapters.database.runs import RunRow

PROMPT = {"quiet_time_s": 0.1, "poll_interval_s": 0.05, "patience_s": 0.2}
"""Trigger settings that do not wait a minute for slices that never come."""
FINAL = ("done", "failed", "refused", "abstained", "discarded")
TIMEOUT_S = 300.0
"""A dose with its explanation takes two minutes where several tests share two cores."""


def drive(
    site: Site, turn: Callable[[], None], expected: int, *, quiet_turns: int = 5
) -> list[str]:
    """Turn until ``expected`` runs are over and nothing more comes; statuses, oldest first."""
    ends = time.monotonic() + TIMEOUT_S
    quiet = 0
    states: list[str] = []
    while time.monotonic() < ends:
        turn()
        with site.database.reading() as transaction:
            states = [row.status for row in reversed(transaction.runs(limit=1000))]
            waiting = [item for name in site.archives for item in transaction.studies_waiting(name)]
        over = len(states) >= expected and all(state in FINAL for state in states)
        quiet = quiet + 1 if over and not waiting else 0
        if quiet >= quiet_turns:
            return states
        time.sleep(0.02)
    raise AssertionError(f"expected {expected} runs to end, found {states}")


def wait_for_mark(site: Site, turn: Callable[[], None], code: str) -> str:
    """Turn until a refused run carries a mark; return the run's id."""
    ends = time.monotonic() + TIMEOUT_S
    while time.monotonic() < ends:
        turn()
        with site.database.reading() as transaction:
            for row in transaction.runs():
                if code in transaction.marks(row.run_id):
                    return row.run_id
        time.sleep(0.02)
    raise AssertionError(f"expected the mark {code}, found none")


def only_run(site: Site) -> RunRow:
    """Return the run of a site that has one."""
    with site.database.reading() as transaction:
        (row,) = transaction.runs()
    return row


def objects_beside(site: Site, study: str, files: tuple[bytes, ...]) -> int:
    """Return how many instances of a study the archive holds beyond those that were sent."""
    series = site.archives["pacs"].search_series(study)
    return sum(item.instance_count for item in series) - len(files)
