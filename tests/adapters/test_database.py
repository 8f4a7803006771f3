"""The site database: the same behaviour on SQLite and PostgreSQL."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from adapters.database import Database, Transaction
from adapters.database.delivery import BreakerRow, DeliveryRow
from adapters.database.runs import decode_request, encode_request
from adapters.pacs import Change
from audit.errors import InputChangedError, NotFoundError
from governance.accounts import Account
from governance.ports import Deployment
from plugins.host.prescription import DoseGoal, PrescribedTarget, Prescription
from tests.simulators.run_values import STUDY, documents_for, request_for

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def _change(number: int, **changes: object) -> Change:
    change = Change(
        "new_instance", STUDY, NOW + timedelta(seconds=number), f"{STUDY}.1", f"{STUDY}.1.{number}"
    )
    return replace(change, **changes)  # type: ignore[arg-type]


def test_cursor_is_kept(database: Database) -> None:
    """A cursor is absent first, then what was stored last."""
    with database.transaction() as transaction:
        assert transaction.cursor("changes:a") is None
        transaction.set_cursor("changes:a", "1")
        transaction.set_cursor("changes:a", "2")
        assert transaction.cursor("changes:a") == "2"
        assert transaction.cursor("changes:b") is None


def test_change_counts_once(database: Database) -> None:
    """The same change reported again changes nothing; another one counts."""
    with database.transaction() as transaction:
        assert transaction.add_change("pacs", _change(1, sender="CT1"))
        assert not transaction.add_change("pacs", _change(1, sender="CT1"))
        assert transaction.add_change("pacs", _change(2))
        assert transaction.add_change("other", _change(1))
        (study,) = transaction.studies_waiting("pacs")
    assert (study.state, study.instance_count_seen, study.generation) == ("waiting", 2, 1)
    assert (study.last_arrival_at, study.sender) == (NOW + timedelta(seconds=2), "CT1")


def test_late_change_opens_the_next_generation(database: Database) -> None:
    """A routed study waits again when something comes; a discarded one stays discarded."""
    with database.transaction() as transaction:
        transaction.add_change("pacs", _change(3))
        transaction.set_study_state("pacs", STUDY, "routed")
        assert transaction.studies_waiting("pacs") == ()
        transaction.add_change("pacs", _change(1, kind="changed"))
        (study,) = transaction.studies_waiting("pacs")
        assert (study.generation, study.instance_count_seen) == (2, 1)
        assert study.last_arrival_at == NOW + timedelta(seconds=3)
        transaction.set_study_state("pacs", STUDY, "discarded")
        transaction.add_change("pacs", _change(4))
        assert transaction.studies_waiting("pacs") == ()
        transaction.set_study_state("pacs", STUDY, "forced")
        transaction.add_change("pacs", _change(5))
        assert [item.state for item in transaction.studies_waiting("pacs")] == ["forced"]
        assert transaction.study("pacs", "1.2") is None
        with pytest.raises(ValueError, match="lost"):
            transaction.set_study_state("pacs", STUDY, "lost")


def test_old_change_keys_can_be_dropped(database: Database) -> None:
    """Keys of changes that the cursor has long passed can go."""
    with database.transaction() as transaction:
        transaction.add_change("pacs", _change(1))
        transaction.add_change("pacs", _change(9))
        assert transaction.forget_changes(NOW + timedelta(seconds=5)) == 1
        assert not transaction.add_change("pacs", _change(9))


def test_run_is_added_once_and_comes_back_whole(database: Database) -> None:
    """A run id is known after the first time; the request comes back as it was."""
    request = request_for(requested_by="account:anna", priority="urgent", supersedes="ab" * 16)
    with database.transaction() as transaction:
        assert transaction.add_run(request, "pacs")
        assert not transaction.add_run(replace(request, mode="clinical"), "pacs")
        row = transaction.run(request.run_id)
        assert row is not None
        assert row.request == request == transaction.request_of(request.run_id)
        assert (row.status, row.pacs, row.attempts, row.facts) == ("queued", "pacs", 1, {})
        assert transaction.run("0" * 32) is None
        with pytest.raises(NotFoundError):
            transaction.request_of("0" * 32)


def test_request_without_seed_comes_back() -> None:
    """Encoding and decoding a request are inverses, with and without optional parts."""
    prescription = Prescription(
        (PrescribedTarget(70.0, "PTV_7000", 1), PrescribedTarget(56.0, "PTV_5600")),
        *("plan", "1.2.3", 35, "1.2.4"),
        goals=(DoseGoal("SpinalCord", "Max[Gy]", "at_most", 50.0, "QUANTEC"),),
    )
    for request in (
        request_for(),
        request_for(seed_point_mm=None, parameters={}),
        request_for(prescription=prescription),
        request_for(prescription_fault="PRESCRIPTION_UNUSABLE plan"),
    ):
        assert decode_request(encode_request(request)) == request


def test_a_request_of_before_prescriptions_comes_back() -> None:
    """Rows that were written when requests had no prescription are read as having none."""
    values = json.loads(encode_request(request_for()))
    del values["prescription"], values["prescription_fault"]
    assert decode_request(json.dumps(values)) == request_for()


def test_runs_are_found(database: Database) -> None:
    """Runs are listed newest first and filtered by status, study and plugin."""
    with database.transaction() as transaction:
        for number in range(5):
            opened_at = NOW + timedelta(minutes=number)
            plugin = "dose" if number == 4 else "contouring"
            transaction.add_run(request_for(number, opened_at=opened_at, plugin=plugin), "pacs")
        ids = [request_for(number).run_id for number in range(5)]
        assert [row.run_id for row in transaction.runs()] == ids[::-1]
        assert [row.run_id for row in transaction.runs(limit=2, offset=1)] == ids[3:1:-1]
        assert [row.run_id for row in transaction.runs(plugin="dose")] == ids[4:]
        assert transaction.runs(study="1.2") == ()
        transaction.set_run_status(ids[0], "running")
        assert [row.run_id for row in transaction.runs(status="running")] == ids[:1]
        found = transaction.runs_for_study(STUDY, "contouring")
        assert [row.run_id for row in found] == ids[:4]


def test_closed_run_stays_closed_unless_queued_again(database: Database) -> None:
    """A repeated step does not open a closed run; a person's retry does, as a new attempt."""
    run_id = request_for().run_id
    with database.transaction() as transaction:
        transaction.add_run(request_for(), "pacs")
        transaction.set_run_status(run_id, "running")
        transaction.set_run_status(run_id, "failed", "PLUGIN_TIMEOUT", NOW)
        transaction.set_run_status(run_id, "running")
        row = transaction.run(run_id)
        assert row is not None
        assert (row.status, row.reason, row.closed_at) == ("failed", "PLUGIN_TIMEOUT", NOW)
        transaction.set_run_status(run_id, "queued")
        row = transaction.run(run_id)
        assert row is not None
        assert (row.status, row.attempts, row.closed_at) == ("queued", 2, None)
        with pytest.raises(ValueError, match="gone"):
            transaction.set_run_status(run_id, "gone")


