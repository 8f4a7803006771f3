"""The pages of incidents: who may do what, in both languages, in a real browser."""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from adapters.compose import Site
from adapters.config_sections import ContactSection
from adapters.incidents import acts
from adapters.incidents.actions import plan_action
from adapters.incidents.acts import Report, report_incident
from adapters.incidents.sending import issue_notice
from adapters.incidents.views import view_incident
from adapters.web import access
from adapters.web.access import INCIDENT_ACTS
from adapters.web.app import build_app
from adapters.web.incidents import _ACTS, local_time
from adapters.web.texts import TEXTS
from audit.errors import ConfigurationError
from governance.incident_states import ANSWERS, CAUSALITY, DECISIONS, STATES, TRANSITIONS
from governance.incident_terms import FLAGS, PARTIES, SEVERITIES, load_terms
from governance.safety_notices import KINDS, Recipient
from tests.simulators.incident_site import PASSWORD, PEOPLE, ROLES, finished_run, with_people

CHROMIUM = shutil.which("chromium")
ZONE = "Europe/Berlin"


@dataclass(frozen=True)
class Place:
    """A site with one finished run and people, and its application."""

    site: Site
    run_id: str

    def client(self, role: str, language: str = "en") -> TestClient:
        """Return a client in which the person of a role is signed in."""
        client = TestClient(build_app(self.site, lambda *_: None), follow_redirects=False)
        with self.site.database.reading() as transaction:
            account = transaction.account(PEOPLE[role].account_id)
        assert account is not None
        session = access.open_session(account, self.site.now())
        client.cookies.set(access.COOKIE, access.encode(session, self.site.keys.session))
        client.cookies.set("osteon_language", language)
        client.headers["x-csrf"] = session.csrf
        return client

    def send(self, client: TestClient, path: str, **data: object) -> httpx.Response:
        """Send a form with the token of the session."""
        return client.post(path, data={"csrf": client.headers["x-csrf"], **data})

    def opened(self, **changes: object) -> str:
        """Open an incident of the run and return its id."""
        with self.site.database.reading() as transaction:
            digest = transaction.request_of(self.run_id).release_digest
        report = Report(digest, "serious", self.site.now() - timedelta(hours=3), (self.run_id,))
        report = replace(report, **changes)  # type: ignore[arg-type]
        return report_incident(self.site, PEOPLE["clinician"], report).incident_id


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A site in Berlin with one finished run."""
    root = tmp_path_factory.mktemp("web-incidents")
    home, run_id = finished_run(root)
    section = {"name": "test-site", "node": "node-a", "time_zone": ZONE}
    contact = ContactSection(name="ward-7", role="site")
    with with_people(home, root, site=section, incidents={"contacts": [contact]}) as site:
        yield Place(site, run_id)


def test_every_act_of_a_form_has_its_row() -> None:
    """The table of access and the acts of the page name the same; compliance is in no row."""
    assert set(INCIDENT_ACTS) == set(_ACTS)
    assert all("compliance" not in roles for roles in INCIDENT_ACTS.values())
    assert all(roles <= access.EVERYBODY for roles in INCIDENT_ACTS.values())
    for act in ("move", "hold", "lift", "snapshot", "notice", "plan", "finish", "verify"):
        assert "administrator" not in INCIDENT_ACTS[act]


@pytest.mark.reg("MDR-87")
@pytest.mark.parametrize("role", ROLES)
def test_who_may_report(place: Place, role: str) -> None:
    """Everybody but compliance reports, from a run's page, and sees what is due first."""
    client = place.client(role)
    page = client.get(f"/runs/{place.run_id}")
    may = role != "compliance"
    assert (f"/incidents?run={place.run_id}" in page.text) is may
    assert ('name="aware_at"' in client.get(f"/incidents?run={place.run_id}").text) is may
    answer = place.send(
        client, "/incidents", run=place.run_id, severity="death", aware_at="2026-11-20T22:30",
        summary="left out a lesion", flags=["cyber", "us_market"],
    )  # fmt: skip
    assert answer.status_code == (303 if may else 403)
    if may:
        incident_id = answer.headers["location"].removeprefix("/incidents/")
        view = view_incident(place.site, incident_id)
        assert view.incident.facts.flags == {"cyber", "us_market"}
        assert view.incident.facts.awareness[0].at == datetime(2026, 11, 20, 21, 30, tzinfo=UTC)
        text = client.get(f"/incidents/{incident_id}").text
        assert "2026-11-30 24:00 CET" in text
        assert incident_id in client.get("/incidents").text


@pytest.mark.parametrize("act", list(INCIDENT_ACTS))
@pytest.mark.parametrize("role", ROLES)
def test_acts_are_held_to_the_table(place: Place, act: str, role: str) -> None:
    """A role that a row does not name is refused before anything is looked at."""
    client = place.client(role)
    answer = place.send(client, f"/incidents/inc-none/{act}")
    assert (answer.status_code == 403) is (role not in INCIDENT_ACTS[act])


