"""The path of a study: order, resumption after a crash at any point, and every way out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from audit.errors import (
    AnswerChangedError,
    AuthenticationError,
    BarredError,
    GeometryError,
    InputChangedError,
    MissingAttributeError,
    MixedPatientsError,
    NotFoundError,
    PluginTimeoutError,
    RefusalError,
    SeriesChangedError,
    SuiteError,
    UnavailableError,
)
from governance.certification import Standing
from governance.gates import Objection
from governance.strata import Stratum
from plugins.host import pipeline, result
from plugins.host.case import Case, Subject
from plugins.host.findings import Explanation, Measurement, Prediction, Uncertainty
from plugins.host.identity import case_digest
from plugins.host.images import Code, Geometry, Volume
from plugins.host.manifest import Envelope, Input, Manifest
from plugins.host.ports import Answer, Delivered, Document, House, Json, RunRequest
from plugins.host.result import RunResult
from tests.simulators.office import certificate_for

AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
RUN = "a" * 32
DUE = datetime(2026, 1, 2, tzinfo=UTC)
RECORDED = ("inferred", "refused")


class Killed(BaseException):
    """The process dies here: nothing may catch it."""


@dataclass
class World:
    """All that outlives a process: a house in memory that keeps what a real one keeps.

    Every call of a port passes `at`, where the process can be killed before or after the
    effect.  ``events`` lists effects that happened for the first time.
    """

    case: Case
    answer: Answer
    outbox: Path
    manifest: Manifest
    standing: Standing = field(default_factory=lambda: Standing(()))
    taken_out: bool = False
    kill_at: int = -1
    calls: int = 0
    events: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    steps: dict[str, Json] = field(default_factory=dict)
    staged: dict[str, Answer] = field(default_factory=dict)
    composed: list[Answer] = field(default_factory=list)
    stored: dict[str, str] = field(default_factory=dict)
    inferences: int = 0
    pacs_says: Callable[[Document], Delivered | SuiteError] | None = None
    worker_says: Callable[[], Answer] | None = None
    source_says: Callable[[], Case] | None = None
    monitor_says: Callable[[], None] | None = None
    writer_says: Callable[[], None] | None = None
    tells_refusals: bool = True

    def at(self, name: str, effect: Callable[[], None], *, once: bool = True) -> None:
        self._tick()
        if not (once and name in self.events):
            effect()
            self.events.append(name)
        self._tick()

    def _tick(self) -> None:
        self.calls += 1
        if self.calls == self.kill_at:
            raise Killed


def nothing() -> None:
    """Have no effect beyond the event itself."""


class Steps:
    """A work engine in memory: remembers each step's value once it has returned."""

    def __init__(self, world: World) -> None:
        self.world = world

    def step(self, name: str, function: Callable[[], Json]) -> Json:
        if name not in self.world.steps:
            self.world.steps[name] = function()
        return self.world.steps[name]