def test_waiting_run_is_due_in_time(database: Database) -> None:
    """A run that waits for its next attempt is due when its time has come."""
    run_id = request_for().run_id
    with database.transaction() as transaction:
        transaction.add_run(request_for(), "pacs")
        transaction.put_retry(run_id, 2, NOW + timedelta(seconds=30), "DOOR_UNAVAILABLE")
        assert transaction.due_runs(NOW) == ()
        (row,) = transaction.due_runs(NOW + timedelta(seconds=30))
        assert (row.run_id, row.attempts, row.status) == (run_id, 2, "waiting")


def test_another_input_digest_is_refused(database: Database) -> None:
    """The digest of a run's input is kept once and compared ever after."""
    run_id = request_for().run_id
    with database.transaction() as transaction:
        transaction.add_run(request_for(), "pacs")
        transaction.set_input_digest(run_id, "sha256:1")
        transaction.set_input_digest(run_id, "sha256:1")
        with pytest.raises(InputChangedError):
            transaction.set_input_digest(run_id, "sha256:2")


def test_documents_and_own_uids_are_kept(database: Database) -> None:
    """Documents come back in order, replaced as a whole; own UIDs are found among many."""
    request = request_for()
    documents = tuple(replace(item, notes=("STUDY_ID_CUT",)) for item in documents_for(request))
    with database.transaction() as transaction:
        transaction.put_documents(request.run_id, documents)
        transaction.put_documents(request.run_id, documents)
        assert transaction.documents(request.run_id) == documents
        for _ in range(2):
            transaction.add_own_uids(request.run_id, [("1.1", "1.2", STUDY)])
        candidates = [f"9.{number}" for number in range(1200)]
        assert transaction.own_sop_uids([*candidates, "1.1"]) == {"1.1"}
        assert transaction.own_sop_uids([]) == set()
        assert transaction.own_series_uids(STUDY) == {"1.2"}
        transaction.put_documents(request.run_id, ())
        assert transaction.documents(request.run_id) == ()


def test_deliveries_are_due_by_state_and_time(database: Database) -> None:
    """What is pending or sent is due at once or in time; what is final never is."""
    row = DeliveryRow("a" * 32, "pacs", "1.1", "SEG", "1.1", "sha256:1", "outbox/a")
    later = NOW + timedelta(hours=1)
    rows = {
        "pending": row,
        "sent": replace(row, run_id="b" * 32, state="sent", next_attempt_at=later),
        "stored": replace(row, run_id="c" * 32, state="stored"),
        "read back": replace(row, run_id="d" * 32, state="stored", next_attempt_at=later),
        "verified": replace(row, run_id="e" * 32, state="verified"),
        "failed": replace(row, run_id="f" * 32, state="failed", next_attempt_at=NOW),
    }
    with database.transaction() as transaction:
        for item in rows.values():
            transaction.put_delivery(item)
        assert transaction.due_deliveries(NOW) == ("a" * 32,)
        assert transaction.due_deliveries(later) == ("a" * 32, "b" * 32, "d" * 32)
        transaction.put_delivery(replace(row, state="verified", attempts=3, reason="x"))
        (kept,) = transaction.deliveries("a" * 32)
        assert (kept.state, kept.attempts, kept.reason) == ("verified", 3, "x")
        counts = transaction.delivery_counts()
        assert counts == {
            ("pacs", "sent"): 1,
            ("pacs", "stored"): 2,
            ("pacs", "verified"): 2,
            ("pacs", "failed"): 1,
        }