def test_forged_forms_and_unknown_acts_do_nothing(place: Place) -> None:
    """Without the token of the session nothing is done; an unknown act or incident is none."""
    incident_id = place.opened()
    client = place.client("approver")
    for data in ({"csrf": "forged"}, {}):
        answer = client.post(f"/incidents/{incident_id}/hold", data=data)
        assert answer.status_code == 403
        report = {"severity": "serious", "aware_at": "2026-11-20T22:30", "csrf": "forged"}
        assert client.post("/incidents", data=report).status_code == 403
    assert view_incident(place.site, incident_id).hold is None
    assert place.send(client, f"/incidents/{incident_id}/destroy").status_code == 404
    assert place.send(client, "/incidents/inc-none/hold").status_code == 404
    assert client.get("/incidents/inc-none").status_code == 404
    assert client.get("/incidents/<script>").status_code == 404


@pytest.mark.reg("MDR-87")
@pytest.mark.reg("AIA-73.6")
def test_the_way_through_the_page(place: Place) -> None:
    """Each step of the way is a form of the page, by the role that may take it."""
    incident_id = place.opened()
    path = f"/incidents/{incident_id}"
    people = {role: place.client(role) for role in ("physicist", "engineer", "approver")}

    def step(role: str, act: str, **data: object) -> None:
        answer = place.send(people[role], f"{path}/{act}", **data)
        assert answer.status_code == 303, answer.text

    triage = {"causality": "certain", "would_have_differed": "yes", "reason": "seen"}
    assert (
        place.send(people["engineer"], f"{path}/move", state="triaged", **triage).status_code == 409
    )
    step("physicist", "move", state="triaged", **triage)
    step("engineer", "hold")
    step("approver", "move", state="reportability_decided", decision="reportable", reason="harm")
    step("engineer", "snapshot")
    step("approver", "report", clock="C1.report", at="2026-11-24T10:00")
    step("approver", "move", state="initial_report", clock="C1.report")
    step("approver", "notice", en="Look at every lesion.", de="Jede Läsion ansehen.")
    step("approver", "move", state="follow_up", reference="MIR-7")
    step("physicist", "move", state="root_cause", root_cause="trained on crops")
    step(
        "engineer",
        "plan",
        kind="corrective",
        what="retrain",
        owner="the-engineer",
        due_on="2027-01-31",
    )
    (action,) = view_incident(place.site, incident_id).actions
    step("engineer", "move", state="corrective_action", actions=action.action_id)
    step("engineer", "finish", action=action.action_id)
    step("physicist", "verify", action=action.action_id, effect="nothing left out")
    closing = {"state": "closed", "reason": "it helped"}
    refused = place.send(people["approver"], f"{path}/move", **closing)
    assert refused.status_code == 409
    assert "acknowledged" in refused.text
    (notice,) = view_incident(place.site, incident_id).notices
    step("physicist", "acknowledge", notice=notice.notice_id, recipient="ward-7")
    step("approver", "move", **closing)
    step("approver", "lift", reason="closed")
    text = place.client("compliance", "de").get(path).text
    assert "abgeschlossen" in text
    assert "Jede Läsion ansehen." in text
    assert '<form method="post" action="/incidents' not in text


def test_facts_are_corrected_on_the_page(place: Place) -> None:
    """Awareness, severity and circumstances; less urgent is refused to who may not."""
    incident_id = place.opened()
    path = f"/incidents/{incident_id}"
    client = place.client("clinician")
    place.send(client, f"{path}/aware", party="provider", at="2026-11-18T08:00")
    facts = view_incident(place.site, incident_id).incident.facts
    assert facts.awareness[1].at == datetime(2026, 11, 18, 7, tzinfo=UTC)
    answer = place.send(client, f"{path}/classify", severity="death", flags=["cyber"])
    assert answer.status_code == 303
    answer = place.send(client, f"{path}/classify", severity="serious")
    assert answer.status_code == 409
    place.send(place.client("approver"), f"{path}/classify", severity="serious")
    facts = view_incident(place.site, incident_id).incident.facts
    assert (facts.severity, facts.flags) == ("serious", frozenset())


@pytest.mark.parametrize(
    ("act", "data"),
    [
        ("aware", {"party": "provider", "at": "yesterday"}),
        ("aware", {"party": "press", "at": "2026-11-18T08:00"}),
        ("aware", {"at": "2026-11-18T08:00"}),
        ("aware", {"party": "provider", "at": "2999-11-18T08:00"}),
        ("move", {"state": "triaged", "causality": "a^b"}),
        ("move", {"state": "../.."}),
        ("plan", {"kind": "corrective", "what": "x", "owner": "the-engineer", "due_on": "soon"}),
        ("notice", {"en": " "}),
        ("classify", {"severity": "bad"}),
        ("lift", {"reason": ""}),
    ],
)
def test_what_is_filled_in_wrongly_changes_nothing(
    place: Place, act: str, data: dict[str, str]
) -> None:
    """A form that cannot be understood, or may not be obeyed, is answered in words."""
    incident_id = place.opened()
    before = view_incident(place.site, incident_id).incident
    answer = place.send(place.client("approver"), f"/incidents/{incident_id}/{act}", **data)
    assert answer.status_code == 409
    assert "Traceback" not in answer.text
    assert view_incident(place.site, incident_id).incident == before


