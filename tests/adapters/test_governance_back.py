"""Going back, stopping, patients in course: what becomes of studies, runs and results."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.compose import Site
from adapters.governance import recalling
from adapters.governance.acts import act, waive
from adapters.governance.courses import decide_course
from adapters.governance.promoting import activate, start_canary, start_shadow
from adapters.governance.rolling_back import Wish, rollback
from adapters.governance.stopping import lift, stop
from adapters.rt.write_phantom import PhantomStudy, encode_limb
from audit.errors import BarredError, NotFoundError, RefusalError, ReleaseTamperedError
from governance.release import folder_name
from plugins.host.ports import RunRequest
from tests.simulators.governed_site import (
    APPROVER,
    CLINICIAN,
    COMPLIANCE,
    ENGINEER,
    PHYSICIST,
    Clock,
    add_release,
    approved,
    governed_site,
    records,
    state_of,
)
from validation.phantoms.limb import LimbParameters, LimbPhantom, limb

COARSE = LimbParameters(has_pet=False, margin_mm=(15.0, 30.0, 30.0), ct_spacing_mm=(6.0, 3.0, 3.0))


@pytest.fixture(scope="module")
def phantom() -> LimbPhantom:
    """One phantom, written under many names."""
    return limb(COARSE)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Site, Clock]]:
    """A site whose course lasts 60 days and whose canary needs two studies."""
    rules = {"course_days": 60, "minimum_pairs": 2}
    with governed_site(tmp_path, governance=rules) as opened:
        yield opened


def send(site: Site, clock: Clock, phantom: LimbPhantom, name: str, patient: str = "") -> str:
    """Store a study, let it become quiet, route it; return its UID."""
    written = PhantomStudy(name=name, patient_id=patient or f"PID-{name}")
    study = written.uid(phantom, "study")
    site.archives["pacs"].store(study, tuple(encode_limb(phantom, written).values()))
    route(site, clock)
    return study


def route(site: Site, clock: Clock) -> None:
    """Let the feed look at what came."""
    site.feed.poll()
    clock.forward(seconds=70)
    site.feed.settle()


def runs(site: Site, study: str) -> list[tuple[str, str, str, str]]:
    """Return (version, mode, status, reason) of a study's runs: oldest first, live first."""
    with site.database.reading() as transaction:
        rows = transaction.runs_for_study(study, "trial")
    rows = sorted(rows, key=lambda row: (row.opened_at, row.mode))
    return [(row.plugin_version, row.mode, row.status, row.reason) for row in rows]


def requests(site: Site, study: str) -> list[RunRequest]:
    """Return the requests of a study's runs."""
    with site.database.reading() as transaction:
        return [row.request for row in transaction.runs_for_study(study, "trial")]


def done(site: Site, study: str) -> None:
    """Close the open runs of a study as done, as if they had answered."""
    with site.database.reading() as transaction:
        rows = transaction.open_runs(plugin="trial")
    for row in rows:
        if row.study_instance_uid == study:
            site.journal.opened(row.request)
            site.journal.closed(row.request, "done")


def two_releases(site: Site, clock: Clock) -> tuple[str, str]:
    """Make two certified releases; the second is active, the first on standby by a waiver swap."""
    one, two = (approved(site, add_release(site, version)) for version in ("1.0.0", "2.0.0"))
    activate(site, one, APPROVER, "first")
    clock.forward(minutes=1)
    return one, two


def swap(site: Site, clock: Clock, digest: str) -> None:
    """Make another release active by a waiver, in research mode."""
    waive(site, digest, APPROVER, "swap", timedelta(days=90))
    clock.forward(minutes=1)


def test_shadow_runs_beside_and_canary_takes_its_share(
    place: tuple[Site, Clock], phantom: LimbPhantom
) -> None:
    """One live run for each study; the release under test in shadow, then for its share."""
    site, clock = place
    _, two = two_releases(site, clock)
    with pytest.raises(RefusalError) as caught:
        activate(site, two, APPROVER, "at once")
    assert caught.value.reasons == ("CONDITION_NOT_MET",)
    start_shadow(site, two, APPROVER, "look")
    study = send(site, clock, phantom, "a")
    assert runs(site, study) == [
        ("1.0.0", "research", "queued", ""), ("2.0.0", "shadow", "queued", ""),
    ]  # fmt: skip
    with pytest.raises(RefusalError) as caught:
        start_canary(site, two, APPROVER, "too early", 0.5)
    assert caught.value.reasons == ("TOO_FEW_STUDIES",)
    assert state_of(site, two) == "shadow"
    with site.database.reading() as transaction:
        assert transaction.governed("comparison", two) is None
    said = [record.body["assigned"] for record in records(site, "route_decision")]
    assert sorted(said) == ["ACTIVE", "UNDER_TEST"]
    modes = [record.mode for record in records(site, "route_decision")]
    assert sorted(modes) == ["research", "shadow"]


