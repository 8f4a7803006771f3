"""An incident goes its way by one table, and nothing about it becomes less urgent by itself."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import RecordError, RefusalError
from governance.accounts import ROLES
from governance.clocks import Awareness, Facts, clocks
from governance.incident_form import decode, encode, incident, incidents
from governance.incident_states import (
    CAUSALITY,
    STATES,
    TRANSITIONS,
    Surroundings,
    move,
    next_steps,
)
from governance.incident_terms import FLAGS, ROUTES, SEVERITIES, load_terms
from governance.incidents import (
    Act,
    Incident,
    Step,
    become_aware,
    classify,
    duty_done,
    plain_lines,
    suspect,
    withdraw_awareness,
)
from tests.simulators.governed_memory import GovernedMemory

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
RELEASE = "sha256:" + "a" * 64
HERE = Awareness("deployer", NOW - timedelta(hours=2), "Europe/Berlin", "carl")
NEW = Incident(
    "inc-20261125-abcdef",
    "site",
    "contouring",
    RELEASE,
    ("run1",),
    Facts("serious", "mdr", frozenset(), (HERE,)),
    ("The contour left out a skip lesion.",),
    "QM-17",
)
HELD = Surroundings(is_held=True, actions_known=("capa-1",))
EVIDENCE = {
    "causality": "reasonably_possible", "would_have_differed": "yes", "reason": "as reported",
    "hold": "sha256:1", "decision": "reportable", "signer": "ines", "clock": "C1.report",
    "reference": "MIR-1", "root_cause": "training data", "actions": "capa-1",
}  # fmt: skip


def act(role: str = "approver", at: datetime = NOW) -> Act:
    """Return an act of a person in a role."""
    return Act(f"the-{role}", role, at)


def walk(*states: str, start: Incident = NEW, **evidence: str) -> Incident:
    """Bring an incident through states with all evidence at hand."""
    found = start
    for state in states:
        if state == "initial_report" and not found.facts.met:
            found = duty_done(found, "C1.report", NOW, act())
        found = move(found, state, act(), EVIDENCE | evidence, HELD)
    return found


def codes(
    found: Incident, after: str, role: str, given: Mapping[str, str], around: Surroundings
) -> tuple[str, ...]:
    """Return the reason codes of a refused transition."""
    with pytest.raises(RefusalError) as caught:
        move(found, after, act(role), given, around)
    return caught.value.reasons


@pytest.mark.reg("MDR-87")
def test_the_way_of_a_reportable_incident() -> None:
    """From suspicion to closing in the order of the table, every step kept with its evidence."""
    found = walk(*STATES[1:])
    assert found.state == "closed"
    assert [step.after for step in found.steps] == list(STATES[1:])
    assert all(step.person == "the-approver" and step.at == NOW for step in found.steps)
    assert found.decision == "reportable"
    assert found.informed


@pytest.mark.reg("MDR-87")
def test_not_reportable_needs_reason_and_signer_and_can_be_taken_back() -> None:
    """The decision not to report is signed with a reason, and stays reversible when closed."""
    held = walk("triaged", "hold_placed")
    for missing in ("reason", "signer", "decision"):
        given = EVIDENCE | {"decision": "not_reportable", missing: "  "}
        assert codes(held, "reportability_decided", "approver", given, HELD) == (
            "EVIDENCE_MISSING",
        )
    decided = walk("reportability_decided", start=held, decision="not_reportable")
    assert decided.informed
    assert codes(decided, "initial_report", "approver", EVIDENCE, HELD) == (
        "NOT_REPORTABLE", "REPORT_MISSING",
    )  # fmt: skip
    closed = walk("root_cause", "corrective_action", "closed", start=decided)
    again = walk("reportability_decided", start=closed)
    assert (again.decision, again.informed) == ("reportable", False)
    assert walk("initial_report", "follow_up", start=again).state == "follow_up"


@pytest.mark.reg("MDR-87")
def test_a_reportable_incident_is_reported_before_its_cause_is_looked_for() -> None:
    """Without a report on record there is no way on."""
    decided = walk("triaged", "hold_placed", "reportability_decided")
    assert codes(decided, "root_cause", "approver", EVIDENCE, HELD) == ("REPORT_MISSING",)
    assert codes(decided, "initial_report", "approver", EVIDENCE, HELD) == ("REPORT_MISSING",)
    sent = duty_done(decided, "C1.report", NOW, act())
    other = EVIDENCE | {"clock": "C2.report"}
    assert codes(sent, "initial_report", "approver", other, HELD) == ("REPORT_MISSING",)


@pytest.mark.reg("AIA-73.6")
def test_no_decision_without_a_hold() -> None:
    """The hold comes first: neither its own state nor a decision is reached without one."""
    triaged = walk("triaged")
    assert "HOLD_MISSING" in codes(triaged, "hold_placed", "approver", EVIDENCE, Surroundings())
    held = walk("hold_placed", start=triaged)
    assert codes(held, "reportability_decided", "approver", EVIDENCE, Surroundings()) == (
        "HOLD_MISSING",
    )


@pytest.mark.reg("AIA-73.2")
def test_triage_asks_for_causality_and_for_the_misled_reader() -> None:
    """Causality, also the indirect one, is answered in known words; no answer is no triage."""
    for key, wrong in (("causality", "maybe"), ("would_have_differed", "perhaps")):
        assert codes(NEW, "triaged", "physicist", EVIDENCE | {key: wrong}, HELD) == (
            "EVIDENCE_UNKNOWN",
        )
        assert codes(NEW, "triaged", "physicist", EVIDENCE | {key: ""}, HELD) == (
            "EVIDENCE_MISSING",
        )
    assert "indirect" in CAUSALITY
    assert walk("triaged", causality="indirect").state == "triaged"


def test_only_excluded_causality_closes_at_triage() -> None:
    """What may be an incident is not closed as none; what was closed can be triaged again."""
    triaged = walk("triaged")
    assert codes(triaged, "closed", "approver", EVIDENCE, HELD) == ("CAUSALITY_OPEN",)
    none = walk("triaged", "closed", causality="excluded")
    assert none.state == "closed"
    again = walk("triaged", start=none)
    assert codes(again, "closed", "approver", EVIDENCE, HELD) == ("CAUSALITY_OPEN",)


@pytest.mark.reg("AIA-20")
@pytest.mark.parametrize(
    ("around", "code"),
    [
        ({"duties_open": ("C1.report",)}, "DUTY_OPEN"),
        ({"actions_open": ("capa-1",)}, "ACTION_OPEN"),
        ({"unacknowledged": ("ward-3",)}, "NOTICE_UNACKNOWLEDGED"),
    ],
)
def test_nothing_is_closed_while_something_is_open(
    around: dict[str, tuple[str, ...]], code: str
) -> None:
    """A duty, an action whose effect is not verified or a silent recipient keeps it open."""
    found = walk(*STATES[1:-1])
    assert codes(found, "closed", "approver", EVIDENCE, replace(HELD, **around)) == (code,)


def test_corrective_action_names_known_actions() -> None:
    """An action that nobody wrote down is none."""
    found = walk(*STATES[1:7])
    given = EVIDENCE | {"actions": "capa-1 capa-9"}
    assert codes(found, "corrective_action", "engineer", given, HELD) == ("ACTION_UNKNOWN",)


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_only_the_table_permits(before: str, after: str) -> None:
    """Each pair of states is refused without a row, without its role, and without evidence."""
    facts = replace(NEW.facts, met={"C1.report": NOW})
    found = replace(NEW, state=before, facts=facts, decision="reportable")
    row = TRANSITIONS.get((before, after))
    if row is None:
        assert codes(found, after, "approver", EVIDENCE, HELD) == ("TRANSITION_NOT_PERMITTED",)
        return
    for role in ROLES:
        assert (after in next_steps(found, role)) is (role in row.roles)
        if role not in row.roles:
            assert "ROLE_NOT_PERMITTED" in codes(found, after, role, EVIDENCE, HELD)
    assert "EVIDENCE_MISSING" in codes(found, after, row.roles[0], {}, HELD)


def test_compliance_reads_and_administrator_only_reports() -> None:
    """No row lets compliance, administrator or a service decide anything about an incident."""
    roles = {role for row in TRANSITIONS.values() for role in row.roles}
    assert roles == {"clinician", "physicist", "engineer", "approver"}
    assert suspect(NEW, act("administrator")) == NEW
    with pytest.raises(RefusalError):
        suspect(NEW, act("compliance"))


@pytest.mark.reg("MDR-87")
def test_awareness_dated_earlier_moves_every_due_date_forward() -> None:
    """Another, earlier moment counts from then on; the one before stays on record."""
    (before,) = (c for c in clocks(NEW.facts, load_terms()) if c.name == "C1.report")
    earlier = replace(HERE, at=HERE.at - timedelta(days=4), by="dora")
    found = become_aware(NEW, earlier, act("clinician"))
    (after,) = (c for c in clocks(found.facts, load_terms()) if c.name == "C1.report")
    assert before.due_at is not None
    assert after.due_at == before.due_at - timedelta(days=4)
    assert found.facts.awareness == (HERE, earlier)
    assert become_aware(found, earlier, act("clinician")) == found
    for refused in (act("compliance"), act("clinician", earlier.at - timedelta(days=1))):
        with pytest.raises(RefusalError):
            become_aware(NEW, earlier, refused)


def test_a_wrong_awareness_is_withdrawn_by_an_approver_with_a_reason() -> None:
    """A moment typed wrong can go, when another stays; who did it and why is kept."""
    wrong = replace(HERE, at=HERE.at - timedelta(days=365))
    found = become_aware(NEW, wrong, act("clinician"))
    for role, reason in (("clinician", "wrong year"), ("approver", " ")):
        with pytest.raises(RefusalError):
            withdraw_awareness(found, "deployer", wrong.at, act(role), reason)
    right = withdraw_awareness(found, "deployer", wrong.at, act(), "wrong year")
    assert right.facts == NEW.facts
    assert right.steps[-1].evidence["reason"] == "wrong year"
    for incident_now, at in ((right, HERE.at), (found, NOW)):
        with pytest.raises(RefusalError):
            withdraw_awareness(incident_now, "deployer", at, act(), "the last, or none")


@pytest.mark.reg("MDR-87")
def test_whoever_reports_may_raise_severity_and_only_an_approver_lower_it() -> None:
    """More urgent at once by anybody who may report; less urgent only by who decides."""
    worse = classify(NEW, act("clinician"), severity="death", flags=frozenset({"cyber"}))
    assert (worse.facts.severity, worse.facts.flags) == ("death", {"cyber"})
    for change in ({"severity": "serious"}, {"flags": frozenset[str]()}, {"route": "ai_act"}):
        with pytest.raises(RefusalError):
            classify(worse, act("clinician"), **change)  # type: ignore[arg-type]
        changed = classify(worse, act(), **change)  # type: ignore[arg-type]
        assert changed != worse
    with pytest.raises(RefusalError):
        classify(NEW, act("clinician"), action_at=NOW + timedelta(days=9))


def test_a_duty_is_done_once_and_not_in_the_future() -> None:
    """A report has one time of sending, which has passed, on an approver's word."""
    done = duty_done(NEW, "C1.report", NOW - timedelta(hours=1), act())
    assert done.facts.met == {"C1.report": NOW - timedelta(hours=1)}
    with pytest.raises(RefusalError):
        duty_done(done, "C1.report", NOW, act())
    with pytest.raises(RefusalError):
        duty_done(NEW, "C1.report", NOW + timedelta(hours=1), act())
    with pytest.raises(RefusalError):
        duty_done(NEW, "C1.report", NOW, act("physicist"))
    with pytest.raises(RefusalError):
        duty_done(NEW, "C7.provider", NOW, act("compliance"))
    assert "C7.provider" in duty_done(NEW, "C7.provider", NOW, act("clinician")).facts.met


