"""What persons do about incidents: rules, state and record together, notices that reach."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from adapters.compose import Site
from adapters.config_sections import ContactSection, NoticesSection
from adapters.doctor import examine
from adapters.engine.notices import send
from adapters.incidents.actions import finish_action, plan_action, verify_action
from adapters.incidents.acts import (
    Report,
    classify_incident,
    lift_hold,
    move_incident,
    place_hold,
    record_awareness,
    record_duty,
    report_incident,
    withdraw_moment,
)
from adapters.incidents.sending import (
    acknowledge_notice,
    issue_notice,
    recipients,
    send_all_due,
    suspend_and_notify,
)
from adapters.incidents.views import list_incidents, mir_of, view_incident
from audit.errors import ConfigurationError, NotFoundError, RefusalError
from audit.record import Record, decode
from governance.safety_notices import Recipient
from tests.simulators.example_site import prepare
from tests.simulators.incident_site import PEOPLE, listening, receiving_mail, with_people

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
APPROVER, CLINICIAN = PEOPLE["approver"], PEOPLE["clinician"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with an active release, at a fixed time, in Berlin."""
    root = tmp_path_factory.mktemp("acts")
    section = {"name": "test-site", "node": "node-a", "time_zone": "Europe/Berlin"}
    with with_people(prepare(root), root, site=section) as site:
        yield site


@pytest.fixture
def site(opened: Site) -> Site:
    """The site at noon of 25 November 2026."""
    return at(opened, NOW)


def at(site: Site, now: datetime) -> Site:
    """Return the site at another time."""
    return replace(site, now=lambda: now)


def configured(site: Site, *contacts: ContactSection) -> Site:
    """Return the site with contacts."""
    section = site.configuration.incidents.model_copy(update={"contacts": list(contacts)})
    return replace(site, configuration=site.configuration.model_copy(update={"incidents": section}))


def opened_incident(site: Site, **changes: object) -> str:
    """Open an incident of the release and return its id."""
    digest = site.registry.find("example").digest
    report = Report(digest, "serious", site.now() - timedelta(hours=2), summary="left out a lesion")
    return report_incident(site, CLINICIAN, replace(report, **changes)).incident_id  # type: ignore[arg-type]


def records(site: Site, kind: str, incident_id: str) -> list[Record]:
    """Return the records of a kind about an incident, all of them in the tree."""
    site.seal()
    with site.database.reading() as transaction:
        leaves = transaction.leaves(0, transaction.tree_size())
        found = [decode(leaf.leaf) for leaf in leaves if leaf.kind == kind]
    return [record for record in found if record.body.get("incident") == incident_id]