def test_rollback_takes_queued_studies_to_the_target_once(
    place: tuple[Site, Clock], phantom: LimbPhantom
) -> None:
    """What waits is routed again, once; what ended stands and is on the recall list."""
    site, clock = place
    one, two = two_releases(site, clock)
    swap(site, clock, two)
    answered, waiting = (send(site, clock, phantom, name) for name in "ab")
    done(site, answered)
    back = rollback(site, "trial", PHYSICIST, Wish("odd contours"))
    assert (back.target.release_digest, back.left.release_digest) == (one, two)  # type: ignore[union-attr]
    assert (state_of(site, one), state_of(site, two)) == ("active", "standby")
    assert [len(ids) for ids in (back.drained.rerouted, back.drained.cancelled)] == [1, 0]
    for _ in range(2):
        route(site, clock)
    assert runs(site, answered) == [("2.0.0", "research", "done", "")]
    assert runs(site, waiting) == [
        ("2.0.0", "research", "discarded", "REROUTED"), ("1.0.0", "research", "queued", ""),
    ]  # fmt: skip
    # and forward again before the target has begun: the first run comes back, nothing is lost
    rollback(site, "trial", PHYSICIST, Wish("it was the scanner"))
    route(site, clock)
    assert runs(site, waiting) == [
        ("2.0.0", "research", "queued", ""), ("1.0.0", "research", "discarded", "REROUTED"),
    ]  # fmt: skip
    actions = [record.body["action"] for record in records(site, "lifecycle")]
    assert actions[-4:] == ["supersede", "rollback", "supersede", "rollback"]
    site.verify_log()


def test_rollback_with_suspension_ends_work_in_progress(
    place: tuple[Site, Clock], phantom: LimbPhantom
) -> None:
    """Left for cause: a run at work ends without a result and the study goes to the target."""
    site, clock = place
    one, two = two_releases(site, clock)
    swap(site, clock, two)
    study = send(site, clock, phantom, "a")
    (request,) = requests(site, study)
    site.journal.opened(request)
    rollback(site, "trial", CLINICIAN, Wish("wrong side", suspend=True))
    assert (state_of(site, one), state_of(site, two)) == ("active", "suspended")
    with pytest.raises(BarredError):
        site.journal.require_open(request)
    route(site, clock)
    assert runs(site, study)[-1] == ("1.0.0", "research", "queued", "")
    assert [item.code for item in site.registry.standing(request).barred] == ["RELEASE_SUSPENDED"]


def test_a_target_that_is_not_what_it_was_is_not_switched_to(
    place: tuple[Site, Clock], phantom: LimbPhantom
) -> None:
    """One flipped byte of the old release, and the rollback is refused, the member named."""
    site, clock = place
    one, two = two_releases(site, clock)
    swap(site, clock, two)
    study = send(site, clock, phantom, "a")
    member = site.home.releases / folder_name(one) / "card.md"
    member.chmod(0o644)
    member.write_bytes(b"#" + bytes([member.read_bytes()[1] ^ 1]) + member.read_bytes()[2:])
    with pytest.raises(ReleaseTamperedError, match=r"card\.md"):
        rollback(site, "trial", PHYSICIST, Wish("odd contours"))
    assert (state_of(site, one), state_of(site, two)) == ("standby", "active")
    assert runs(site, study) == [("2.0.0", "research", "queued", "")]


def test_who_may_roll_back_and_to_what(place: tuple[Site, Clock]) -> None:
    """A role without a say, a reason that is missing, a target that is not on standby."""
    site, clock = place
    one, two = two_releases(site, clock)
    for wish, person, code in (
        (Wish("x"), PHYSICIST, "NOTHING_ON_STANDBY"),
        (Wish("x", to=two), PHYSICIST, "NOTHING_ON_STANDBY"),
    ):
        with pytest.raises(RefusalError) as caught:
            rollback(site, "trial", person, wish)
        assert caught.value.reasons == (code,)
    swap(site, clock, two)
    for wish, person, code in (
        (Wish("  "), PHYSICIST, "EVIDENCE_MISSING"),
        (Wish("x"), ENGINEER, "ROLE_NOT_PERMITTED"),
    ):
        with pytest.raises(RefusalError) as caught:
            rollback(site, "trial", person, wish)
        assert code in caught.value.reasons
    assert (state_of(site, one), state_of(site, two)) == ("standby", "active")


