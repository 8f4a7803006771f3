"""The pipeline's ports as the harness fills them: everything runs, nothing leaves.

The steps are the clinic's own (`plugins.host.pipeline.process`): fetch, envelope check, worker
process of the released code, abstention.  Behind inference the ports of this file keep the
answer and write no object, so that a run of the harness cannot reach a patient's record.

Read next: `evaluate.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from audit.errors import NotFoundError
from governance.certification import Standing
from plugins.host.case import Case
from plugins.host.manifest import Manifest
from plugins.host.ports import (
    Answer,
    CaseSource,
    Delivered,
    Document,
    House,
    Json,
    RunRequest,
    Workers,
)
from plugins.host.staging import answer_digest


class InlineSteps:
    """Takes every step once; the harness's own engine remembers the whole of a case."""

    def step(self, name: str, function: Callable[[], Json]) -> Json:
        """Run a step."""
        del name
        return function()


@dataclass(frozen=True, slots=True)
class ReleaseUnderTest:
    """The one release that is judged; fulfils `Releases`.  It needs no certificate: it is here
    to earn one, in research mode."""

    release: Manifest

    def manifest(self, release_digest: str) -> Manifest:
        """Return its manifest."""
        del release_digest
        return self.release

    def standing(self, request: RunRequest) -> Standing:
        """Return that nothing bars it."""
        del request
        return Standing(())


@dataclass(frozen=True, slots=True)
class QuietWorkers:
    """The release's worker processes; explains only where the harness asks for it."""

    workers: Workers
    explained: bool

    def releases(self) -> tuple[str, ...]:
        """Return the digests of the releases that have processes."""
        return self.workers.releases()

    def end(self, release_digest: str) -> None:
        """End the processes of a release."""
        self.workers.end(release_digest)

    def run(self, request: RunRequest, case: Case, *, explain: bool = True) -> Answer:
        """Return the answer of the release."""
        return self.workers.run(request, case, explain=explain and self.explained)


@dataclass(slots=True)
class HeldAnswers:
    """Answers between two steps, in memory; fulfils `Staging`, and keeps the last for the judge."""

    answer: Answer | None = None
    staged: dict[str, Answer] = field(default_factory=dict)

    def save(self, run_id: str, answer: Answer) -> str:
        """Keep the answer and return its digest."""
        self.staged[run_id] = self.answer = answer
        return answer_digest(answer)

    def load(self, run_id: str) -> Answer:
        """Return what `save` kept; NotFoundError if nothing is there."""
        if run_id not in self.staged:
            raise NotFoundError(f"expected a staged answer of run {run_id}, found none")
        return self.staged[run_id]

    def wipe(self, run_id: str) -> None:
        """Forget what is staged for the run."""
        self.staged.pop(run_id, None)


class NothingLeaves:
    """Journal, composer, delivery and monitor of the harness: they change nothing outside.

    The record of a validation run is the harness's own, not one record for each case.
    """

    def opened(self, request: RunRequest) -> None:
        """Do nothing."""

    def require_open(self, request: RunRequest) -> None:
        """Do nothing."""

    def input_read(self, request: RunRequest, case: Case, input_digest: str) -> None:
        """Do nothing."""

    def refused(
        self,
        request: RunRequest,
        reasons: tuple[str, ...],
        documents: tuple[Document, ...] = (),
        unwritten: str = "",
    ) -> None:
        """Do nothing."""

    def inferred(
        self, request: RunRequest, answer: Answer, documents: tuple[Document, ...], facts: Json
    ) -> None:
        """Do nothing."""

    def delivered(self, request: RunRequest, states: tuple[Delivered, ...]) -> None:
        """Do nothing."""

    def closed(self, request: RunRequest, status: str, reason: str = "") -> None:
        """Do nothing."""

    def compose(self, request: RunRequest, case: Case, answer: Answer) -> tuple[Document, ...]:
        """Return no object."""
        del request, case, answer
        return ()

    def compose_refusal(
        self, request: RunRequest, reasons: tuple[str, ...]
    ) -> tuple[Document, ...]:
        """Return no object."""
        del request, reasons
        return ()

    def deliver(
        self, request: RunRequest, documents: tuple[Document, ...]
    ) -> tuple[Delivered, ...]:
        """Deliver nothing."""
        del request, documents
        return ()

    def observe(self, request: RunRequest, answer: Answer) -> None:
        """Keep no statistics: a cohort is not the clinic's stream."""


def harness_house(
    manifest: Manifest, cases: CaseSource, workers: Workers, answers: HeldAnswers
) -> House:
    """Return the house in which one release is judged."""
    nothing = NothingLeaves()
    return House(
        releases=ReleaseUnderTest(manifest),
        cases=cases,
        workers=workers,
        staging=answers,
        journal=nothing,
        composer=nothing,
        delivery=nothing,
        monitor=nothing,
    )
