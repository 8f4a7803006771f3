"""What follows an incident: notices until they are read, actions until they helped."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import NotFoundError, RecordError, RefusalError
from governance import corrective, safety_notices
from governance.corrective import Action, finish, plan, verify
from governance.incidents import Act
from governance.safety_notices import (
    PAUSES,
    Notice,
    Recipient,
    acknowledge,
    attempted,
    due,
    issue,
)
from tests.simulators.governed_memory import GovernedMemory

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
APPROVER = Act("ines", "approver", NOW)
NOTICE = Notice(
    "fsn-1", "inc-1", "field_safety_notice", {"en": ("Stop.",)},
    (Recipient("ward", "https://ward.example/"), Recipient("paper")), NOW, "ines", {}, {},
)  # fmt: skip
ACTION = Action("capa-1", "inc-1", "corrective", ("retrain",), "erik", date(2027, 1, 1), "x", NOW)


@pytest.mark.reg("AIA-20")
@pytest.mark.parametrize(
    ("change", "role"),
    [
        ({}, "clinician"),
        ({}, "administrator"),
        ({}, "compliance"),
        ({"kind": "rumour"}, "approver"),
        ({"text": {"en": ()}}, "approver"),
        ({"text": {}}, "approver"),
        ({"recipients": ()}, "approver"),
        ({"recipients": (Recipient("ward"), Recipient("ward"))}, "approver"),
    ],
)
def test_a_notice_that_may_not_be_issued(change: dict[str, Any], role: str) -> None:
    """A field safety notice takes an approver, words, and recipients, each once."""
    with pytest.raises(RefusalError):
        issue(replace(NOTICE, **change), Act("x", role, NOW))
    assert issue(replace(NOTICE, kind="deployer_notice"), Act("x", "clinician", NOW))


@pytest.mark.reg("AIA-20")
def test_a_recipient_is_asked_again_at_growing_pauses() -> None:
    """At once, then after each pause and for ever after the last; paper is never due."""
    notice, now = NOTICE, NOW
    for pause in (*PAUSES, PAUSES[-1], PAUSES[-1]):
        assert [item.name for item in due(notice, now)] == ["ward"]
        notice = attempted(notice, "ward", now, "sent")
        assert due(notice, now + pause - timedelta(seconds=1)) == ()
        now += pause
    assert notice.unacknowledged == ("ward", "paper")
    read = acknowledge(notice, "ward", APPROVER)
    assert due(read, now + timedelta(days=99)) == ()
    assert acknowledge(read, "ward", Act("other", "clinician", now)) == read
    assert read.unacknowledged == ("paper",)
    with pytest.raises(NotFoundError):
        attempted(notice, "nobody", NOW, "sent")


@pytest.mark.reg("AIA-20")
def test_the_effect_of_an_action_is_verified_by_somebody_else() -> None:
    """Planned, done, verified, in this order, and not by who did it."""
    for role in ("clinician", "administrator", "compliance"):
        with pytest.raises(RefusalError):
            plan(ACTION, Act("x", role, NOW))
    for change in ({"kind": "hopeful"}, {"what": ()}, {"owner": ""}):
        with pytest.raises(RefusalError):
            plan(replace(ACTION, **change), APPROVER)  # type: ignore[arg-type]
    planned = plan(ACTION, APPROVER)
    with pytest.raises(RefusalError):
        verify(planned, APPROVER, ("helped",))
    done = finish(planned, APPROVER)
    with pytest.raises(RefusalError):
        finish(done, APPROVER)
    for act, effect in (
        (APPROVER, ("helped",)),
        (Act("erik", "engineer", NOW), ("helped",)),
        (Act("petra", "physicist", NOW), ()),
    ):
        with pytest.raises(RefusalError):
            verify(done, act, effect)
    verified = verify(done, Act("petra", "physicist", NOW), ("helped",))
    assert [item.state for item in (planned, done, verified)] == ["planned", "done", "verified"]


MOMENTS = st.datetimes(datetime(2021, 1, 1), datetime(2035, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
WORDS = st.text("abcdefghij -.", min_size=1, max_size=12)
LINES = st.lists(WORDS, max_size=2).map(tuple)


@given(LINES, MOMENTS, st.none() | MOMENTS, WORDS)
def test_actions_are_kept_whole(
    lines: tuple[str, ...], planned: datetime, done: datetime | None, word: str
) -> None:
    """`encode` and `decode` of an action are inverse."""
    action = replace(
        ACTION, what=lines, planned_at=planned, done_at=done, done_by=word, effect=lines
    )
    assert corrective.decode(corrective.encode(action)) == action


@given(LINES, MOMENTS, st.lists(WORDS, min_size=1, max_size=3, unique=True))
def test_notices_are_kept_whole(lines: tuple[str, ...], at: datetime, names: list[str]) -> None:
    """`encode` and `decode` of a notice are inverse."""
    notice = replace(
        NOTICE,
        text={"en": lines, "de": lines},
        issued_at=at,
        recipients=tuple(Recipient(name, name) for name in names),
    )
    notice = acknowledge(attempted(notice, names[0], at, "sent"), names[-1], APPROVER)
    assert safety_notices.decode(safety_notices.encode(notice)) == notice


def test_documents_of_one_incident_are_told_from_those_of_others() -> None:
    """Notices and actions are found by their incident; foreign documents are refused."""
    store = GovernedMemory()
    for number in (1, 2):
        notice = replace(NOTICE, notice_id=f"fsn-{number}", incident_id=f"inc-{number}")
        action = replace(ACTION, action_id=f"capa-{number}", incident_id=f"inc-{number}")
        store.put_governed(
            safety_notices.KIND, notice.notice_id, safety_notices.encode(notice), "i", NOW
        )
        store.put_governed(corrective.KIND, action.action_id, corrective.encode(action), "i", NOW)
    assert [n.notice_id for n in safety_notices.notices(store, "inc-2")] == ["fsn-2"]
    assert [a.action_id for a in corrective.actions(store, "inc-1")] == ["capa-1"]
    assert len(safety_notices.notices(store)) == len(corrective.actions(store)) == 2
    for read in (safety_notices.decode, corrective.decode):
        for content in ({}, {"schema": "x"}, {"schema": safety_notices.SCHEMA}):
            with pytest.raises(RecordError):
                read(content)
