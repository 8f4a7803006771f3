"""Runs kept warm: prepared beside the pages, two at most, let go where nobody asks.

    run → its case again, the same digest → process of the release → first answer → warm

Whoever asks first begins the preparation, whoever asks meanwhile joins it, and each waits no longer
than they want.  Where it fails, everybody who waited is told once, and who asks later tries again.
A run that is in use, or that nobody has seen yet, keeps its place for a while: a third one waits.

Read next: `what_if.py`, which asks.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapters.exploring import (
    Tried,
    first_answer,
    read_again,
    require_dose,
    run_in_use,
    start,
)
from audit.errors import RefusalError, UnavailableError

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database.runs import RunRow
    from plugins.host.case import Case
    from plugins.host.ports import Exploring

WARM, IDLE_S = 2, 300.0
UNSEEN_S = 60.0
"""How long what a preparation came to is kept for those who wait and look every other second."""


@dataclass(slots=True)
class Warm:
    """A run whose case is warm, its first answer, and the latest answers with edits.

    Parameters
    ----------
    seen : whether anybody got it since it was prepared.
    holders : how many are asking its process something, or about to.
    gone : it was let go; the last holder ends its process.
    """

    row: RunRow
    case: Case
    worker: Exploring
    first: Tried
    used_at: float
    tried: tuple[Tried, ...] = ()
    seen: bool = False
    holders: int = 0
    gone: bool = False


@dataclass(slots=True, eq=False)
class _Preparation:
    """A run that is being made warm, or failed to be; ``waiting`` are accounts not told yet."""

    waiting: set[str] = field(default_factory=set)
    worker: Exploring | None = None
    error: BaseException | None = None
    failed_at: float = math.inf

    def require_wanted(self) -> None:
        """Raise why it was given up, if it was."""
        if self.error is not None:
            raise self.error


class WarmRuns:
    """The warm runs of a site; safe among threads, and nobody waits for another run's case."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._warm: OrderedDict[str, Warm] = OrderedDict()
        self._preparing: dict[str, _Preparation] = {}
        self._changed = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._timer: threading.Timer | None = None
        self._closed = False

    def get(self, account_id: str, run_id: str, wait_s: float) -> Warm | None:
        """Return a run once it is warm; None where it is still being prepared after ``wait_s``.

        Raises
        ------
        NotFoundError : no such run.
        RefusalError : it has no dose, or its release is out of use or answers no such questions.
        InputChangedError : the archive holds other values than the run read.
        PluginError, ReleaseError, UnavailableError : see `plugins.host.runner`.
        """
        row = self._askable(run_id)
        with self._changed:
            return self._awaited(account_id, row, time.monotonic() + wait_s)

    @contextmanager
    def held(self, account_id: str, run_id: str) -> Iterator[Warm]:
        """Wait until a run is warm, and keep its process meanwhile; raises as `get`."""
        row = self._askable(run_id)
        with self._changed:
            warm = self._awaited(account_id, row, math.inf)
            assert warm is not None  # it waits as long as it takes
            warm.holders += 1
        try:
            yield warm
        finally:
            with self._changed:
                warm.holders -= 1
                warm.used_at = time.monotonic()
                if warm.gone and not warm.holders:
                    warm.worker.kill()
                self._look_again()
                self._changed.notify_all()

    def answered(self, run_id: str, wanted: Callable[[Tried], bool]) -> tuple[Warm, Tried] | None:
        """Return a warm run and one of its latest answers; None where neither is there."""
        with self._changed:
            warm = self._warm.get(run_id)
        tried = () if warm is None else (warm.first, *warm.tried)
        found = next((one for one in tried if wanted(one)), None)
        return None if warm is None or found is None else (warm, found)

    def close(self) -> None:
        """Let every run go and end every preparation; whoever waits gets UnavailableError."""
        with self._changed:
            self._closed = True
            for run_id in list(self._preparing):
                self._give_up(run_id, _closed())
            for run_id in list(self._warm):
                self._end(run_id)
            if self._timer is not None:
                self._timer.cancel()
            self._changed.notify_all()
            threads = self._threads
        for thread in threads:
            thread.join()

    def _askable(self, run_id: str) -> RunRow:
        """Return a run that may be asked; what is known without its case is refused at once."""
        try:
            row = run_in_use(self._site, run_id)
        except RefusalError as error:
            with self._changed:
                if run_id in self._warm:
                    self._end(run_id)
                if run_id in self._preparing:
                    self._give_up(run_id, error)
                self._changed.notify_all()
            raise
        if run_id not in self._warm:
            require_dose(self._site, row)
        return row

    def _awaited(self, account_id: str, row: RunRow, ends: float) -> Warm | None:
        """Wait for a run until it is warm, its preparation failed, or the time is over."""
        self._let_go()
        joined: _Preparation | None = None
        while (warm := self._ready(row.run_id)) is None:
            if joined is None or joined.error is None:
                joined = self._joined(account_id, row)
            if joined is not None and joined.error is not None:
                self._told(account_id, row.run_id, joined)
                raise joined.error
            left_s = ends - time.monotonic()
            if left_s <= 0:
                return None
            self._changed.wait(min(left_s, 1.0))
        warm.seen, warm.used_at = True, time.monotonic()
        self._warm.move_to_end(row.run_id)
        self._look_again()
        return warm

    def _ready(self, run_id: str) -> Warm | None:
        if self._closed:
            raise _closed()
        warm = self._warm.get(run_id)
        if warm is not None and not warm.worker.alive():
            self._end(run_id)
            return None
        return warm

    def _joined(self, account_id: str, row: RunRow) -> _Preparation | None:
        """Return the preparation of a run, begun where none is; None where it has no place yet."""
        found = self._preparing.get(row.run_id)
        if found is not None and found.error is not None and account_id not in found.waiting:
            found = None  # told already, or it was never theirs: try again
        if found is None:
            if not self._has_place():
                return None
            found = self._preparing[row.run_id] = _Preparation()
            self._begin(threading.Thread(target=self._prepare, args=(row, found)))
        found.waiting.add(account_id)
        return found

    def _told(self, account_id: str, run_id: str, failed: _Preparation) -> None:
        failed.waiting.discard(account_id)
        if not failed.waiting and self._preparing.get(run_id) is failed:
            del self._preparing[run_id]

    def _has_place(self) -> bool:
        """Return whether one more may be prepared; the one longest unused goes for it."""
        at_work = sum(one.error is None for one in self._preparing.values())
        if len(self._warm) + at_work < WARM:
            return True
        late = time.monotonic() - UNSEEN_S
        for run_id, warm in self._warm.items():
            if not warm.holders and (warm.seen or warm.used_at < late):
                self._end(run_id)
                return True
        return False

    def _prepare(self, row: RunRow, going: _Preparation) -> None:
        """Make a run warm, in a thread of its own."""
        try:
            warm = self._opened(row, going)
        except BaseException as error:  # broad: whoever waits is told
            with self._changed:
                if going.error is None:
                    going.error, going.failed_at = error, time.monotonic()
                self._look_again()
                self._changed.notify_all()
            return
        with self._changed:
            if going.error is None:
                del self._preparing[row.run_id]
                self._warm[row.run_id] = warm
            else:
                warm.worker.kill()
            self._look_again()
            self._changed.notify_all()

    def _opened(self, row: RunRow, going: _Preparation) -> Warm:
        """Read the run's case again and ask the release for its first answer."""
        site = self._site
        run_in_use(site, row.run_id)  # it may have waited for a place
        case = read_again(site, row)
        going.require_wanted()
        worker = start(site, row)
        try:
            with self._changed:
                going.require_wanted()
                going.worker = worker
            return Warm(row, case, worker, first_answer(site, row, worker, case), time.monotonic())
        except BaseException:  # broad: no half-used process may stay
            worker.kill()
            raise

    def _give_up(self, run_id: str, why: BaseException) -> None:
        """End a preparation; who waits for it is told why."""
        going = self._preparing.pop(run_id)
        if going.error is None:
            going.error = why
            if going.worker is not None:
                going.worker.interrupt()

    def _end(self, run_id: str) -> None:
        """Let a run go; whoever asks it something right now cleans up."""
        warm = self._warm.pop(run_id)
        warm.gone = True
        if warm.holders:
            warm.worker.interrupt()
        else:
            warm.worker.kill()

    def _let_go(self) -> None:
        """End what nobody asked for a while, and forget failures that nobody came for."""
        now = time.monotonic()
        for run_id, warm in list(self._warm.items()):
            if not warm.holders and warm.used_at < now - IDLE_S:
                self._end(run_id)
        for run_id, going in list(self._preparing.items()):
            if going.failed_at < now - UNSEEN_S:
                del self._preparing[run_id]

    def _look_again(self) -> None:
        """Let go what nobody asks until then, also where nobody ever asks anything again."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._closed:
            self._timer = threading.Timer(max(IDLE_S, 0.0) + 1.0, self._when_idle)
            self._begin(self._timer)

    def _when_idle(self) -> None:
        with self._changed:
            self._let_go()
            if self._warm or self._preparing:
                self._look_again()

    def _begin(self, thread: threading.Thread) -> None:
        """Start a thread, and remember it for `close`."""
        thread.name, thread.daemon = "osteon-what-if", True
        self._threads = {one for one in self._threads if one.is_alive()} | {thread}
        thread.start()


def _closed() -> UnavailableError:
    return UnavailableError("the pages are being closed", advice="Start the service.")
