"""Every commissioning of the site as one line, for the terminal and the pages.

What is on record decides.  Only the newest signature of a release counts, so an older plan of the
same release shows what was found and no signature.

Read next: `commissioning.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.validation.commissioning import FOLDER, REPORT, standing
from governance import commissioning as rules
from governance.commissioning_plan import Scanner
from governance.sealed import unsealed

if TYPE_CHECKING:
    from adapters.compose import Site

FILES = (
    REPORT, "commissioning-en.html", "commissioning-de.html", "commissioning-en.pdf",
    "commissioning-de.pdf",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CommissioningLine:
    """One plan, what its run found, and whether it counts now.

    Parameters
    ----------
    verdict : empty where it did not run.
    signed_by, expires_at : empty and None where nobody signed this plan.
    objections : codes of why the release is not commissioned now; none where it is.
    """

    plan_id: str
    plugin: str
    version: str
    release_digest: str
    cohort: str
    scanners: tuple[Scanner, ...]
    planned_by: str
    planned_at: datetime
    verdict: str
    checks: tuple[tuple[str, str], ...]
    run_id: str
    ran_by: str
    signed_by: str
    expires_at: datetime | None
    routine_due_at: datetime | None
    objections: tuple[str, ...]
    files: tuple[str, ...]


def lines(site: Site, release_digest: str = "") -> tuple[CommissioningLine, ...]:
    """Return the commissionings of the site, or of one release, newest plan first."""
    with site.database.reading() as transaction:
        plans = transaction.governed_all(rules.PLAN)
        runs = {item.name: unsealed(item.content) for item in transaction.governed_all(rules.RUN)}
    found = []
    for document in sorted(plans, key=lambda item: item.recorded_at, reverse=True):
        content = unsealed(document.content)
        if release_digest not in ("", content["release_digest"]):
            continue
        run, now = runs.get(document.name, {}), standing(site, content["release_digest"])
        is_this = now.plan_id == document.name
        place = site.home.root / FOLDER / document.name
        found.append(
            CommissioningLine(
                plan_id=document.name,
                plugin=content["plugin"],
                version=content["version"],
                release_digest=content["release_digest"],
                cohort=content["cohort"],
                scanners=tuple(Scanner(**item) for item in content["plan"]["scanners"]),
                planned_by=content["planned_by"],
                planned_at=document.recorded_at,
                verdict=run.get("verdict", ""),
                checks=tuple(run.get("checks", {}).items()),
                run_id=run.get("run_id", ""),
                ran_by=run.get("ran_by", ""),
                signed_by=now.signed_by if is_this else "",
                expires_at=now.expires_at if is_this else None,
                routine_due_at=now.routine_due_at if is_this else None,
                objections=tuple(item.code for item in now.objections) if is_this else (),
                files=tuple(name for name in FILES if (place / name).is_file()),
            )
        )
    return tuple(found)
