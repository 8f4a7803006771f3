"""`osteon incident`: from the report to the closing, at the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.cli.main import app
from audit.errors import AuthenticationError, ConfigurationError, RefusalError
from tests.simulators.incident_site import PASSWORD, finished_run, with_people

RUNNER = CliRunner()


class Terminal:
    """A terminal at which somebody is signed in."""

    def __init__(self, home: Path, run_id: str) -> None:
        self.home, self.run_id = home, run_id

    def osteon(self, *arguments: str, env: dict[str, str] | None = None) -> Result:
        """Run a command on the home."""
        return RUNNER.invoke(app, [*arguments, "--home", str(self.home)], env=env)

    def done(self, *arguments: str) -> str:
        """Run a command that succeeds and return what it printed."""
        result = self.osteon(*arguments)
        assert result.exit_code == 0, (arguments, result.output, result.exception)
        return result.stdout

    def document(self, *arguments: str) -> Any:
        """Run a command that prints one JSON document and return it."""
        return json.loads(self.done(*arguments))

    def refused(self, *arguments: str, by: type[Exception] = RefusalError) -> str:
        """Run a command that is refused and return the message."""
        result = self.osteon(*arguments)
        assert isinstance(result.exception, by), (arguments, result.output, result.exception)
        return str(result.exception)

    def login(self, role: str) -> None:
        """Sign in as the person in a role."""
        result = self.osteon("login", f"the-{role}", env={"OSTEON_PASSWORD": PASSWORD})
        assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A site with one finished run and people, and nobody signed in."""
    root = tmp_path_factory.mktemp("incident-cli")
    home, run_id = finished_run(root)
    with with_people(home, root):
        pass
    (home.root / "osteon.toml").write_text(
        '[site]\nname = "test-site"\nnode = "node-a"\ntime_zone = "Europe/Berlin"\n'
        "[limits]\nfree_space_mb = 16\n"
        f'[[pacs]]\nname = "pacs"\nkind = "folder"\npath = "{root / "pacs"}"\n'
        '[[incidents.contacts]]\nname = "ward-7"\nrole = "site"\n'
    )
    return Terminal(home.root, run_id)


@pytest.mark.reg("MDR-87")
@pytest.mark.reg("AIA-73.6")
def test_an_incident_from_the_report_to_the_closing(terminal: Terminal) -> None:
    """Each step by the role that may take it; too early, and by others, it is refused."""
    opened = (
        *("incident", "open", terminal.run_id, "--severity", "serious"),
        *("--aware-at", "2026-11-20T22:30+01:00", "--summary", "left out a lesion"),
    )
    terminal.osteon("logout")
    terminal.refused(*opened, by=AuthenticationError)
    terminal.login("compliance")
    terminal.refused(*opened)
    terminal.login("clinician")
    text = terminal.done(*opened)
    incident_id = text.split()[0]
    assert "first duty is due: 2026-12-05 24:00 CET" in text
    shown = terminal.document("incident", "show", incident_id, "--json")
    assert shown["run_ids"] == [terminal.run_id]
    assert shown["next_states"] == ["triaged"]
    triage = ("--with", "causality=certain", "--with", "would_have_differed=yes")
    terminal.done("incident", "move", incident_id, "triaged", *triage, "--with", "reason=seen")
    terminal.done("incident", "hold", incident_id)
    decide = (
        *("incident", "move", incident_id, "reportability_decided"),
        *("--with", "decision=reportable", "--with", "reason=harm"),
    )
    terminal.refused(*decide)
    terminal.login("approver")
    terminal.done(*decide)
    kept = terminal.document("incident", "snapshot", incident_id)
    assert kept["complete"]
    (run,) = terminal.document("incident", "snapshot", incident_id, "--check")["runs"]
    assert run["verdict"] == "identical"
    sent = ("--at", "2026-11-21T10:00+01:00")
    terminal.done("incident", "report", incident_id, "C1.report", *sent)
    terminal.done("incident", "move", incident_id, "initial_report", "--with", "clock=C1.report")
    notice = terminal.done("incident", "notice", incident_id, "--en", "Look at every lesion.")
    assert "not acknowledged: ward-7" in notice
    terminal.done("incident", "move", incident_id, "follow_up", "--with", "reference=M1")
    terminal.done("incident", "move", incident_id, "root_cause", "--with", "root_cause=training")
    action = terminal.done(
        *("incident", "action", incident_id, "--plan", "retrain", "--owner", "the-engineer"),
        *("--due-on", "2027-01-31"),
    ).split()[0]
    moved = ("incident", "move", incident_id, "corrective_action", "--with", f"actions={action}")
    terminal.done(*moved)
    terminal.done("incident", "action", action, "--done")
    closing = ("incident", "close", incident_id, "--reason", "it helped")
    assert "effect of an action" in terminal.refused(*closing)
    terminal.login("physicist")
    terminal.done("incident", "action", action, "--effect", "no lesion left out in 40 cases")
    terminal.done("incident", "acknowledge", notice.split(";")[0], "ward-7")
    terminal.refused(*closing)
    terminal.login("approver")
    terminal.done(*closing)
    terminal.done("incident", "hold", incident_id, "--lift", "closed")
    table = terminal.done("incident", "list")
    assert incident_id in table
    assert "closed" in terminal.done("incident", "show", incident_id)
    assert terminal.document("incident", "mir", incident_id)["missing"]
    assert terminal.document("audit", "verify", "--json")["verified"]