def test_breaker_is_closed_until_told(database: Database) -> None:
    """A target without history has a closed breaker; what is put comes back."""
    with database.transaction() as transaction:
        assert transaction.breaker("pacs") == BreakerRow("pacs", 0, None)
        transaction.put_breaker(BreakerRow("pacs", 3, NOW))
        transaction.put_breaker(BreakerRow("pacs", 4, NOW))
        assert transaction.breaker("pacs") == BreakerRow("pacs", 4, NOW)


def test_statistics_are_found_by_run_and_release(database: Database) -> None:
    """Statistics are kept by run and listed by release."""
    with database.transaction() as transaction:
        transaction.put_statistics("a" * 32, "sha256:1", "{}", "sha256:x")
        transaction.put_statistics("a" * 32, "sha256:1", "{}", "sha256:y")
        transaction.put_statistics("b" * 32, "sha256:2", "{}", "sha256:z")
        assert [item.digest for item in transaction.statistics(run_id="a" * 32)] == ["sha256:y"]
        found = transaction.statistics(release_digest="sha256:2")
        assert [item.run_id for item in found] == ["b" * 32]
        assert len(transaction.statistics()) == 2


def test_deployments_keep_their_history(database: Database) -> None:
    """The current state is the newest of each release; every earlier one is history."""
    first = Deployment("site", "contouring", "sha256:1", "registered", 0.0, NOW, "anna", {"a": "b"})
    active = replace(first, state="active", share=1.0, since=NOW + timedelta(days=1))
    other = replace(first, plugin="dose", release_digest="sha256:2")
    with database.transaction() as transaction:
        for item in (first, other, active):
            transaction.put_deployment(item)
        assert transaction.deployments() == (other, active)
        assert transaction.deployments("contouring") == (active,)
        assert transaction.deployment_history("contouring") == (first, active)


def test_releases_are_found_by_digest_and_plugin(database: Database) -> None:
    """A release is known by its digest; adding it again moves its path only."""
    with database.transaction() as transaction:
        transaction.put_release("sha256:1", "contouring", "0.1.0", "a", "{}")
        transaction.put_release("sha256:1", "contouring", "0.1.0", "b", "{}")
        transaction.put_release("sha256:2", "dose", "0.1.0", "c", "{}")
        row = transaction.release("sha256:1")
        assert row is not None
        assert row.path == "b"
        assert transaction.release("sha256:3") is None
        assert [item.digest for item in transaction.releases()] == ["sha256:1", "sha256:2"]
        assert [item.digest for item in transaction.releases("dose")] == ["sha256:2"]


def test_accounts_are_kept(database: Database) -> None:
    """An account comes back as it was put last."""
    account = Account("anna", "approver", "argon2:x", True, NOW)
    with database.transaction() as transaction:
        assert transaction.account("anna") is None
        transaction.put_account(account)
        changed = replace(account, must_change_password=False, disabled_at=NOW)
        transaction.put_account(changed)
        assert transaction.account("anna") == changed
        assert transaction.accounts() == (changed,)


def test_time_keeps_its_moment(database: Database) -> None:
    """A time of another zone comes back as the same moment in UTC, to the microsecond."""
    there = datetime(2026, 11, 24, 11, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with database.transaction() as transaction:
        transaction.put_breaker(BreakerRow("pacs", 1, there))
        back = transaction.breaker("pacs").open_until
        assert back == there
        assert back is not None
        assert back.utcoffset() == timedelta(0)


def test_failed_transaction_leaves_nothing(database: Database) -> None:
    """An error inside a transaction undoes all of it and passes through unchanged."""

    def write_and_fail(transaction: Transaction) -> None:
        transaction.set_cursor("x", "1")
        transaction.request_of("0" * 32)

    with pytest.raises(NotFoundError):
        database.run(write_and_fail)
    with database.reading() as transaction:
        assert transaction.cursor("x") is None


def test_reading_sees_one_state_and_waits_for_nobody(database: Database) -> None:
    """A reader keeps its snapshot while a writer goes on, and neither waits."""
    with database.reading() as reader:
        assert reader.cursor("x") is None
        with database.transaction() as writer:
            writer.set_cursor("x", "1")
            assert reader.cursor("x") is None
        assert reader.cursor("x") is None
    with database.reading() as reader:
        assert reader.cursor("x") == "1"


def test_database_file_is_for_its_owner_alone(sqlite_database: Database, tmp_path: Path) -> None:
    """The site database holds UIDs: its files cannot be read by others."""
    with sqlite_database.transaction() as transaction:
        transaction.set_cursor("x", "1")
        files = [path for path in tmp_path.iterdir() if path.name.startswith("site.db")]
        assert len(files) == 3
        assert {path.stat().st_mode & 0o077 for path in files} == {0}
