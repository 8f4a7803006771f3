"""Monitors of a site split by what its runs and reviews tell: scanner, site, subgroup."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from adapters.monitoring.placing import place as placed
from adapters.monitoring.running import run_monitors
from adapters.monitoring.standing import parts_of
from adapters.rt.read_facts import acquisition_facts
from adapters.web.monitoring import release_page
from governance.monitoring import plan as plans
from governance.monitoring.plan import Item, Plan
from tests.simulators.monitored_site import Monitored, monitored_site, reviewed

PLAN = Plan(
    "trial",
    (
        Item("by-part", plans.INPUT, ("ct_*",), plans.FIRST, 500.0, "notify", "physicist", 20,
             by=("scanner", "age_band")),
        Item("refusals", plans.RATE, ("refused",), plans.STATED, 500.0, "notify", "physicist",
             rate=0.2, by=("site", "tumour_site")),
        Item("agreement", plans.AGREEMENT, ("dsc",), plans.FIRST, 500.0, "notify", "clinician", 20,
             by=("structure", "sex")),
        Item("case-mix", plans.INPUT, ("scanner", "age_band"), plans.FIRST, 500.0, "notify",
             "physicist", 20),
    ),
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Monitored]:
    """A site with an active release whose plan splits its items."""
    with monitored_site(tmp_path, PLAN) as opened:
        yield opened


def _run(place: Monitored, model: str, age: str = "18-39", **moved: Any) -> str:
    run_id = place.run(**moved)
    facts = {
        "subject": {"age_band": age, "sex": "F", "site_code": "FEMUR"},
        "acquisition": {"ct": {"manufacturer": "ACME", "model": model, "station": "abcdefghijkl"}},
    }
    with place.site.database.transaction() as transaction:
        transaction.set_run_facts(run_id, facts)
    return run_id


@pytest.mark.reg("AIA-72.1")
def test_one_scanner_that_changes_is_named_by_the_alarm_and_on_the_page(place: Monitored) -> None:
    """Two scanners, one of them changed: the part says which; the page lists every part."""
    for number in range(50):
        _run(place, ("one", "two")[number % 2], ("10-17", "18-39")[number // 3 % 2])
    assert run_monitors(place.site) == ()
    for number in range(30):
        _run(place, ("one", "two")[number % 2], noise=(0.0, 6.0)[number % 2])
    assert len(run_monitors(place.site)) == 1
    found = dict(parts_of(place.site, place.digest))
    first = found[PLAN.items[0]]
    assert {part.value for part in first if part.dimension == "scanner"} == {
        "ACME one abcdefghijkl", "ACME two abcdefghijkl",
    }  # fmt: skip
    with place.site.database.reading() as transaction:
        row = transaction.monitor(place.digest, "by-part")
    assert row is not None
    assert row.condition == "alarmed"
    assert "scanner=ACME two" in row.state
    page = release_page(place.site, place.digest, "en")
    lines = {(line.item, line.dimension, line.value) for line in page.parts}
    assert ("refusals", "site", "pacs") in lines
    assert ("refusals", "tumour_site", "FEMUR") in lines


def test_a_new_scanner_moves_the_case_mix(place: Monitored) -> None:
    """The share of a scanner that the first cases did not know alarms, by its dimension."""
    for _ in range(25):
        _run(place, "one")
    run_monitors(place.site)
    for _ in range(12):
        _run(place, "three")
    raised = run_monitors(place.site)
    assert [name.split(":")[1] for name in raised] == ["case-mix"]


def test_each_structure_is_judged_against_its_own_first_reviews(place: Monitored) -> None:
    """Reviews lie in the stratum of their structure and of the patient of their run."""
    for _ in range(22):
        reviewed(place, _run(place, "one"), 0.8)
    run_monitors(place.site)
    (found,) = [parts for item, parts in parts_of(place.site, place.digest) if item.name[0] == "a"]
    assert [(part.dimension, part.value, part.cases) for part in found] == [
        ("structure", "GTVp", 22), ("sex", "F", 22),
    ]  # fmt: skip


def test_a_station_is_known_by_a_digest_of_its_name_alone() -> None:
    """Two stations of one model differ; the name itself is nowhere."""
    words = []
    for name in ("CT SIM 1", "CT SIM 2"):
        header = Dataset()
        header.StationName = name
        header.Manufacturer = "ACME"
        words.append(acquisition_facts(header)["station"])
    assert words[0] != words[1]
    assert all(isinstance(word, str) and word.isalpha() and len(word) == 12 for word in words)


def test_what_nothing_told_is_not_known() -> None:
    """A run that was refused before it was read has no scanner and no subgroup."""
    found = placed("", {})
    assert set(found.values()) == {"not-known"}
    assert placed("pacs", {"subject": {"sex": "not-evaluated"}})["sex"] == "not-known"
