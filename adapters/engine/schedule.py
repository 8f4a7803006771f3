"""The one table of periodic work, and the thread that walks through it.

Each line is a name, an interval and a function.  A function that raises is logged and
tried again at its next turn; it never stops the others.

Read next: `feed.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from audit.errors import SuiteError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Periodic:
    """One line of the table."""

    name: str
    interval_s: float
    function: Callable[[], object]


class Schedule:
    """Walks through the table in one thread; use as a context manager."""

    def __init__(self, lines: Sequence[Periodic]) -> None:
        self.lines = tuple(lines)
        self._due = {line.name: 0.0 for line in self.lines}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._walk, name="osteon-schedule", daemon=True)

    def __enter__(self) -> Schedule:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    def turn(self, now_s: float | None = None) -> None:
        """Do what is due now, in the order of the table."""
        for line in self.lines:
            moment = time.monotonic() if now_s is None else now_s
            if moment >= self._due[line.name]:
                self._due[line.name] = moment + line.interval_s
                self._do(line)

    def _walk(self) -> None:
        while not self._stop.is_set():
            self.turn()
            wait = min(self._due.values()) - time.monotonic()
            self._stop.wait(min(max(wait, 0.01), 1.0))

    def _do(self, line: Periodic) -> None:
        try:
            line.function()
        except SuiteError as error:
            _log.warning("periodic work failed", work=line.name, code=error.code)
        except Exception as error:  # broad: one line must never stop the others
            _log.error("periodic work broke", work=line.name, error=type(error).__name__)