@pytest.mark.reg("GDPR-25")
@pytest.mark.parametrize(
    "text",
    [
        "Mr Quillfeather^Zzyzx was harmed",
        "study 1.2.276.0.7230010.3.1.2.8323329.41.1700000001.111",
        "19610203",
        "x" * 5000,
        "bell \x07",
    ],
)
def test_a_description_in_the_form_of_patient_data_is_refused(text: str) -> None:
    """Names, UIDs, dates of birth and endless texts do not enter; a reference stands instead."""
    with pytest.raises(RefusalError):
        plain_lines(f"It went wrong.\n{text}")
    if len(text) < 200:
        with pytest.raises(RefusalError):
            suspect(replace(NEW, summary=(text,)), act("clinician"))


def test_a_long_description_is_kept_in_lines() -> None:
    """Every word of an ordinary description is kept."""
    text = "The lower third of the lesion was left out. " * 20
    lines = plain_lines(text)
    assert " ".join(lines).split() == text.split()
    assert max(map(len, lines)) <= 200


MOMENTS = st.datetimes(datetime(2021, 1, 1), datetime(2035, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
WORDS = st.text("abcdefghij -.", min_size=1, max_size=20)
INCIDENTS = st.builds(
    Incident,
    incident_id=WORDS,
    site=WORDS,
    plugin=WORDS,
    release_digest=st.just(RELEASE),
    run_ids=st.lists(WORDS, max_size=2).map(tuple),
    facts=st.builds(
        Facts,
        st.sampled_from(SEVERITIES),
        st.sampled_from(ROUTES),
        st.frozensets(st.sampled_from(FLAGS)),
        st.lists(
            st.builds(
                Awareness,
                st.sampled_from(("provider", "deployer")),
                MOMENTS,
                st.just("Asia/Tokyo"),
                WORDS,
            ),
            min_size=1,
            max_size=2,
        ).map(tuple),
        st.none() | MOMENTS,
        st.dictionaries(WORDS, MOMENTS, max_size=2),
    ),
    summary=st.lists(WORDS, max_size=2).map(tuple),
    reference=WORDS,
    state=st.sampled_from(STATES),
    decision=st.sampled_from(("", "reportable")),
    steps=st.lists(
        st.builds(
            Step,
            WORDS,
            WORDS,
            WORDS,
            WORDS,
            MOMENTS,
            st.dictionaries(WORDS, WORDS, max_size=2),
        ),
        max_size=2,
    ).map(tuple),
)


@given(INCIDENTS)
def test_encode_and_decode_are_inverse(found: Incident) -> None:
    """What a document keeps of an incident is all of it."""
    assert decode(encode(found)) == found


@pytest.mark.parametrize("content", [{}, {"schema": "osteon.incident/1"}, {"schema": "x"}])
def test_a_document_that_is_no_incident_is_refused(content: dict[str, str]) -> None:
    """A foreign document is not read as an incident."""
    with pytest.raises(RecordError):
        decode(content)


def test_incidents_are_found_among_documents() -> None:
    """The newest revision of every incident, and none that is not there."""
    store = GovernedMemory()
    assert incident(store, NEW.incident_id) is None
    store.put_governed("incident", NEW.incident_id, encode(NEW), "carl", NOW)
    later = walk("triaged")
    store.put_governed("incident", NEW.incident_id, encode(later), "ines", NOW)
    assert incident(store, NEW.incident_id) == later
    assert incidents(store) == (later,)


def test_readme_shows_the_states() -> None:
    """The README of the room shows the same transitions as the code."""
    path = Path(__file__).resolve().parents[2] / "governance" / "INCIDENTS.md"
    shown = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0] not in ("from", "---"):
            shown[cells[0], cells[1]] = (tuple(cells[2].split(", ")), tuple(cells[3].split(", ")))
    assert shown == {pair: (row.roles, row.evidence) for pair, row in TRANSITIONS.items()}
