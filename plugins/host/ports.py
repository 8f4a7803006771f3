"""What the hall needs from outside; adapters fulfil it.

Exactly one implementation answers each port.  Values that cross `StepRunner.step` are
JSON values, because the work engine remembers them across a crash; arrays stay in the
staging area under the run id.

Read next: `pipeline.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from governance.certification import Standing
from plugins.host.case import Case
from plugins.host.findings import Explanation, Prediction
from plugins.host.images import Vector3
from plugins.host.manifest import Manifest
from plugins.host.prescription import Prescription

MODES = ("clinical", "research", "shadow", "replay", "what_if")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One release on one study: all that the run is determined by.

    Parameters
    ----------
    series : role -> Series Instance UID that routing chose for it.
    sop_instance_uids : sorted; what the run id was made from.
    opened_at : aware UTC; the date and time that every written object carries.
    trigger : auto | manual | force | late-series | seed | prescription | corrected |
        patient-changed | recall | replay | chain.
    supersedes : run id whose results this run replaces, if any.
    seed_frame_of_reference_uid : in which the seed point was given; None where it was given
        for this very image.
    prescription : what the site found for the study, if the release asks for one.
    prescription_fault : why there is none although somebody states one: a stable code and
        the kinds of sources that it is about.  The run is refused with it.
    """

    run_id: str
    study_instance_uid: str
    plugin: str
    plugin_version: str
    release_digest: str
    mode: str
    series: Mapping[str, str]
    sop_instance_uids: tuple[str, ...]
    opened_at: datetime
    parameters: Mapping[str, str | float | bool] = field(default_factory=dict)
    revision: int = 1
    priority: str = "normal"
    trigger: str = "auto"
    seed_point_mm: Vector3 | None = None
    supersedes: str | None = None
    requested_by: str = "service:osteon"
    seed_frame_of_reference_uid: str | None = None
    prescription: Prescription | None = None
    prescription_fault: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from the worker for one case.

    ``runtime`` names interpreter, library versions, processor class, threads, flags.
    """

    prediction: Prediction
    explanation: Explanation | None
    runtime: Mapping[str, str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Document:
    """One object that the run wrote into its outbox, ready to leave.

    Parameters
    ----------
    kind : RTSTRUCT | SEG | SR | PMAP | SC | FHIR.
    path : file inside the outbox.
    content_digest : over the decoded content, the same after a PACS changed headers.
    file_digest : over the bytes as they were composed; empty where nobody kept it.  What
        comes back with these bytes has this content.
    notes : what was repaired in inherited attributes, as stable codes.
    """

    kind: str
    path: Path
    content_digest: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""
    notes: tuple[str, ...] = ()
    file_digest: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(self.notes))  # JSON brings back a list


@dataclass(frozen=True, slots=True)
class Delivered:
    """State of one document at one target: pending, sent, stored, verified, failed, held.

    ``next_attempt_at`` (aware UTC) is set while the target will be tried again; a document
    that is neither pending nor sent and has no next attempt is final.
    """

    target: str
    kind: str
    sop_instance_uid: str
    state: str
    reason: str = ""
    next_attempt_at: datetime | None = None


class Releases(Protocol):
    """The releases of this site."""

    def manifest(self, release_digest: str) -> Manifest:
        """Return the plugin manifest of a release; NotFoundError if unknown."""
        ...

    def standing(self, request: RunRequest) -> Standing:
        """Return whether the release may run this request now, and on which certificate."""
        ...


class CaseSource(Protocol):
    """Where cases come from: DICOM in adapters, arrays in cohorts."""

    def fetch(self, request: RunRequest, manifest: Manifest) -> Case:
        """Return the decoded case; raises InputError, UnavailableError, DiskFullError."""
        ...

    def forget(self, run_id: str) -> None:
        """Let a decoded case go, when an attempt at its run is over."""
        ...


class Exploring(Protocol):
    """One warm process for one person's what-if questions."""

    def alive(self) -> bool:
        """Return whether it is there to be asked."""
        ...

    def first(self, case: Case, parameters: Mapping[str, str | float | bool]) -> Answer:
        """Return the answer to a case, which stays warm; raises as `Workers.run`."""
        ...

    def what_if(self, case: Case, edits: Mapping[str, float]) -> tuple[Prediction, float]:
        """Return the answer to the warm case with something changed, and its seconds."""
        ...

    def interrupt(self) -> None:
        """End what it does; the thread that waits for its answer then cleans up by `kill`."""
        ...

    def kill(self) -> None:
        """End it."""
        ...


