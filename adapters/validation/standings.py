"""Where each run of the harness at a site stands: open, judged, reported or certified.

What is on record decides: a governed document tells of the run since before its first result,
another of its report, another of its certificate.  The folder of a run is not asked.

Read next: `progress.py` (how far an open run is), `traces.py` (what else the record knows).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adapters.validation.asking import VALIDATION
from adapters.validation.baseline import ISSUED
from adapters.validation.cohorts import load, names
from adapters.validation.reporting import KIND
from audit.errors import NotFoundError
from validation.cohort.manifest import Cohort, CohortError

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction
    from governance.ports import GovernedDocument

STATES = ("open", "judged", "reported", "certified")


@dataclass(frozen=True, slots=True)
class RunStanding:
    """One run of the harness as the record knows it.

    Parameters
    ----------
    plan : as it was fixed (`validation/harness/plan.py`).
    plugin, version : empty where the release does not lie here.
    ended_at : when the results went on record; None while it is open.
    report_digest, verdict, certificate_id, certificate_digest : empty where there is none yet.
    """

    run_id: str
    plan: dict[str, Any]
    plugin: str
    version: str
    asked_by: str
    began_at: datetime
    ended_at: datetime | None
    report_digest: str = ""
    verdict: str = ""
    certificate_id: str = ""
    certificate_digest: str = ""

    @property
    def state(self) -> str:
        """Return one of `STATES`."""
        if self.certificate_id:
            return "certified"
        if self.report_digest:
            return "reported"
        return "open" if self.ended_at is None else "judged"

    @property
    def release_digest(self) -> str:
        """Return which release is judged."""
        return str(self.plan.get("release_digest", ""))

    @property
    def cohort_digest(self) -> str:
        """Return on which cohort."""
        return str(self.plan.get("cohort_digest", ""))


def standings(site: Site, release_digest: str = "") -> tuple[RunStanding, ...]:
    """Return every run of the harness, the newest first; those of one release where it is named."""
    with site.database.reading() as transaction:
        found = [_standing(transaction, item) for item in transaction.governed_all(VALIDATION)]
    wanted = [s for s in found if release_digest in ("", s.release_digest)]
    return tuple(sorted(wanted, key=lambda item: (item.began_at, item.run_id), reverse=True))


def standing(site: Site, run_id: str) -> RunStanding:
    """Return one run; NotFoundError where none of that id is on record."""
    with site.database.reading() as transaction:
        document = transaction.governed(VALIDATION, run_id)
        if document is None:
            raise NotFoundError("expected a run of the harness that is on record, found none")
        return _standing(transaction, document)


def cohorts_by_digest(site: Site) -> dict[str, Cohort]:
    """Return the cohorts that lie at the site by their digests; one that cannot be read is not."""
    found = {}
    for name in names(site.home):
        try:
            kept = load(site.home, name)
        except (CohortError, NotFoundError):
            continue
        found[kept.digest] = kept.cohort
    return found


def _standing(transaction: Transaction, document: GovernedDocument) -> RunStanding:
    history = transaction.governed_history(VALIDATION, document.name)
    plan = dict(document.content["plan"])
    row = next((r for r in transaction.releases() if r.digest == plan.get("release_digest")), None)
    report = transaction.governed(KIND, document.name)
    issued = [i for i in transaction.governed_all(ISSUED) if i.content["run"] == document.name]
    newest = max(issued, key=lambda item: item.recorded_at, default=None)
    return RunStanding(
        run_id=document.name,
        plan=plan,
        plugin=row.plugin if row else "",
        version=row.version if row else "",
        asked_by=history[0].recorded_by,
        began_at=history[0].recorded_at,
        ended_at=document.recorded_at if document.content.get("results_digest") else None,
        report_digest=str(report.content["report_digest"]) if report else "",
        verdict=str(report.content["verdict"]) if report else "",
        certificate_id=newest.name if newest else "",
        certificate_digest=str(newest.content["certificate"]) if newest else "",
    )