class Room:
    """All ports of the house, over one `World`."""

    def __init__(self, world: World) -> None:
        self.world = world

    def manifest(self, release_digest: str) -> Manifest:
        if release_digest != "sha256:known":
            raise NotFoundError("expected a known release")
        return self.world.manifest

    def standing(self, request: RunRequest) -> Standing:
        return self.world.standing

    def fetch(self, request: RunRequest, manifest: Manifest) -> Case:
        return self.world.source_says() if self.world.source_says else self.world.case

    def run(self, request: RunRequest, case: Case, *, explain: bool = True) -> Answer:
        answer = self.world.worker_says() if self.world.worker_says else self.world.answer
        self.world.inferences += 1
        return answer

    def save(self, run_id: str, answer: Answer) -> str:
        self.world.at("saved", lambda: self.world.staged.update({run_id: answer}))
        return "sha256:answer"

    def load(self, run_id: str) -> Answer:
        if run_id not in self.world.staged:
            raise NotFoundError("expected a staged answer")
        return self.world.staged[run_id]

    def wipe(self, run_id: str) -> None:
        self.world.at("wiped", lambda: self.world.staged.clear(), once=False)

    def require_open(self, request: RunRequest) -> None:
        if self.world.taken_out:
            raise BarredError("expected an open run", reasons=("STOPPED",))

    def opened(self, request: RunRequest) -> None:
        self.world.at("opened", nothing)

    def input_read(self, request: RunRequest, case: Case, input_digest: str) -> None:
        if self.world.digests.setdefault(request.run_id, input_digest) != input_digest:
            raise InputChangedError("expected the recorded digest")
        self.world.at("input_read", nothing)

    def refused(
        self,
        request: RunRequest,
        reasons: tuple[str, ...],
        documents: tuple[Document, ...] = (),
        unwritten: str = "",
    ) -> None:
        assert bool(documents) != bool(unwritten), "told by objects, or a reason why not"
        told = f"untold {unwritten}" if unwritten else "refused"
        self.world.at(f"{told} " + "; ".join(reasons), nothing)

    def inferred(
        self, request: RunRequest, answer: Answer, documents: tuple[Document, ...], facts: Json
    ) -> None:
        assert {"input_digest", "answer_digest", "quality_flags"} <= facts.keys()
        self.world.at("inferred", nothing)

    def delivered(self, request: RunRequest, states: tuple[Delivered, ...]) -> None:
        self.world.at("delivered " + " ".join(state.state for state in states), nothing)

    def closed(self, request: RunRequest, status: str, reason: str = "") -> None:
        self.world.at(f"closed {status} {reason}".strip(), nothing)

    def compose(self, request: RunRequest, case: Case, answer: Answer) -> tuple[Document, ...]:
        self.world.composed.append(answer)
        return self._written(f"{request.run_id} {len(answer.prediction.findings)} findings")

    def compose_refusal(
        self, request: RunRequest, reasons: tuple[str, ...]
    ) -> tuple[Document, ...]:
        if self.world.writer_says:
            self.world.writer_says()
        wanted = self.world.tells_refusals
        return self._written(f"{request.run_id} {reasons}") if wanted else ()

    def _written(self, content: str) -> tuple[Document, ...]:
        text, path = content.encode(), self.world.outbox / "sr.dcm"
        recorded = any(event.startswith(RECORDED) for event in self.world.events)
        if recorded and path.read_bytes() != text:
            raise AnswerChangedError("expected the answer that the run gave, found another")
        path.write_bytes(text)
        digest = "sha256:" + hashlib.sha256(text).hexdigest()
        return (Document("SR", path, digest, "1.2.840", "2.25.1", "2.25.2", "2.25.3"),)

    def deliver(
        self, request: RunRequest, documents: tuple[Document, ...]
    ) -> tuple[Delivered, ...]:
        recorded = [event for event in self.world.events if event.startswith(RECORDED)]
        assert recorded, "an output left before its record"
        states = []
        for document in documents:
            said = self.world.pacs_says(document) if self.world.pacs_says else None
            if isinstance(said, SuiteError):
                raise said
            store = {document.sop_instance_uid: document.content_digest}
            if said is None or said.state == "verified":
                self.world.at("stored", lambda new=store: self.world.stored.update(new))
            states.append(said or Delivered("pacs", "SR", document.sop_instance_uid, "verified"))
        return tuple(states)

    def observe(self, request: RunRequest, answer: Answer) -> None:
        if self.world.monitor_says:
            self.world.monitor_says()
        self.world.at("observed", nothing)


def house_of(world: World) -> House:
    room = Room(world)
    return House(room, room, room, room, room, room, room, room)


def go(world: World, request: RunRequest) -> RunResult:
    """Run one process on the world."""
    return pipeline.process(request, house_of(world), Steps(world))


@pytest.fixture
def request_() -> RunRequest:
    return RunRequest(
        run_id=RUN,
        study_instance_uid="1.2.3",
        plugin="example",
        plugin_version="1.0.0",
        release_digest="sha256:known",
        mode="research",
        series={"ct": "1.2.3.4"},
        sop_instance_uids=("1.2.3.4.1",),
        opened_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    geometry = Geometry((4, 8, 8), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), AXES, "1.9")
    array = np.zeros((4, 8, 8), dtype=np.float32)
    volume = Volume(array, geometry, "CT", "[hnsf'U]", "1.2.3", "1.2.3.4", "1.2", ("1.2.3.4.1",))
    volume_code = Code("118565006", "SCT", "Volume")
    prediction = Prediction(
        (Measurement(volume_code, 12.5, "ml"),), Uncertainty("predicted DSC", 0.9, (0.8, 1.0))
    )
    explanation = Explanation("none", "none", (), None, None, {})
    manifest = Manifest(
        *("example", "1.0.0", "Example", "Test the path", "analytic"),
        inputs=(Input("ct", "CT"),),
        outputs=(),
        envelope=Envelope(slice_spacing_mm=(1.0, 5.0)),
    )
    case = Case("1.2.3", Subject(40.0), {"ct": volume}, body_part="LEG")
    return World(case, Answer(prediction, explanation, {}, 0.1), tmp_path, manifest)


