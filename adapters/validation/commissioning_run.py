"""Run a commissioning: the harness on the site's cohort, the checks, the sealed report.

    1  the plan as it was fixed, and the cohort as it was planned
    2  the harness judges the cohort, inputs outside the purpose too; its report is made
    3  what the site shows besides: geometry, runs end to end, trained persons
    4  the checks are judged against the plan; the report is sealed, written and recorded

Asked again, the same question goes on where it stopped, and a run end to end or a training that
was missing may be added; another question of the same plan is refused (COMMISSIONING_RAN), so that
nobody looks until it passes.

Read next: `validation/commissioning/checks.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from adapters.documents.report_html import report_html
from adapters.documents.report_pdf import report_pdf
from adapters.governance.persons import Person
from adapters.known_answer import known_answer
from adapters.phantom_roles import outlines_the_phantom
from adapters.validation import commissioning as acts
from adapters.validation.asking import Wish, ask
from adapters.validation.cohorts import require
from adapters.validation.commissioning import CommissioningError, Planned
from adapters.validation.judging import CENTROID_ERRORS
from adapters.validation.kept_runs import KeptRun, read_run
from adapters.validation.reporting import write_report
from audit import canonical
from audit.errors import ConfigurationError, NotFoundError
from governance import commissioning as rules
from governance import personnel
from governance.commissioning_plan import encode
from governance.known_answer import PlacedAnswer, PluginAnswer
from governance.release import digest_of
from governance.report import LANGUAGES
from governance.sealed import seal
from validation.commissioning import checks
from validation.commissioning.checks import Check, EndToEnd, Kept
from validation.commissioning.content import commissioning_report
from validation.harness.plan import PHANTOM
from validation.harness.results import RunResults
from validation.report.subject import headline_of

if TYPE_CHECKING:
    from adapters.compose import Site

SCHEMA = "osteon.commissioning/1"


@dataclass(frozen=True, slots=True)
class How:
    """How the harness is asked; words as `adapters/cli/validate_commission.py` explains them."""

    end_to_end: tuple[str, ...] = ()
    sweep_cases: int = 3
    repeat_cases: int = 3
    jitter_mm: float = 0.0
    phantoms: int = 16
    workers: int = 1
    pdf: bool = True

    @property
    def question(self) -> dict[str, float]:
        """Return what the answers depend on."""
        return {
            "sweep_cases": self.sweep_cases,
            "repeat_cases": self.repeat_cases,
            "jitter_mm": self.jitter_mm,
            "phantoms": self.phantoms,
        }


@dataclass(frozen=True, slots=True)
class Ran:
    """What came out: the sealed values, and the names of the files that were written."""

    values: dict[str, Any]
    digest: str
    names: tuple[str, ...]
    pdf_advice: str = ""


def run(
    site: Site, plan_id: str, person: Person, how: How, say: Callable[[str], None] = lambda _: None
) -> Ran:
    """Run a commissioning and return its report.

    Raises
    ------
    RefusalError : the role may not, or what `asking.ask` refuses.
    CommissioningError : the cohort changed, the plan is younger than the first result, or another
        question was asked under it.
    """
    # 1
    require(person, rules.RUNNERS)
    found = acts.planned(site, plan_id)
    kept = acts.cohort_of(site, found)
    _require_same(site, found, how)
    # 2
    wish = Wish(
        found.release_digest, found.cohort, found.criteria_digest, checks.OUTSIDE,
        how.sweep_cases, how.repeat_cases, how.jitter_mm, phantoms=how.phantoms,
        workers=how.workers,
    )  # fmt: skip
    results, _ = ask(site, wish, person, say)
    _require_first(found, results)
    judged = read_run(site, results.run_id)
    verdict = str(write_report(site, judged, pdf=how.pdf).document.results["verdict"])
    # 3 and 4
    say("checks")
    headline = headline_of(judged.criteria)
    ends = tuple(_end_to_end(site, found, name) for name in how.end_to_end)
    last, baseline = checks.baseline(found.plan, results, headline)
    made = (
        checks.local_cases(found.plan, results, verdict),
        checks.scanners(found.plan, kept.cohort),
        checks.known_answer(known_answer(), _geometry(site, found, results)),
        checks.end_to_end(ends),
        checks.failure_behaviour(found.plan, results),
        checks.training(found.plan, _trained(site, found.plugin)),
        last,
    )
    values = _values(site, found, judged, made, baseline, person)
    return _written(site, found, values, person, how)


def _require_first(found: Planned, results: RunResults) -> None:
    """Return where the plan is older than the first result."""
    if found.planned_at >= results.evaluated_at:
        raise CommissioningError(
            "expected a plan that is older than the first result, found a younger one",
            reasons=("COMMISSIONING_LATE",),
        )


def _require_same(site: Site, found: Planned, how: How) -> None:
    """Return where the plan was not run yet, or was asked the same question."""
    try:
        before = acts.run_of(site, found.plan_id)
    except NotFoundError:
        return
    if before["question"] != how.question:
        raise CommissioningError(
            f"expected the one question of plan {found.plan_id}, found another",
            reasons=("COMMISSIONING_RAN",),
            advice="Fix another plan, on patients that no run has looked at.",
        )


def _geometry(site: Site, found: Planned, results: RunResults) -> PluginAnswer | None:
    """Return where the release put the phantoms' lesions; None where it outlines none."""
    if not outlines_the_phantom(site.registry.manifest(found.release_digest)):
        return None
    placed = []
    for case in results.cases:
        if case.condition.name != PHANTOM:
            continue
        values = [case.metrics.get(name) for name in CENTROID_ERRORS]
        whole = [value for value in values if value is not None]
        image = (whole[0], whole[1], whole[2]) if len(whole) == len(values) else None
        patient = (whole[3], whole[4], whole[5]) if image else None
        placed.append(PlacedAnswer(case.case_id, image, patient))
    return PluginAnswer(tuple(placed))


