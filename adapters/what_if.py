"""What-if questions about a run: its case kept warm in a process of the released code.

    run → warm (`warm_runs.py`) → edits → answer of the release, recorded

Nothing of it leaves, and nothing is kept as a result.

Read next: `adapters/web/trade_off.py`, whose page asks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from adapters.exploring import Tried, dose_of
from adapters.oversight.acts import note_view
from adapters.warm_runs import Warm, WarmRuns
from audit.errors import RefusalError
from governance.oversight.assessment import REVIEWERS

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.governance.persons import Person

ANSWERS = 8
WHAT_IF = "what-if"
"""What is noted as viewed by a reviewer."""
Edits = Mapping[str, float]
Key = tuple[tuple[str, float], ...]


class WhatIfs:
    """What-if questions of a site; safe among threads, one question at a time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._runs = WarmRuns(site)
        self._asking = threading.Lock()

    def opened(self, person: Person, run_id: str, wait_s: float) -> tuple[Warm, Tried] | None:
        """Return a run's warm case with its first answer, or None: it is being prepared.

        Preparing goes on after ``wait_s``; where it fails, a later call raises why, once.

        Raises
        ------
        NotFoundError, RefusalError, InputChangedError, PluginError, ReleaseError,
        UnavailableError : as `ask`.
        """
        warm = self._runs.get(person.account_id, run_id, wait_s)
        if warm is None:
            return None
        note_view(self._site, person, run_id, (WHAT_IF, 0), 0)
        return warm, warm.first

    def ask(self, person: Person, run_id: str, edits: Edits) -> tuple[Warm, Tried]:
        """Return a run's warm case with its first answer, and the answer with edits, on record.

        A run that is not warm is waited for.

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
        found = None
        while found is None:  # the question before may have ended the process
            with self._runs.held(person.account_id, run_id) as warm:
                found = self._answer(person, warm, key) if key else warm.first
        note_view(self._site, person, run_id, (WHAT_IF, 0), 0)
        return warm, found

    def answered(self, run_id: str, wanted: Callable[[Tried], bool]) -> tuple[Warm, Tried] | None:
        """Return a warm run and one of its latest answers; None where neither is there."""
        return self._runs.answered(run_id, wanted)

    def close(self) -> None:
        """Let every run go, and end what is being prepared."""
        self._runs.close()

    def _answer(self, person: Person, warm: Warm, key: Key) -> Tried | None:
        """Return the answer with edits; None where the process is no longer there."""
        with self._asking:
            found = next((one for one in warm.tried if one.edits == key), None)
            if found is None and warm.worker.alive():
                prediction, seconds = warm.worker.what_if(warm.case, dict(key))
                found = Tried(key, prediction, seconds)
                dose_of(prediction)
                self._record(person, warm, found)
                warm.tried = (*warm.tried, found)[-ANSWERS:]
            return found

    def _record(self, person: Person, warm: Warm, tried: Tried) -> None:
        site = self._site
        with site.database.transaction() as transaction:
            site.journal.what_if(
                transaction, warm.row.request, tried.edits, tried.dose, tried.seconds,
                person.account_id,
            )  # fmt: skip
        site.log.seal(site.database)
