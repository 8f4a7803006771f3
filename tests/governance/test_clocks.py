"""The clocks of an incident: who must be told by when, whatever the zone, season or order."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import ConfigurationError
from governance.clocks import Awareness, Facts, clocks, earliest
from governance.incident_terms import FLAGS, ROUTES, SEVERITIES, TERMS, due_at, load_terms

BERLIN = "Europe/Berlin"
ZONES = (
    BERLIN, "UTC", "America/New_York", "Asia/Kathmandu", "Africa/Cairo", "America/Havana",
    "Pacific/Apia", "Australia/Lord_Howe", "America/Santiago",
)  # fmt: skip
LATE = datetime(2029, 5, 7, 9, 30, tzinfo=UTC)  # a Monday, when every row is in force
NOW_2026 = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
TOLD = Awareness("provider", LATE, BERLIN, "ines")


def facts(severity: str = "serious", route: str = "mdr", *flags: str, **changes: object) -> Facts:
    """Return facts of which the provider became aware at `LATE`."""
    return replace(Facts(severity, route, frozenset(flags), (TOLD,)), **changes)  # type: ignore[arg-type]


def limits(found: Facts) -> dict[str, tuple[int | None, str]]:
    """Return the terms of all clocks by name."""
    return {c.name: (c.term.amount, c.term.unit) for c in clocks(found, load_terms())}


def due(found: Facts) -> Mapping[str, datetime | None]:
    """Return the due dates of all clocks by name."""
    return {c.name: c.due_at for c in clocks(found, load_terms())}


def first(found: Facts) -> datetime | None:
    """Return when the first duty is due."""
    clock = earliest(clocks(found, load_terms()))
    return clock.due_at if clock else None


# REGULATORY.md section 6 and trap 4, written out by hand: route x severity -> clocks.
MATRIX: dict[tuple[str, str], dict[str, tuple[int | None, str]]] = {
    ("mdr", "not_serious"): {},
    ("mdr", "serious"): {"C1.report": (15, "days")},
    ("mdr", "deterioration"): {"C2.report": (10, "days")},
    ("mdr", "death"): {"C2.report": (10, "days")},
    ("mdr", "public_health_threat"): {"C3.report": (2, "days")},
    ("ai_act", "not_serious"): {},
    ("ai_act", "serious"): {"C6.report": (15, "days")},
    ("ai_act", "deterioration"): {"C6.report": (15, "days")},
    ("ai_act", "death"): {"C6.report": (10, "days")},
    ("ai_act", "public_health_threat"): {"C6.report": (10, "days")},
}
# What a flag adds, on the route mdr and a serious incident.
ADDED: dict[tuple[str, ...], dict[str, tuple[int | None, str]]] = {
    ("fundamental_rights",): {"C5.report": (15, "days")},
    ("fundamental_rights", "widespread"): {"C5.report": (2, "days")},
    ("widespread",): {},
    ("critical_infrastructure",): {},
    ("field_action",): {
        "C4.report": (None, "before-action"),
        "C4.notice": (None, "before-action"),
    },
    ("personal_data_breach",): {"C8.report": (72, "hours")},
    ("personal_data_breach", "high_risk_to_persons"): {
        "C8.report": (72, "hours"),
        "C8.persons": (None, "at-once"),
    },
    ("cyber",): {
        "C9.early-warning": (24, "hours"),
        "C9.notification": (72, "hours"),
        "C9.final-report": (1, "months"),
    },
    ("unintended_exposure",): {"C10.report": (None, "national")},
    ("trend",): {"C11.report": (None, "at-once")},
    ("us_market",): {"C12.report": (30, "days")},
    ("us_market", "remedial_action"): {"C12.report": (5, "work-days")},
}


@pytest.mark.reg("AIA-73.2")
@pytest.mark.reg("MDR-87")
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_golden_matrix_of_route_and_severity(route: str, severity: str) -> None:
    """Each route asks for its own reports: death of a patient goes by MDR 87, not AI Act 73."""
    assert limits(facts(severity, route)) == MATRIX[route, severity]


@pytest.mark.reg("AIA-73.2")
@pytest.mark.reg("NIS2-1")
@pytest.mark.reg("BSS-63")
@pytest.mark.parametrize("flags", list(ADDED), ids="+".join)
def test_golden_matrix_of_flags(flags: tuple[str, ...]) -> None:
    """Each circumstance starts its own clocks beside that of severity, and no other."""
    expected = {"C1.report": (15, "days"), **ADDED[flags]}
    assert limits(facts("serious", "mdr", *flags)) == expected


@pytest.mark.reg("AIA-73.2")
@pytest.mark.parametrize(
    ("flags", "limit"),
    [
        (("fundamental_rights",), (15, "days")),
        (("widespread",), (2, "days")),
        (("critical_infrastructure",), (2, "days")),
    ],
)
def test_flags_on_the_route_without_a_device(
    flags: tuple[str, ...], limit: tuple[int | None, str]
) -> None:
    """Where no device law applies, the AI Act's own terms hold, and the shortest counts."""
    assert limits(facts("serious", "ai_act", *flags))["C6.report"] == limit


