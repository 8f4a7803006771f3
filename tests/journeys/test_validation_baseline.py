"""A release is compared with the one certified before it, case by case, and looks are counted."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.compose import Site
from adapters.validation.baseline import baseline_of
from adapters.validation.kept_runs import KeptRun, read_run
from adapters.validation.reporting import certify_run, compute, write_report
from tests.simulators.governed_site import ENGINEER, add_release, governed_site
from tests.simulators.validation_site import criteria, finished_run
from validation.criteria.document import Criterion

ASKED = criteria(criteria=(
    Criterion("no-worse", "non-inferiority", "a new release must not lose", metric="dsc",
              given="ct+pet", margin=0.03, looks=2),
))  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A governed site whose release 1.0.0 was certified with a pass."""
    with governed_site(tmp_path) as (opened, _):
        run = finished_run(opened, add_release(opened, "1.0.0"), run_id="a" * 64)
        found = read_run(opened, run.run_id)
        write_report(opened, found, pdf=False)
        certify_run(opened, found, ENGINEER)
        yield opened


def _next(site: Site, version: str, run_id: str, **changes: Any) -> KeptRun:
    site.now.forward(minutes=1)  # type: ignore[attr-defined]
    run = finished_run(site, add_release(site, version), asked=ASKED, run_id=run_id, **changes)
    return read_run(site, run.run_id)


def _verdict(site: Site, run: KeptRun) -> tuple[str, str]:
    values = compute(site, run)[0].results
    (found,) = (item for item in values["verdicts"] if item["criterion"] == "no-worse")
    return str(found["verdict"]), str(found["reason"])


@pytest.mark.reg("VAL-1")
def test_a_release_is_held_against_the_certified_one(site: Site) -> None:
    """As good passes, worse fails; a third look has no alpha left; asked again, all is the same."""
    good = _next(site, "1.1.0", "b" * 64, dsc=0.84)
    assert baseline_of(site, good.results, good.criteria)[0].run_id == "a" * 64  # type: ignore[union-attr]
    assert _verdict(site, good)[0] == "pass"
    worse = _next(site, "1.2.0", "c" * 64, dsc=0.70)
    assert _verdict(site, worse)[0] == "fail"
    third = _next(site, "1.3.0", "d" * 64, dsc=0.84)
    verdict, reason = _verdict(site, third)
    assert (verdict, reason) == ("insufficient", "ALPHA_SPENT look 3 of 2")
    shutil.rmtree(worse.folder)  # what was looked at stays looked at
    assert _verdict(site, third) == ("insufficient", "ALPHA_SPENT look 3 of 2")
    assert [baseline_of(site, run.results, run.criteria)[1] for run in (good, worse, third)] == [
        1, 2, 3,
    ]  # fmt: skip


def test_what_was_certified_later_is_no_baseline(site: Site) -> None:
    """A run that was evaluated before the certificate has nobody to be compared with."""
    run = _next(site, "1.1.0", "b" * 64)
    floor = Criterion("dsc", "floor", "saves time", metric="dsc", given="ct+pet", at_least=0.5)
    floors = replace(run.criteria, criteria=(floor,))
    early = replace(run.results, evaluated_at=run.results.evaluated_at - timedelta(days=30))
    assert baseline_of(site, early, run.criteria) == (None, 1)
    assert baseline_of(site, run.results, floors) == (None, 1)
