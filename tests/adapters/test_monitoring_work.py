"""Operations, oversight, answers and outcomes of a site under watch."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from adapters.database.oversight import About
from adapters.monitoring.outcomes import import_outcomes
from adapters.monitoring.resources import keep_resources, measure
from adapters.monitoring.running import run_monitors
from adapters.web.monitoring import release_page
from governance.monitoring import plan as plans
from governance.monitoring.default_plan import default_plan
from governance.monitoring.plan import Item, Plan
from governance.monitoring.watch import build
from governance.oversight.assessment import Assessment, Viewing
from tests.simulators.governed_site import PHYSICIST
from tests.simulators.monitored_site import Monitored, monitored_site
from tests.simulators.run_values import request_for

ITEMS = {item.name: item for item in default_plan("trial").items}
PLAN = Plan(
    "trial",
    (
        ITEMS["resources"],
        replace(ITEMS["waning-edits"], first_cases=30, limit=500.0),
        replace(ITEMS["latency"], first_cases=20),
        Item("outcomes", plans.OUTCOME, (plans.RISK,), plans.FIRST, 500.0, "notify", "clinician",
             60, horizon_days=30.0, grace_days=1.0),
    ),
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Monitored]:
    """A site with an active release whose plan watches how the site works."""
    with monitored_site(tmp_path, PLAN) as opened:
        yield opened


def _reviewed(place: Monitored, accepted: bool, seconds: float) -> None:
    run_id = place.run()
    one = Assessment(
        f"{place.generator.integers(1 << 40):036x}", run_id, "GTVp",
        "accept" if accepted else "edit", "page", "p" * 16, "clinician", place.clock(),
        reason="none" if accepted else "anatomy",
        viewing=Viewing(True, seconds, int(seconds), 100),
    )  # fmt: skip
    with place.site.database.transaction() as transaction:
        transaction.put_assessment(one, About("trial", place.digest, "test-site", "", None))


@pytest.mark.reg("AIA-72.1")
def test_waning_edits_are_an_alarm_and_more_edits_are_none(place: Monitored) -> None:
    """Two thirds were edited after a minute; then all is accepted after seconds: an alarm."""
    for number in range(60):
        _reviewed(place, number % 3 == 0, float(place.generator.normal(60, 10)))
    assert run_monitors(place.site) == ()
    for _ in range(12):
        _reviewed(place, False, float(place.generator.normal(150, 10)))
    assert run_monitors(place.site) == ()  # looking longer and editing more is no alarm here
    for _ in range(30):
        _reviewed(place, True, float(place.generator.normal(12, 2)))
    (name,) = run_monitors(place.site)
    assert name.split(":")[1] == "waning-edits"


def test_a_day_is_one_case_and_keeps_its_greatest_use(place: Monitored) -> None:
    """Measured at most every five minutes; the queue's longest wait of the day stays."""
    place.clock.moment = (place.clock.moment + timedelta(days=1)).replace(hour=9)  # all on one day
    assert keep_resources(place.site)
    assert not keep_resources(place.site)
    request = request_for(
        900, run_id="9" * 32, plugin="trial", release_digest=place.digest,
        study_instance_uid="1.2.900", opened_at=place.clock(),
    )  # fmt: skip
    with place.site.database.transaction() as transaction:
        transaction.add_run(request, "pacs")
    place.clock.forward(minutes=30)
    (place.site.home.staging / "run").mkdir()
    (place.site.home.staging / "run" / "answer.bin").write_bytes(bytes(3 * 2**20))
    found = measure(place.site)
    assert found["queue_age_s"] == 1800
    assert 3 <= found["staging_mb"] < 4
    assert 0 < found["disk_used_share"] < 1
    assert keep_resources(place.site)
    with place.site.database.transaction() as transaction:
        transaction.set_run_status("9" * 32, "done", at=place.clock())
    place.clock.forward(minutes=30)
    assert keep_resources(place.site)
    with place.site.database.reading() as transaction:
        assert transaction.peaks(place.clock())["queue_age_s"] == 1800
        assert transaction.peaks(place.clock())["turnaround_s"] == 1800
        assert transaction.days(None, place.clock(), 9) == ()  # the day is not over


def test_a_queue_that_grows_is_found_by_days(place: Monitored) -> None:
    """Thirty quiet days, then days with hours of waiting: an alarm within a week or so."""
    start = place.clock().replace(hour=12)
    with place.site.database.transaction() as transaction:
        for day in range(42):
            late = 3.0 if day >= 30 else 1.0
            peaks = {
                "queue_age_s": float(place.generator.gamma(4, 60)) * late,
                "worker_memory_mb": float(place.generator.normal(900, 30)),
                "outbox_mb": 10.0 * day + float(place.generator.normal(0, 1)),
            }
            transaction.put_peaks(start + timedelta(days=day), peaks)
    place.clock.forward(days=31)
    (row,) = _after_run(place)
    assert (row.condition, row.cases) == ("watching", 31)
    place.clock.forward(days=12)
    (row,) = _after_run(place)
    assert row.condition == "alarmed"
    assert json.loads(row.state)["beyond"]["name"] == "queue_age_s"


def _after_run(place: Monitored) -> list:
    run_monitors(place.site)
    with place.site.database.reading() as transaction:
        return [r for r in transaction.last_monitored([place.digest]) if r.item == "resources"]


def test_labelled_performance_is_shown_with_intervals(place: Monitored) -> None:
    """110 outcomes make two blocks; the page has AUC, slope, and what is not known."""
    generator = np.random.default_rng(8)
    lines, ids = [], [place.run() for _ in range(112)]
    place.clock.forward(days=60)
    for run_id in ids[:110]:
        stated = float(generator.beta(2, 4))
        at = place.clock().isoformat()
        event = bool(generator.random() < stated)
        seen = (place.clock() - timedelta(days=1 if not event else 45)).isoformat()
        lines.append({"run_id": run_id, "stated": stated, "event": event, "seen_at": seen,
                      "reported_at": at})  # fmt: skip
    import_outcomes(place.site, PHYSICIST, "\n".join(map(json.dumps, lines)))
    assert all(name.startswith("monitor:stopped") for name in run_monitors(place.site))
    (found,) = release_page(place.site, place.digest, "en").performance
    assert (found.item, found.known, len(found.blocks)) == ("outcomes", 110, 2)
    assert found.blocks[0].patients == "1–50"
    assert "[" in found.blocks[0].auc
    assert len(found.charts) == 2


@pytest.mark.reg("AIA-72.3")
def test_the_plan_of_any_plugin_has_items_for_work_people_and_answers() -> None:
    """Operations and oversight name what they watch; their rates need no window."""
    for plugin in ("contouring", "dose"):
        metrics = {item.metric for item in default_plan(plugin).items}
        assert {plans.RESOURCES, plans.OVERSIGHT, plans.OPERATIONS} <= metrics
    names = [item.name for item in default_plan("dose").items if item.window == plans.RELEASE]
    assert names == []  # a release without a window is not held against one
    assert build(ITEMS["failures"], None).detectors
