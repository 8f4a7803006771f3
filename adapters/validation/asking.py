"""What a person asks of the harness, in terms of this site: names become digests and folders.

    1  the release lies here, verified; every patient has a member that never saw him
    2  criteria are fixed for the release and the cohort; the metrics conform
    3  the cohort is opened, on record: no leaked patient, its seal not worn
    4  the run is on record before its first result, and again with its results

Read next: `opening.py`, `running.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.governance.persons import Person
from adapters.phantom_roles import outlines_the_phantom
from adapters.validation.album import keep_worst
from adapters.validation.cohorts import linkage_of, load
from adapters.validation.criteria import fixed
from adapters.validation.judging import UnderTest
from adapters.validation.opening import Asked, opened
from adapters.validation.running import (
    UNFIXED_CRITERIA,
    Place,
    Question,
    UnfixedCriteriaError,
    run_harness,
)
from audit.errors import ConfigurationError, NotFoundError, RefusalError
from plugins.host import manifest as manifests
from validation.cohort.linkage import Linkage
from validation.cohort.manifest import Cohort
from validation.conformance.pack import pack_for, require_conformance
from validation.criteria.document import CriteriaError, require_method
from validation.harness import plan as plans
from validation.harness.evaluate import fair_members
from validation.harness.plan import RunPlan, givens_of, sweeps_of
from validation.harness.results import RunResults, content_digest
from validation.metrics.registry import measured_of
from validation.report.subject import headline_of

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.validation.cohorts import Kept
    from adapters.validation.criteria import Fixed

VALIDATION = "validation-run"
"""Kind of the governed document that tells of a run: its plan, then its results' digest."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked at the terminal; words as `adapters/cli/validate.py` explains them."""

    release: str
    cohort: str
    criteria: str
    sweeps: tuple[str, ...] = ("all",)
    sweep_cases: int = 0
    repeat_cases: int = 3
    jitter_mm: float = 0.0
    explain: bool = False
    phantoms: int = 16
    seed: int = 20261126
    workers: int = 1
    resume: bool = True

    def __post_init__(self) -> None:
        if self.phantoms < 0 or self.phantoms % 2:
            raise ConfigurationError(
                f"expected an even number of phantoms, found {self.phantoms}",
                advice="Phantoms come in pairs of opposite positions; 0 leaves them out.",
            )
        if min(self.sweep_cases, self.repeat_cases) < 0 or not 0 <= self.jitter_mm < math.inf:
            raise ConfigurationError(
                "expected numbers of cases and a jitter of 0 or more, found others",
                advice="0 cases stand for all, 0 mm for none.",
            )


def ask(
    site: Site, wish: Wish, person: Person, say: Callable[[str], None] = lambda _: None
) -> tuple[RunResults, Path]:
    """Run the harness for a wish and return the results with the folder of the run.

    Raises
    ------
    UnfixedCriteriaError : no criteria are fixed for the release and the cohort.
    CriteriaError : among others, they name another method (CRITERIA_METHOD); no look is spent.
    CohortError, NotFoundError, ReleaseTamperedError, SignatureError.
    RefusalError : a patient whom every member saw (MEMBERS_SAW_PATIENT), or `opening.opened`.
    """
    # 1
    row = site.registry.find(wish.release)
    site.registry.verify(row.digest)
    stated = json.loads(row.manifest)
    training = tuple(stated.get("training", ()))
    under_test = UnderTest(manifests.decode(stated), row.digest, training, site.home.releases)
    kept = load(site.home, wish.cohort)
    linkage = linkage_of(site.home, kept.cohort.linkage_key_id)
    method = method_of(under_test, kept.cohort, linkage)
    # 2
    raw = _document(wish.criteria)
    held = _held(site, row.digest, kept, raw)
    if raw is None and wish.criteria != held.digest:
        raise UnfixedCriteriaError(
            f"expected the criteria that are fixed, {held.digest}, found others",
            reasons=(UNFIXED_CRITERIA,),
        )
    require_method(held.criteria, method)
    require_conformance()
    plan = RunPlan(
        release_digest=row.digest,
        cohort_digest=kept.digest,
        criteria_digest=held.digest,
        metric_pack=pack_for(measured_of(item.kind for item in under_test.manifest.outputs)),
        method=method,
        seed=wish.seed,
        jitter_mm=wish.jitter_mm,
        givens=givens_of(under_test.manifest.inputs),
        sweeps=sweeps_of(wish.sweeps),
        sweep_cases=wish.sweep_cases,
        repeat_cases=wish.repeat_cases,
        explained=("baseline",) if wish.explain else (),
        phantoms=wish.phantoms if outlines_the_phantom(under_test.manifest) else 0,
    )
    place = _place(site, wish)
    if not wish.resume and (place.folder / plan.run_id).exists():
        raise ConfigurationError(
            f"expected a new question, found run {plan.run_id}", advice="Leave --no-resume out."
        )
    # 3
    with opened(site, kept, Asked(plan.run_id, row.digest, method, raw), person) as found:
        # 4
        _record(site, plan, "", person)
        question = Question(
            plan, kept.cohort, found.files, linkage, under_test, found.fixed.recorded_at
        )
        results = run_harness(question, place, now=site.now, say=say)
    pictures = keep_worst(place.of(plan.run_id), results, headline_of(held.criteria))
    _record(site, plan, content_digest(results), person, pictures)
    return results, place.of(plan.run_id)


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
                f"MEMBERS_SAW_PATIENT {g}" for g, m in zip(groups, fair, strict=True) if not m
            ),
            advice="Judge the release on patients that it was not trained on.",
        )
    return "held-out" if set(fair) == {"all"} else "cross-fitted"


def _document(named: str) -> bytes | None:
    """Return the bytes of a file of criteria; None for a digest."""
    if named.startswith("sha256:"):
        return None
    path = Path(named)
    if not path.is_file():
        raise NotFoundError(f"expected a digest or a file of criteria, found {path.name}")
    return path.read_bytes()


def _held(site: Site, release_digest: str, kept: Kept, raw: bytes | None) -> Fixed:
    """Return the criteria that are fixed; UnfixedCriteriaError where there are none."""
    try:
        return fixed(site, release_digest, kept, raw)
    except CriteriaError as error:
        if "CRITERIA_MISSING" not in error.reasons:
            raise
        raise UnfixedCriteriaError(
            "expected criteria on record before the first result, found none",
            reasons=(UNFIXED_CRITERIA,),
        ) from error


def _place(site: Site, wish: Wish) -> Place:
    url = site.configuration.database.engine_url.get_secret_value()
    return Place(site.home.root / "validations", site.node, url, wish.workers)


def _record(
    site: Site,
    plan: RunPlan,
    results_digest: str,
    person: Person,
    pictures: Mapping[str, str] | None = None,
) -> None:
    """Put the run on record, in the tree; the same twice is one record."""
    content: dict[str, Any] = {"plan": plans.encode(plan), "results_digest": results_digest}
    if pictures:
        content["pictures"] = dict(pictures)
    with site.database.transaction() as transaction:
        known = transaction.governed(VALIDATION, plan.run_id)
        if known is not None and not results_digest:
            return
        document = transaction.put_governed(
            VALIDATION, plan.run_id, content, person.account_id, site.now()
        )
        if known is None or known.digest != document.digest:
            site.journal.governed(transaction, document)
    site.seal()
