"""Of a run the pictures of the worst cases stay, and a report shows only what is on record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.compose import Site
from adapters.validation.album import PICTURES, keep_worst, name_of, pictures_of
from adapters.validation.asking import VALIDATION
from adapters.validation.kept_runs import read_run
from adapters.validation.reporting import write_report
from tests.simulators.governed_site import add_release, governed_site
from tests.simulators.validation_runs import CT, PET, results
from tests.simulators.validation_site import drawn, finished_run
from validation.harness.results import RunResults
from validation.report.document import ReportTamperedError
from validation.report.findings import WORST


def test_the_worst_of_each_input_stay(tmp_path: Path) -> None:
    """Five with the lowest metric for each input, with their digests; the others are deleted."""
    run = results(12)
    everything = drawn(tmp_path, run)
    kept = keep_worst(tmp_path, run, "dsc")
    plain = [c for c in run.cases if c.condition.name == "baseline" and not c.condition.repeat]
    for given in (PET, CT):
        own = sorted((c.metrics["dsc"], c.case_id) for c in plain if c.condition.given == given)
        assert {name_of(case, given) for _, case in own[:WORST]} <= set(kept)
    assert len(kept) == 2 * WORST < len(everything)
    assert {path.name for path in (tmp_path / PICTURES).iterdir()} == set(kept)
    assert keep_worst(tmp_path, run, "dsc") == kept
    shown = pictures_of(tmp_path, kept)
    assert len(shown) == len(kept)
    assert all(everything[name_of(*key.split("/"))] == png for key, png in shown.items())


def test_for_a_distance_the_worst_are_the_largest(tmp_path: Path) -> None:
    """A metric of which less is better is ordered the other way."""
    run = results(9)
    drawn(tmp_path, run)
    kept = keep_worst(tmp_path, run, "hd95_mm")
    largest = max(
        (c for c in run.cases if c.condition.name == "baseline"), key=lambda c: c.metrics["hd95_mm"]
    )
    assert name_of(largest.case_id, largest.condition.given) in kept


def recorded(site: Site, **changes: Any) -> tuple[RunResults, Path]:
    """Return a run on record with its pictures, and its folder."""
    run = finished_run(site, add_release(site, "1.0.0"), **changes)
    folder = site.home.root / "validations" / run.run_id
    drawn(folder, run)
    kept = keep_worst(folder, run, "dsc")
    with site.database.transaction() as transaction:
        known = transaction.governed(VALIDATION, run.run_id)
        assert known is not None
        transaction.put_governed(
            VALIDATION, run.run_id, {**known.content, "pictures": kept}, "engineer", site.now()
        )
    return run, folder


@pytest.mark.reg("VAL-1")
def test_the_report_shows_them_and_refuses_a_changed_one(tmp_path: Path) -> None:
    """Pages hold the pictures; they are no part of the digest; a changed one stops the report."""
    with governed_site(tmp_path) as (site, _):
        run, folder = recorded(site)
        written = write_report(site, read_run(site, run.run_id), pdf=False)
        page = (folder / "report-en.html").read_text("utf-8")
        assert page.count("data:image/png;base64,") == 2 * WORST
        assert "The run kept no pictures" not in page
        some, other, *_ = sorted((folder / PICTURES).iterdir())
        some.unlink()
        again = write_report(site, read_run(site, run.run_id), pdf=False)
        assert again.document.digest == written.document.digest
        assert (folder / "report-en.html").read_text("utf-8").count("data:image/png") == 9
        other.write_bytes(other.read_bytes() + b"\0")
        with pytest.raises(ReportTamperedError) as caught:
            write_report(site, read_run(site, run.run_id), pdf=False)
        assert caught.value.reasons == ("PICTURE_CHANGED",)


def test_a_picture_that_is_on_no_record_is_not_shown(tmp_path: Path) -> None:
    """A file put into the folder later does not reach the report."""
    (tmp_path / PICTURES).mkdir()
    (tmp_path / PICTURES / "case-1--ct.png").write_bytes(b"png")
    assert pictures_of(tmp_path, {}) == {}
