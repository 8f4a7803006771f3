"""Asking the harness at a site: nothing is judged before criteria are fixed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.validation.asking import VALIDATION, Wish, ask
from adapters.validation.running import UnfixedCriteriaError
from audit.errors import NotFoundError
from tests.simulators.governed_site import PHYSICIST, add_release, governed_site
from tests.simulators.validation_cohort import phantom_cohort
from validation.cohort import reading

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
