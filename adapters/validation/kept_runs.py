"""A run of the harness as it lies in the home, held against what is on record of it.

    home/validations/RUN_ID/  results.json  measured.json  cohort.json  pictures/*.png
                              report.json  report-en.html  report-de.html  report.pdf
                              certificate.json

The audit log holds the digest of the results since the harness ended, and the criteria since
before it began: what lies in the folder counts only where it is that; pictures as well.

Read next: `reporting.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.validation.album import pictures_of
from adapters.validation.asking import VALIDATION
from adapters.validation.criteria import BY_DIGEST
from adapters.validation.running import COHORT, RESULTS
from adapters.validation.running import read_results as as_written
from audit import canonical
from audit.errors import NotFoundError, RecordError
from validation.cohort import reading
from validation.cohort.manifest import Cohort
from validation.criteria.document import Criteria, require_method
from validation.criteria.reading import digest_of_document, read_criteria
from validation.harness import results as harness
from validation.harness.results import RunResults
from validation.report.document import tampered

if TYPE_CHECKING:
    from adapters.compose import Site

REPORT, CERTIFICATE = "report.json", "certificate.json"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{5,127}")


@dataclass(frozen=True, slots=True)
class KeptRun:
    """One run with everything that its report is made of.

    Parameters
    ----------
    cohort : manifest; its files are not needed.
    """

    folder: Path
    results: RunResults
    criteria: Criteria
    cohort: Cohort


def run_folders(site: Site) -> tuple[Path, ...]:
    """Return the folders of all runs that have results, newest last."""
    found = (site.home.root / "validations").glob(f"*/{RESULTS}")
    return tuple(path.parent for path in sorted(found, key=lambda p: p.stat().st_mtime))


def folder_of(site: Site, run: str) -> Path:
    """Return the folder of a run by its id or the beginning of it.

    Raises
    ------
    NotFoundError : there is none, or several.
    """
    found = [path for path in run_folders(site) if path.name.startswith(run)]
    if not _RUN_ID.fullmatch(run) or len(found) != 1:
        raise NotFoundError(
            f"expected one run called {run[:64]!r}, found {len(found)}",
            advice="Runs lie in the home's `validations`; name more letters of the id.",
        )
    return found[0]


def read_run(site: Site, run: str, cohort: Path | None = None) -> KeptRun:
    """Return a run whose files are those on record.

    Parameters
    ----------
    cohort : file or folder of the cohort's manifest; else the run's own, or one of the home's
        ``cohorts``.

    Raises
    ------
    ReportTamperedError : the results are not those that the harness ended with.
    NotFoundError : criteria or cohort of the run are not known here.
    CriteriaError : the run was made by another method than they name (CRITERIA_METHOD).
    """
    folder = folder_of(site, run)
    results = recorded_results(site, folder)
    with site.database.reading() as transaction:
        fixed = transaction.governed(BY_DIGEST, results.criteria_digest)
    if fixed is None:
        raise NotFoundError("expected the criteria of the run on record, found none")
    raw = canonical.encode(fixed.content)
    if digest_of_document(raw) != results.criteria_digest:
        raise tampered("CRITERIA_CHANGED", f"criteria {results.criteria_digest}", "others")
    if fixed.recorded_at >= results.evaluated_at:
        raise tampered("CRITERIA_LATE", "criteria older than the first result", "younger ones")
    criteria = read_criteria(raw)
    require_method(criteria, results.method)
    return KeptRun(folder, results, criteria, find_cohort(site, results, cohort))


def recorded_results(site: Site, folder: Path) -> RunResults:
    """Return the results of a folder as the harness put them on record.

    Raises
    ------
    ReportTamperedError : they are on no record, or were changed (RESULTS_CHANGED).
    """
    results = read_results(folder)
    with site.database.reading() as transaction:
        record = transaction.governed(VALIDATION, results.run_id)
    if record is None or not record.content.get("results_digest"):
        raise tampered("RUN_NOT_ON_RECORD", "a run on record with its results", "none")
    found = harness.content_digest(results)
    if record.content["results_digest"] != found:
        raise tampered("RESULTS_CHANGED", f"results {record.content['results_digest']}", found)
    return results


def read_results(folder: Path) -> RunResults:
    """Return the results of a folder with what was measured of the machines.

    Raises
    ------
    ReportTamperedError : a file is not in the form that the harness writes.
    """
    try:
        results = as_written(folder)
        if harness.encode(results) != (folder / RESULTS).read_bytes():
            raise RecordError("another spelling")
        return results
    except RecordError as error:
        raise tampered("RESULTS_MALFORMED", "results of the harness", "other bytes") from error


def find_cohort(site: Site, results: RunResults, named: Path | None) -> Cohort:
    """Return the manifest of the cohort that a run names by digest; NotFoundError if none."""
    paths = [named, named / COHORT] if named else []
    paths.append(site.home.root / "validations" / results.run_id / COHORT)
    paths += sorted(site.home.cohorts.glob("*/cohort.json"))
    for path in paths:
        if not path.is_file():
            continue
        cohort = reading.decode(path.read_bytes())
        if reading.digest(cohort) == results.cohort_digest:
            return cohort
    raise NotFoundError(
        f"expected the manifest of cohort {results.cohort_digest}, found none",
        advice="Name it: `--cohort FOLDER`.",
    )


def recorded_pictures(site: Site, run: KeptRun) -> Mapping[str, bytes]:
    """Return the pictures that the harness kept of cases, by ``case/given``.

    Raises
    ------
    ReportTamperedError : a picture was changed since the run (PICTURE_CHANGED).
    """
    with site.database.reading() as transaction:
        record = transaction.governed(VALIDATION, run.results.run_id)
    return pictures_of(run.folder, record.content.get("pictures", {}) if record else {})


def manifest_of(site: Site, release_digest: str) -> Mapping[str, Any]:
    """Return the manifest of a release that lies here; NotFoundError where it does not."""
    found: Mapping[str, Any] = json.loads(site.registry.row(release_digest).manifest)
    return found
