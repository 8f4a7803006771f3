"""The first lines of a worker process: confine it, then load the released plugin.

The order matters: the confinement comes before NumPy, because a user namespace needs a
process with one thread, and before any released code.

Read next: `sandbox.py`, then `worker.py`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict, dataclass

from plugins.host.sandbox import confine, die_with_parent

MEBIBYTE = 1 << 20
# Address space is not memory: torch reserves gigabytes that it never touches.  The parent
# watches the resident set; this bound only stops one absurd allocation.
ADDRESS_SPACE_ALLOWANCE_MB = 16384


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What the parent tells the worker on its command line; paths and numbers only."""

    connection: int
    parent_pid: int
    release_folder: str
    temporary: str
    memory_mb: int
    threads: int
    readable: tuple[str, ...]
    listable: tuple[str, ...]
    layers: tuple[str, ...]

    def encode(self) -> str:
        """Return the settings as JSON."""
        return json.dumps(asdict(self))


def start() -> None:
    """Run the worker until the parent closes the connection."""
    settings = WorkerSettings(**json.loads(sys.argv[1]))
    protection = confine(
        settings.readable, settings.listable, (settings.temporary,), settings.layers
    )
    die_with_parent(settings.parent_pid)  # after the namespace, which clears the signal
    _limit(settings.memory_mb)
    os.chdir(settings.temporary)

    from plugins.host.worker import serve

    serve(settings, protection)


def _limit(memory_mb: int) -> None:
    """Bound address space, file size (memory files too) and core dumps (setrlimit(2))."""
    space = (memory_mb + ADDRESS_SPACE_ALLOWANCE_MB) * MEBIBYTE
    for limit, amount in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_FSIZE, memory_mb * MEBIBYTE),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        if hard != resource.RLIM_INFINITY:
            amount = min(amount, hard)
        resource.setrlimit(limit, (amount, amount))
