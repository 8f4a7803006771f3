"""The journal: state and record together, once, and without patient data."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.errors import InputChangedError, LogUnavailableError
from audit.record import decode
from audit.verify import verify_site
from governance.ports import Deployment
from plugins.host.ports import Delivered
from plugins.host.routing import Decision, Reason
from tests.simulators.run_values import (
    INSTANCES,
    NAME,
    PATIENT,
    RELEASE,
    SERIES,
    STUDY,
    answer_for,
    case_for,
    documents_for,
    request_for,
)
from tests.simulators.site_database import Recorded

DIGEST = "sha256:" + "cd" * 32
FACTS = {"input_digest": DIGEST, "quality_flags": ["metal"], "answer_digest": DIGEST}


def _whole_run(site: Recorded, number: int = 1) -> str:
    request = request_for(number)
    site.journal.enrol(STUDY, "PID-47110815", "HOSPITAL")
    site.journal.opened(request)
    site.journal.input_read(request, case_for(), DIGEST)
    site.journal.inferred(request, answer_for(), documents_for(request), FACTS)
    states = tuple(
        Delivered("pacs", item.kind, item.sop_instance_uid, "verified")
        for item in documents_for(request)
    )
    site.journal.delivered(request, states)
    site.journal.closed(request, "done")
    return request.run_id


WHOLE_RUN = ["run_opened", "input_read", "inference", "explanation", "delivery", "run_closed"]


def test_run_is_recorded_in_order_and_verifies(recorded: Recorded) -> None:
    """A whole run leaves one record of each step, in the tree, under signed checkpoints."""
    run_id = _whole_run(recorded)
    assert recorded.kinds() == WHOLE_RUN
    assert {record.run_id for record in recorded.records()} == {run_id}
    summary = verify_site(recorded.database, recorded.key, now=recorded.clock())
    assert summary.tree_size == len(WHOLE_RUN)
    assert summary.checkpoint_count >= 1
    with recorded.database.reading() as transaction:
        row = transaction.run(run_id)
        assert row is not None
        assert (row.status, row.seconds, row.input_digest) == ("done", 2.5, DIGEST)
        assert row.closed_at == recorded.clock()
        assert transaction.documents(run_id) == documents_for(request_for())


def test_every_call_twice_adds_nothing(recorded: Recorded) -> None:
    """A run whose every step is repeated after a crash has the same records."""
    request = request_for()
    states = (Delivered("pacs", "SEG", "", "stored"),)
    for _ in range(2):
        recorded.journal.opened(request)
    for _ in range(2):
        recorded.journal.input_read(request, case_for(), DIGEST)
    for _ in range(2):
        recorded.journal.inferred(request, answer_for(), documents_for(request), FACTS)
    for _ in range(2):
        recorded.journal.delivered(request, states)
    for _ in range(2):
        recorded.journal.closed(request, "done")
    recorded.journal.opened(request)
    recorded.journal.input_read(request, case_for(), DIGEST)
    recorded.journal.inferred(request, answer_for(), documents_for(request), FACTS)
    recorded.journal.closed(request, "failed", "PLUGIN")
    assert recorded.kinds() == WHOLE_RUN
    with recorded.database.reading() as transaction:
        row = transaction.run(request.run_id)
        assert row is not None
        assert row.status == "done"


def test_refusal_is_recorded_once_with_what_tells_it(recorded: Recorded) -> None:
    """A refusal is recorded with codes, numbers and digests before the run is closed."""
    request = request_for()
    recorded.journal.opened(request)
    reasons = ("SLICE_SPACING 7.5 mm, allowed 1 to 5 mm", f"KERNEL {NAME} is refused")
    documents = documents_for(request)
    for _ in range(2):
        recorded.journal.refused(request, reasons, documents)
    recorded.journal.require_recorded(request.run_id)
    with recorded.database.reading() as transaction:
        assert transaction.documents(request.run_id) == documents
        uid = documents[0].sop_instance_uid
        assert transaction.own_sop_uids([uid, INSTANCES[0]]) == {uid}
    for _ in range(2):
        recorded.journal.closed(request, "refused", "; ".join(reasons))
    recorded.journal.refused(request, reasons, documents)
    assert recorded.kinds() == ["run_opened", "refusal", "run_closed"]
    refusal = recorded.records("refusal")[0]
    digests = [item["content_sha256"] for item in refusal.body["documents"]]
    assert digests == [item.content_digest for item in documents]
    assert refusal.body["unwritten"] == ""
    closed = recorded.records("run_closed")[0]
    assert (closed.outcome.code, closed.outcome.reason) == (4, "SLICE_SPACING")
    assert refusal.body["reasons"] == [
        {"code": "SLICE_SPACING", "numbers": ["7.5", "1", "5"]},
        {"code": "KERNEL", "numbers": []},
    ]
    assert (refusal.outcome.code, refusal.outcome.reason) == (4, "SLICE_SPACING")


def test_refusal_without_objects_says_why_and_keeps_earlier_ones(recorded: Recorded) -> None:
    """Where nothing could be written the record says so; an earlier answer stays known."""
    request = request_for()
    _whole_run(recorded)
    with recorded.database.transaction() as transaction:
        transaction.set_run_status(request.run_id, "queued")
    recorded.journal.opened(request)
    recorded.journal.refused(request, ("INPUT_CHANGED",), (), "INPUT_CHANGED")
    recorded.journal.closed(request, "refused", "INPUT_CHANGED")
    refusal = recorded.records("refusal")[0]
    assert (refusal.body["documents"], refusal.body["unwritten"]) == ([], "INPUT_CHANGED")
    with recorded.database.reading() as transaction:
        assert transaction.documents(request.run_id) == documents_for(request)


def test_changed_input_is_refused_and_leaves_the_run_alone(recorded: Recorded) -> None:
    """The same run id with other pixel values is an error, and nothing is recorded of it."""
    request = request_for()
    recorded.journal.opened(request)
    recorded.journal.input_read(request, case_for(), DIGEST)
    with pytest.raises(InputChangedError):
        recorded.journal.input_read(request, case_for(1.0), "sha256:" + "00" * 32)
    assert recorded.kinds() == ["run_opened", "input_read"]


def test_run_queued_again_is_opened_again(recorded: Recorded) -> None:
    """A retry by hand is a round of its own on record, without a second inference."""
    request = request_for()
    recorded.journal.opened(request)
    recorded.journal.inferred(request, answer_for(), documents_for(request), FACTS)
    recorded.journal.closed(request, "failed", "DOOR_REJECTED")
    with recorded.database.transaction() as transaction:
        recorded.journal.by_hand(transaction, request, "retry", "account:anna")
        transaction.set_run_status(request.run_id, "queued")
    recorded.journal.opened(request)
    recorded.journal.inferred(request, answer_for(), documents_for(request), FACTS)
    recorded.journal.closed(request, "done")
    assert recorded.kinds() == [
        "run_opened",
        "inference",
        "explanation",
        "run_closed",
        "by_hand",
        "run_opened",
        "run_closed",
    ]
    assert recorded.records("run_opened")[1].body["attempt"] == 2


def test_failed_run_can_be_discarded(recorded: Recorded) -> None:
    """What failed may be given up by a person; what is done stays done."""
    request = request_for()
    recorded.journal.opened(request)
    recorded.journal.closed(request, "failed", "PLUGIN_TIMEOUT")
    recorded.journal.closed(request, "discarded", "BY_HAND")
    recorded.journal.closed(request, "discarded", "BY_HAND")
    assert recorded.kinds() == ["run_opened", "run_closed", "run_closed"]
    with recorded.database.reading() as transaction:
        row = transaction.run(request.run_id)
        assert row is not None
        assert (row.status, row.reason) == ("discarded", "BY_HAND")


def test_nothing_may_leave_without_an_inference_record(recorded: Recorded) -> None:
    """A run without a recorded inference has nothing that may be delivered."""
    request = request_for()
    recorded.journal.opened(request)
    with pytest.raises(LogUnavailableError):
        recorded.journal.require_recorded(request.run_id)


def test_inference_is_in_the_tree_on_return(recorded: Recorded) -> None:
    """When `inferred` returns, the record has its place and an inclusion proof."""
    request = request_for()
    recorded.journal.inferred(request, answer_for(), documents_for(request), FACTS)
    with recorded.database.reading() as transaction:
        leaves = transaction.records_of(request.run_id)
        assert [leaf.leaf_index for leaf in leaves] == [0, 1]
        index, size, _proof = recorded.log.prove(transaction, leaves[0].event_id)
        assert (index, size) == (0, 2)


def test_own_objects_are_known_before_they_leave(recorded: Recorded) -> None:
    """The UIDs that a run writes are kept with its record, so that they never trigger."""
    request = request_for()
    documents = documents_for(request)
    recorded.journal.inferred(request, answer_for(), documents, FACTS)
    with recorded.database.reading() as transaction:
        candidates = [documents[0].sop_instance_uid, INSTANCES[0]]
        assert transaction.own_sop_uids(candidates) == {documents[0].sop_instance_uid}
        series = {item.series_instance_uid for item in documents if item.series_instance_uid}
        assert transaction.own_series_uids(STUDY) == series


def test_superseded_run_is_marked_when_the_new_one_is_done(recorded: Recorded) -> None:
    """A run that replaces another marks it only when its own results stand."""
    _whole_run(recorded)
    later = request_for(2, supersedes=request_for().run_id, trigger="late-series")
    recorded.journal.opened(later)
    with recorded.database.reading() as transaction:
        row = transaction.run(request_for().run_id)
        assert row is not None
        assert row.superseded_by is None
    recorded.journal.closed(later, "done")
    with recorded.database.reading() as transaction:
        row = transaction.run(request_for().run_id)
        assert row is not None
        assert row.superseded_by == later.run_id


def test_inference_record_states_its_rows(sqlite_recorded: Recorded) -> None:
    """The record carries digests of release, input and outputs, findings and strata."""
    with sqlite_recorded.database.transaction() as transaction:
        manifest = {
            "members": {"code/plugin.py": "sha256:1", "weights/net.safetensors": "sha256:2"},
            "parameters": {"threshold": 0.5},
        }
        transaction.put_release(RELEASE, "contouring", "0.1.0", "x", json.dumps(manifest))
    _whole_run(sqlite_recorded)
    record = sqlite_recorded.records("inference")[0]
    body = record.body
    assert record.release_digest == RELEASE
    assert record.subject is not None
    assert record.subject.pseudonym.startswith("hmac:v1:")
    assert (record.subject.age_band, record.subject.sex) == ("10-17", "F")
    assert body["input"]["content_sha256"] == DIGEST
    assert body["input"]["n_instances"] == len(INSTANCES)
    assert body["input"]["quality_flags"] == ["metal"]
    assert body["model"]["weights_sha256"] == {"weights/net.safetensors": "sha256:2"}
    assert body["output"]["rois"][0]["volume_ml"] == 0.024
    assert [item["kind"] for item in body["output"]["documents"]] == ["RTSTRUCT", "PMAP", "FHIR"]
    assert body["explanation"]["sop_uid_p"].startswith("2.25.")
    assert body["consent"]["decision"] == "not-evaluated"
    assert body["runtime"]["cpu"] == "Some CPU(R) 3.0GHz; avx2"
    explained = sqlite_recorded.records("explanation")[0].body
    assert explained["contributions"] == [["ct", 0.6], ["pet", 0.4]]


def test_pseudonyms_lead_back_through_the_vault_alone(sqlite_recorded: Recorded) -> None:
    """The vault turns a recorded pseudonym back, until the patient is erased."""
    _whole_run(sqlite_recorded)
    record = sqlite_recorded.records("inference")[0]
    assert record.subject is not None
    study = record.body["input"]["study_uid_p"]
    assert sqlite_recorded.pseudonyms.reveal(study) == STUDY
    assert "PID-47110815" in sqlite_recorded.pseudonyms.reveal(record.subject.pseudonym)
    verified = verify_site(sqlite_recorded.database, sqlite_recorded.key)
    assert sqlite_recorded.pseudonyms.erase("PID-47110815", "HOSPITAL") > 0
    assert verify_site(sqlite_recorded.database, sqlite_recorded.key) == verified
    assert sqlite_recorded.pseudonyms.uid(STUDY, STUDY) != study


def _site_records(site: Recorded) -> None:
    decision = Decision(
        "contouring",
        "0.1.0",
        RELEASE,
        True,
        {"ct": SERIES},
        INSTANCES,
        (Reason("SERIES_RULE", "PatientName", "x", NAME, "ct", SERIES),),
    )
    deployment = Deployment(
        "site-a",
        "contouring",
        RELEASE,
        "active",
        1.0,
        site.clock(),
        "anna",
        {"reason": f"waiver for {NAME}", "expires_at": "2026-12-24T00:00:00Z"},
    )
    with site.database.transaction() as transaction:
        site.journal.study_event(transaction, "new_instance", STUDY, pacs="orthanc")
        site.journal.route_decision(transaction, STUDY, decision, "COMPLETE")
        transaction.put_deployment(deployment)
        site.journal.lifecycle(transaction, deployment, "waiver")
        site.journal.fault(transaction, "DOOR_UNAVAILABLE", "pacs")
        site.journal.replayed(transaction, request_for(), {"verdict": "identical"})
        site.journal.access(transaction, "vault", "replay", "account:anna")
    site.log.seal(site.database)


def test_records_of_the_site_are_committed_with_their_state(recorded: Recorded) -> None:
    """Feed, governance and replay write their records in their own transactions."""
    _site_records(recorded)
    assert recorded.kinds() == [
        "study_event",
        "route_decision",
        "lifecycle",
        "fault",
        "replay",
        "access",
    ]
    lifecycle = recorded.records("lifecycle")[0].body
    assert (lifecycle["from_state"], lifecycle["to_state"]) == ("", "active")


def test_no_patient_data_in_any_record(sqlite_recorded: Recorded) -> None:
    """Names, numbers, dates and UIDs that pass through the journal stay out of the log."""
    _whole_run(sqlite_recorded)
    request = request_for(3)
    sqlite_recorded.journal.opened(request)
    abstained = answer_for(abstain=True)
    sqlite_recorded.journal.inferred(request, abstained, documents_for(request), FACTS)
    sqlite_recorded.journal.refused(request, (f"AGE {NAME}", NAME), documents_for(request))
    sqlite_recorded.journal.closed(request, "refused", f"AGE {NAME}; {NAME}")
    _site_records(sqlite_recorded)
    for leaf in sqlite_recorded.leaves():
        text = leaf.leaf.decode()
        assert not [word for word in PATIENT if word in text], leaf.kind


OUTSIDE = st.one_of(
    st.sampled_from(["Doe^Jane", "1.2.840.113619.2.55.3.604688.11", "19610203", "a" * 300, ""]),
    st.text(max_size=80),
    st.from_regex(r"[0-2](\.[1-9][0-9]{0,6}){5,9}", fullmatch=True),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(OUTSIDE, min_size=9, max_size=9), st.integers(0, 10**9))
def test_any_text_from_outside_leaves_a_valid_record(
    sqlite_recorded: Recorded, texts: list[str], number: int
) -> None:
    """Whatever headers and plugins say, the run is recorded and the guard finds nothing."""
    request = request_for(number, requested_by=texts[0] or "x", study_instance_uid=STUDY)
    case = case_for(body_part=texts[1], notes=(texts[2],))
    volume = replace(case.images["ct"], acquisition={"manufacturer": texts[3], "x": texts[4]})
    case = replace(case, images={"ct": volume})
    answer = answer_for()
    finding = replace(answer.prediction.findings[0], name=texts[5])
    explanation = replace(answer.explanation, method=texts[6], contributions=((texts[7], 1.0),))
    prediction = replace(answer.prediction, findings=(finding,))
    runtime = {"python": texts[8]}
    answer = replace(answer, prediction=prediction, explanation=explanation, runtime=runtime)
    journal = sqlite_recorded.journal
    journal.opened(request)
    journal.input_read(request, case, DIGEST)
    journal.inferred(request, answer, documents_for(request), FACTS)
    journal.refused(request, tuple(texts), (), texts[0])
    journal.closed(request, "refused", "; ".join(texts))
    with sqlite_recorded.database.reading() as transaction:
        leaves = transaction.records_of(request.run_id)
    for leaf in leaves:
        decode(leaf.leaf)
        for text in texts:
            assert "^" not in leaf.leaf.decode()
            assert len(text) < 200 or text not in leaf.leaf.decode()