UNDISTURBED = [
    "opened", "input_read", "saved", "inferred", "stored", "delivered verified", "observed",
    "closed done", "wiped",
]  # fmt: skip


def test_effects_happen_in_the_order_of_the_path(world: World, request_: RunRequest) -> None:
    """The run is on record before the fetch, and its record before anything leaves."""
    done = go(world, request_)
    assert world.events == UNDISTURBED
    assert (done.status, done.code, done.reasons) == ("done", "", ())
    assert [state.state for state in done.states] == ["verified"]


@pytest.mark.parametrize("kill_at", range(1, 2 * len(UNDISTURBED) + 1))
def test_a_kill_anywhere_loses_and_doubles_nothing(
    world: World, request_: RunRequest, kill_at: int
) -> None:
    """Killed before or after any effect, a second process ends as one undisturbed would."""
    world.kill_at = kill_at
    with pytest.raises(Killed):
        go(world, request_)
    done = go(world, request_)
    assert done.status == "done"
    assert [event for event in world.events if event != "wiped"] == UNDISTURBED[:-1]
    assert len(world.stored) == 1
    assert world.inferences <= 2


def test_a_finished_inference_is_not_repeated(world: World, request_: RunRequest) -> None:
    """Killed while delivering, the second process takes the staged answer."""
    world.kill_at = 2 * UNDISTURBED.index("stored") + 1
    with pytest.raises(Killed):
        go(world, request_)
    go(world, request_)
    assert world.inferences == 1


def test_an_input_that_changed_between_two_attempts_is_refused(
    world: World, request_: RunRequest
) -> None:
    """A case fetched again after a crash must have the digest that was recorded."""
    world.kill_at = 2 * UNDISTURBED.index("saved") + 1
    with pytest.raises(Killed):
        go(world, request_)
    ct = world.case.images["ct"]
    other = replace(ct, array=ct.array + np.float32(1))
    world.case = replace(world.case, images={"ct": other})
    assert case_digest(world.case) != world.digests[RUN]
    ended = go(world, request_)
    assert (ended.status, ended.code) == ("refused", "INPUT_CHANGED")
    assert not world.stored


def test_a_case_outside_the_envelope_is_refused(world: World, request_: RunRequest) -> None:
    """A refusal is an answer: recorded, then told in objects; nothing is inferred."""
    narrow(world)
    ended = go(world, request_)
    assert (ended.status, ended.code, ended.reasons) == ("refused", "REFUSED", (NARROW,))
    assert world.events == REFUSED
    assert [state.state for state in ended.states] == ["verified"]
    assert world.inferences == 0
    assert not world.composed


NARROW = "SLICE_SPACING 3 mm, allowed 0.5 to 1 mm"
REFUSED = [
    "opened", "input_read", f"refused {NARROW}", "stored", "delivered verified",
    f"closed refused {NARROW}", "wiped",
]  # fmt: skip


def narrow(world: World) -> None:
    """Let the envelope refuse the case."""
    world.manifest = replace(world.manifest, envelope=Envelope(slice_spacing_mm=(0.5, 1.0)))


@pytest.mark.parametrize("kill_at", range(1, 2 * len(REFUSED) + 1))
def test_a_kill_anywhere_tells_a_refusal_once(
    world: World, request_: RunRequest, kill_at: int
) -> None:
    """Killed before or after any effect of a refusal, a second process ends it as if alone."""
    narrow(world)
    world.kill_at = kill_at
    with pytest.raises(Killed):
        go(world, request_)
    assert go(world, request_).status == "refused"
    assert [event for event in world.events if event != "wiped"] == REFUSED[:-1]
    assert len(world.stored) == 1


