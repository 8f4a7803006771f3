"""Who is told of an alarm and when, who takes it up, and who may be silent about what."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from adapters.doctor import examine
from adapters.monitoring.alarming import alarm_name, decide, follow_up
from adapters.monitoring.answering import acknowledge, silence_alarm
from adapters.monitoring.plans import set_plan
from adapters.monitoring.reporting import make_report
from adapters.monitoring.running import run_monitors
from adapters.monitoring.standing import standing
from audit.errors import NotFoundError, RefusalError
from governance.monitoring import silence
from governance.monitoring.plan import NOTIFY, Plan
from governance.monitoring.reevaluation import KIND
from governance.ports import GovernedDocument
from tests.simulators.governed_site import CLINICIAN, COMPLIANCE, ENGINEER, PHYSICIST, state_of
from tests.simulators.monitored_site import PLAN, Monitored, monitored_site

TELLS = Plan("trial", (replace(PLAN.items[0], action=NOTIFY), *PLAN.items[1:]))


@contextmanager
def _hook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Receive notices; yield where, and what came with the path it came to."""
    sent: list[dict[str, str]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            sent.append({**told, "path": self.path})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
        server.shutdown()


@contextmanager
def _place(root: Path, plan: Plan = TELLS) -> Iterator[tuple[Monitored, list[dict[str, str]]]]:
    """A site where a physicist and a deputy answer for the items, with one alarm open."""
    with _hook() as (url, sent):
        persons = {
            "duties": {"physicist": {"owner": "physicist", "deputy": "clinician"}},
            "compliance": "compliance",
            "addresses": {"physicist": f"{url}/owner", "clinician": f"{url}/deputy"},
        }
        notices = {"webhook_url": f"{url}/site"}
        with monitored_site(root, plan, notices=notices, monitoring=persons) as place:
            place.runs(10, kernel="B70")
            run_monitors(place.site)
            yield place, sent


def _item(place: Monitored) -> GovernedDocument:
    with place.site.database.reading() as transaction:
        found = transaction.governed(KIND, alarm_name("input", place.digest))
    assert found is not None
    return found


def _steps(sent: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(one["path"], one["event"], one["to"]) for one in sent]


@pytest.mark.reg("AIA-26.5")
def test_who_hears_nothing_from_the_owner_is_told_next(tmp_path: Path) -> None:
    """Owner at once, deputy after a day, compliance after three; each once, and on record."""
    with _place(tmp_path) as (place, sent):
        run_monitors(place.site)
        assert _steps(sent) == [("/owner", "monitor alarm", "physicist")]
        for _ in range(4):
            place.clock.forward(hours=25)
            follow_up(place.site)
            follow_up(place.site)
        assert _steps(sent)[1:] == [
            ("/deputy", "alarm escalated", "clinician"),
            ("/site", "alarm escalated", "compliance"),
        ]
        told = _item(place).content["told"]
        assert [one["step"] for one in told] == ["owner", "deputy", "compliance"]
        assert [one["person"] for one in told] == ["physicist", "clinician", "compliance"]
        assert not any(f"{number:032x}" in str(sent) for number in range(1, 11))


def test_an_alarm_that_somebody_took_up_escalates_at_its_deadline_only(tmp_path: Path) -> None:
    """Taken up in time: no deputy; past the deadline compliance, then once a day."""
    with _place(tmp_path) as (place, sent):
        name = alarm_name("input", place.digest)
        with pytest.raises(RefusalError):
            acknowledge(place.site, name, COMPLIANCE)
        acknowledge(place.site, name, ENGINEER)
        assert acknowledge(place.site, name, PHYSICIST).content["acknowledged_by"] == "engineer"
        place.clock.forward(days=6)
        follow_up(place.site)
        assert len(sent) == 1
        place.clock.forward(days=2)
        for _ in range(3):
            follow_up(place.site)
        place.clock.forward(days=1)
        follow_up(place.site)
        assert [one["event"] for one in sent[1:]] == ["alarm escalated", "re-evaluation overdue"]
        decide(place.site, name, "keep", "checked", PHYSICIST)
        with pytest.raises(NotFoundError):
            acknowledge(place.site, name, PHYSICIST)
        weight = standing(place.site).fatigue[place.digest]
        assert (weight.late, weight.due, weight.no_action, weight.decided) == (0, 1, 1, 1)
        shown = make_report(place.site, place.digest)
        assert shown["fatigue"]["late_rate"]["n"] == 1
        assert "engineer" not in json.dumps(shown["alarms"])


def test_a_silence_has_reason_and_end_and_hides_nothing(tmp_path: Path) -> None:
    """Nobody is told while it lasts; the alarm stands, and afterwards its steps go on."""
    with _place(tmp_path) as (place, sent):
        site, name = place.site, alarm_name("input", place.digest)
        until = site.now() + timedelta(days=2)
        with pytest.raises(RefusalError) as caught:
            silence_alarm(site, name, site.now() + timedelta(days=40), " ", ENGINEER)
        assert set(caught.value.reasons) == {
            "ROLE_NOT_PERMITTED", "SILENCE_END", "EVIDENCE_MISSING",
        }  # fmt: skip
        document = silence_alarm(site, name, until, "service of the scanner", PHYSICIST)
        assert (document.kind, document.recorded_by) == (silence.KIND, "physicist")
        place.clock.forward(hours=47)
        follow_up(site)
        assert len(sent) == 1
        assert _item(place).content["state"] == "open"
        place.clock.forward(hours=2)
        follow_up(site)
        assert _steps(sent)[1:] == [("/deputy", "alarm escalated", "clinician")]
        weight = standing(site).fatigue[place.digest]
        assert (weight.late, weight.due) == (1, 1)


def test_an_item_may_be_silent_before_it_alarms(tmp_path: Path) -> None:
    """A known work on the scanner: the alarm is raised and recorded, and told later."""
    with monitored_site(tmp_path, TELLS) as place:
        name = alarm_name("input", place.digest)
        silence_alarm(place.site, name, place.site.now() + timedelta(days=1), "new tube", CLINICIAN)
        place.runs(10, kernel="B70")
        assert run_monitors(place.site) == (name,)
        assert "told" not in _item(place).content
        place.clock.forward(hours=25)
        follow_up(place.site)
        assert [one["step"] for one in _item(place).content["told"]] == ["owner", "deputy"]
        with pytest.raises(NotFoundError):
            silence_alarm(place.site, "monitor:x", place.site.now(), "x", PHYSICIST)


@pytest.mark.parametrize("about", ["input", "stopped-latency"])
def test_what_suspends_or_stands_still_is_never_silenced(tmp_path: Path, about: str) -> None:
    """Neither an item that suspends nor a monitor that stopped."""
    with monitored_site(tmp_path) as place:
        until = place.site.now() + timedelta(days=1)
        with pytest.raises(RefusalError) as caught:
            silence_alarm(place.site, alarm_name(about, place.digest), until, "x", PHYSICIST)
        assert caught.value.reasons == ("SILENCE_NOT_PERMITTED",)


def test_a_silence_does_not_hold_back_a_suspension_of_a_later_plan(tmp_path: Path) -> None:
    """Silenced while it notified; then the plan lets it suspend: it does."""
    with monitored_site(tmp_path, TELLS) as place:
        name = alarm_name("input", place.digest)
        silence_alarm(place.site, name, place.site.now() + timedelta(days=9), "x", PHYSICIST)
        set_plan(place.site, "trial", place.digest, PLAN, PHYSICIST)
        place.runs(10, kernel="B70")
        run_monitors(place.site)
        assert state_of(place.site, place.digest) == "suspended"
        assert [one["step"] for one in _item(place).content["told"]] == ["owner"]


def test_the_self_test_names_who_answers_for_alarms_without_an_account(tmp_path: Path) -> None:
    """A person who left is found before an alarm goes nowhere."""
    persons = {"duties": {"physicist": {"owner": "physicist", "deputy": "gone"}}}
    with monitored_site(tmp_path, monitoring=persons) as place:
        (found,) = [check for check in examine(place.site) if check.name == "alarm duties"]
        assert not found.ok
        assert "gone" in found.detail
