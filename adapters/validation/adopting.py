"""Adopt a run that was published elsewhere: its certificate gates here, as if it were our own.

    FOLDER/results.json  report.json  certificate.json  cohort.json

    1  the files belong together, signed by keys that count at this site (`osteon key trust`)
    2  the release that they are about lies here, verified
    3  a certificate that says pass is attached to it, by who may; the gate asks it from then on
    4  files and records are kept: results that are known here let no criteria in after them

Nothing is kept where one of these fails.  A fail or insufficient is adopted too: it bars nothing
that was not barred, and shows why.

Read next: `validation/report/issuing.py`, `adapters/governance/certifying.py`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.governance.certifying import certify
from adapters.governance.persons import Person
from adapters.validation.asking import VALIDATION
from adapters.validation.baseline import ISSUED
from adapters.validation.kept_runs import CERTIFICATE, REPORT
from adapters.validation.reporting import CERTIFIERS, KIND
from adapters.validation.running import COHORT, MEASURED, RESULTS
from audit import canonical
from audit.errors import NotFoundError, RefusalError
from governance.certificate import Certificate
from governance.release import digest_of
from validation.cohort import reading
from validation.harness.results import RunResults, content_digest, decode, encode
from validation.report.document import tampered
from validation.report.issuing import verify_files

if TYPE_CHECKING:
    from adapters.compose import Site

FILES = (RESULTS, REPORT, CERTIFICATE, COHORT)
SIZE_LIMIT = 64_000_000
_RUN_ID = re.compile(r"[0-9a-f]{32,64}")


@dataclass(frozen=True, slots=True)
class Adopted:
    """A run that counts here from now on.

    Parameters
    ----------
    attached : whether its certificate gates the release; a verdict other than pass opens nothing.
    """

    run_id: str
    certificate: Certificate
    folder: Path
    attached: bool


def adopt(site: Site, folder: Path, person: Person) -> Adopted:
    """Adopt a published run; the same again changes nothing.

    Raises
    ------
    NotFoundError : a file is missing, or the release does not lie here.
    ReportTamperedError : the files do not belong together, or another run of the id lies here.
    SignatureError : a key does not count here.
    CohortError : the manifest is none (COHORT_MALFORMED).
    RefusalError : the role may not, or the certificate does not hold for the release.
    """
    if person.role not in CERTIFIERS:
        raise RefusalError(
            f"expected a role of {', '.join(CERTIFIERS)}, found {person.role}",
            reasons=("ROLE_NOT_PERMITTED",),
        )
    # 1
    raw = _read(folder)
    certificate = verify_files(raw[RESULTS], raw[REPORT], raw[CERTIFICATE], site.registry.trust())
    results = _results(raw[RESULTS])
    if reading.digest(reading.decode(raw[COHORT])) != certificate.cohort_digest:
        raise tampered("COHORT_DIFFERS", f"cohort {certificate.cohort_digest}", "another")
    place = site.home.root / "validations" / results.run_id
    for name in FILES:
        if (place / name).exists() and (place / name).read_bytes() != raw[name]:
            raise tampered("OTHER_RUN_HERE", f"the run {results.run_id} as it lies here", name)
    # 2
    site.registry.verify(results.release_digest)
    # 3
    passed = certificate.verdict == "pass"
    with site.database.reading() as transaction:
        known = transaction.governed(ISSUED, certificate.certificate_id)
    if passed and known is None:
        certify(site, results.release_digest, person, raw[CERTIFICATE])
    # 4
    _keep(place, raw)
    _record(site, results, certificate, raw, person)
    return Adopted(results.run_id, certificate, place, passed)


def _read(folder: Path) -> dict[str, bytes]:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise NotFoundError(
            f"expected {', '.join(missing)} in the folder, found none",
            advice="A published run holds results, report, certificate and cohort.",
        )
    large = [name for name in FILES if (folder / name).stat().st_size > SIZE_LIMIT]
    if large:
        raise tampered("FILE_TOO_LARGE", f"at most {SIZE_LIMIT} bytes", ", ".join(large))
    return {name: (folder / name).read_bytes() for name in FILES}


def _results(raw: bytes) -> RunResults:
    """Return results in the harness's own spelling, whose id can name a folder."""
    results = decode(raw)
    if encode(results) != raw or not _RUN_ID.fullmatch(results.run_id):
        raise tampered("RESULTS_MALFORMED", "results of the harness", "other bytes")
    return results


def _keep(place: Path, raw: dict[str, bytes]) -> None:
    """Write the files of the run; ``results.json`` last, because it makes it one."""
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = {**raw, MEASURED: canonical.encode({"measured": []})}
    for name in (MEASURED, *reversed(FILES)):
        building = place / f"{name}.new"
        with building.open("wb") as file:
            file.write(content[name])
            file.flush()
            os.fsync(file.fileno())
        building.replace(place / name)


def _record(
    site: Site,
    results: RunResults,
    certificate: Certificate,
    raw: dict[str, bytes],
    person: Person,
) -> None:
    """Put run, report and certificate on record, in the tree, in the form of our own."""
    run = results.run_id
    asked = ("release_digest", "cohort_digest", "criteria_digest", "metric_pack", "method", "seed")
    plan = {name: getattr(results, name) for name in asked}
    report = {"report_digest": certificate.report_digest, "verdict": certificate.verdict}
    issued = {
        "certificate": digest_of(raw[CERTIFICATE]), "release_digest": results.release_digest,
        "report_digest": certificate.report_digest, "verdict": certificate.verdict, "run": run,
        "adopted": True,
    }  # fmt: skip
    documents: tuple[tuple[str, str, dict[str, Any]], ...] = (
        (VALIDATION, run, {"plan": plan, "results_digest": content_digest(results),
                           "adopted": True}),
        (KIND, run, {**report, "adopted": True}),
        (ISSUED, certificate.certificate_id, issued),
    )  # fmt: skip
    with site.database.transaction() as transaction:
        for kind, name, content in documents:
            known = transaction.governed(kind, name)
            made = transaction.put_governed(kind, name, content, person.account_id, site.now())
            if known is None or known.digest != made.digest:
                site.journal.governed(transaction, made)
    site.seal()