@pytest.mark.parametrize("mode", ["shadow", "replay", "what_if"])
def test_a_refusal_of_another_mode_stays_at_home(
    world: World, request_: RunRequest, mode: str
) -> None:
    """A shadow run that is refused is recorded and tells nobody outside."""
    narrow(world)
    assert go(world, replace(request_, mode=mode)).status == "refused"
    assert f"refused {NARROW}" in world.events
    assert not world.stored


def test_a_site_that_wants_no_refusals_gets_none(world: World, request_: RunRequest) -> None:
    """Switched off, a refusal closes as before, and its record says that nothing was written."""
    narrow(world)
    world.tells_refusals = False
    ended = go(world, request_)
    assert (ended.status, ended.documents, ended.states) == ("refused", (), ())
    assert f"untold SWITCHED_OFF {NARROW}" in world.events
    assert not world.stored


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MissingAttributeError("expected a readable header"), "INPUT_MISSING_ATTRIBUTE"),
        (NotFoundError("expected the archive to be configured"), "NOT_FOUND"),
        (ValueError("Mustermann^Erika"), "SUITE"),
    ],
)
def test_a_refusal_that_cannot_be_written_is_still_one(
    world: World, request_: RunRequest, error: Exception, code: str
) -> None:
    """Without a readable header no object is written; the record says so, the run is refused."""

    def broken() -> None:
        raise error

    narrow(world)
    world.writer_says = broken
    with capture_logs() as logs:
        ended = go(world, request_)
    assert (ended.status, ended.code) == ("refused", "REFUSED")
    assert f"untold {code} {NARROW}" in world.events
    assert f"closed refused {NARROW}" in world.events
    assert "Mustermann" not in repr(logs)


def test_a_refusal_waits_for_the_archive_of_its_headers(world: World, request_: RunRequest) -> None:
    """While the headers cannot be fetched the run stays open; later it is told after all."""

    def away() -> None:
        raise UnavailableError("the archive does not answer")

    narrow(world)
    world.writer_says = away
    with pytest.raises(UnavailableError):
        go(world, request_)
    assert world.events == ["opened", "input_read"]
    world.writer_says = None
    assert go(world, request_).status == "refused"
    assert [event for event in world.events if event != "wiped"] == REFUSED[:-1]


def test_a_refusal_is_delivered_later_where_a_target_is_away(
    world: World, request_: RunRequest
) -> None:
    """A refusal that waits for a target stays one, with its code and reasons."""
    narrow(world)
    world.pacs_says = waiting
    first = go(world, request_)
    assert (first.status, first.refusal) == ("delivering", "REFUSED")
    assert not any(event.startswith("closed") for event in world.events)
    world.pacs_says = None
    kept = result.decode(result.encode(first))
    last = pipeline.resume_delivery(request_, house_of(world), kept)
    assert (last.status, last.code, last.reasons) == ("refused", "REFUSED", (NARROW,))
    assert f"closed refused {NARROW}" in world.events


def test_a_refusal_that_no_target_takes_fails_the_run(world: World, request_: RunRequest) -> None:
    """An answer that cannot arrive is a fault that somebody looks at, also when it refuses."""
    narrow(world)
    world.pacs_says = lambda document: Delivered(
        "pacs", "SR", document.sop_instance_uid, "failed", "rejected"
    )
    ended = go(world, request_)
    assert (ended.status, ended.code, ended.refusal) == ("failed", "DOOR", "REFUSED")


@pytest.mark.parametrize("error", [SeriesChangedError("x"), MixedPatientsError("x")])
def test_what_is_no_answer_is_told_in_no_object(
    world: World, request_: RunRequest, error: SuiteError
) -> None:
    """A race with late objects, or a study of two patients, leaves nothing in anybody's record."""

    def broken() -> Case:
        raise error

    world.source_says = broken
    assert go(world, request_).status == "refused"
    assert world.events[:2] == ["opened", f"untold {error.code} {error.code}"]
    assert not world.stored


