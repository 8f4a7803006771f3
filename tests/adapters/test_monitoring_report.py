"""Reports from the log alone, replays of the past, planted changes, outcomes that come later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.compose import Site
from adapters.monitoring import simulating
from adapters.monitoring.alarming import alarm_name, decide
from adapters.monitoring.outcomes import import_outcomes
from adapters.monitoring.reporting import make_report, write_report
from adapters.monitoring.running import run_monitors, watched
from adapters.monitoring.standing import standing
from audit.errors import ConfigurationError, NotFoundError, RefusalError, SignatureError
from governance.monitoring.plan import INPUT, RELEASE
from governance.sealed import open_sealed
from tests.simulators.governed_site import ENGINEER, PHYSICIST
from tests.simulators.monitored_site import PLAN, Monitored, monitored_site


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Monitored]:
    """A site with an active release, its window and its plan."""
    with monitored_site(tmp_path) as opened:
        yield opened


def _alarmed(place: Monitored) -> str:
    place.runs(22)
    place.run("refused")
    run_monitors(place.site)
    place.runs(10, kernel="B70")
    run_monitors(place.site)
    return alarm_name("input", place.digest)


@pytest.mark.reg("MDR-PMS")
@pytest.mark.reg("AIA-72.1")
def test_the_report_regenerates_byte_for_byte(place: Monitored, tmp_path: Path) -> None:
    """The same log size gives the same two files, whatever happened since; it says what was."""
    name = _alarmed(place)
    first = make_report(place.site, place.digest)
    size = first["log"]["size"]
    files = [path.read_bytes() for path in write_report(first, tmp_path / "one")]
    place.clock.forward(days=1)
    decide(place.site, name, "keep", "new scanner, checked", PHYSICIST)
    place.runs(3)
    again = make_report(place.site, place.digest, size)
    assert [p.read_bytes() for p in write_report(again, tmp_path / "two")] == files
    later = make_report(place.site, place.digest)
    assert later["log"]["root_hash"] != first["log"]["root_hash"]
    assert [item["state"] for item in first["alarms"]] == ["open"]
    assert [item["decision"] for item in later["alarms"]] == ["keep"]
    assert later["fatigue"]["decided"] == 1
    ends = {item["name"]: item["k"] for item in first["rates"]}
    assert (ends["done"], ends["refused"], first["runs"]) == (32, 1, 33)
    assert len(first["numbers"]["ct_noise"]) == 32
    html = files[1].decode()
    assert "ct_noise" in html
    assert "no monitor of performance" in html
    with pytest.raises(NotFoundError):
        make_report(place.site, place.digest, 10**6)


def test_a_report_that_somebody_edits_no_longer_opens(place: Monitored) -> None:
    """The signature is over every fact."""
    place.runs(3)
    document = make_report(place.site, place.digest)
    assert open_sealed(document, place.site.registry.trust())["runs"] == 3
    with pytest.raises(SignatureError):
        open_sealed({**document, "runs": 4}, place.site.registry.trust())


def test_the_past_is_replayed_and_a_planted_change_is_found(place: Monitored) -> None:
    """The past says at which case it alarmed; streams say how soon a change would be found."""
    _alarmed(place)
    release = watched_all(place.site)
    item = PLAN.items[0]
    past = simulating.past_of(place.site, release, item)
    assert len(past) == 32
    replayed = simulating.replay(release, item, past)
    assert replayed.alarms[0][1] == "ct_convolution_kernel"
    assert 22 < replayed.alarms[0][0] <= 32
    generator = np.random.default_rng(1)
    planted = simulating.plant(
        release, item, past[:22], simulating.change_of("slice_spacing_mm+2"),
        change_at=20, length=40, streams=10, generator=generator,
    )  # fmt: skip
    assert planted.found.median <= 10
    drawn = simulating.drawn_from_window(release, 30, generator)
    assert {case.categories["ct_convolution_kernel"] for case in drawn} == {"B30", "B31"}
    with pytest.raises(ConfigurationError):
        simulating.change_of("noise")
    with pytest.raises(RefusalError):
        simulating.plant(
            release, item, (), simulating.change_of("a*2"),
            change_at=1, length=2, streams=1, generator=generator,
        )  # fmt: skip


@pytest.mark.parametrize("change", ["slice_spacing+2", "kernel=B70", "ct_noise+0", "ct_noise+inf"])
def test_a_change_of_nothing_is_no_change_that_nobody_finds(place: Monitored, change: str) -> None:
    """A name that no case has, or a move by nothing, is an error and not a change never found."""
    place.runs(5)
    release, item = watched_all(place.site), PLAN.items[0]
    past = simulating.past_of(place.site, release, item)
    with pytest.raises(ConfigurationError):
        simulating.plant(
            release, item, past, simulating.change_of(change),
            change_at=1, length=4, streams=1, generator=np.random.default_rng(1),
        )  # fmt: skip


def watched_all(site: Site) -> simulating.Watched:
    """Return the release with its window, though the plan suspended it."""
    from adapters.monitoring.plans import window_of
    from adapters.monitoring.running import Watched

    with site.database.reading() as transaction:
        (deployment,) = transaction.deployments()
    return Watched(deployment, PLAN, window_of(site, deployment.release_digest))


def test_the_standing_shows_every_item_and_what_is_stopped(place: Monitored) -> None:
    """Not run, then watching or collecting, then stopped when its window is over."""
    assert {line.condition for line in standing(place.site).lines} == {"not-run"}
    place.runs(5)
    run_monitors(place.site)
    found = standing(place.site)
    assert found.is_covered
    assert {line.item.name: line.condition for line in found.lines} == {
        "input": "watching", "refusals": "watching", "latency": "collecting",
    }  # fmt: skip
    place.clock.forward(days=3)
    assert {line.condition for line in standing(place.site).lines} == {"stopped"}
    assert not standing(place.site).is_covered
    assert watched(place.site)[0].plan.items[0].metric == INPUT
    assert watched(place.site)[0].plan.items[0].window == RELEASE


@pytest.mark.reg("AIA-72.1")
def test_outcomes_are_imported_whole_or_not_at_all(place: Monitored) -> None:
    """A good file twice is one; a wrong line keeps nothing and is named by number."""
    run_id = place.run()
    seen = place.clock()
    place.clock.forward(days=100)
    good = {
        "run_id": run_id, "stated": 0.3, "event": True, "seen_at": seen.isoformat(),
        "reported_at": (seen + timedelta(days=3)).isoformat(),
    }  # fmt: skip
    text = json.dumps(good)
    assert import_outcomes(place.site, PHYSICIST, text) == 1
    assert import_outcomes(place.site, PHYSICIST, f"{text}\n\n{text}") == 0
    wrong = [
        {**good, "stated": 1.3}, {**good, "run_id": "unknown"}, {**good, "event": 1},
        {**good, "seen_at": "2020-01-01T00:00:00"}, {**good, "grade": 3},
        {**good, "seen_at": "2020-01-01T00:00:00+00:00"},
    ]  # fmt: skip
    for line in wrong:
        with pytest.raises(ConfigurationError, match="line 2"):
            import_outcomes(
                place.site, PHYSICIST, f"{json.dumps({**good, 'event': False})}\n{json.dumps(line)}"
            )
    with place.site.database.reading() as transaction:
        assert len(transaction.outcomes(place.digest)[1]) == 1
    with pytest.raises(RefusalError):
        import_outcomes(place.site, ENGINEER, text)


def test_the_commands_show_run_and_report(tmp_path: Path) -> None:
    """Status exits 1 where an item never ran, 0 after a run; the report lies where it is asked."""
    with monitored_site(tmp_path) as place:
        place.runs(3)
        home = str(place.site.home.root)
        words = '[site]\nname = "test-site"\nnode = "node-a"\nmode = "research"\n'
        place.site.home.configuration.write_text(words, "utf-8")
    runner = CliRunner()
    told = runner.invoke(app, ["monitor", "status", "--home", home, "--json"])
    assert told.exit_code == 1, told.output
    assert len(json.loads(told.stdout)["items"]) == 3
    assert "no new alarm" in runner.invoke(app, ["monitor", "run", "--home", home]).stdout
    assert runner.invoke(app, ["monitor", "status", "--home", home]).exit_code == 0
    out = str(tmp_path / "report")
    done = runner.invoke(app, ["monitor", "report", "trial", "--out", out, "--home", home])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "report" / "report.html").is_file()
    shown = runner.invoke(app, ["monitor", "plan", "trial", "--home", home])
    assert json.loads(shown.stdout)["plugin"] == "trial"
    past = runner.invoke(
        app, ["monitor", "simulate", "trial", "--home", home, "--change", "ct_noise+9", "--at",
              "5", "--cases", "25", "--streams", "4", "--json"],
    )  # fmt: skip
    assert json.loads(past.stdout)["found"]["streams"] == 4, past.output