def _end_to_end(site: Site, found: Planned, run_id: str) -> EndToEnd:
    """Return how a run of the release went; NotFoundError where it is none of this site."""
    with site.database.reading() as transaction:
        row = transaction.run(run_id)
        sent = transaction.deliveries(run_id)
    if row is None or row.release_digest != found.release_digest:
        raise NotFoundError(f"expected a run of the release at this site, found {run_id[:40]!r}")
    verified = sum(item.state == "verified" for item in sent)
    return EndToEnd(run_id, row.mode, row.status, row.pacs, len(sent), verified)


def _trained(site: Site, plugin: str) -> int:
    """Return how many persons' training for a plugin is valid today."""
    today = site.now().date()
    with site.database.reading() as transaction:
        documents = transaction.governed_all(personnel.TRAINING)
    trained = [personnel.read_training(item.content) for item in documents]
    return sum(about == plugin and until >= today for about, _, until in trained)


def _values(
    site: Site,
    found: Planned,
    judged: KeptRun,
    made: Sequence[Check],
    baseline: Sequence[Kept],
    person: Person,
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "site": site.configuration.site.name,
        "plugin": found.plugin,
        "version": found.version,
        "release_digest": found.release_digest,
        "plan_id": found.plan_id,
        "plan_digest": found.plan_digest,
        "plan": encode(found.plan),
        "planned_by": found.planned_by,
        "cohort_digest": found.cohort_digest,
        "criteria_digest": found.criteria_digest,
        "run_id": judged.results.run_id,
        "verdict": checks.worst(made),
        "checks": [asdict(item) | {"figures": dict(item.figures)} for item in made],
        "baseline": [asdict(item) for item in baseline],
        "ran_by": person.account_id,
        "at": site.now().isoformat(),
    }


def _written(site: Site, found: Planned, values: dict[str, Any], person: Person, how: How) -> Ran:
    """Seal the report, write it with its pages, and put it on record."""
    folder, digest = acts.folder_of(site, found.plan_id), digest_of(canonical.encode(values))
    sealed = canonical.encode(seal(values, site.keys.sealer, site.now()))
    acts.put_file(folder / acts.REPORT, sealed)
    names, advice = [acts.REPORT], ""
    for language in LANGUAGES:
        html = report_html(commissioning_report(values, language))
        acts.put_file(folder / f"commissioning-{language}.html", html.encode())
        names.append(f"commissioning-{language}.html")
        if not how.pdf or advice:
            continue
        try:
            acts.put_file(folder / f"commissioning-{language}.pdf", report_pdf(html))
            names.append(f"commissioning-{language}.pdf")
        except ConfigurationError as error:
            advice = error.advice
    content = {
        "plan_id": found.plan_id,
        "plan_digest": found.plan_digest,
        "release_digest": found.release_digest,
        "run_id": values["run_id"],
        "question": how.question,
        "report_digest": digest,
        "verdict": values["verdict"],
        "checks": {item["name"]: item["verdict"] for item in values["checks"]},
        "ran_by": person.account_id,
    }
    acts.record(site, rules.RUN, found.plan_id, content, person)
    return Ran(values, digest, tuple(names), advice)