def test_one_run_never_gives_two_answers(world: World, request_: RunRequest) -> None:
    """What was refused as unreadable and can be read now is not answered under the same run."""

    def broken() -> Case:
        raise GeometryError("expected uniform spacing, found a gap after frame 12")

    world.source_says = broken
    assert go(world, request_).status == "refused"
    world.source_says = None
    world.steps.clear()
    again = go(world, request_)
    assert (again.status, again.code) == ("refused", "INPUT_ANSWER_CHANGED")
    assert "untold INPUT_ANSWER_CHANGED INPUT_ANSWER_CHANGED" in world.events
    assert len(world.stored) == 1


def test_a_result_is_not_followed_by_a_refusal_of_the_same_run(
    world: World, request_: RunRequest
) -> None:
    """A result that left stays as it is; a refusal that comes later is another revision's."""
    assert go(world, request_).status == "done"
    narrow(world)
    world.steps.clear()
    again = go(world, request_)
    assert (again.status, again.code) == ("refused", "INPUT_ANSWER_CHANGED")
    assert again.reasons == ("INPUT_ANSWER_CHANGED",)
    assert len(world.stored) == 1


def test_a_plugin_may_refuse_too(world: World, request_: RunRequest) -> None:
    """A refusal that the worker brings back counts like one of the envelope."""

    def refuse() -> Answer:
        raise RefusalError("expected a seed point", reasons=("SEED_REQUIRED",))

    world.worker_says = refuse
    assert go(world, request_).reasons == ("SEED_REQUIRED",)
    assert "refused SEED_REQUIRED" in world.events


def test_an_input_that_cannot_be_read_is_refused_with_its_code(
    world: World, request_: RunRequest
) -> None:
    """An error of the input refuses the study: the reason is the stable code."""

    def broken() -> Case:
        raise GeometryError("expected uniform spacing, found a gap after frame 12")

    world.source_says = broken
    ended = go(world, request_)
    assert (ended.status, ended.reasons) == ("refused", ("INPUT_GEOMETRY",))
    assert world.events[:2] == ["opened", "refused INPUT_GEOMETRY"]
    assert world.events[-2:] == ["closed refused INPUT_GEOMETRY", "wiped"]


def test_a_failing_plugin_fails_the_run(world: World, request_: RunRequest) -> None:
    """A plugin that hangs is killed by the runner; the run is closed with the fault's code."""

    def hang() -> Answer:
        raise PluginTimeoutError("expected an answer within 120 s")

    world.worker_says = hang
    ended = go(world, request_)
    assert (ended.status, ended.code) == ("failed", "PLUGIN_TIMEOUT")
    assert world.events == ["opened", "input_read", "closed failed PLUGIN_TIMEOUT"]


def test_an_unknown_release_fails_the_run(world: World, request_: RunRequest) -> None:
    """A run of a release that this site does not have is opened, and closed as failed."""
    ended = go(world, replace(request_, release_digest="sha256:unknown"))
    assert (ended.status, ended.code) == ("failed", "NOT_FOUND")
    assert world.events == ["opened", "closed failed NOT_FOUND"]


def test_a_defect_closes_the_run_and_tells_no_content(world: World, request_: RunRequest) -> None:
    """An unforeseen exception closes the run; its message, which may quote input, stays out."""

    def defect() -> Case:
        raise KeyError("Mustermann^Erika")

    world.source_says = defect
    with capture_logs() as logs:
        ended = go(world, request_)
    assert (ended.status, ended.code) == ("failed", "SUITE")
    assert "closed failed SUITE" in world.events
    assert "Mustermann" not in repr(logs)
    assert "KeyError" in repr(logs)


def test_a_retryable_error_leaves_the_run_open(world: World, request_: RunRequest) -> None:
    """While the archive is away the run waits; the next call goes on from there."""

    def away() -> Case:
        raise UnavailableError("the archive does not answer")

    world.source_says = away
    with pytest.raises(UnavailableError):
        go(world, request_)
    assert world.events == ["opened"]
    world.source_says = None
    assert go(world, request_).status == "done"
    assert [event for event in world.events if event != "wiped"] == UNDISTURBED[:-1]


def test_giving_up_closes_the_run(world: World, request_: RunRequest) -> None:
    """After the engine's last attempt the run is closed as failed, with the last code."""
    ended = pipeline.give_up(request_, house_of(world), UnavailableError("away"))
    assert (ended.status, ended.code) == ("failed", "DOOR_UNAVAILABLE")
    assert world.events == ["closed failed DOOR_UNAVAILABLE"]


