"""Commission a release at a site: fix the plan, run the harness, sign, withdraw; all on record.

    1  plan   criteria are fixed for release and cohort, no result is there; the plan is sealed
    2  run    the harness judges the site's cohort; the checks are made; the report is sealed
    3  sign   a physicist who did not run it; only what passed; it counts from then on
    4  withdraw, or let it end: in clinical mode the release then refuses its cases

Files lie in ``home/commissionings/PLAN_ID``: commissioning.json (sealed), a page in two languages,
and their PDFs.

Read next: `commissioning_run.py`, `governance/commissioning.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.database import Transaction
from adapters.governance.persons import Person
from adapters.validation.cohorts import Kept, load, require
from adapters.validation.criteria import fixed, has_run
from adapters.writing import write_whole
from audit import canonical
from audit.errors import NotFoundError, RefusalError
from governance import commissioning as rules
from governance.commissioning_plan import CommissioningPlan, encode, read_plan
from governance.release import digest_of
from governance.sealed import open_sealed, seal

if TYPE_CHECKING:
    from adapters.compose import Site

FOLDER, REPORT = "commissionings", "commissioning.json"
PLANNERS = ("physicist",)


class CommissioningError(RefusalError):
    """A commissioning cannot be planned, run or signed so; the reasons say why."""

    code = "COMMISSIONING"
    advice = "See `osteon validate commission show`."


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan that is fixed, with what it was fixed for.

    Parameters
    ----------
    cohort : name of the cohort at this site.
    """

    plan_id: str
    plan_digest: str
    plan: CommissioningPlan
    release_digest: str
    plugin: str
    version: str
    cohort: str
    cohort_digest: str
    criteria_digest: str
    planned_by: str
    planned_at: datetime


def fix_plan(
    site: Site, stated: Mapping[str, Any], release: str, cohort: str, person: Person
) -> Planned:
    """Seal and record a plan for a release and a cohort of this site; the same changes nothing.

    Raises
    ------
    ConfigurationError : the plan is malformed.
    CriteriaError : no criteria are fixed for release and cohort (CRITERIA_MISSING).
    RefusalError : the role may not.
    CommissioningError : a case was judged already (COMMISSIONING_LATE), or the cohort's
        pseudonyms are not by this site's key, so that it is not its own (COHORT_NOT_OWN).
    """
    require(person, PLANNERS)
    plan, row, kept = read_plan(stated), site.registry.find(release), load(site.home, cohort)
    held = fixed(site, row.digest, kept)
    if not kept.cohort.linkage_key_id.startswith("secret-"):
        raise _refused("COHORT_NOT_OWN", "patients of this site, by its own key")
    content = {
        "plan": encode(plan),
        "site": site.configuration.site.name,
        "release_digest": row.digest,
        "plugin": row.plugin,
        "version": row.version,
        "cohort": cohort,
        "cohort_digest": kept.digest,
        "criteria_digest": held.digest,
        "planned_by": person.account_id,
    }
    digest = digest_of(canonical.encode(content))
    plan_id = f"{row.plugin}-{row.version}-{digest[7:19]}"

    def write(transaction: Transaction) -> None:
        if transaction.governed(rules.PLAN, plan_id) is not None:
            return
        if has_run(transaction, row.digest, kept):
            raise _refused("COMMISSIONING_LATE", "a plan that is older than the first result")
        _put(site, transaction, rules.PLAN, plan_id, {**content, "plan_digest": digest}, person)

    site.database.run(write)
    site.seal()
    return planned(site, plan_id)


def planned(site: Site, name: str) -> Planned:
    """Return a plan by its id or the beginning of it, or the newest one of a plugin.

    Raises
    ------
    NotFoundError : there is none, or several begin so.
    SignatureError : it was changed since it was sealed.
    """
    with site.database.reading() as transaction:
        known = transaction.governed_all(rules.PLAN)
    found = [item for item in known if name and item.name.startswith(name)]
    newest = max(
        (item for item in known if item.content.get("plugin") == name),
        key=lambda item: item.recorded_at,
        default=None,
    )
    if newest is None and len(found) != 1:
        raise NotFoundError(
            f"expected one plan of a commissioning called {name[:64]!r}, found {len(found)}",
            advice="See `osteon validate commission show`.",
        )
    document = newest or found[0]
    content = open_sealed(document.content, site.registry.trust())
    return Planned(
        document.name,
        content["plan_digest"],
        read_plan(content["plan"]),
        content["release_digest"],
        content["plugin"],
        content["version"],
        content["cohort"],
        content["cohort_digest"],
        content["criteria_digest"],
        content["planned_by"],
        document.recorded_at,
    )


def cohort_of(site: Site, found: Planned) -> Kept:
    """Return the cohort of a plan; CommissioningError where it is another now (COHORT_CHANGED)."""
    kept = load(site.home, found.cohort)
    if kept.digest != found.cohort_digest:
        raise _refused("COHORT_CHANGED", f"cohort {found.cohort} as it was planned")
    return kept


def folder_of(site: Site, plan_id: str) -> Path:
    """Return where the files of a commissioning lie; made where it is not there."""
    place = site.home.root / FOLDER / plan_id
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place