@pytest.mark.reg("MDR-87")
@pytest.mark.reg("AIA-20")
def test_the_whole_way_of_an_incident(site: Site) -> None:
    """From report to closing: every step is on record, and nothing is closed too early."""
    incident_id = opened_incident(site)
    view = view_incident(site, incident_id, "physicist")
    assert view.first_due == "2026-12-10 24:00 CET"
    assert view.next_states == ("triaged",)
    move_incident(
        site, PEOPLE["physicist"], incident_id, "triaged",
        {"causality": "indirect", "would_have_differed": "yes", "reason": "was misled"},
    )  # fmt: skip
    assert place_hold(site, PEOPLE["engineer"], incident_id).state == "hold_placed"
    decision = {"decision": "reportable", "reason": "harm is possible", "signer": "somebody-else"}
    decided = move_incident(site, APPROVER, incident_id, "reportability_decided", decision)
    assert decided.steps[-1].evidence["signer"] == APPROVER.account_id
    record_duty(site, APPROVER, incident_id, "C1.report", NOW - timedelta(minutes=1))
    move_incident(site, APPROVER, incident_id, "initial_report", {"clock": "C1.report"})
    move_incident(site, APPROVER, incident_id, "follow_up", {"reference": "MIR-7"})
    move_incident(site, APPROVER, incident_id, "root_cause", {"root_cause": "trained on crops"})
    action = plan_action(
        site, PEOPLE["engineer"], incident_id, ("corrective", "train on whole fields"),
        ("the-engineer", date(2027, 1, 31)),
    )  # fmt: skip
    given = {"actions": action.action_id}
    move_incident(site, PEOPLE["engineer"], incident_id, "corrective_action", given)
    with pytest.raises(RefusalError) as caught:
        move_incident(site, APPROVER, incident_id, "closed", {"reason": "done"})
    assert caught.value.reasons == ("ACTION_OPEN",)
    finish_action(site, PEOPLE["engineer"], action.action_id)
    for person in (PEOPLE["engineer"], PEOPLE["compliance"]):
        with pytest.raises(RefusalError):
            verify_action(site, person, action.action_id, "helped")
    verify_action(site, PEOPLE["physicist"], action.action_id, "no lesion left out in 40 cases")
    assert (
        move_incident(site, APPROVER, incident_id, "closed", {"reason": "done"}).state == "closed"
    )
    lift_hold(site, APPROVER, incident_id, "closed")
    found = records(site, "incident", incident_id)
    assert [record.body["state"] for record in found] == [
        "suspected", "triaged", "hold_placed", "reportability_decided", "reportability_decided",
        "initial_report", "follow_up", "root_cause", "corrective_action", "closed",
    ]  # fmt: skip
    assert {record.actor.role for record in found} == {
        "clinician", "physicist", "engineer", "approver",
    }  # fmt: skip
    holds = records(site, "legal_hold", incident_id)
    assert [record.body["action"] for record in holds] == ["place", "lift"]
    assert all("lesion" not in json.dumps(dict(record.body)) for record in found)


@pytest.mark.reg("MDR-87")
def test_clocks_follow_awareness_and_severity(site: Site) -> None:
    """An earlier awareness and a higher severity move the first date; a withdrawal goes back."""
    incident_id = opened_incident(site)
    three_days = NOW - timedelta(days=3)
    record_awareness(site, CLINICIAN, incident_id, ("deployer", three_days))
    assert view_incident(site, incident_id).first_due == "2026-12-07 24:00 CET"
    classify_incident(site, CLINICIAN, incident_id, severity="death")
    assert view_incident(site, incident_id).first_due == "2026-12-02 24:00 CET"
    with pytest.raises(RefusalError):
        withdraw_moment(site, CLINICIAN, incident_id, ("deployer", three_days), "wrong day")
    withdraw_moment(site, APPROVER, incident_id, ("deployer", three_days), "wrong day")
    assert view_incident(site, incident_id).first_due == "2026-12-05 24:00 CET"
    classify_incident(site, CLINICIAN, incident_id, flags=(frozenset({"cyber"}), frozenset()))
    assert view_incident(site, incident_id).first_due == "2026-11-26 11:00 CET"
    names = [view.incident.incident_id for view in list_incidents(site)]
    assert names[0] == incident_id


def test_a_duty_that_there_is_not_is_refused(site: Site) -> None:
    """Only what the law of the facts asks for can be done."""
    incident_id = opened_incident(site)
    with pytest.raises(ConfigurationError):
        record_duty(site, APPROVER, incident_id, "C3.report", NOW)
    for act in (
        lambda: move_incident(site, APPROVER, "inc-none", "triaged", {}),
        lambda: finish_action(site, APPROVER, "capa-none"),
        lambda: acknowledge_notice(site, APPROVER, "fsn-none", "x"),
        lambda: lift_hold(site, APPROVER, incident_id, "no hold"),
        lambda: opened_incident(site, run_ids=("no-such-run",)),
        lambda: opened_incident(site, release_digest="sha256:" + "0" * 64),
        lambda: plan_action(
            site, APPROVER, incident_id, ("corrective", "x"), ("nobody", date(2027, 1, 1))
        ),
    ):
        with pytest.raises(NotFoundError):
            act()
    with pytest.raises(RefusalError):
        report_incident(
            site, PEOPLE["compliance"], Report(site.registry.find("example").digest, "serious", NOW)
        )