def test_an_abstention_carries_no_findings(world: World, request_: RunRequest) -> None:
    """Where the plugin abstains, objects and record are made without its findings."""
    doubt = Uncertainty("predicted DSC", 0.3, (0.1, 0.5), abstain=True, reasons=("LOW 0.30",))
    world.answer = replace(
        world.answer, prediction=replace(world.answer.prediction, uncertainty=doubt)
    )
    ended = go(world, request_)
    assert (ended.status, ended.reasons, ended.abstained) == ("abstained", ("LOW 0.30",), True)
    assert [answer.prediction.findings for answer in world.composed] == [()]
    assert world.composed[0].explanation is None
    assert "closed abstained LOW 0.30" in world.events


def test_monitoring_never_undoes_a_result(world: World, request_: RunRequest) -> None:
    """Whatever monitoring raises, the run is done."""

    def broken() -> None:
        raise RuntimeError("no table")

    world.monitor_says = broken
    assert go(world, request_).status == "done"


@pytest.mark.parametrize("mode", ["shadow", "replay", "what_if"])
def test_results_of_other_modes_stay_at_home(world: World, request_: RunRequest, mode: str) -> None:
    """A shadow, replay or what-if run is recorded and watched, and leaves nothing."""
    ended = go(world, replace(request_, mode=mode))
    assert ended.status == "done"
    assert {"inferred", "observed", "closed done"} <= set(world.events)
    assert not world.stored


def waiting(document: Document) -> Delivered:
    """Answer like a target that is away."""
    return Delivered("pacs", "SR", document.sop_instance_uid, "pending", "away", DUE)


def test_delivery_goes_on_without_a_second_inference(world: World, request_: RunRequest) -> None:
    """A target that is away leaves the run open and delivering; later calls finish it."""
    world.pacs_says = waiting
    first = go(world, request_)
    assert (first.status, first.next_attempt_at) == ("delivering", DUE)
    assert not any(event.startswith("closed") for event in world.events)
    assert not world.staged
    kept = result.decode(result.encode(first))
    assert kept == first
    second = pipeline.resume_delivery(request_, house_of(world), kept)
    assert second.status == "delivering"
    world.pacs_says = None
    last = pipeline.resume_delivery(request_, house_of(world), second)
    assert (last.status, world.inferences, len(world.stored)) == ("done", 1, 1)
    assert [event for event in world.events if event.startswith("closed")] == ["closed done"]


def test_a_door_that_raises_while_away_is_waited_for(world: World, request_: RunRequest) -> None:
    """UnavailableError from delivery means later, not failed; the engine chooses when."""
    world.pacs_says = lambda _: UnavailableError("away")
    first = go(world, request_)
    assert (first.status, first.next_attempt_at) == ("delivering", None)
    assert "observed" in world.events


def test_a_refused_delivery_fails_the_run_after_monitoring(
    world: World, request_: RunRequest
) -> None:
    """Wrong credentials end the run as failed, with their code; its statistics are kept."""
    world.pacs_says = lambda _: AuthenticationError("the archive refuses our password")
    ended = go(world, request_)
    assert (ended.status, ended.code) == ("failed", "DOOR_AUTHENTICATION")
    assert {"observed", "closed failed DOOR_AUTHENTICATION"} <= set(world.events)


def test_a_document_that_failed_for_good_fails_the_run(world: World, request_: RunRequest) -> None:
    """A run is done only when every document arrived."""
    world.pacs_says = lambda document: Delivered(
        "pacs", "SR", document.sop_instance_uid, "failed", "rejected"
    )
    ended = go(world, request_)
    assert (ended.status, ended.code) == ("failed", "DOOR")


def test_stored_is_final_where_nothing_can_be_read_back(world: World, request_: RunRequest) -> None:
    """A peer without search and commitment ends at stored, with the reason."""
    world.pacs_says = lambda document: Delivered(
        "tps", "SR", document.sop_instance_uid, "stored", "NO_READ_BACK"
    )
    assert go(world, request_).status == "done"


