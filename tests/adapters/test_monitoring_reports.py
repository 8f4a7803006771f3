"""PSUR data pack, trend report, Art. 72 report: out of the log, signed, the same bytes again."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.monitoring.alarming import alarm_name, decide
from adapters.monitoring.reporting import make_report, write_report
from adapters.monitoring.running import run_monitors
from audit import canonical
from audit.errors import NotFoundError
from governance.monitoring.periodic import KINDS, POST_MARKET, PSUR, TREND
from governance.monitoring.trend import Limit, trend
from governance.sealed import open_sealed
from tests.simulators.governed_site import PHYSICIST
from tests.simulators.monitored_site import Monitored, monitored_site

LIMIT = Limit("failures", 0.05, 2000.0, 1.0)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Monitored]:
    """A site with an active release, its window and its plan."""
    with monitored_site(tmp_path) as opened:
        yield opened


def _year(place: Monitored) -> None:
    """Three months of runs: refusals rise in the third, and the scanner changes."""
    for refused in (3, 3, 14):
        place.runs(22 - refused)
        for _ in range(refused):
            place.run("refused")
        run_monitors(place.site)
        place.clock.forward(days=31)
    place.runs(6, kernel="B70")
    run_monitors(place.site)


def _bytes(paths: tuple[Path, ...]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


@pytest.mark.reg("MDR-PMS")
@pytest.mark.reg("AIA-72.1")
def test_all_three_regenerate_byte_for_byte_from_the_same_log(
    place: Monitored, tmp_path: Path
) -> None:
    """JSON, HTML and PDF, after a decision, more runs and another release came to the log."""
    _year(place)
    size = make_report(place.site, place.digest)["log"]["size"]
    first = {
        kind: _bytes(
            write_report(
                make_report(place.site, place.digest, size, kind=kind), tmp_path / "one", pdf=True
            )
        )
        for kind in KINDS
    }
    place.clock.forward(days=2)
    decide(place.site, alarm_name("refusals", place.digest), "keep", "protocol", PHYSICIST)
    place.runs(4)
    for kind in KINDS:
        document = make_report(place.site, place.digest, size, kind=kind)
        again = write_report(document, tmp_path / "two", pdf=True)
        assert [path.suffix for path in again] == [".json", ".html", ".pdf"]
        assert _bytes(again) == first[kind], kind
        assert again[2].read_bytes().startswith(b"%PDF-")
        assert open_sealed(json.loads(again[0].read_bytes()), place.site.registry.trust())
        assert "<svg" in again[1].read_text("utf-8"), kind
    later = make_report(place.site, place.digest, kind=TREND)
    assert canonical.encode(later) != first[TREND][0]


@pytest.mark.reg("MDR-PMS")
def test_the_trend_report_says_what_rose_and_when(place: Monitored, tmp_path: Path) -> None:
    """Refusals rose in the third month by the plan's own test; each month has its interval."""
    _year(place)
    document = make_report(place.site, place.digest, kind=TREND)
    (refused,) = [one for one in document["trends"] if one["name"] == "refused"]
    months = [(one["month"], one["k"], one["n"]) for one in refused["months"]]
    assert [k for _, k, _ in months] == [3, 3, 14, 0]
    assert refused["risen_in"] == months[2][0]
    assert refused["limit"]["rate"] == 0.2
    html = write_report(document, tmp_path)[1].read_text("utf-8")
    assert f"Risen above 20 %: in {months[2][0]}" in html
    assert document["acts"][-1]["to"] == "suspended"
    assert "numbers" not in document


def test_the_data_pack_shows_use_and_people_and_concludes_nothing(
    place: Monitored, tmp_path: Path
) -> None:
    """Runs by month and group; few of a group are not told apart; the conclusion is a person's."""
    for number in range(9):
        run_id = place.run()
        with place.site.database.transaction() as transaction:
            subject = {"age_band": "18-39" if number < 7 else "10-17", "sex": "F"}
            transaction.set_run_facts(run_id, {"subject": {**subject, "site_code": "FEMUR"}})
    document = make_report(place.site, place.digest, kind=PSUR)
    assert document["months"][0]["n"] == 9
    assert set(document["subjects"]) == {"age_band", "sex", "site_code"}
    html = write_report(document, tmp_path)[1].read_text("utf-8")
    assert "written by the person responsible" in html
    assert "No incident is on record" in html


def test_a_period_leaves_out_what_was_before(place: Monitored) -> None:
    """Runs of earlier records are left out; the time of alarms and documents is not forgotten."""
    place.runs(12)
    before = make_report(place.site, place.digest)
    place.runs(5)
    whole = make_report(place.site, place.digest)
    part = make_report(place.site, place.digest, after=before["log"]["size"])
    assert (before["runs"], whole["runs"], part["runs"]) == (12, 17, 5)
    assert part["plan"] == whole["plan"]
    with pytest.raises(NotFoundError):
        make_report(place.site, place.digest, before["log"]["size"], after=10**6)


def test_a_rate_without_a_limit_is_shown_and_not_judged() -> None:
    """A trend says risen where the test says so, not where a month looks high."""
    quiet = [("2026-01", n % 20 == 0) for n in range(60)]
    risen = [*quiet, *(("2026-02", n % 2 == 0) for n in range(40))]
    assert trend("failed", quiet, LIMIT)["risen_in"] == ""
    found = trend("failed", risen, LIMIT)
    assert found["risen_in"] == "2026-02"
    assert 60 < found["after_case"] < 90
    assert trend("override", risen, None)["risen_in"] == ""
    assert sum(month["n"] for month in found["months"]) == 100


def test_the_command_writes_all_and_refuses_an_unknown_kind(tmp_path: Path) -> None:
    """Nine files of three kinds; a word that is none exits 1 and names those that are."""
    with monitored_site(tmp_path) as place:
        place.runs(3)
        place.clock.forward(seconds=timedelta(minutes=1).total_seconds())
        home = str(place.site.home.root)
        words = '[site]\nname = "test-site"\nnode = "node-a"\nmode = "research"\n'
        place.site.home.configuration.write_text(words, "utf-8")
    out = tmp_path / "out"
    words = ["monitor", "report", "trial", "--out", str(out), "--home", home]
    done = CliRunner().invoke(app, [*words, "--kind", "all"])
    assert done.exit_code == 0, done.output
    names = {path.name for path in out.iterdir()}
    assert names == {
        f"{n}.{e}" for n in ("psur", "trend", "report") for e in ("json", "html", "pdf")
    }
    assert POST_MARKET in KINDS
    wrong = CliRunner().invoke(app, [*words, "--kind", "weekly"])
    assert wrong.exit_code == 1