@pytest.mark.reg("AIA-73.2")
def test_two_routes_at_once() -> None:
    """A death that is also a breach of fundamental rights runs two clocks; the first one wins."""
    both = facts("death", "mdr", "fundamental_rights")
    assert limits(both) == {"C2.report": (10, "days"), "C5.report": (15, "days")}
    found = earliest(clocks(both, load_terms()))
    assert found is not None
    assert (found.name, found.due_at) == ("C2.report", datetime(2029, 5, 17, 22, tzinfo=UTC))
    met = earliest(clocks(replace(both, met={"C2.report": LATE}), load_terms()))
    assert met is not None
    assert met.name == "C5.report"


@pytest.mark.reg("MDR-87")
def test_severity_that_rises_shortens_the_term() -> None:
    """15, 10, 2 days: each rise counts from the same awareness, also into the past."""
    ends = [
        date(2029, 5, 22), date(2029, 5, 17), date(2029, 5, 9)
    ]  # fmt: skip
    for severity, end in zip(("serious", "death", "public_health_threat"), ends, strict=True):
        found = first(facts(severity))
        assert found is not None
        assert found == datetime(end.year, end.month, end.day, 22, tzinfo=UTC)  # 24:00 CEST
    (clock,) = clocks(facts("public_health_threat"), load_terms())
    assert clock.state(LATE + timedelta(days=5)) == "overdue"


@pytest.mark.reg("MDR-87")
def test_day_of_awareness_is_day_zero_in_its_zone() -> None:
    """The same moment is another day in another zone, and the term ends with a day there."""
    late_evening = datetime(2029, 5, 7, 22, 30, tzinfo=UTC)  # 8 May in Berlin, 7 May in New York
    for zone, end in (
        (BERLIN, datetime(2029, 5, 23, 22, tzinfo=UTC)),
        ("America/New_York", datetime(2029, 5, 23, 4, tzinfo=UTC)),
    ):
        found = facts(awareness=(Awareness("provider", late_evening, zone, "ines"),))
        assert first(found) == end


@pytest.mark.reg("MDR-87")
@pytest.mark.parametrize(
    ("start", "amount", "unit", "end"),
    [
        # Summer time begins on 29 March and ends on 25 October 2026 in Berlin.
        ("2026-03-20T12:00+01:00", 10, "days", "2026-03-31T00:00+02:00"),
        ("2026-10-20T12:00+02:00", 10, "days", "2026-10-31T00:00+01:00"),
        ("2026-03-28T12:00+01:00", 24, "hours", "2026-03-29T13:00+02:00"),
        ("2026-10-24T12:00+02:00", 72, "hours", "2026-10-27T11:00+01:00"),
        ("2026-10-25T02:30+02:00", 2, "days", "2026-10-28T00:00+01:00"),
        ("2026-10-25T02:30+01:00", 2, "days", "2026-10-28T00:00+01:00"),
        # Ends of months, of the year, leap days.
        ("2026-01-31T08:00+01:00", 1, "months", "2026-03-01T00:00+01:00"),
        ("2028-01-31T08:00+01:00", 1, "months", "2028-03-01T00:00+01:00"),
        ("2026-12-31T08:00+01:00", 1, "months", "2027-02-01T00:00+01:00"),
        ("2028-02-20T23:59+01:00", 10, "days", "2028-03-02T00:00+01:00"),
        ("2026-12-24T10:00+01:00", 15, "days", "2027-01-09T00:00+01:00"),
        # Working days: from a Friday, a Saturday, a Sunday.
        ("2026-11-27T10:00+01:00", 5, "work-days", "2026-12-05T00:00+01:00"),
        ("2026-11-28T10:00+01:00", 5, "work-days", "2026-12-05T00:00+01:00"),
        ("2026-11-29T10:00+01:00", 1, "work-days", "2026-12-01T00:00+01:00"),
        ("2026-11-25T10:00+01:00", None, "at-once", "2026-11-25T10:00+01:00"),
    ],
)
def test_terms_are_counted_by_the_calendar(
    start: str, amount: int | None, unit: str, end: str
) -> None:
    """Days and months end with a day of the zone, hours elapse, whatever the clock is put to."""
    begun = datetime.fromisoformat(start)
    assert due_at(amount, unit, begun, BERLIN) == datetime.fromisoformat(end)


