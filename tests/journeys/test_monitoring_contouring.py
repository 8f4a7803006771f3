"""The contouring release meets another scanner: alarm, item, suspension by policy, report.

Real inference of the published release on real sarcoma images in the embedded PACS.  The plan is
the one that travels with the release, with three changes that a physicist puts in force here: what
it holds against the release's window it holds against this site's first cases, since the studies
are cut smaller than that window knows; another scanner suspends the release; and nobody watches
the seconds of a run, since the machine of a test really does change its speed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.compose import Site, open_site
from adapters.home import Home
from adapters.monitoring.alarming import decide
from adapters.monitoring.plans import plan_of, set_plan
from adapters.published import activate_newest
from governance.monitoring import reference as references
from governance.monitoring.plan import FIRST, INPUT, OPERATIONS, RELEASE, SUSPEND, Item, Plan
from governance.monitoring.reference import make_reference
from tests.simulators.drifting_site import Played, play
from tests.simulators.example_site import configuration, served
from tests.simulators.governed_site import PHYSICIST, add_accounts
from tests.simulators.sarcoma_studies import observed, sarcoma_study

STUDIES, CHANGE_AT, WITHIN = 300, 150, 10
UNHURRIED: dict[str, Any] = {
    "trigger": {"quiet_time_s": 0.1, "poll_interval_s": 0.5},
    "engine": {"polling_interval_s": 0.25},
}
"""A run takes seconds: looking twenty times a second would only slow it."""
FEW = Plan(
    "contouring",
    (
        Item(
            "scanner", INPUT, ("ct_noise", "ct_edge", "row_spacing_mm"), RELEASE, 2000.0, SUSPEND,
            "physicist",
        ),
    ),
)  # fmt: skip
"""What a dozen runs can show: no first cases to collect."""


def _home(root: Path) -> Home:
    """Make a site whose newest published contouring release is active."""
    home = Home(root / "home").create()
    with open_site(home, configuration=configuration(root)) as site:
        activate_newest(site, "contouring", reason="journey")
        add_accounts(site)
    return home


def _digest(site: Site) -> str:
    with site.database.reading() as transaction:
        (deployment,) = transaction.deployments("contouring")
    return deployment.release_digest


def _shipped(site: Site) -> str:
    """Put the shipped plan in force, changed as this site needs it."""
    digest = _digest(site)
    with site.database.reading() as transaction:
        plan = plan_of(site, transaction, "contouring", digest)
    items = [
        replace(
            item,
            window=FIRST if item.window == RELEASE else item.window,
            action=SUSPEND if item.name == "scanner" else item.action,
        )
        for item in plan.items
        if item.metric != OPERATIONS
    ]
    set_plan(site, "contouring", digest, Plan("contouring", tuple(items)), PHYSICIST)
    return digest


def _few(site: Site) -> str:
    """Put one item in force, against sixty studies of the usual scanner that no run sees."""
    digest = _digest(site)
    window = make_reference(digest, "60 studies", [observed(n) for n in range(10_000, 10_060)])
    raw = json.dumps(references.encode(window)).encode()
    site.registry.attach(digest, references.ATTACHMENT, raw)
    set_plan(site, "contouring", digest, FEW, PHYSICIST)
    return digest


def _play(
    root: Path, begin: Callable[[Site], str], studies: int, change_at: int, awaited: str = ""
) -> Played:
    root.mkdir(exist_ok=True)

    def arrive(site: Site, number: int) -> None:
        study = sarcoma_study(number, is_other=number >= change_at)
        site.archives["pacs"].store(study.study_instance_uid, study.files)

    def decided(site: Site, played: Played) -> None:
        for name in played.items:
            decide(site, name, "suspend", "new scanner, to be commissioned", PHYSICIST)

    place = served(_home(root), root, **UNHURRIED)
    return play(place, root, begin, arrive, studies, then=decided, awaited=awaited)


def _check_found(found: Played, change_at: int) -> None:
    """The scanner's item within ten, no other before the change; the release rests; report."""
    assert change_at < found.first_at <= found.alarm_at <= change_at + WITHIN
    names = sorted(item["item"] for item in found.items.values())
    (item,) = [item for item in found.items.values() if item["item"] == "scanner"]
    assert found.state == "suspended"
    assert "SCANNER" in [record.body["verdict"] for record in found.guards]
    assert found.lifecycle[-1].actor.role == "service"
    assert found.lifecycle[-1].body["action"] == "suspend"
    assert "alarm_sha256" in found.lifecycle[-1].body["evidence"]
    assert (item["owner"], item["state"]) == ("physicist", "open")
    assert sorted(line["item"] for line in found.report["alarms"]) == names
    assert found.report["runs"] == found.alarm_at


@pytest.mark.slow
@pytest.mark.reg("AIA-72.1")
def test_contouring_rests_soon_after_the_scanner_changed(tmp_path: Path) -> None:
    """One quiet study, then another scanner: within ten the release is suspended, on record."""
    _check_found(_play(tmp_path / "few", _few, 1 + WITHIN, 1), 1)


@pytest.mark.acceptance
@pytest.mark.reg("AIA-72.1")
def test_three_hundred_contours_with_a_changed_scanner(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """300 studies planned, another scanner after 150: found within ten."""
    found = _play(tmp_path / "changed", _shipped, STUDIES, CHANGE_AT, "scanner")
    record_property("delay", found.alarm_at - CHANGE_AT)
    record_property("delay of the first item", found.first_at - CHANGE_AT)
    record_property("items", json.dumps(list(found.items.values())))
    record_property("ends", _counted(found))
    _check_found(found, CHANGE_AT)


@pytest.mark.acceptance
@pytest.mark.reg("AIA-72.1")
def test_three_hundred_contours_without_a_change(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """300 studies of one scanner: no alarm at all, and the release goes on."""
    found = _play(tmp_path / "quiet", _shipped, STUDIES, STUDIES)
    record_property("items", json.dumps(list(found.items.values())))
    record_property("ends", _counted(found))
    assert (found.alarm_at, found.state) == (0, "active")
    assert (found.report["runs"], found.report["alarms"]) == (STUDIES, [])


def _counted(found: Played) -> str:
    return json.dumps({end: found.ends.count(end) for end in sorted(set(found.ends))})
