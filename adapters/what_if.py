"""What-if questions about a run: its case kept warm in a process of the released code.

    run → its case again, the same digest → answer of the release → edits → answer, recorded

Nothing of it leaves, and nothing is kept as a result.  Two runs at most are warm at a time; one
that nobody asked for five minutes is let go.

Read next: `adapters/web/trade_off.py`, whose page asks.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from adapters.governance.stopping import is_stopped
from adapters.oversight.acts import note_view
from audit.errors import InputChangedError, NotFoundError, RefusalError
from governance.oversight.assessment import REVIEWERS
from plugins.host.case import Case
from plugins.host.findings import DoseGrid, Prediction
from plugins.host.identity import case_digest
from plugins.host.ports import ExploringWorkers

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database.runs import RunRow
    from adapters.governance.persons import Person
    from plugins.host.ports import Exploring

WARM, IDLE_S, ANSWERS = 2, 300.0, 8
WHAT_IF = "what-if"
"""What is noted as viewed by a reviewer."""
OUT_OF_USE = ("suspended", "retired")
Edits = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Tried:
    """What was tried and what the release answers; ``seconds`` of the answer alone."""

    edits: tuple[tuple[str, float], ...]
    prediction: Prediction
    seconds: float

    @property
    def dose(self) -> DoseGrid:
        """Return the dose of the answer; RefusalError where it has none."""
        return dose_of(self.prediction)


@dataclass(slots=True)
class Warm:
    """A run whose case is warm, its first answer, and the latest answers by edits."""

    row: RunRow
    case: Case
    worker: Exploring
    first: Tried
    used_at: float
    tried: OrderedDict[tuple[tuple[str, float], ...], Tried] = field(default_factory=OrderedDict)


class WhatIfs:
    """The warm runs of a site; safe among threads, one question at a time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._warm: OrderedDict[str, Warm] = OrderedDict()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def ask(self, person: Person, run_id: str, edits: Edits) -> tuple[Warm, Tried]:
        """Return a run's warm case with its first answer, and the answer with edits, on record.

        Raises
        ------
        NotFoundError : no such run.
        RefusalError : the role may look and not ask; the run has no dose; the release is out of
            use, stopped, answers no such questions (``NO_WHAT_IF``), or an edit is not one of its.
        InputChangedError : the archive holds other values than the run read.
        PluginError, ReleaseError, UnavailableError : see `plugins.host.runner`.
        """
        key = tuple(sorted((name, float(value)) for name, value in edits.items()))
        if key and person.role not in REVIEWERS:
            raise RefusalError("this role does not explore", reasons=("ROLE_NOT_PERMITTED",))
        with self._lock:
            self._let_go()
            self._require_in_use(run_id)
            warm = self._warm.get(run_id)
            if warm is None or not warm.worker.alive():
                warm = self._warm[run_id] = self._opened(run_id)
            self._warm.move_to_end(run_id)
            found = warm.first if not key else warm.tried.get(key)
            if found is None:
                prediction, seconds = warm.worker.what_if(warm.case, dict(key))
                found = Tried(key, prediction, seconds)
                dose_of(prediction)
                self._record(person, warm, found)
                warm.tried[key] = found
                while len(warm.tried) > ANSWERS:
                    warm.tried.popitem(last=False)
            warm.used_at = time.monotonic()
            self._look_again()
        note_view(self._site, person, run_id, (WHAT_IF, 0), 0)
        return warm, found

    def answered(self, run_id: str, wanted: Callable[[Tried], bool]) -> tuple[Warm, Tried] | None:
        """Return a warm run and one of its latest answers; None where neither is there."""
        with self._lock:
            warm = self._warm.get(run_id)
            tried = () if warm is None else (warm.first, *warm.tried.values())
            found = next((one for one in tried if wanted(one)), None)
            return None if warm is None or found is None else (warm, found)

    def close(self) -> None:
        """Let every run go."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            for warm in self._warm.values():
                warm.worker.kill()
            self._warm.clear()

    def _look_again(self) -> None:
        """Let go what nobody asks until then, also where nobody ever asks anything again."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(max(IDLE_S, 0.0) + 1.0, self._when_idle)
        self._timer.daemon = True
        self._timer.start()

    def _when_idle(self) -> None:
        with self._lock:
            self._let_go()
            if self._warm:
                self._look_again()

    def _let_go(self) -> None:
        """End what nobody asked for a while."""
        late = time.monotonic() - IDLE_S
        old = [name for name, warm in self._warm.items() if warm.used_at < late]
        for name in old:
            self._warm.pop(name).worker.kill()

    def _require_in_use(self, run_id: str) -> None:
        with self._site.database.reading() as transaction:
            row = transaction.run(run_id)
            if row is None:
                raise NotFoundError(f"expected a run with id {run_id[:32]}, found none")
            states = {
                item.release_digest: item.state for item in transaction.deployments(row.plugin)
            }
            stopped = is_stopped(transaction, row.plugin)
        if stopped or states.get(row.release_digest) in OUT_OF_USE:
            gone = self._warm.pop(run_id, None)
            if gone is not None:
                gone.worker.kill()
            raise RefusalError("this release is out of use", reasons=("RELEASE_OUT_OF_USE",))

    def _opened(self, run_id: str) -> Warm:
        """Read the run's case again and ask the release for its first answer."""
        site = self._site
        with site.database.reading() as transaction:
            row = transaction.run(run_id)
        assert row is not None
        if row.status not in ("done", "delivering"):
            raise RefusalError("this run has no result", reasons=("NO_RESULT",))
        while len(self._warm) >= WARM:
            self._warm.popitem(last=False)[1].worker.kill()
        request = replace(row.request, mode="what_if")
        manifest = site.registry.manifest(row.release_digest)
        case = site.house.cases.fetch(request, manifest)
        site.house.cases.forget(run_id)
        digest = case_digest(case)
        if digest != row.input_digest:
            raise InputChangedError(f"expected input {row.input_digest}, found {digest}")
        workers = site.house.workers
        if not isinstance(workers, ExploringWorkers):
            raise RefusalError("these workers answer no such questions", reasons=("NO_WHAT_IF",))
        worker = workers.exploring(row.release_digest)
        try:
            answer = worker.first(case, {**manifest.parameters, **row.parameters})
            first = Tried((), answer.prediction, answer.seconds)
            dose_of(first.prediction)
        except BaseException:  # broad: no half-used process may stay
            worker.kill()
            raise
        return Warm(row, case, worker, first, time.monotonic())

    def _record(self, person: Person, warm: Warm, tried: Tried) -> None:
        site = self._site
        with site.database.transaction() as transaction:
            site.journal.what_if(
                transaction, warm.row.request, tried.edits, tried.dose, tried.seconds,
                person.account_id,
            )  # fmt: skip
        site.log.seal(site.database)


def dose_of(prediction: Prediction) -> DoseGrid:
    """Return the dose of a prediction.

    Raises
    ------
    RefusalError : it has none (NO_RESULT), or it abstains.
    """
    for finding in prediction.findings:
        if isinstance(finding, DoseGrid) and not prediction.uncertainty.abstain:
            return finding
    raise RefusalError("this run has no dose to explore", reasons=("NO_RESULT",))