def test_a_midnight_that_does_not_exist_ends_the_day_no_later() -> None:
    """Where summer time begins at midnight, the term ends with the last minute that there is."""
    begun = datetime(2026, 4, 13, 10, tzinfo=UTC)  # Cairo: 24 April 2026, 00:00 becomes 01:00
    end = due_at(10, "days", begun, "Africa/Cairo")
    assert end is not None
    last = (end - timedelta(microseconds=1)).astimezone(ZoneInfo("Africa/Cairo"))
    assert last.date() == date(2026, 4, 23)


@pytest.mark.reg("AIA-26.5")
def test_deployer_learns_first() -> None:
    """Until the provider's awareness is on record its terms count from the deployer's."""
    here = Awareness("deployer", LATE, BERLIN, "carl")
    alone = facts(awareness=(here,))
    found = {c.name: c for c in clocks(alone, load_terms())}
    assert set(found) == {"C1.report", "C7.provider", "C7.authority"}
    assert found["C7.provider"].due_at == LATE
    assert found["C1.report"].assumed
    told = Awareness("provider", LATE + timedelta(days=3), BERLIN, "ines")
    after = {c.name: c for c in clocks(replace(alone, awareness=(here, told)), load_terms())}
    assert not after["C1.report"].assumed
    assert after["C1.report"].due_at == datetime(2029, 5, 25, 22, tzinfo=UTC)
    rights = facts("serious", "mdr", "fundamental_rights", awareness=(here, told))
    assert due(rights)["C5.report"] == datetime(2029, 5, 22, 22, tzinfo=UTC)  # whoever was first


@pytest.mark.reg("AIA-26.5")
def test_provider_that_cannot_be_reached_stops_no_clock() -> None:
    """While the provider is out of reach, its duty stays overdue and the terms go on."""
    found = facts(awareness=(Awareness("deployer", LATE, BERLIN, "carl"),))
    by_name = {c.name: c for c in clocks(found, load_terms())}
    days_later = LATE + timedelta(days=16)
    assert by_name["C7.provider"].state(days_later) == "overdue"
    assert by_name["C1.report"].state(days_later) == "overdue"
    assert by_name["C1.report"].state(LATE + timedelta(days=15)) == "running"


@pytest.mark.reg("NIS2-1")
def test_final_report_counts_from_the_notification_that_was_sent() -> None:
    """One month from the sending; until it is sent, from its last hour."""
    cyber = facts("not_serious", "mdr", "cyber")
    assert due(cyber)["C9.final-report"] == datetime(2029, 6, 10, 22, tzinfo=UTC)
    sent = datetime(2029, 5, 8, 9, tzinfo=UTC)
    done = replace(cyber, met={"C9.notification": sent})
    assert due(done)["C9.final-report"] == datetime(2029, 6, 8, 22, tzinfo=UTC)


@pytest.mark.reg("MDR-87")
def test_field_action_is_reported_before_it_begins() -> None:
    """The report is due before the action; where its time is not known, at once."""
    assert due(facts("serious", "mdr", "field_action"))["C4.report"] == LATE
    begins = LATE + timedelta(hours=5)
    planned = facts("serious", "mdr", "field_action", action_at=begins)
    assert due(planned)["C4.notice"] == begins


@pytest.mark.reg("BSS-63")
def test_a_national_term_that_nobody_stated_is_not_invented(tmp_path: Path) -> None:
    """Without the state's own rule there is no date; a site's own file gives one."""
    found = facts("not_serious", "mdr", "unintended_exposure")
    (clock,) = clocks(found, load_terms())
    assert clock.due_at is None
    assert clock.state(LATE + timedelta(days=400)) == "no-term"
    document = json.loads(TERMS.read_text("utf-8"))
    for row in document["terms"]:
        if row["clock"] == "C10":
            row["limit"] = {"amount": 24, "unit": "hours"}
    path = tmp_path / "terms.json"
    path.write_text(json.dumps(document), "utf-8")
    (clock,) = clocks(found, load_terms(path))
    assert clock.due_at == LATE + timedelta(hours=24)