def test_a_hold_is_placed_once(site: Site) -> None:
    """A second hold of the same incident is refused while the first one stands."""
    incident_id = opened_incident(site)
    assert place_hold(site, CLINICIAN, incident_id).state == "suspected"
    with pytest.raises(RefusalError):
        place_hold(site, CLINICIAN, incident_id)
    with pytest.raises(RefusalError):
        lift_hold(site, APPROVER, incident_id, "nobody was informed")


@pytest.mark.reg("AIA-20")
def test_a_notice_is_sent_until_it_is_acknowledged(site: Site) -> None:
    """Every recipient is tried at once and again at growing pauses; the silent ones are listed."""
    incident_id = opened_incident(site)
    with listening() as first, listening() as second:
        second.status = 503
        to = (
            Recipient("ward-a", first.url),
            Recipient("ward-b", second.url),
            Recipient("ward-c"),
        )
        with pytest.raises(RefusalError):
            issue_notice(site, CLINICIAN, incident_id, "field_safety_notice", {"en": "Stop."}, to)
        notice = issue_notice(
            site, APPROVER, incident_id, "field_safety_notice", {"en": "Stop.", "de": "Halt."}, to
        )
        assert notice.unacknowledged == ("ward-a", "ward-b", "ward-c")
        assert [a.outcome for a in notice.attempts["ward-a"]] == ["sent"]
        assert [a.outcome for a in notice.attempts["ward-b"]] == ["HTTP_503"]
        assert "ward-c" not in notice.attempts
        (letter,) = first.got
        assert letter["text"] == {"en": ["Stop."], "de": ["Halt."]}
        assert letter["notice_id"] == notice.notice_id
        send_all_due(at(site, NOW + timedelta(minutes=14)))
        assert len(first.got) == 1
        second.status = 200
        send_all_due(at(site, NOW + timedelta(minutes=16)))
        assert (len(first.got), len(second.got)) == (2, 2)
        left = acknowledge_notice(site, CLINICIAN, notice.notice_id, "ward-a").unacknowledged
        assert left == ("ward-b", "ward-c")
        with pytest.raises(RefusalError):
            acknowledge_notice(site, PEOPLE["compliance"], notice.notice_id, "ward-b")
        with pytest.raises(NotFoundError):
            acknowledge_notice(site, CLINICIAN, notice.notice_id, "ward-z")
        acknowledge_notice(site, CLINICIAN, notice.notice_id, "ward-b")
        send_all_due(at(site, NOW + timedelta(days=9)))
        assert (len(first.got), len(second.got)) == (2, 2)
    assert view_incident(site, incident_id).notices[0].unacknowledged == ("ward-c",)


@pytest.mark.reg("AIA-26.5")
def test_one_act_suspends_and_tells_the_provider(site: Site) -> None:
    """The release stops, the provider is told and asked again; its answer ends the duty."""
    incident_id = opened_incident(site)
    with pytest.raises(ConfigurationError):
        suspend_and_notify(site, CLINICIAN, incident_id, {"en": "Wrong side."})
    digest = site.registry.find("example").digest
    with site.database.reading() as transaction:
        (state,) = (d.state for d in transaction.deployments() if d.release_digest == digest)
    assert state == "suspended"  # although nobody could be told
    with listening() as mailbox:
        mailbox.status = 500  # provider outage
        told = configured(site, ContactSection(name="maker", role="provider", address=mailbox.url))
        notice = suspend_and_notify(told, CLINICIAN, incident_id, {"en": "Wrong side."})
        assert notice.unacknowledged == ("maker",)
        mailbox.status = 200
        later = NOW + timedelta(minutes=20)
        send_all_due(at(told, later))
        acknowledge_notice(
            at(told, later + timedelta(hours=5)), CLINICIAN, notice.notice_id, "maker"
        )
    found = view_incident(told, incident_id).incident
    assert found.facts.met == {"C7.provider": later}
    state = records(site, "incident", incident_id)[-1]
    assert state.body["action"] == "provider_told"