def run_of(site: Site, plan_id: str) -> dict[str, Any]:
    """Return what was recorded of the run of a plan.

    Raises
    ------
    NotFoundError : it was not run yet.
    SignatureError : the record was changed.
    """
    with site.database.reading() as transaction:
        document = transaction.governed(rules.RUN, plan_id)
    if document is None:
        raise NotFoundError(
            f"expected commissioning {plan_id} to have run, found that not",
            advice=f"Run it: `osteon validate commission run {plan_id}`.",
        )
    return open_sealed(document.content, site.registry.trust())


def sign(site: Site, plan_id: str, person: Person, reason: str) -> rules.Commissioned:
    """Sign a commissioning that passed, as a physicist who did not run it.

    Raises
    ------
    RefusalError : the role may not (ROLE_NOT_PERMITTED).
    CommissioningError : it did not pass (NOT_PASSED), the report in the folder is not what is on
        record (REPORT_CHANGED), who signs ran it (FOUR_EYES), or it says no reason.
    """
    require(person, rules.SIGNERS)
    plan = planned(site, plan_id)
    run = run_of(site, plan.plan_id)
    if person.account_id == run["ran_by"]:
        raise _refused("FOUR_EYES", "somebody who did not run it")
    if run["verdict"] != "pass":
        failed = [f"{name} {found}" for name, found in run["checks"].items() if found != "pass"]
        raise CommissioningError(
            f"expected a commissioning that passed, found {run['verdict']}",
            reasons=("NOT_PASSED", *failed),
        )
    if not reason.strip():
        raise _refused("EVIDENCE_MISSING", "a reason")
    require_report(site, plan.plan_id, run)
    now = site.now()
    content = {
        "site": site.configuration.site.name,
        "plugin": plan.plugin,
        "release_digest": plan.release_digest,
        "plan_id": plan.plan_id,
        "plan_digest": plan.plan_digest,
        "report_digest": run["report_digest"],
        "scanners": encode(plan.plan)["scanners"],
        "ran_by": run["ran_by"],
        "signed_by": person.account_id,
        "role": person.role,
        "reason": reason.strip(),
        "state": "valid",
        "signed_at": now.isoformat(),
        "expires_at": (now + timedelta(days=plan.plan.lasts_days)).isoformat(),
        "routine_days": plan.plan.routine_days,
    }
    record(site, rules.SIGNED, plan.release_digest, content, person)
    return standing(site, plan.release_digest)


def withdraw(site: Site, release: str, person: Person, reason: str) -> rules.Commissioned:
    """Withdraw a commissioning: the scanner, the protocol or something else changed.

    Raises
    ------
    NotFoundError : there is none of the release.
    RefusalError : the role may not.
    CommissioningError : it says no reason.
    """
    require(person, (*rules.SIGNERS, "approver"))
    row = site.registry.find(release)
    with site.database.reading() as transaction:
        document = transaction.governed(rules.SIGNED, row.digest)
    if document is None:
        raise NotFoundError("expected a commissioning of the release, found none")
    if not reason.strip():
        raise _refused("EVIDENCE_MISSING", "a reason")
    content = open_sealed(document.content, site.registry.trust())
    changed = {
        **content, "state": "withdrawn", "withdrawn_by": person.account_id,
        "withdrawn_reason": reason.strip(),
    }  # fmt: skip
    record(site, rules.SIGNED, row.digest, changed, person)
    return standing(site, row.digest)


def standing(site: Site, release_digest: str) -> rules.Commissioned:
    """Return how a release stands at this site now."""
    with site.database.reading() as transaction:
        return rules.commissioned(
            transaction,
            release_digest,
            site.configuration.site.name,
            site.now(),
            site.registry.trust(),
        )


def require_report(site: Site, plan_id: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sealed report of a commissioning as it is on record.

    Raises
    ------
    CommissioningError : what lies in the folder is another (REPORT_CHANGED), or nothing.
    """
    path = folder_of(site, plan_id) / REPORT
    try:
        values = open_sealed(canonical.decode(path.read_bytes()), site.registry.trust())
    except OSError as error:
        raise _refused("REPORT_CHANGED", "the report of the commissioning") from error
    if digest_of(canonical.encode(values)) != run["report_digest"]:
        raise _refused("REPORT_CHANGED", "the report that is on record")
    return values


def put_file(path: Path, content: bytes) -> None:
    """Write a file of a commissioning whole or not at all."""
    write_whole(path, content)


def record(site: Site, kind: str, name: str, content: Mapping[str, Any], person: Person) -> None:
    """Seal a document of a commissioning and put it on record, in the tree."""
    site.database.run(lambda transaction: _put(site, transaction, kind, name, content, person))
    site.seal()


def _put(
    site: Site,
    transaction: Transaction,
    kind: str,
    name: str,
    content: Mapping[str, Any],
    person: Person,
) -> None:
    """Seal a document and put it on record."""
    sealed = seal(content, site.keys.sealer, site.now())
    document = transaction.put_governed(kind, name, sealed, person.account_id, site.now())
    site.journal.governed(transaction, document)


def _refused(code: str, expected: str) -> CommissioningError:
    return CommissioningError(f"expected {expected}, found another", reasons=(code,))
