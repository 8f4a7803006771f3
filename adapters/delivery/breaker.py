"""The circuit breaker of a target: after failures in a row, leave it in peace.

    closed      fewer than THRESHOLD failures in a row: everyone may try
    open        until ``open_until`` nobody tries
    half open   after it one may try; a success closes, a failure opens for longer

A target that says itself when to come again (Retry-After) is open until then at once.

Pure rules on `BreakerRow`; the site database keeps the row, so that all workers on all
machines share one breaker.

Read next: `states.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from adapters.database.delivery import BreakerRow

THRESHOLD = 5
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=15)
# How long a probe has before somebody else may try: longer than any timeout of a door.
PROBE = timedelta(minutes=2)


def admit(row: BreakerRow, now: datetime) -> BreakerRow | None:
    """Return the row to keep if an attempt may be made now, None if it may not.

    In the half-open state the returned row closes the door behind the one that enters.
    """
    if row.failures < THRESHOLD or row.open_until is None:
        return row
    if now < row.open_until:
        return None
    return replace(row, open_until=now + PROBE)


def succeeded(row: BreakerRow) -> BreakerRow:
    """Return the row after the target answered: closed, nothing counted."""
    return BreakerRow(row.target)


def failed(row: BreakerRow, now: datetime, wait_until: datetime | None = None) -> BreakerRow:
    """Return the row after a failure: counted, and from THRESHOLD on open for a while.

    Parameters
    ----------
    wait_until : when the target said that it may be asked again.
    """
    failures = row.failures + 1
    until = wait_until
    if failures >= THRESHOLD:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - THRESHOLD, 5))
        until = now + pause if wait_until is None else max(wait_until, now + pause)
    counted = failures if wait_until is None else max(failures, THRESHOLD)
    return replace(row, failures=counted, open_until=until)
