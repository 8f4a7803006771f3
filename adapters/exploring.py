"""What a what-if question needs: a run that may be asked, its case read again, answers with a dose.

Read next: `warm_runs.py`, which keeps such cases warm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapters.governance.stopping import is_stopped
from adapters.run_record import inference_body
from audit.errors import InputChangedError, NotFoundError, RefusalError
from plugins.host.case import Case
from plugins.host.findings import DoseGrid, Prediction
from plugins.host.identity import case_digest
from plugins.host.ports import ExploringWorkers

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database.runs import RunRow
    from plugins.host.ports import Exploring

OUT_OF_USE = ("suspended", "retired")


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


def dose_of(prediction: Prediction) -> DoseGrid:
    """Return the dose of a prediction.

    Raises
    ------
    RefusalError : it has none (NO_RESULT), or it abstains.
    """
    for finding in prediction.findings:
        if isinstance(finding, DoseGrid) and not prediction.uncertainty.abstain:
            return finding
    raise _no_dose()


def run_in_use(site: Site, run_id: str) -> RunRow:
    """Return a run.

    Raises
    ------
    NotFoundError : no such run.
    RefusalError : its release is suspended, retired or stopped.
    """
    with site.database.reading() as transaction:
        row = transaction.run(run_id)
        if row is None:
            raise NotFoundError(f"expected a run with id {run_id[:32]}, found none")
        states = {item.release_digest: item.state for item in transaction.deployments(row.plugin)}
        stopped = is_stopped(transaction, row.plugin)
    if stopped or states.get(row.release_digest) in OUT_OF_USE:
        raise RefusalError("this release is out of use", reasons=("RELEASE_OUT_OF_USE",))
    return row


def require_dose(site: Site, row: RunRow) -> None:
    """Refuse a run that has no result or, as its record says, no dose (NO_RESULT)."""
    if row.status not in ("done", "delivering"):
        raise RefusalError("this run has no result", reasons=("NO_RESULT",))
    with site.database.reading() as transaction:
        inference = inference_body(transaction, row.run_id)
    if inference and not inference.get("output", {}).get("doses"):  # empty: it was purged
        raise _no_dose()


def read_again(site: Site, row: RunRow) -> Case:
    """Return the case of a run from its archive; InputChangedError where it is another by now."""
    request = replace(row.request, mode="what_if")
    case = site.house.cases.fetch(request, site.registry.manifest(row.release_digest))
    site.house.cases.forget(row.run_id)
    digest = case_digest(case)
    if digest != row.input_digest:
        raise InputChangedError(f"expected input {row.input_digest}, found {digest}")
    return case


def start(site: Site, row: RunRow) -> Exploring:
    """Return a process of a run's release; RefusalError where none answers such questions."""
    workers = site.house.workers
    if not isinstance(workers, ExploringWorkers):
        raise RefusalError("these workers answer no such questions", reasons=("NO_WHAT_IF",))
    return workers.exploring(row.release_digest)


def first_answer(site: Site, row: RunRow, worker: Exploring, case: Case) -> Tried:
    """Return what a process answers to the case as it is; RefusalError where it has no dose."""
    parameters = site.registry.manifest(row.release_digest).parameters
    answer = worker.first(case, {**parameters, **row.parameters})
    first = Tried((), answer.prediction, answer.seconds)
    dose_of(first.prediction)
    return first


def _no_dose() -> RefusalError:
    return RefusalError("this run has no dose to explore", reasons=("NO_RESULT",))