@pytest.mark.reg("AIA-2.13")
def test_law_of_the_day_decides() -> None:
    """AI Act duties of devices are shown before 2 August 2028 and bind from that day on."""
    for day, binding in (("2028-08-01T12:00+02:00", False), ("2028-08-02T00:00+02:00", True)):
        aware = Awareness("provider", datetime.fromisoformat(day), BERLIN, "ines")
        found = facts("not_serious", "mdr", "fundamental_rights", awareness=(aware,))
        (clock,) = clocks(found, load_terms())
        assert clock.binding is binding
        after = aware.at + timedelta(days=30)
        assert clock.state(after) == ("overdue" if binding else "not-in-force")
        assert (earliest((clock,)) is not None) is binding


def test_a_duty_done_too_late_is_told_from_one_in_time() -> None:
    """What was sent after its date is done, and late."""
    for sent, state in ((LATE, "met"), (LATE + timedelta(days=20), "met-late")):
        (clock,) = clocks(replace(facts(), met={"C1.report": sent}), load_terms())
        assert clock.state(LATE) == state


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "other/1"},
        {"terms": [{"clock": "C1"}]},
        {"terms": [None]},
        {"terms": "C1"},
    ],
)
def test_malformed_terms_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """A file that is no file of terms is refused as a whole, and so is one that is not there."""
    document = json.loads(TERMS.read_text("utf-8")) | change
    path = tmp_path / "terms.json"
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ConfigurationError):
        load_terms(path)
    with pytest.raises(ConfigurationError):
        load_terms(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "row",
    [
        {"limit": {"amount": None, "unit": "days"}},
        {"limit": {"amount": 0, "unit": "days"}},
        {"limit": {"amount": 3, "unit": "national"}},
        {"limit": {"amount": 3, "unit": "fortnights"}},
        {"starts": "authority"},
        {"routes": ["fda"]},
        {"severities": ["bad"]},
        {"flags": ["loud"]},
        {"after": "nothing"},
        {"valid_from": "soon"},
    ],
)
def test_a_row_with_unknown_words_is_refused(tmp_path: Path, row: dict[str, object]) -> None:
    """A word that the rules do not know would otherwise silently start no clock."""
    document = json.loads(TERMS.read_text("utf-8"))
    document["terms"][0] |= row
    path = tmp_path / "terms.json"
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ConfigurationError):
        load_terms(path)


@pytest.mark.parametrize(
    "change",
    [
        {"severity": "bad"},
        {"route": "fda"},
        {"flags": frozenset({"loud"})},
        {"awareness": ()},
    ],
)
def test_facts_that_nobody_can_count_from_are_refused(change: dict[str, object]) -> None:
    """Unknown words and an incident that nobody is aware of are refused."""
    with pytest.raises(ConfigurationError):
        facts(**change)


@pytest.mark.parametrize(
    ("party", "at", "zone"),
    [
        ("press", LATE, BERLIN),
        ("provider", LATE.replace(tzinfo=None), BERLIN),
        ("provider", LATE, "Mars/Olympus"),
        ("provider", LATE, "../../etc/passwd"),
    ],
)
def test_awareness_needs_party_time_and_zone(party: str, at: datetime, zone: str) -> None:
    """A moment without a zone, or in a zone that does not exist, starts no clock."""
    with pytest.raises(ConfigurationError):
        Awareness(party, at, zone, "ines")