@pytest.mark.reg("AIA-14.4e")
def test_one_stop_ends_everything_and_new_studies_take_the_manual_path(
    place: tuple[Site, Clock], phantom: LimbPhantom
) -> None:
    """Queued and running work ends in one act; what comes later is told why it does not run."""
    site, clock = place
    two_releases(site, clock)
    studies = [send(site, clock, phantom, name) for name in "ab"]
    (request,) = requests(site, studies[0])
    site.journal.opened(request)
    stopped = stop(site, "everything", CLINICIAN, "network intrusion")
    assert len(stopped.drained.cancelled) == 2
    assert {runs(site, study)[0][2:] for study in studies} == {("discarded", "STOPPED")}
    later = send(site, clock, phantom, "c")
    assert runs(site, later) == []
    last = records(site, "route_decision")[-1]
    assert (last.body["applies"], last.body["assigned"]) == (False, "STOPPED")
    with pytest.raises(RefusalError):
        lift(site, "everything", CLINICIAN, "over")
    lift(site, "everything", APPROVER, "over")
    assert [r.body["action"] for r in records(site, "stop")] == ["stop", "lift"]
    assert runs(site, send(site, clock, phantom, "d"))[0][2] == "queued"
    assert runs(site, later) == []
    with pytest.raises(NotFoundError):
        lift(site, "everything", APPROVER, "again")
    with pytest.raises(NotFoundError):
        stop(site, "elbow", APPROVER, "no such plugin")


def test_a_stop_and_a_sending_never_pass_each_other(
    place: tuple[Site, Clock], phantom: LimbPhantom
) -> None:
    """Documents that were not being sent when a run was taken out are never sent."""
    from plugins.host.ports import Document

    site, clock = place
    two_releases(site, clock)
    study = send(site, clock, phantom, "a")
    (request,) = requests(site, study)
    path = site.home.outbox / "sr.dcm"
    path.write_bytes(b"not sent")
    document = Document("FHIR", path, "sha256:" + "0" * 64)
    site.journal.opened(request)
    with site.database.transaction() as transaction:
        transaction.add_run_step(request.run_id, "inference:x", "0" * 36)
    stop(site, "trial", PHYSICIST, "odd contours")
    calls: list[str] = []
    delivery = site.house.delivery
    delivery._require_recorded = calls.append  # type: ignore[attr-defined]
    with pytest.raises(BarredError):
        delivery.deliver(request, (document,))
    assert calls == [request.run_id]
    with site.database.reading() as transaction:
        assert {row.state for row in transaction.deliveries(request.run_id)} == {"pending"}


def test_suspending_a_canary_gives_its_studies_back(
    place: tuple[Site, Clock], phantom: LimbPhantom
) -> None:
    """A canary that stops leaves nothing undone: the active release takes its queue."""
    site, clock = place
    one, two = two_releases(site, clock)
    start_shadow(site, two, APPROVER, "look")
    for name in "ab":
        study = send(site, clock, phantom, name)
        done(site, study)
    from adapters.governance.comparing import compare_pairs

    assert compare_pairs(site) == 2
    with pytest.raises(RefusalError) as caught:
        start_canary(site, two, APPROVER, "no findings were kept", 1.0)
    assert caught.value.reasons == ("TOO_FEW_STUDIES",)
    _agree(site, two, one)
    start_canary(site, two, APPROVER, "look closer", 1.0)
    study = send(site, clock, phantom, "c")
    assert [line[:3] for line in runs(site, study)] == [
        ("2.0.0", "research", "queued"), ("1.0.0", "shadow", "queued"),
    ]  # fmt: skip
    act(site, "suspend", two, ENGINEER, {"reason": "alarm"})
    route(site, clock)
    assert [line[:3] for line in runs(site, study)] == [
        ("2.0.0", "research", "discarded"), ("1.0.0", "shadow", "queued"),
        ("1.0.0", "research", "queued"),
    ]  # fmt: skip


def _agree(site: Site, digest: str, against: str) -> None:
    """Put good comparisons of a release, as if its findings had been kept."""
    from adapters.database.courses import ComparisonRow
    from governance.agreement import Pair

    with site.database.transaction() as transaction:
        for number in range(3):
            pair = Pair("paired", {"Bone": 0.97 + number / 100})
            row = ComparisonRow(f"{number:032x}", "f" * 32, digest, against, pair, site.now())
            transaction.put_comparison(row)


