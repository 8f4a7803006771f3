"""What a site uses, measured every few minutes and kept as the greatest value of each day.

    queue_age_s        how long the oldest queued run waits
    turnaround_s       longest time from opening to closing of a run that closed today
    worker_memory_mb   largest resident set of a worker here (VmHWM of proc(5): none is missed)
    staging_mb, outbox_mb   what lies there
    disk_used_share    of the disk that the home is on

A day is one case of the plan's `resources` item: minutes of one day are not independent, days
nearly so.  A resource that cannot be measured here is left out, and no run waits for any of it.

Read next: `running.py`; limits that hold at once are those of `osteon doctor` and `/health`.
"""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.host.runner import ReleaseWorkers

if TYPE_CHECKING:
    from adapters.compose import Site

EVERY = timedelta(minutes=5)
MEBIBYTE = 2**20
_CURSOR = "resources-measured"


def measure(site: Site) -> dict[str, float]:
    """Return what the site uses now, and its longest turnaround of today."""
    now = site.now()
    with site.database.reading() as transaction:
        found = {"queue_age_s": transaction.queue_age_s(now)}
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        longest = transaction.longest_turnaround_s(midnight)
    if longest is not None:
        found["turnaround_s"] = longest
    workers = site.house.workers
    if isinstance(workers, ReleaseWorkers) and (memory := workers.peak_memory_mb()) > 0:
        found["worker_memory_mb"] = memory
    found["staging_mb"] = _size_mb(site.home.staging)
    found["outbox_mb"] = _size_mb(site.home.outbox)
    disk = shutil.disk_usage(site.home.root)
    return {**found, "disk_used_share": disk.used / disk.total}


def keep_resources(site: Site) -> bool:
    """Measure and keep where the last time was more than five minutes ago; say whether it did."""
    now = site.now()
    with site.database.reading() as transaction:
        last = transaction.cursor(_CURSOR)
    if last is not None and now - datetime.fromisoformat(last) < EVERY:
        return False
    measured = measure(site)
    with site.database.transaction() as transaction:
        transaction.put_peaks(now, measured)
        transaction.set_cursor(_CURSOR, now.isoformat())
    return True


def _size_mb(folder: Path) -> float:
    """Return the size of the files below a folder; one that goes meanwhile does not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # delivered or wiped while we look
                continue
    return total / MEBIBYTE