@pytest.mark.reg("MDR-87")
def test_the_report_of_the_manufacturer_invents_nothing(site: Site) -> None:
    """What is on record is filled in with its source; everything else says MISSING."""
    incident_id = opened_incident(site, reference="QM-17")
    report = mir_of(site, incident_id)
    fields = {item["number"]: item for item in report["fields"]}
    assert fields["2.3.g"]["value"] == "1.0.0"
    assert fields["3.1.a"]["value"] == "left out a lesion"
    assert fields["3.4.ref"]["value"] == "QM-17"
    assert fields["1.2.f"]["value"] == "All other reportable incidents"
    assert fields["1.2.c"]["value"] == "MISSING"  # the provider's awareness is not on record
    assert fields["2.1.a"]["value"] == "MISSING"
    assert not report["complete"]
    for item in report["fields"]:
        assert (item["status"] == "missing") == (item["value"] == "MISSING")
        assert bool(item["source"]) == (item["status"] == "complete")
    record_awareness(site, APPROVER, incident_id, ("provider", NOW - timedelta(hours=1)))
    named = configured(site, ContactSection(name="maker", role="provider"))
    fields = {item["number"]: item for item in mir_of(named, incident_id)["fields"]}
    assert fields["1.2.c"]["value"] == "2026-11-25"
    assert fields["1.3.1"]["value"] == "maker"


@pytest.mark.reg("AIA-26.5")
def test_contacts_are_verified_every_quarter(site: Site) -> None:
    """The self-test names contacts that nobody has tried for a quarter, and a missing provider."""

    def check(*contacts: ContactSection) -> tuple[bool, str]:
        (line,) = (c for c in examine(configured(site, *contacts)) if c.name == "incident contacts")
        return line.ok, line.detail

    maker = ContactSection(name="maker", role="provider", verified_on=date(2026, 9, 1))
    assert check(maker)[0]
    ok, detail = check(maker, ContactSection(name="ward", role="site"))
    assert not ok
    assert "ward" in detail
    assert not check(maker.model_copy(update={"verified_on": date(2026, 8, 1)}))[0]
    assert not check(maker.model_copy(update={"role": "site"}))[0]
    assert recipients(configured(site, maker), ("provider",)) == (Recipient("maker", ""),)


def test_a_letter_goes_by_mail() -> None:
    """A notice as mail has its texts as paragraphs; what went wrong is said by a code."""
    notice = {
        "event": "field_safety_notice", "notice_id": "fsn-1", "text": {"en": ["Stop.", "Now."]},
    }  # fmt: skip
    with receiving_mail() as (port, letters):
        settings = NoticesSection(smtp_host="127.0.0.1", smtp_port=port, mail_from="a@example.org")
        assert send(settings, "mailto:b@example.org", notice) == "sent"
        assert send(settings, "mailto:b@example.org\nBcc: c@example.org", notice) == "ValueError"
    (letter,) = letters
    assert letter["To"] == "b@example.org"
    assert letter["Subject"] == "Osteon: field_safety_notice fsn-1"
    assert "[en] Stop. Now." in letter.get_content()
    assert send(settings, "mailto:b@example.org", notice) == "ConnectionRefusedError"
    assert send(NoticesSection(), "mailto:b@example.org", notice) == "NO_MAIL_SERVER"
    assert send(settings, "http://127.0.0.1:9/", notice) == "ConnectError"
    assert send(settings, "http://", notice) == "UnsupportedProtocol"