def test_what_somebody_wrote_is_shown_as_text(place: Place) -> None:
    """A description in HTML stays a description."""
    incident_id = place.opened(summary="<img src=x onerror=alert(1)> left out")
    text = place.client("clinician").get(f"/incidents/{incident_id}").text
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text


def test_a_time_that_is_there_twice_is_read_as_the_earlier() -> None:
    """When clocks are put back, a term begins with the first of the two."""
    moment = local_time("2026-10-25T02:30", ZONE)
    assert moment.astimezone(UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert local_time("2026-10-25T02:30+01:00", ZONE).astimezone(UTC).hour == 1
    with pytest.raises(ConfigurationError):
        local_time("now", ZONE)


def test_every_word_of_the_rules_has_its_text() -> None:
    """What the rules may say is said in both languages: no page fails on a word."""
    families = {
        "severity": SEVERITIES, "flag": FLAGS, "incident": STATES, "choice": (*CAUSALITY, *ANSWERS),
        "decision": DECISIONS, "party": PARTIES, "aware": PARTIES, "notice": KINDS,
        "clock": ("met", "met-late", "overdue", "running", "no-term", "not-in-force"),
        "action": ("planned", "done", "verified"), "stage": {t.stage for t in load_terms()},
        "field": {key for row in TRANSITIONS.values() for key in row.evidence},
    }  # fmt: skip
    wanted = {f"{family}_{word}" for family, words in families.items() for word in words}
    assert wanted <= set(TEXTS)


def _handled(place: Place) -> str:
    """Return an incident that is on its way: hold, late report, notice, action."""
    site, approver = place.site, PEOPLE["approver"]
    incident_id = place.opened(
        aware_at=site.now() - timedelta(days=30), flags=frozenset({"unintended_exposure", "cyber"}),
        reference="QM-17", summary="A skip lesion was left out.",
    )  # fmt: skip
    triage = {"causality": "indirect", "would_have_differed": "yes", "reason": "seen on the CT"}
    acts.move_incident(site, approver, incident_id, "triaged", triage)
    acts.place_hold(site, approver, incident_id)
    decision = {"decision": "reportable", "reason": "harm is possible"}
    acts.move_incident(site, approver, incident_id, "reportability_decided", decision)
    acts.record_duty(site, approver, incident_id, "C1.report", site.now())
    acts.move_incident(site, approver, incident_id, "initial_report", {"clock": "C1.report"})
    text, to = {"en": "Look at every lesion.", "de": "Jede Läsion ansehen."}, (Recipient("ward-7"),)
    issue_notice(site, approver, incident_id, "field_safety_notice", text, to)
    who = ("the-engineer", date(2027, 1, 31))
    plan_action(site, approver, incident_id, ("corrective", "train on whole fields"), who)
    return incident_id


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_incidents_in_a_real_browser(place: Place, tmp_path: Path) -> None:
    """Report and triage without script, in German, wide and narrow, by the accessibility rules."""
    import uvicorn
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    handled = _handled(place)
    app = build_app(place.site, lambda *_: None)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    folder = Path(os.environ.get("OSTEON_SCREENSHOTS", tmp_path))
    flags = [
        "--no-sandbox", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--no-first-run", "--disable-gpu",
    ]  # fmt: skip
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = browser.new_context(
            locale="de-DE", bypass_csp=True, java_script_enabled=True,
            viewport={"width": 1280, "height": 900},
        )  # fmt: skip
        page = context.new_page()
        page.goto(url + "/")
        page.fill("#account_id", "the-physicist")
        page.fill("#password", PASSWORD)
        with page.expect_navigation():
            page.click("form[action='/sign-in'] button")
        page.goto(f"{url}/runs/{place.run_id}")
        page.click("text=Ein Vorkommnis melden")
        page.fill("#aware_at", "2026-11-20T22:30")
        page.fill("#summary", "Ein Herd fehlt in der Kontur.")
        with page.expect_navigation():
            page.click("form[action='/incidents'] button")
        assert "2026-12-05 24:00 CET" in page.inner_text("main")
        page.fill("#triaged-reason", "im Bild gesehen")
        with page.expect_navigation():
            page.click("details:first-of-type button >> text=gesichtet")
        assert page.inner_text(".way .now") == "gesichtet"
        incident = page.url
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            for name, address in (
                ("list", f"{url}/incidents"),
                ("one", incident),
                ("handled", f"{url}/incidents/{handled}"),
            ):
                page.goto(address)
                results = Axe().run(page)
                assert results.violations_count == 0, results.generate_report()
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (name, width, wide)
                page.screenshot(path=str(folder / f"incidents-{name}-{width}.png"), full_page=True)
        browser.close()
    server.should_exit = True
    thread.join(timeout=10)
    assert re.search(r"inc-\d{8}-[a-z0-9]{6}", incident)