def test_facts_are_changed_at_the_command_line(terminal: Terminal) -> None:
    """Awareness, severity and flags move the first date; back only by an approver."""
    terminal.login("engineer")
    text = terminal.done("incident", "open", "--release", "example", "--aware-at", "2026-11-20T12Z")
    incident_id = text.split()[0]
    earlier = ("incident", "aware", incident_id, "--at", "2026-11-19T12:00+01:00")
    assert "2026-12-04 24:00" in terminal.done(*earlier)
    worse = ("incident", "classify", incident_id, "--severity", "death", "--flag", "cyber")
    assert "2026-11-20 12:00" in terminal.done(*worse)
    better = ("incident", "classify", incident_id, "--drop-flag", "cyber")
    terminal.refused(*better)
    terminal.login("approver")
    assert "2026-11-29 24:00" in terminal.done(*better)
    assert "2026-11-30 24:00" in terminal.done(*earlier, "--withdraw", "another case")


@pytest.mark.parametrize(
    "arguments",
    [
        ("open",),
        ("open", "some-run", "--release", "example"),
        ("open", "--release", "example", "--aware-at", "yesterday"),
        ("open", "--release", "example", "--aware-at", "2026-11-20T12:00"),
        ("open", "--release", "example", "--severity", "bad"),
        ("open", "--release", "example", "--flag", "loud"),
        ("move", "inc-x", "triaged", "--with", "nothing"),
        ("action", "inc-x", "--plan", "x", "--done"),
        ("action", "inc-x", "--plan", "x", "--owner", "the-engineer", "--due-on", "soon"),
    ],
)
def test_what_cannot_be_understood_is_said(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    """A mistake at the command line names what was expected, and opens nothing."""
    terminal.login("approver")
    before = terminal.done("incident", "list", "--json")
    terminal.refused("incident", *arguments, by=ConfigurationError)
    assert terminal.done("incident", "list", "--json") == before


@pytest.mark.reg("AIA-26.5")
def test_suspend_at_the_report(terminal: Terminal) -> None:
    """One command opens, stops and tells; without a provider it says so after it has stopped."""
    terminal.login("clinician")
    report = ("incident", "open", terminal.run_id, "--suspend", "Wrong side.")
    terminal.refused(*report, by=ConfigurationError)
    (release,) = terminal.document("release", "list", "--json")
    assert release["state"] == "suspended"