def test_an_abstention_stays_one_through_a_late_delivery(
    world: World, request_: RunRequest
) -> None:
    """Delivery that goes on later does not turn an abstention into a result."""
    doubt = Uncertainty("predicted DSC", 0.3, (0.1, 0.5), abstain=True, reasons=("LOW 0.30",))
    world.answer = replace(
        world.answer, prediction=replace(world.answer.prediction, uncertainty=doubt)
    )
    world.pacs_says = waiting
    first = go(world, request_)
    world.pacs_says = None
    last = pipeline.resume_delivery(request_, house_of(world), first)
    assert (last.status, last.reasons) == ("abstained", ("LOW 0.30",))


def _certified(**changes: object) -> Standing:
    return Standing((), certificate_for("sha256:known", **changes))


YOUNG = Stratum("under-50", 3, "insufficient", {"age_years": [0, 50]})
MARK = "STRATUM_INSUFFICIENT under-50 3"


@pytest.mark.reg("AIA-10.3")
def test_a_patient_whom_the_certificate_does_not_cover(world: World, request_: RunRequest) -> None:
    """In clinical mode refused, in research mode marked on the answer that is written."""
    world.standing = _certified(strata=(YOUNG,))
    assert go(world, request_).status == "done"
    assert world.composed[0].prediction.uncertainty.reasons == (MARK,)
    again = replace(world, events=[], steps={}, composed=[], inferences=0)
    ended = go(again, replace(request_, mode="clinical"))
    assert (ended.status, ended.reasons) == ("refused", (MARK,))
    assert again.inferences == 0


def test_a_certificate_that_is_over_ends_clinical_use(world: World, request_: RunRequest) -> None:
    """At run time an expired certificate refuses the study; research goes on unmarked."""
    over = Objection("CERTIFICATE_EXPIRED", "it expired", "Validate again.")
    world.standing = Standing((over,))
    ended = go(world, replace(request_, mode="clinical"))
    assert (ended.status, ended.reasons) == ("refused", ("CERTIFICATE_EXPIRED",))
    again = replace(world, events=[], steps={})
    assert go(again, request_).status == "done"
    assert again.composed[0].prediction.uncertainty.reasons == ()


@pytest.mark.parametrize("mode", ["clinical", "research", "shadow"])
def test_a_barred_release_runs_in_no_mode(world: World, request_: RunRequest, mode: str) -> None:
    """A stop or suspension that came after routing ends the run before anything is inferred."""
    stopped = Objection("STOPPED", "it is stopped", "Lift the stop.")
    world.standing = replace(_certified(), barred=(stopped,))
    ended = go(world, replace(request_, mode=mode))
    assert (ended.status, ended.reasons) == ("refused", ("STOPPED",))
    assert world.inferences == 0


@pytest.mark.reg("AIA-13.3c")
def test_another_runtime_than_the_certified_one(world: World, request_: RunRequest) -> None:
    """In clinical mode an answer made in another environment is refused, elsewhere marked."""
    world.standing = _certified(runtime={"torch": "2.13.0"})
    world.answer = replace(world.answer, runtime={"torch": "2.14.0"})
    assert go(world, request_).status == "done"
    assert world.composed[0].prediction.uncertainty.reasons == ("RUNTIME_DIFFERS torch",)
    again = replace(world, events=[], steps={}, staged={}, stored={}, composed=[])
    ended = go(again, replace(request_, mode="clinical"))
    assert (ended.status, ended.reasons) == ("refused", ("RUNTIME_DIFFERS torch",))
    assert not again.composed
    same = replace(again, events=[], steps={}, standing=_certified(runtime={"torch": "2.14.0"}))
    assert go(same, replace(request_, mode="clinical")).status == "done"


@pytest.mark.reg("AIA-14.4e")
def test_a_run_that_is_taken_out_while_it_works(world: World, request_: RunRequest) -> None:
    """A stop during the inference: nothing is composed, recorded as an answer, or leaves."""

    def stopped() -> Answer:
        world.taken_out = True
        return world.answer

    world.worker_says = stopped
    ended = go(world, request_)
    assert (ended.status, ended.reasons) == ("refused", ("STOPPED",))
    assert not world.composed
    assert not world.stored
    assert "inferred" not in world.events
