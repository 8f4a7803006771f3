"""Asking the harness at a site: nothing is judged before criteria are fixed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.validation.asking import VALIDATION, Wish, ask
from adapters.validation.cohorts import load
from adapters.validation.criteria import fix
from adapters.validation.kept_runs import read_run
from adapters.validation.running import UnfixedCriteriaError
from audit.errors import ConfigurationError, NotFoundError
from tests.simulators.governed_site import PHYSICIST, add_release, governed_site
from tests.simulators.validation_cohort import phantom_cohort
from tests.simulators.validation_site import criteria as criteria_of
from tests.simulators.validation_site import finished_run
from validation.cohort import reading
from validation.criteria.document import CriteriaError

CRITERIA = Path("validation/first/contouring-criteria.json")


@pytest.mark.reg("VAL-1", "AIA-9.8")
def test_criteria_that_are_not_fixed_stop_the_run(tmp_path: Path) -> None:
    """A file of criteria that the site never fixed, or no file: no result, no record of a run."""
    with governed_site(tmp_path) as (site, _):
        digest = add_release(site, "1.0.0")
        folder = site.home.cohorts / "phantoms"
        cohort = phantom_cohort(folder, 1)
        (folder / "cohort.json").write_bytes(reading.encode(cohort))
        named = tmp_path / "criteria.json"
        named.write_text(json.dumps(json.loads(CRITERIA.read_text("utf-8"))), "utf-8")
        for criteria in (str(named), "sha256:" + "0" * 64):
            with pytest.raises(UnfixedCriteriaError) as caught:
                ask(site, Wish(digest, "phantoms", criteria), PHYSICIST)
            assert caught.value.reasons == ("UNFIXED_CRITERIA",)
        with pytest.raises(NotFoundError):
            ask(site, Wish(digest, "phantoms", "no-such-file.json"), PHYSICIST)
        with site.database.reading() as transaction:
            assert not transaction.governed_all(VALIDATION)
        assert not (site.home.root / "validations").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"phantoms": 3}, "an even number of phantoms, found 3"),
        ({"phantoms": -2}, "an even number of phantoms"),
        ({"sweep_cases": -1}, "of 0 or more"),
        ({"repeat_cases": -1}, "of 0 or more"),
        ({"jitter_mm": float("nan")}, "of 0 or more"),
    ],
)
def test_numbers_that_no_run_can_follow_are_refused_first(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    """Neither release nor cohort is looked for: a typing error costs no look."""
    with governed_site(tmp_path) as (site, _):
        with pytest.raises(ConfigurationError, match=said):
            ask(site, Wish("none", "none", "none", **changed), PHYSICIST)
        with pytest.raises(NotFoundError):
            ask(site, Wish("none", "none", "none"), PHYSICIST)


@pytest.mark.reg("VAL-1")
def test_criteria_of_another_method_stop_the_run_before_a_look(tmp_path: Path) -> None:
    """No member saw a patient, the criteria say cross-fitted: refused; put right, it is asked."""
    with governed_site(tmp_path) as (site, _):
        digest = add_release(site, "1.0.0")
        folder = site.home.cohorts / "phantoms"
        cohort = phantom_cohort(folder, 1)
        (folder / "cohort.json").write_bytes(reading.encode(cohort))
        kept = load(site.home, "phantoms")
        held = fix(site, criteria_of(), digest, kept, PHYSICIST)
        assert held.criteria.method == "cross-fitted"
        with pytest.raises(CriteriaError) as caught:
            ask(site, Wish(digest, "phantoms", held.digest), PHYSICIST)
        assert caught.value.reasons == ("CRITERIA_METHOD",)
        expected = "expected the method cross-fitted that the criteria name, found held-out"
        assert str(caught.value) == expected
        with site.database.reading() as transaction:
            assert not transaction.governed_all(VALIDATION)
        right = fix(site, criteria_of(method="held-out"), digest, kept, PHYSICIST)
        assert right.digest != held.digest


@pytest.mark.reg("VAL-1")
def test_a_run_of_another_method_gets_neither_report_nor_certificate(tmp_path: Path) -> None:
    """The results are as on record, and still not what the criteria ask for: both refuse."""
    with governed_site(tmp_path) as (site, _):
        digest = add_release(site, "1.0.0")
        run = finished_run(site, digest, asked=criteria_of(method="held-out"))
        assert run.method == "cross-fitted"
        with pytest.raises(CriteriaError) as caught:
            read_run(site, run.run_id)
        assert caught.value.reasons == ("CRITERIA_METHOD",)
        before = sorted((site.home.root / "validations" / run.run_id).iterdir())
    for command in ("report", "certify"):
        asked = ["validate", command, run.run_id, "--home", str(site.home.root)]
        found = CliRunner().invoke(app, asked)
        assert isinstance(found.exception, CriteriaError), found.output
        assert "expected the method held-out" in str(found.exception)
    assert sorted((site.home.root / "validations" / run.run_id).iterdir()) == before
