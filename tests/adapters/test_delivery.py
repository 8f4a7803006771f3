"""Delivery of a run: every document at every target, once, and read back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.delivery.folder import FolderTarget
from adapters.delivery.pacs import PacsTarget
from adapters.delivery.target import Found, Sent
from audit.errors import ConfigurationError, LogUnavailableError


def _states(delivered):
    return [item.state for item in delivered]


def test_documents_are_stored_and_read_back(delivery_site):
    """Every document of a run ends verified, and nothing more is due."""
    pacs = delivery_site.shaky()
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    request, documents = delivery_site.run()
    states = delivery.deliver(request, documents)
    assert _states(states) == ["verified", "verified"]
    assert all(item.next_attempt_at is None for item in states)
    assert pacs.instances() == sorted(item.sop_instance_uid for item in documents)


def test_delivering_twice_sends_once(delivery_site):
    """A second call for a delivered run speaks to nobody."""
    pacs = delivery_site.shaky()
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    request, documents = delivery_site.run()
    first = delivery.deliver(request, documents)
    calls = len(pacs.calls)
    assert delivery.deliver(request, documents) == first
    assert len(pacs.calls) == calls


@pytest.mark.parametrize("mode", ["shadow", "what_if", "replay"])
def test_results_that_stay_at_home_are_refused_at_the_door(delivery_site, mode):
    """Shadow, what-if and replay runs leave nothing anywhere, and no row of their own."""
    pacs, folder = delivery_site.shaky(), delivery_site.root / "out"
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs), FolderTarget("files", folder))
    request, documents = delivery_site.run(mode=mode)
    states = delivery.deliver(request, documents)
    assert {item.state for item in states} == {"held"}
    assert {item.reason for item in states} == {f"MODE_{mode.upper()}"}
    assert pacs.calls == []
    assert list(folder.iterdir()) == []
    assert delivery_site.recorded == []
    with delivery_site.database.reading() as transaction:
        assert transaction.deliveries(request.run_id) == ()


def test_a_replay_does_not_touch_the_states_of_the_run_it_replays(delivery_site):
    """A replay under the same run id leaves the verified states as they are."""
    delivery = delivery_site.delivery(PacsTarget("pacs", delivery_site.shaky()))
    request, documents = delivery_site.run()
    delivery.deliver(request, documents)
    delivery.deliver(replace(request, mode="replay"), documents)
    with delivery_site.database.reading() as transaction:
        states = {row.state for row in transaction.deliveries(request.run_id)}
    assert states == {"verified"}


def test_nothing_leaves_before_the_record_is_in_the_tree(delivery_site):
    """While the record is not durable nothing is sent; afterwards everything is."""
    pacs = delivery_site.shaky()

    def not_yet(_):
        raise LogUnavailableError("expected the record in the tree, found none")

    request, documents = delivery_site.run()
    with pytest.raises(LogUnavailableError):
        delivery_site.delivery(PacsTarget("pacs", pacs), require_recorded=not_yet).deliver(
            request, documents
        )
    assert pacs.calls == []
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    assert _states(delivery.deliver(request, documents)) == ["verified"] * 2
    assert delivery_site.recorded == [request.run_id]


def test_an_archive_that_forgets_an_instance_is_caught(delivery_site):
    """Success without an instance is found by reading back, and only that one goes again."""
    pacs = delivery_site.shaky()
    request, documents = delivery_site.run()
    lost = documents[1].sop_instance_uid
    pacs.forget = {lost}
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    states = delivery.deliver(request, documents)
    assert _states(states) == ["verified", "pending"]
    assert states[1].reason == "DOOR_NOT_STORED"
    assert states[1].next_attempt_at > delivery_site.clock.now
    pacs.forget = set()
    assert _states(delivery_site.until_final(delivery, request, documents)) == ["verified"] * 2
    assert pacs.stored == [documents[0].sop_instance_uid, lost]


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (0xA700, "pending", "STORE_FAILED_A700"),
        (0x0110, "pending", "STORE_FAILED_0110"),
        (0xA900, "failed", "STORE_FAILED_A900"),
        (0xC000, "failed", "STORE_FAILED_C000"),
        (0x0122, "failed", "STORE_FAILED_0122"),
    ],
)
def test_partial_success_concerns_the_refused_instance_only(delivery_site, code, state, reason):
    """Busy statuses are tried again, refusals go to the failure queue, the rest is verified."""
    pacs = delivery_site.shaky()
    request, documents = delivery_site.run()
    pacs.codes = {documents[0].sop_instance_uid: code}
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    states = delivery.deliver(request, documents)
    assert _states(states) == [state, "verified"]
    assert states[0].reason == reason
    pacs.codes = {}
    delivery.restart(request.run_id)
    assert _states(delivery_site.until_final(delivery, request, documents)) == ["verified"] * 2
    assert sorted(pacs.stored) == pacs.instances()


def test_what_is_there_already_with_the_same_content_is_fine(delivery_site):
    """A document that somebody stored before is verified."""
    pacs = delivery_site.shaky()
    request, documents = delivery_site.run()
    for item in documents:
        pacs.folder.store(item.study_instance_uid, [item.path.read_bytes()])
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    assert _states(delivery.deliver(request, documents)) == ["verified"] * 2


def test_what_is_there_with_other_content_fails(delivery_site):
    """A document whose UID carries other content goes to the failure queue."""
    pacs = delivery_site.shaky()
    request, documents = delivery_site.run()
    pacs.change = {documents[0].sop_instance_uid}
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    states = delivery.deliver(request, documents)
    assert _states(states) == ["failed", "verified"]
    assert states[0].reason == "OTHER_CONTENT"


def test_each_target_has_its_own_state(delivery_site):
    """One target away and one refusing do not hold up the third."""
    away, refusing, fine = (delivery_site.shaky(name) for name in ("away", "refusing", "fine"))
    request, documents = delivery_site.run()
    away.away = True
    refusing.codes = dict.fromkeys([item.sop_instance_uid for item in documents], 0xC000)
    targets = [PacsTarget(pacs.name, pacs) for pacs in (away, refusing, fine)]
    states = delivery_site.delivery(*targets).deliver(request, documents)
    assert {(item.target, item.state) for item in states} == {
        ("away", "pending"),
        ("refusing", "failed"),
        ("fine", "verified"),
    }


def test_a_target_gets_only_the_kinds_it_wants(delivery_site):
    """A planning system that wants structure sets gets nothing else."""
    system, archive = delivery_site.shaky("tps"), delivery_site.shaky("pacs")
    request, documents = delivery_site.run()
    delivery = delivery_site.delivery(
        PacsTarget("tps", system, frozenset({"RTSTRUCT"})), PacsTarget("pacs", archive)
    )
    states = delivery.deliver(request, documents)
    assert [(item.target, item.kind) for item in states] == [
        ("tps", "RTSTRUCT"),
        ("pacs", "RTSTRUCT"),
        ("pacs", "SC"),
    ]
    assert len(system.instances()) == 1


def test_a_weekend_without_the_archive_loses_nothing(delivery_site):
    """From Friday to Monday it is asked seldom enough and goes through at once when back."""
    pacs = delivery_site.shaky()
    pacs.away = True
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    request, documents = delivery_site.run()
    back = delivery_site.clock.now + timedelta(hours=63)
    while delivery_site.clock.now < back:
        states = delivery.deliver(request, documents)
        assert {item.state for item in states} == {"pending"}
        delivery_site.clock.now = max(item.next_attempt_at for item in states)
    assert 63 * 4 <= len(pacs.calls) <= 63 * 4 + 15
    pacs.away = False
    returned = delivery_site.clock.now
    assert _states(delivery_site.until_final(delivery, request, documents)) == ["verified"] * 2
    assert delivery_site.clock.now - returned <= timedelta(minutes=15)
    assert pacs.instances() == sorted(item.sop_instance_uid for item in documents)


def test_after_seven_days_the_documents_wait_in_the_failure_queue(delivery_site):
    """A target that never comes back ends in the failure queue, from which it can restart."""
    pacs = delivery_site.shaky()
    pacs.away = True
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs), patience=timedelta(hours=6))
    request, documents = delivery_site.run()
    start = delivery_site.clock.now
    states = delivery_site.until_final(delivery, request, documents)
    assert {(item.state, item.reason) for item in states} == {
        ("failed", "GAVE_UP:DOOR_UNAVAILABLE")
    }
    assert timedelta(hours=6) <= delivery_site.clock.now - start <= timedelta(hours=9)
    assert [row.run_id for row in delivery.failures()] == [request.run_id] * 2
    pacs.away = False
    assert delivery.restart(request.run_id) == 2
    assert _states(delivery.deliver(request, documents)) == ["verified"] * 2
    assert delivery.failures() == ()


def test_wrong_credentials_wait_for_a_person(delivery_site):
    """Documents wait while the archive refuses our password, and go when it is right."""
    pacs = delivery_site.shaky()
    pacs.credentials = False
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    request, documents = delivery_site.run()
    states = delivery.deliver(request, documents)
    assert {(item.state, item.reason) for item in states} == {("pending", "DOOR_AUTHENTICATION")}
    pacs.credentials = True
    assert _states(delivery_site.until_final(delivery, request, documents)) == ["verified"] * 2


@pytest.mark.parametrize("where", ["before store", "after store", "read back"])
def test_a_process_that_dies_on_the_way_doubles_and_loses_nothing(delivery_site, where):
    """Wherever the process ends, the next one brings every document there once."""
    pacs = delivery_site.shaky()
    pacs.kill = where
    request, documents = delivery_site.run()
    with pytest.raises(BaseException, match=where):
        delivery_site.delivery(PacsTarget("pacs", pacs)).deliver(request, documents)
    restarted = delivery_site.delivery(PacsTarget("pacs", pacs))
    states = delivery_site.until_final(restarted, request, documents)
    assert _states(states) == ["verified"] * 2
    assert sorted(pacs.stored) == pacs.instances()
    assert len(pacs.stored) == len(set(pacs.stored)) == 2


def test_the_breaker_leaves_a_dead_target_in_peace(delivery_site):
    """Thirty runs that fail together ask a dead archive five times, not thirty."""
    pacs = delivery_site.shaky()
    pacs.away = True
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    runs = [delivery_site.run(number) for number in range(30)]
    states = [delivery.deliver(*run) for run in runs]
    assert len(pacs.calls) == 5
    assert {item.reason for item in states[-1]} == {"TARGET_RESTING"}
    assert all(item.next_attempt_at for item in states[-1])
    delivery_site.clock.turn(minutes=16)
    delivery.deliver(*runs[0])
    delivery.deliver(*runs[1])
    assert len(pacs.calls) == 6


def test_after_a_rest_every_run_is_delivered(delivery_site):
    """When the archive is back, all runs that waited are delivered once."""
    pacs = delivery_site.shaky()
    pacs.away = True
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    runs = [delivery_site.run(number) for number in range(8)]
    for run in runs:
        delivery.deliver(*run)
    pacs.away = False
    for run in runs:
        states = delivery_site.until_final(delivery, *run)
        assert _states(states) == ["verified"] * 2
    assert len(pacs.instances()) == len(pacs.stored) == 16


def test_the_database_names_the_runs_that_are_due(delivery_site):
    """The engine finds the run again at its time, and not before."""
    pacs = delivery_site.shaky()
    pacs.away = True
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    request, documents = delivery_site.run()
    states = delivery.deliver(request, documents)
    due = states[0].next_attempt_at
    with delivery_site.database.reading() as transaction:
        assert transaction.due_deliveries(due - timedelta(seconds=1)) == ()
        assert transaction.due_deliveries(due) == (request.run_id,)


def test_held_results_wait_for_their_release(delivery_site):
    """A site that reviews first holds everything back until a person lets it go."""
    pacs = delivery_site.shaky()
    request, documents = delivery_site.run()
    delivery = delivery_site.delivery(
        PacsTarget("pacs", pacs), hold=lambda mode: mode == "research"
    )
    assert {item.state for item in delivery.deliver(request, documents)} == {"held"}
    assert pacs.calls == []
    assert delivery_site.recorded == []
    assert delivery.release(request.run_id) == 2
    assert _states(delivery.deliver(request, documents)) == ["verified"] * 2


def test_a_lost_outbox_is_a_failure_and_not_a_loop(delivery_site):
    """A document whose file is gone goes to the failure queue."""
    request, documents = delivery_site.run()
    documents[0].path.unlink()
    delivery = delivery_site.delivery(PacsTarget("pacs", delivery_site.shaky()))
    states = delivery.deliver(request, documents)
    assert {(item.state, item.reason) for item in states} == {("failed", "NOT_FOUND")}


def test_a_target_taken_out_of_the_configuration_ends_its_documents(delivery_site):
    """Rows of a target that is no longer there do not stay due for ever."""
    pacs = delivery_site.shaky()
    pacs.away = True
    request, documents = delivery_site.run()
    delivery_site.delivery(PacsTarget("old", pacs)).deliver(request, documents)
    delivery_site.delivery(PacsTarget("new", delivery_site.shaky("new"))).deliver(
        request, documents
    )
    delivery_site.clock.turn(days=1)
    with delivery_site.database.reading() as transaction:
        assert transaction.due_deliveries(delivery_site.clock.now) == ()
        reasons = {
            row.reason for row in transaction.deliveries(request.run_id) if row.target == "old"
        }
    assert reasons == {"TARGET_REMOVED"}


class _Broken:
    """A target with a fault of its own."""

    name = "broken"
    kinds = frozenset({"SC"})

    def send(self, documents):
        """Fail in a way that nobody thought of."""
        raise KeyError("PAT-4711")

    def verify(self, documents):
        """Never come here."""
        raise KeyError("PAT-4711")


def test_a_fault_in_one_target_does_not_stop_the_others(delivery_site):
    """An unexpected exception concerns its own target only, and says nothing of the patient."""
    request, documents = delivery_site.run()
    delivery = delivery_site.delivery(_Broken(), PacsTarget("pacs", delivery_site.shaky()))
    states = delivery.deliver(request, documents)
    assert [(item.state, item.reason) for item in states] == [
        ("failed", "UNEXPECTED"),
        ("verified", ""),
        ("verified", ""),
    ]


class _Silent:
    """A target that stores and cannot be read back."""

    name = "silent"
    kinds = frozenset({"SC"})

    def __init__(self):
        self.sent = 0

    def send(self, documents):
        """Take everything."""
        self.sent += len(documents)
        return tuple(Sent("stored") for _ in documents)

    def verify(self, documents):
        """Say nothing."""
        return tuple(Found("unverifiable", "NO_READ_BACK") for _ in documents)


def test_a_target_without_read_back_ends_at_stored(delivery_site):
    """Stored is final there, with the reason, and nothing is due or sent again."""
    target = _Silent()
    delivery = delivery_site.delivery(target)
    request, documents = delivery_site.run()
    (state,) = delivery.deliver(request, documents)
    assert (state.state, state.reason, state.next_attempt_at) == ("stored", "NO_READ_BACK", None)
    delivery_site.clock.turn(days=1)
    assert delivery.deliver(request, documents) == (state,)
    assert target.sent == 1


def test_two_targets_of_one_name_are_refused(delivery_site):
    """Names tell targets apart in the database, so they must differ."""
    pacs = delivery_site.shaky()
    with pytest.raises(ConfigurationError):
        delivery_site.delivery(PacsTarget("a", pacs), PacsTarget("a", pacs))


def test_states_and_reasons_carry_no_patient_data(delivery_site):
    """Neither rows nor states name the patient that the files name."""
    pacs = delivery_site.shaky()
    pacs.away = True
    request, documents = delivery_site.run()
    states = delivery_site.delivery(PacsTarget("pacs", pacs)).deliver(request, documents)
    with delivery_site.database.reading() as transaction:
        rows = transaction.deliveries(request.run_id)
    assert "4711" not in repr(states) + repr(rows)