MOMENTS = st.datetimes(datetime(2021, 6, 1), datetime(2035, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
AWARENESS = st.builds(
    Awareness,
    st.sampled_from(("provider", "deployer")),
    MOMENTS,
    st.sampled_from(ZONES),
    st.just("ines"),
)
FACTS = st.builds(
    Facts,
    st.sampled_from(SEVERITIES),
    st.sampled_from(ROUTES),
    st.frozensets(st.sampled_from(FLAGS)),
    st.lists(AWARENESS, min_size=1, max_size=3).map(tuple),
)


@pytest.mark.reg("AIA-73.2")
@given(FACTS, st.timedeltas(timedelta(0), timedelta(days=40)), st.integers(0, 2))
def test_earlier_awareness_never_moves_a_due_date_later(
    found: Facts, earlier: timedelta, number: int
) -> None:
    """Re-dating an awareness to an earlier moment brings every due date forward, or leaves it."""
    index = number % len(found.awareness)
    moved = list(found.awareness)
    moved[index] = replace(moved[index], at=moved[index].at - earlier)
    # Which law held is decided in the zone of the first; only moments of one zone are compared.
    same_zone = replace(
        found, awareness=tuple(replace(a, zone=moved[index].zone) for a in found.awareness)
    )
    after = replace(found, awareness=tuple(replace(a, zone=moved[index].zone) for a in moved))
    before = due(same_zone)
    for name, end in due(after).items():
        if end is not None and (old := before[name]) is not None:
            assert end <= old, name


@pytest.mark.reg("AIA-73.2")
def test_a_later_awareness_further_west_can_end_first() -> None:
    """The earliest end over all moments counts, not the end of the earliest moment."""
    apia = Awareness("provider", datetime(2029, 5, 7, 12, 30, tzinfo=UTC), "Pacific/Apia", "ines")
    havana = Awareness("provider", datetime(2029, 5, 7, 13, tzinfo=UTC), "America/Havana", "carl")
    # Apia is a day ahead: there it was Tuesday 8 May already, in Havana Monday 7 May.
    alone = due(facts(awareness=(apia,)))["C1.report"]
    assert alone == datetime(2029, 5, 23, 11, tzinfo=UTC)
    for order in ((apia, havana), (havana, apia)):
        (clock,) = clocks(facts(awareness=order), load_terms())
        assert clock.due_at == datetime(2029, 5, 23, 4, tzinfo=UTC)
        assert clock.started_at == havana.at


@pytest.mark.reg("AIA-73.2")
@given(FACTS, AWARENESS)
def test_another_awareness_never_moves_a_due_date_later(found: Facts, other: Awareness) -> None:
    """Whatever its zone and moment, one more awareness of a party brings dates forward or nothing.

    Compared are duties that both had by the same row of the law; the provider's first awareness
    on record ends that the deployer's stands in for it, so a party that is known is taken.
    """
    more = replace(other, party=found.awareness[0].party)
    before = {c.name: c for c in clocks(found, load_terms())}
    after = clocks(replace(found, awareness=(*found.awareness, more)), load_terms())
    compared = [(before[c.name], c) for c in after if c.name in before]
    for old, new in compared:
        if old.due_at is not None and (old.term, old.binding) == (new.term, new.binding):
            assert new.due_at is not None
            assert new.due_at <= old.due_at, new.name


@pytest.mark.reg("MDR-87")
@given(FACTS, st.sampled_from(SEVERITIES))
def test_higher_severity_is_never_due_later(found: Facts, other: str) -> None:
    """A rise of severity never moves the first due date later, on either route."""
    if SEVERITIES.index(other) < SEVERITIES.index(found.severity):
        return
    before, after = first(found), first(replace(found, severity=other))
    if before is not None:
        assert after is not None
        assert after <= before


@given(FACTS, st.sampled_from(FLAGS))
def test_another_flag_never_moves_the_first_due_date_later(found: Facts, flag: str) -> None:
    """Two routes at once are at least as urgent as one."""
    before, after = first(found), first(replace(found, flags=found.flags | {flag}))
    if before is not None:
        assert after is not None
        assert after <= before


@given(FACTS)
def test_days_end_on_their_calendar_day(found: Facts) -> None:
    """The last moment of a term of days lies on day 0 plus its days, where it is counted.

    Two persons may become aware at one moment in two zones: then either zone may count.
    """
    for clock in clocks(found, load_terms()):
        if clock.term.unit != "days":
            continue
        assert clock.due_at is not None
        assert clock.term.amount is not None
        sources = [a for a in found.awareness if a.at == clock.started_at]
        term, last = timedelta(days=clock.term.amount), clock.due_at - timedelta(microseconds=1)
        zones = [ZoneInfo(source.zone) for source in sources]
        days = [(last.astimezone(z).date(), clock.started_at.astimezone(z).date()) for z in zones]
        assert any(end == start + term for end, start in days)


@given(FACTS)
def test_the_first_due_date_is_the_earliest_of_all(found: Facts) -> None:
    """No binding duty that is not done is due before the one that is named first."""
    every = clocks(found, load_terms())
    one = earliest(every)
    ends = [c.due_at for c in every if c.binding and c.due_at is not None]
    assert (one.due_at if one else None) == (min(ends) if ends else None)


@given(st.integers(1, 1000), MOMENTS, st.sampled_from(ZONES))
def test_hours_elapse(amount: int, start: datetime, zone: str) -> None:
    """A term of hours does not know the time of day."""
    assert due_at(amount, "hours", start, zone) == start + timedelta(hours=amount)
