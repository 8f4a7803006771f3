"""What a person asks of the harness, in terms of this site: names become digests and folders.

    1  the release lies here, verified; the cohort is read, its files checked as they are read
    2  no patient of the cohort may be known to the members that judge him
    3  the criteria are on record; the metrics conform
    4  the run is on record before its first result, and again with its results

Read next: `running.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.release_geometry import outlines_the_phantom
from adapters.validation.fixing import fixed_criteria
from adapters.validation.judging import UnderTest
from adapters.validation.running import Place, Question, run_harness
from audit.errors import ConfigurationError, NotFoundError, RefusalError
from plugins.host import manifest as manifests
from validation.cohort import reading
from validation.cohort.cases import FolderFiles
from validation.cohort.linkage import Linkage, public_linkage
from validation.cohort.manifest import Cohort
from validation.harness import plan as plans
from validation.harness.evaluate import fair_members
from validation.harness.plan import RunPlan, sweeps_of
from validation.harness.results import RunResults, content_digest
from validation.harness.scoring import metric_pack

if TYPE_CHECKING:
    from adapters.compose import Site

VALIDATION = "validation-run"
"""Kind of the governed document that tells of a run: its plan, then its results' digest."""
MANIFEST = "cohort.json"
PUBLIC = "public:"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked at the terminal; words as `adapters/cli/validate.py` explains them."""

    release: str
    cohort: Path
    criteria: str
    sweeps: tuple[str, ...]
    sweep_cases: int
    repeat_cases: int
    jitter_mm: float
    explain: bool
    phantoms: int
    seed: int
    workers: int
    resume: bool


def ask(site: Site, wish: Wish, say: Callable[[str], None]) -> tuple[RunResults, Path]:
    """Run the harness for a wish and return the results with the folder of the run.

    Raises
    ------
    NotFoundError, ReleaseTamperedError, SignatureError, CohortError, UnfixedCriteriaError.
    RefusalError : MEMBERS_SAW_PATIENT, where nobody may judge a patient of the cohort.
    """
    # 1
    row = site.registry.find(wish.release)
    site.registry.verify(row.digest)
    stated = json.loads(row.manifest)
    under_test = UnderTest(
        manifests.decode(stated),
        row.digest,
        tuple(stated.get("training", ())),
        site.home.releases,
    )
    folder, cohort = read_cohort(site, wish.cohort)
    # 2
    linkage = linkage_of(cohort)
    method = method_of(under_test, cohort, linkage)
    # 3
    criteria = fixed_criteria(site, wish.criteria)
    plan = RunPlan(
        release_digest=row.digest,
        cohort_digest=reading.digest(cohort),
        criteria_digest=criteria.digest,
        metric_pack=metric_pack(),
        method=method,
        seed=wish.seed,
        jitter_mm=wish.jitter_mm,
        sweeps=sweeps_of(wish.sweeps),
        sweep_cases=wish.sweep_cases,
        repeat_cases=wish.repeat_cases,
        explained=("baseline",) if wish.explain else (),
        phantoms=wish.phantoms if outlines_the_phantom(under_test.manifest) else 0,
    )
    place = Place(
        site.home.root / "validations",
        site.node,
        site.configuration.database.engine_url.get_secret_value(),
        wish.workers,
    )
    if not wish.resume and (place.folder / plan.run_id).exists():
        raise ConfigurationError(
            f"expected a new question, found run {plan.run_id}", advice="Leave --no-resume out."
        )
    # 4
    _record(site, plan, "")
    question = Question(
        plan, cohort, FolderFiles(folder), linkage, under_test, criteria.recorded_at
    )
    results = run_harness(question, place, now=site.now, say=say)
    _record(site, plan, content_digest(results))
    return results, place.of(plan.run_id)


def read_cohort(site: Site, name: Path) -> tuple[Path, Cohort]:
    """Return a cohort by its folder, or by its name in the home's ``cohorts``.

    Raises
    ------
    NotFoundError : there is none; CohortError : it is none.
    """
    for folder in (name, site.home.cohorts / name):
        path = folder / MANIFEST
        if path.is_file():
            return folder, reading.decode(path.read_bytes())
    raise NotFoundError(
        f"expected a cohort called {name.name}, found none",
        advice="Build one with `osteon cohort build`, or name its folder.",
    )


def linkage_of(cohort: Cohort) -> Linkage:
    """Return the key that made the cohort's pseudonyms, where anybody can make it."""
    if cohort.linkage_key_id.startswith(PUBLIC):
        return public_linkage(cohort.linkage_key_id.removeprefix(PUBLIC))
    raise NotFoundError("expected the linkage key of the cohort, found none here")


def method_of(under_test: UnderTest, cohort: Cohort, linkage: Linkage) -> str:
    """Return ``held-out`` where no member saw a patient, ``cross-fitted`` where some did.

    Raises
    ------
    RefusalError : every member saw one of the patients (MEMBERS_SAW_PATIENT).
    """
    groups = sorted({item.patient_group for item in cohort.cases})
    fair = [fair_members(under_test.training, g, linkage.pseudonym) for g in groups]
    if not all(fair):
        raise RefusalError(
            "expected patients that some member never saw, found others",
            reasons=tuple(
                f"MEMBERS_SAW_PATIENT {g}"
                for g, members in zip(groups, fair, strict=True)
                if not members
            ),
        )
    return "held-out" if set(fair) == {"all"} else "cross-fitted"


def _record(site: Site, plan: RunPlan, results_digest: str) -> None:
    """Put the run on record; the same twice is one record."""
    content = {"plan": plans.encode(plan), "results_digest": results_digest}
    person = f"service:{site.node}"
    with site.database.transaction() as transaction:
        known = transaction.governed(VALIDATION, plan.run_id)
        if known is not None and not results_digest:
            return
        document = transaction.put_governed(VALIDATION, plan.run_id, content, person, site.now())
        if known is None or known.digest != document.digest:
            site.journal.governed(transaction, document)
