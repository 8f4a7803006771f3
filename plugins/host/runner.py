"""Warm worker processes, one pool per release in use; fulfils the port `Workers`.

The first run of a release starts a process that verifies every byte, imports the code of
the release and loads its weights; later runs find it warm.  Runs of one release queue for
its processes (at most ``max_workers``); runs of two releases do not touch each other.  A
process that has been idle for ``idle_s`` is ended.

Read next: `worker_process.py` (one process), `worker.py` (its inside).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from audit.errors import PluginError, UnavailableError
from plugins.host.artifact import LoadedRelease, ReleaseFolders
from plugins.host.case import Case
from plugins.host.manifest import Limits
from plugins.host.ports import Answer, RunRequest
from plugins.host.sandbox import LAYERS
from plugins.host.wire import encode
from plugins.host.worker_process import Question, WorkerProcess


@dataclass(slots=True)
class _Pool:
    """The processes of one release: those that wait, those that work, and their number.

    ``count`` includes the one that is being started.
    """

    idle: list[WorkerProcess] = field(default_factory=list)
    busy: list[WorkerProcess] = field(default_factory=list)
    count: int = 0


class ReleaseWorkers:
    """Runs releases that lie unpacked in a home.

    Parameters
    ----------
    home_releases : the home's ``releases`` folder.
    limits : replaces the manifest's limits where given (tests, special sites).
    max_workers : processes per release.
    idle_s : seconds after which an idle process is ended.
    patience : factor on the manifest's wall time and explanation time, for slow machines.
    layers : layers of the sandbox to use.
    """

    def __init__(
        self,
        home_releases: Path,
        *,
        limits: Limits | None = None,
        max_workers: int = 1,
        idle_s: float = 900.0,
        patience: float = 1.0,
        layers: Sequence[str] = LAYERS,
    ) -> None:
        self._releases = ReleaseFolders(home_releases)
        self._limits = limits
        self._max_workers = max_workers
        self._idle_s = idle_s
        self._patience = patience
        self._layers = tuple(layers)
        self._pools: dict[str, _Pool] = {}
        self._exploring: list[tuple[str, WorkerProcess]] = []
        self._changed = threading.Condition()
        self._closed = False
        # A worker dies with the *thread* that started it (PR_SET_PDEATHSIG), so all are
        # started by one thread that lives as long as this object.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="worker-starter")
        self._reaper = threading.Thread(target=self._reap, name="worker-reaper", daemon=True)
        self._reaper.start()

    def run(self, request: RunRequest, case: Case, *, explain: bool = True) -> Answer:
        """Return the answer of the release to the case.

        Where the plugin has no explanation, or fails while explaining, ``explanation`` is
        None and ``runtime["explanation"]`` says why.

        Raises
        ------
        PluginError : one of its kinds; the process was killed, the next run gets a new one.
        ReleaseError, NotFoundError : the release is unknown, changed, or for another host.
        RefusalError : the plugin refused the case, with stable codes as reasons.
        UnavailableError : the workers are being closed; the run can be taken up again.
        """
        message = encode(case, Case)
        manifest = self._releases.manifest(request.release_digest)
        parameters = {**manifest.parameters, **request.parameters}
        question = Question(case, message, parameters, explain)
        with self._borrowed(request.release_digest) as worker:
            return worker.ask(question)

    def protection(self, release_digest: str) -> dict[str, str]:
        """Start a process of the release where none waits, and return what its sandbox holds.

        Returns
        -------
        ``network``, ``files`` and ``processes``, as `sandbox.confine` says.

        Raises
        ------
        PluginError, ReleaseError, NotFoundError, UnavailableError : as `run`.
        """
        with self._borrowed(release_digest) as worker:
            return worker.protection()

    def exploring(self, release_digest: str) -> WorkerProcess:
        """Start a process for one person's what-if questions; whoever asked for it kills it.

        It belongs to no pool, so that runs neither wait for it nor change its warm case; it ends
        with the release's other processes.

        Raises
        ------
        ReleaseError, NotFoundError, UnavailableError : as `run`.
        """
        worker = self._starter.submit(self._start, release_digest).result()
        with self._changed:
            self._exploring = [pair for pair in self._exploring if pair[1].alive()]
            self._exploring.append((release_digest, worker))
            closed = self._closed
        if closed:
            worker.kill()
            raise UnavailableError("the workers are closed", advice="Start the service.")
        return worker

    def warm(self, release_digest: str) -> int:
        """Return how many processes of the release are there."""
        with self._changed:
            pool = self._pools.get(release_digest)
            return pool.count if pool else 0

    def releases(self) -> tuple[str, ...]:
        """Return the digests of the releases that have processes."""
        with self._changed:
            return tuple(sorted(digest for digest, pool in self._pools.items() if pool.count))

    def peak_memory_mb(self) -> float:
        """Return the largest resident set that a living process ever had; 0 without one."""
        with self._changed:
            workers = [w for pool in self._pools.values() for w in (*pool.idle, *pool.busy)]
        return max((worker.peak_memory_mb() for worker in workers), default=0.0)

    def end(self, release_digest: str) -> None:
        """End the processes of a release; a run in one of them fails with PluginCrashedError."""
        with self._changed:
            for digest, worker in self._exploring:
                if digest == release_digest:
                    worker.interrupt()
            pool = self._pools.get(release_digest)
            if pool is None:
                return
            idle, pool.idle = pool.idle, []
            pool.count -= len(idle)
            for worker in pool.busy:
                worker.interrupt()
            self._changed.notify_all()
        for worker in idle:
            worker.kill()

    def close(self) -> None:
        """End every process; runs in progress and later ones raise UnavailableError."""
        with self._changed:
            self._closed = True
            for _, worker in self._exploring:
                worker.interrupt()
            idle = [worker for pool in self._pools.values() for worker in pool.idle]
            for pool in self._pools.values():
                for worker in pool.busy:
                    worker.interrupt()
                pool.count -= len(pool.idle)
                pool.idle.clear()
            self._changed.notify_all()
        for worker in (*idle, *(worker for _, worker in self._exploring)):
            worker.kill()
        with self._changed:
            self._changed.wait_for(self._nothing_runs)
        self._starter.shutdown()
        self._reaper.join()

    def __enter__(self) -> ReleaseWorkers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _borrowed(self, release_digest: str) -> Iterator[WorkerProcess]:
        """Lend one process of the release, waiting for it where all are in use."""
        worker = self._take(release_digest)
        try:
            if worker is None:
                worker = self._starter.submit(self._start, release_digest).result()
            with self._changed:
                self._pools[release_digest].busy.append(worker)
            if self._closed:
                worker.interrupt()
            yield worker
        except PluginError as error:
            if self._closed:
                raise UnavailableError("the workers were closed during the run") from error
            raise
        finally:
            self._give_back(release_digest, worker)

    def _take(self, release_digest: str) -> WorkerProcess | None:
        """Return an idle process, or None where the caller may start one."""
        with self._changed:
            pool = self._pools.setdefault(release_digest, _Pool())
            self._changed.wait_for(
                lambda: self._closed or pool.idle or pool.count < self._max_workers
            )
            if self._closed:
                raise UnavailableError("the workers are closed", advice="Start the service.")
            while pool.idle:
                worker = pool.idle.pop()
                if worker.alive():
                    return worker
                worker.kill()
                pool.count -= 1
            pool.count += 1
            return None

    def _give_back(self, release_digest: str, worker: WorkerProcess | None) -> None:
        with self._changed:
            pool = self._pools[release_digest]
            if worker in pool.busy:
                pool.busy.remove(worker)
            usable = worker is not None and worker.alive() and not self._closed
            if worker is not None and usable:
                pool.idle.append(worker)
            else:
                pool.count -= 1
            self._changed.notify_all()
        if worker is not None and not usable:
            worker.kill()

    def _start(self, release_digest: str) -> WorkerProcess:
        loaded = self._releases.load(release_digest)
        folder = self._releases.folder(release_digest)
        return WorkerProcess(release_digest, folder, self._limits_of(loaded), self._layers)

    def _limits_of(self, loaded: LoadedRelease) -> Limits:
        limits = self._limits or loaded.manifest.limits
        return replace(
            limits,
            wall_time_s=limits.wall_time_s * self._patience,
            explanation_s=limits.explanation_s * self._patience,
        )

    def _nothing_runs(self) -> bool:
        return all(pool.count == 0 for pool in self._pools.values())

    def _reap(self) -> None:
        """End processes that were idle for too long; ends when the workers are closed."""
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closed, min(self._idle_s, 30.0)):
                    return
                oldest = time.monotonic() - self._idle_s
                late = []
                for pool in self._pools.values():
                    old = [worker for worker in pool.idle if worker.idle_since <= oldest]
                    pool.idle = [worker for worker in pool.idle if worker not in old]
                    pool.count -= len(old)
                    late += old
            for worker in late:
                worker.kill()