class Workers(Protocol):
    """Warm worker processes, one per release in use."""

    def releases(self) -> tuple[str, ...]:
        """Return the digests of the releases that have processes."""
        ...

    def end(self, release_digest: str) -> None:
        """End the processes of a release, also those at work."""
        ...

    def run(self, request: RunRequest, case: Case, *, explain: bool = True) -> Answer:
        """Return the answer of the release; raises PluginError and its kinds."""
        ...


@runtime_checkable
class ExploringWorkers(Protocol):
    """Workers that also answer what-if questions."""

    def exploring(self, release_digest: str) -> Exploring:
        """Start a process of its own for them; whoever asked for it kills it."""
        ...


class Staging(Protocol):
    """Answers kept on disk between steps, by run id; wiped when the run closes."""

    def save(self, run_id: str, answer: Answer) -> str:
        """Keep the answer durably and return its digest."""
        ...

    def load(self, run_id: str) -> Answer:
        """Return what `save` kept; NotFoundError if nothing is there."""
        ...

    def wipe(self, run_id: str) -> None:
        """Remove everything staged for the run."""
        ...


class Journal(Protocol):
    """State and audit record of a run, each pair written in one transaction."""

    def opened(self, request: RunRequest) -> None:
        """Record that the run begins; a second call changes nothing."""
        ...

    def require_open(self, request: RunRequest) -> None:
        """Return while nobody took the run out; BarredError once somebody did."""
        ...

    def input_read(self, request: RunRequest, case: Case, input_digest: str) -> None:
        """Record what was read; InputChangedError if the run id had another digest."""
        ...

    def refused(
        self,
        request: RunRequest,
        reasons: tuple[str, ...],
        documents: tuple[Document, ...] = (),
        unwritten: str = "",
    ) -> None:
        """Record a refusal with digests of what tells it; durable and in the tree on return.

        ``unwritten`` is the code why no object tells it, empty where one does.
        """
        ...

    def inferred(
        self, request: RunRequest, answer: Answer, documents: tuple[Document, ...], facts: Json
    ) -> None:
        """Record the inference with digests of outputs; durable and in the tree on return."""
        ...

    def delivered(self, request: RunRequest, states: tuple[Delivered, ...]) -> None:
        """Record the state of each document at each target."""
        ...

    def closed(self, request: RunRequest, status: str, reason: str = "") -> None:
        """Record how the run ended: done, refused, abstained, failed, discarded."""
        ...


class Composer(Protocol):
    """Turns an answer into standard objects; the same answer gives the same bytes."""

    def compose(self, request: RunRequest, case: Case, answer: Answer) -> tuple[Document, ...]:
        """Write all objects of the run into its outbox and return them.

        Raises AnswerChangedError where the run has given another answer already.
        """
        ...

    def compose_refusal(
        self, request: RunRequest, reasons: tuple[str, ...]
    ) -> tuple[Document, ...]:
        """Write the objects that tell a refusal; none where the site wants none.

        Raises InputError where no header of the study can be read, and AnswerChangedError.
        """
        ...


class Delivery(Protocol):
    """Carries documents to every target and reads them back."""

    def deliver(
        self, request: RunRequest, documents: tuple[Document, ...]
    ) -> tuple[Delivered, ...]:
        """Bring each document one or more states further; raises UnavailableError while a
        target is away, so that the engine tries again."""
        ...


class Monitor(Protocol):
    """Keeps the statistics that drift is later computed from."""

    def observe(self, request: RunRequest, answer: Answer) -> None:
        """Store the statistics of the run; never raises to the pipeline."""
        ...


class StepRunner(Protocol):
    """The work engine, as the pipeline sees it."""

    def step(self, name: str, function: Callable[[], Json]) -> Json:
        """Run a step at least once and remember its JSON value across a crash."""
        ...


@dataclass(frozen=True, slots=True)
class House:
    """Everything the pipeline uses, put together by `adapters.compose`."""

    releases: Releases
    cases: CaseSource
    workers: Workers
    staging: Staging
    journal: Journal
    composer: Composer
    delivery: Delivery
    monitor: Monitor
