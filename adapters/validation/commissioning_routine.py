"""Routine QA of a release in use: the baseline of its commissioning, asked again.

The cases that the commissioning kept are judged once more by the same harness on this machine, and
their answers compared.  The same run opens the cohort again, so that no budget is spent.  What was
found is sealed and recorded; in clinical mode a release whose baseline differs, or is overdue,
refuses its cases (`governance/commissioning.py`).

Source: Vandewinckele et al., Radiother Oncol 2020; 153: 55-66, routine QA; REGULATORY.md ESTRO-1.

Read next: `validation/commissioning/checks.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adapters.governance.persons import Person
from adapters.validation import commissioning as acts
from adapters.validation.asking import VALIDATION
from adapters.validation.cohorts import linkage_of, require
from adapters.validation.judging import PATIENCE, CohortJudge, UnderTest
from adapters.validation.opening import Asked, Opened, opened
from audit.errors import NotFoundError
from governance import commissioning as rules
from plugins.host import manifest as manifests
from plugins.host.runner import ReleaseWorkers
from validation.commissioning import checks
from validation.commissioning.checks import Check, Kept
from validation.criteria.document import Criteria
from validation.harness import plan as plans
from validation.harness.plan import RunPlan
from validation.harness.results import Condition, decode_case
from validation.report.subject import headline_of

if TYPE_CHECKING:
    from adapters.compose import Site


def routine(site: Site, release: str, person: Person) -> Check:
    """Ask the baseline of a release's commissioning again, record and return what was found.

    Raises
    ------
    NotFoundError : the release was not commissioned here.
    RefusalError : the role may not, or the report is not what is on record.
    """
    require(person, rules.RUNNERS)
    row = site.registry.find(release)
    signed = acts.standing(site, row.digest)
    if not signed.plan_id:
        raise NotFoundError(
            "expected a release that was commissioned here, found one that was not",
            advice="Commission it: `osteon validate commission plan`.",
        )
    found = acts.planned(site, signed.plan_id)
    run = acts.run_of(site, found.plan_id)
    values = acts.require_report(site, found.plan_id, run)
    before = tuple(Kept(**item) for item in values["baseline"])
    now = _again(site, found, str(run["run_id"]), before, person)
    check = checks.routine(before, now, found.plan.baseline_tolerance)
    content = {
        "release_digest": row.digest,
        "plan_id": found.plan_id,
        "verdict": check.verdict,
        "figures": dict(check.figures),
        "at": site.now().isoformat(),
        "checked_by": person.account_id,
    }
    acts.record(site, rules.ROUTINE, row.digest, content, person)
    return check


def _again(
    site: Site, found: acts.Planned, run_id: str, before: tuple[Kept, ...], person: Person
) -> tuple[Kept, ...]:
    """Return the answers of the baseline's cases now."""
    site.registry.verify(found.release_digest)
    kept = acts.cohort_of(site, found)
    plan = _plan_of(site, run_id)
    stated = json.loads(site.registry.row(found.release_digest).manifest)
    under_test = UnderTest(
        manifests.decode(stated),
        found.release_digest,
        tuple(stated.get("training", ())),
        site.home.releases,
    )
    linkage = linkage_of(site.home, kept.cohort.linkage_key_id)
    asked = Asked(run_id, found.release_digest, plan.method)
    with (
        opened(site, kept, asked, person) as open_cohort,
        ReleaseWorkers(site.home.releases, patience=PATIENCE) as workers,
    ):
        judge = CohortJudge(plan, kept.cohort, open_cohort.files, linkage, under_test, workers)
        return tuple(_one(judge, item, _criteria(open_cohort)) for item in before)


def _one(judge: CohortJudge, item: Kept, criteria: Criteria) -> Kept:
    values: dict[str, Any] = judge.judge(item.case_id, Condition(given=item.given))
    judge.forget(item.case_id)
    case = decode_case(values["result"])
    headline = case.metrics.get(headline_of(criteria))
    return Kept(item.case_id, item.given, case.outcome, case.output_digest, headline)


def _criteria(cohort: Opened) -> Criteria:
    return cohort.fixed.criteria


def _plan_of(site: Site, run_id: str) -> RunPlan:
    """Return the plan of the harness's run, without explanations."""
    with site.database.reading() as transaction:
        document = transaction.governed(VALIDATION, run_id)
    if document is None:
        raise NotFoundError("expected the run of the commissioning on record, found none")
    return replace(plans.decode(document.content["plan"]), explained=())