def test_a_patient_in_course_stays_until_a_physician_decides(
    place: tuple[Site, Clock], phantom: LimbPhantom
) -> None:
    """After a change of release the same patient's next study runs where the course began."""
    site, clock = place
    one, two = two_releases(site, clock)
    site.journal.enrol(PhantomStudy(name="a").uid(phantom, "study"), "PID-1")
    done(site, send(site, clock, phantom, "a", "PID-1"))
    swap(site, clock, two)
    assert runs(site, send(site, clock, phantom, "b", "PID-1"))[0][0] == "1.0.0"
    assert runs(site, send(site, clock, phantom, "c", "PID-2"))[0][0] == "2.0.0"
    act(site, "suspend", one, CLINICIAN, {"reason": "odd contours"})
    unserved = send(site, clock, phantom, "d", "PID-1")
    assert runs(site, unserved) == []
    assert records(site, "route_decision")[-1].body["assigned"] == "COURSE_NEEDS_DECISION"
    pseudonym = site.pseudonyms.subject(unserved)
    for person, reason, code in (
        (PHYSICIST, "x", "ROLE_NOT_PERMITTED"),
        (CLINICIAN, " ", "EVIDENCE_MISSING"),
    ):
        with pytest.raises(RefusalError) as caught:
            decide_course(site, "trial", pseudonym, two, person, reason)
        assert caught.value.reasons == (code,)
    with pytest.raises(RefusalError):
        decide_course(site, "trial", pseudonym, one, CLINICIAN, "back")
    with pytest.raises(NotFoundError):
        decide_course(site, "trial", "hmac:v1:" + "0" * 32, two, CLINICIAN, "whoever")
    decide_course(site, "trial", pseudonym, two, CLINICIAN, "new plan on the new contours")
    assert runs(site, send(site, clock, phantom, "e", "PID-1"))[0][0] == "2.0.0"
    clock.forward(days=61)
    assert runs(site, send(site, clock, phantom, "f", "PID-1"))[0][0] == "2.0.0"


def test_recall_is_read_on_record_and_identities_are_for_clinical_roles(
    place: tuple[Site, Clock], phantom: LimbPhantom
) -> None:
    """Each reading is an access; names come from the vault, for whom they concern."""
    site, clock = place
    _, two = two_releases(site, clock)
    swap(site, clock, two)
    study = send(site, clock, phantom, "a", "PID-SECRET")
    site.journal.enrol(study, "PID-SECRET")
    (request,) = requests(site, study)
    site.journal.opened(request)
    found = recalling.read_recall(site, two, COMPLIANCE)
    assert [run.todo for run in found.runs] == ["IN_PROGRESS"]
    assert "PID-SECRET" not in repr(found)
    with pytest.raises(RefusalError):
        recalling.read_recall(site, two, COMPLIANCE, identities=True)
    named = recalling.read_recall(site, two, CLINICIAN, identities=True)
    assert named.runs[0].identity == {"patient_id": "PID-SECRET", "study_uid": study}
    assert named.digest == found.digest
    site.pseudonyms.erase("PID-SECRET")
    assert recalling.read_recall(site, two, CLINICIAN, identities=True).runs[0].identity == {
        "patient_id": "", "study_uid": "",
    }  # fmt: skip
    said = [(r.body["what"], r.actor.id) for r in records(site, "access")]
    assert said == [
        ("recall", "compliance"), ("recall-identities", "clinician"),
        ("recall-identities", "clinician"),
    ]  # fmt: skip
    assert recalling.read_recall(site, two, CLINICIAN, site.now() + timedelta(days=1)).runs == ()


def test_a_recall_is_told_acknowledged_and_handled(
    place: tuple[Site, Clock], phantom: LimbPhantom
) -> None:
    """Overseers are told of a rollback, each acknowledges, and each patient is dealt with."""
    from governance.recall import unacknowledged

    site, clock = place
    _, two = two_releases(site, clock)
    swap(site, clock, two)
    study = send(site, clock, phantom, "a", "PID-1")
    site.journal.enrol(study, "PID-1")
    (request,) = requests(site, study)
    site.journal.opened(request)
    back = rollback(site, "trial", PHYSICIST, Wish("odd contours"))
    assert back.recall is not None
    assert back.recall.content["told"] == ["clinician", "physicist"]
    assert (back.recall.content["runs"], back.recall.content["patients"]) == (1, 1)
    recalling.acknowledge(site, two, CLINICIAN)
    with site.database.reading() as transaction:
        assert unacknowledged(transaction, two) == ("physicist",)
    pseudonym = site.pseudonyms.subject(study)
    recalling.handle(site, two, pseudonym, CLINICIAN, "contoured by hand")
    with pytest.raises(NotFoundError):
        recalling.handle(site, two, "hmac:v1:" + "0" * 32, CLINICIAN, "x")
    with pytest.raises(RefusalError):
        recalling.handle(site, two, pseudonym, ENGINEER, "x")


def test_two_persons_who_roll_back_at_once(place: tuple[Site, Clock]) -> None:
    """Of two rollbacks at the same moment one is made and the other is told."""
    site, clock = place
    one, two = two_releases(site, clock)
    swap(site, clock, two)
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def go(to: str) -> None:
        start.wait()
        try:
            rollback(site, "trial", PHYSICIST, Wish("at once", to=to))
            outcomes.append("made")
        except RefusalError as error:
            outcomes.append(error.reasons[0])

    threads = [threading.Thread(target=go, args=(one,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["NOTHING_ON_STANDBY", "made"]
    assert state_of(site, one) == "active"
