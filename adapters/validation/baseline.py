"""What a run is compared with: the release certified before it on the same cohort, and the looks.

The baseline is the newest run of another release of the plugin whose certificate says *pass*, on
the same cohort, certified before this run was evaluated. A look is a run on this cohort under the
same criteria; only those that ended before this run count, so that asking again gives the same.

Read next: `validation/criteria/rules.py` (`against_baseline`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.validation.asking import VALIDATION
from adapters.validation.kept_runs import manifest_of, recorded_results, run_folders
from audit.errors import SuiteError
from validation.criteria.document import Criteria
from validation.criteria.spending import RELATIVE
from validation.harness.results import RunResults

if TYPE_CHECKING:
    from adapters.compose import Site

ISSUED = "validation-certificate"
"""Kind of the governed document of a certificate, by its id."""


def baseline_of(
    site: Site, results: RunResults, criteria: Criteria
) -> tuple[RunResults | None, int]:
    """Return the baseline's results, None where there is none, and the number of this look.

    Raises
    ------
    ReportTamperedError : the results of the certified baseline are not those on record.
    """
    if not any(item.kind in RELATIVE for item in criteria.criteria):
        return None, 1
    baseline = _certified_before(site, results)
    return baseline, 1 + _looks_before(site, results, baseline.run_id if baseline else "")


def _certified_before(site: Site, results: RunResults) -> RunResults | None:
    with site.database.reading() as transaction:
        issued = transaction.governed_all(ISSUED)
    passed = [
        item for item in issued
        if item.content["verdict"] == "pass"
        and item.content["release_digest"] != results.release_digest
        and item.recorded_at <= results.evaluated_at
    ]  # fmt: skip
    folders = {folder.name: folder for folder in run_folders(site)}
    for item in sorted(passed, key=lambda document: document.recorded_at, reverse=True):
        if item.content["run"] not in folders or not _same_plugin(
            site, results.release_digest, item.content["release_digest"]
        ):
            continue
        found = recorded_results(site, folders[item.content["run"]])
        if found.cohort_digest == results.cohort_digest:
            return found
    return None


def _looks_before(site: Site, results: RunResults, baseline_run: str) -> int:
    """Return how many other runs ended before this one on this cohort under these criteria.

    They are counted from the record: a look stays spent when its folder is gone.
    """
    with site.database.reading() as transaction:
        runs = transaction.governed_all(VALIDATION)
    asked = {"cohort_digest": results.cohort_digest, "criteria_digest": results.criteria_digest}
    return sum(
        bool(item.content["results_digest"])
        and item.name not in (results.run_id, baseline_run)
        and item.recorded_at < results.evaluated_at
        and {key: item.content["plan"].get(key) for key in asked} == asked
        for item in runs
    )


def _same_plugin(site: Site, first: str, second: str) -> bool:
    try:
        return bool(manifest_of(site, first)["plugin"] == manifest_of(site, second)["plugin"])
    except SuiteError:
        return False
