"""`osteon monitor` in the hands of a person: taken up, silenced, decided, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.monitoring.alarming import alarm_name
from adapters.monitoring.running import run_monitors
from audit.errors import RefusalError
from governance.monitoring.plan import NOTIFY, Plan
from tests.simulators.incident_site import PASSWORD, add_people
from tests.simulators.monitored_site import PLAN, monitored_site

TELLS = Plan("trial", (replace(PLAN.items[0], action=NOTIFY),))


def _osteon(home: str, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--home", home], env={"OSTEON_PASSWORD": PASSWORD})


@pytest.mark.reg("AIA-9.1")
def test_an_alarm_is_taken_up_silenced_and_decided_by_command(tmp_path: Path) -> None:
    """Status shows it; an engineer may take it up and not decide; a reason is asked for."""
    with monitored_site(tmp_path, TELLS) as place:
        add_people(place.site)
        place.runs(10, kernel="B70")
        run_monitors(place.site)
        name = alarm_name("input", place.digest)
        home = str(place.site.home.root)
        words = '[site]\nname = "test-site"\nnode = "node-a"\nmode = "research"\n'
        place.site.home.configuration.write_text(words, "utf-8")
    shown = json.loads(_osteon(home, "monitor", "status", "--json").stdout)
    assert [item["name"] for item in shown["open"]] == [name]
    assert shown["fatigue"][place.digest]["opened"] == 1
    assert _osteon(home, "login", "the-engineer").exit_code == 0
    taken = _osteon(home, "monitor", "acknowledge", name)
    assert (taken.exit_code, "taken up" in taken.stdout) == (0, True)
    refused = _osteon(home, "monitor", "decide", name, "keep", "--reason", "x")
    assert isinstance(refused.exception, RefusalError)
    assert _osteon(home, "login", "the-physicist").exit_code == 0
    quiet = _osteon(home, "monitor", "silence", name, "--reason", "new tube", "--days", "2")
    assert "silent until" in quiet.stdout, quiet.output
    long = _osteon(home, "monitor", "silence", name, "--reason", "new tube", "--days", "40")
    assert isinstance(long.exception, RefusalError)
    unsaid = _osteon(home, "monitor", "decide", name, "keep", "--reason", " ")
    assert isinstance(unsaid.exception, RefusalError)
    done = _osteon(home, "monitor", "decide", name, "keep", "--reason", "new tube, checked")
    assert done.exit_code == 0, done.output
    shown = json.loads(_osteon(home, "monitor", "status", "--json").stdout)
    assert shown["open"] == []
    assert shown["fatigue"][place.digest]["no_action_rate"]["k"] == 1


def test_a_site_without_a_release_at_work_says_that_nothing_is_watched(tmp_path: Path) -> None:
    """An empty table alone would look like monitors without a fault."""
    assert _osteon(str(tmp_path), "init").exit_code == 0
    shown = _osteon(str(tmp_path), "monitor", "status")
    assert shown.exit_code == 0, shown.output
    assert "nothing is watched" in shown.stdout
