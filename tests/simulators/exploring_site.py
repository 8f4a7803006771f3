"""A site with runs of a dose, whose cases and processes for what-if questions come when told.

Read next: `workspace_site.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from adapters.compose import Site
from audit.errors import PluginCrashedError
from plugins.host.case import Case
from plugins.host.findings import Prediction
from plugins.host.identity import case_digest
from plugins.host.manifest import Manifest
from plugins.host.ports import Answer, RunRequest
from tests.simulators.dose_case import dose_run
from tests.simulators.example_site import prepare
from tests.simulators.incident_site import with_people
from tests.simulators.workspace_site import Workspace, serving_pages

RUNS = tuple(letter * 32 for letter in "abc")
WITHOUT_DOSE, UNFINISHED = "d" * 32, "e" * 32
THREAD = "osteon-what-if"


@dataclass
class SlowCases:
    """Cases that can be another, or not be there; fulfils `plugins.host.ports.CaseSource`."""

    case: Case
    fault: Exception | None = None

    def fetch(self, request: RunRequest, manifest: Manifest) -> Case:
        """Return the case, or raise what a test asks for."""
        if self.fault is not None:
            raise self.fault
        return self.case

    def forget(self, run_id: str) -> None:
        """Keep nothing, let nothing go."""


@dataclass
class SlowWorkers:
    """Processes whose first answer waits for ``gate``; fulfils `Workers` and `ExploringWorkers`."""

    answer: Answer
    gate: threading.Event = field(default_factory=threading.Event)
    started: list[SlowProcess] = field(default_factory=list)
    fault: Exception | None = None

    def exploring(self, release_digest: str) -> SlowProcess:
        """Start one."""
        process = SlowProcess(self)
        self.started.append(process)
        return process

    def alive(self) -> int:
        """Return how many are there."""
        return sum(process.alive() for process in self.started)

    def releases(self) -> tuple[str, ...]:
        """Return none: these belong to no pool."""
        return ()

    def run(self, request: RunRequest, case: Case, *, explain: bool = True) -> Answer:
        """Answer at once."""
        return self.answer

    def end(self, release_digest: str) -> None:
        """End the processes of a release."""
        for process in self.started:
            process.kill()


@dataclass
class SlowProcess:
    """One process; fulfils `plugins.host.ports.Exploring`."""

    of: SlowWorkers
    ended: threading.Event = field(default_factory=threading.Event)
    edits: list[Mapping[str, float]] = field(default_factory=list)

    def alive(self) -> bool:
        """Return whether nobody ended it."""
        return not self.ended.is_set()

    def first(self, case: Case, parameters: Mapping[str, str | float | bool]) -> Answer:
        """Wait for the gate, then answer or raise what a test asks for."""
        while not self.of.gate.wait(0.01):
            self._require_alive()
        self._require_alive()
        if self.of.fault is not None:
            raise self.of.fault
        return self.of.answer

    def what_if(self, case: Case, edits: Mapping[str, float]) -> tuple[Prediction, float]:
        """Answer at once."""
        self._require_alive()
        self.edits.append(edits)
        return self.of.answer.prediction, 0.1

    def interrupt(self) -> None:
        """End it."""
        self.ended.set()

    def kill(self) -> None:
        """End it."""
        self.ended.set()

    def _require_alive(self) -> None:
        if self.ended.is_set():
            raise PluginCrashedError("the worker died of signal SIGKILL during predict")


@dataclass
class Exploration:
    """A site whose cases and workers a test holds back."""

    site: Site
    cases: SlowCases
    workers: SlowWorkers

    @contextmanager
    def served(self) -> Iterator[Workspace]:
        """Serve the pages."""
        acts: list[tuple[object, ...]] = []
        with serving_pages(self.site, acts) as url:
            yield Workspace(self.site, url, RUNS[0])


@contextmanager
def dose_site(root: Path) -> Iterator[Site]:
    """Open a site with people and the runs `RUNS` of one dose, and two that have none."""
    home = prepare(root)
    with with_people(home, root) as site:
        with site.database.reading() as transaction:
            (release,) = transaction.deployments("example")
        run = dose_run()
        for run_id in (*RUNS, WITHOUT_DOSE, UNFINISHED):
            request = RunRequest(
                run_id, run.case.study_instance_uid, "example", "0.1.0", release.release_digest,
                "research", {"ct": "1.2.3"}, (), datetime(2026, 1, 2, tzinfo=UTC),
            )  # fmt: skip
            site.journal.opened(request)
            site.journal.input_read(request, run.case, case_digest(run.case))
            if run_id == UNFINISHED:
                continue
            answer = run.answer
            if run_id == WITHOUT_DOSE:
                answer = replace(answer, prediction=replace(answer.prediction, findings=()))
            site.journal.inferred(request, answer, (), {})
            site.journal.closed(request, "done")
        yield site


def exploration(site: Site) -> Exploration:
    """Return a site with cases and workers of its own; the gate is shut."""
    run = dose_run()
    cases, workers = SlowCases(run.case), SlowWorkers(run.answer)
    house = replace(site.house, cases=cases, workers=workers)
    return Exploration(replace(site, house=house), cases, workers)


def threads_left() -> list[threading.Thread]:
    """Return the threads that prepare warm runs, or let them go when it is time."""
    return [one for one in threading.enumerate() if one.name == THREAD]


def comes(seconds: float = 60.0) -> Iterator[None]:
    """Yield again and again while there is time for something to come."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        yield
        time.sleep(0.01)
    raise AssertionError(f"it did not come within {seconds:g} s")
