"""What each page shows: one frozen context for each, computed here and not in a template.

Read next: `app.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from adapters.database.delivery import DeliveryRow
from adapters.database.runs import STATUSES, RunRow
from adapters.hand import PERMITTED
from adapters.monitoring.chains import feeding
from adapters.oversight.stacks import can_be_shown
from adapters.run_record import explanation_body, inference_body, unwritten_refusal
from adapters.web.access import INCIDENT_REPORTERS, OPERATORS, SEEDERS, Session
from adapters.web.dose_sentences import Sentence, beams_told, sentences
from adapters.web.formats import key_of, moment, read_key, short_digest
from adapters.web.later_plans import LaterPlan, later_plans
from adapters.web.monitoring_parts import UpstreamLine, upstream_lines
from adapters.web.reviews import ReviewPart, review_part
from adapters.web.texts import translator
from audit.errors import NotFoundError
from audit.kinds import NOT_EVALUATED
from audit.merkle import leaf_hash
from audit.ports import StoredLeaf
from audit.record import decode

if TYPE_CHECKING:
    from adapters.compose import Site

PAGE_SIZE = 50
TONES = {
    "done": "good", "verified": "good", "stored": "good",
    "failed": "bad", "refused": "wait", "abstained": "wait", "superseded": "wait",
}  # fmt: skip
SEED_WANTED = {"SEED_REQUIRED", "SEED_OUTSIDE", "SEED_FRAME_OF_REFERENCE"}
"""Reason codes of `plugins.host.envelope` that another seed point would lift."""


@dataclass(frozen=True, slots=True)
class RunLine:
    """One line of the table of runs."""

    run_id: str
    plugin: str
    plugin_version: str
    release: str
    mode: str
    status: str
    tone: str
    opened_at: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunsPage:
    """The table of runs; ``newest`` and ``older`` are the queries of its links."""

    rows: tuple[RunLine, ...]
    statuses: tuple[str, ...]
    plugins: tuple[str, ...]
    status: str
    plugin: str
    zone: str
    newest: str | None
    older: str | None


@dataclass(frozen=True, slots=True)
class FindingLine:
    """One measured quantity of a result with unit, interval and release."""

    name: str
    quantity: str
    value: str
    interval: str
    release: str


@dataclass(frozen=True, slots=True)
class DeliveryLine:
    """State of one document at one target."""

    kind: str
    target: str
    state: str
    tone: str
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordLine:
    """One audit record of the run."""

    leaf_index: int | None
    kind: str
    recorded_at: str
    outcome: str
    leaf_hash: str


@dataclass(frozen=True, slots=True)
class RunPage:
    """Everything about one run."""

    run_id: str
    facts: tuple[tuple[str, str], ...]
    abstained: bool
    refused: bool
    why: str
    unwritten: str
    marks: tuple[str, ...]
    upstream: tuple[UpstreamLine, ...]
    superseded_by: str | None
    tone: str
    release_digest: str
    inputs: tuple[tuple[str, str], ...]
    patient: str
    has_overview: bool
    has_slices: bool
    findings: tuple[FindingLine, ...]
    uncertainty: str
    beams: str
    explanation: tuple[tuple[str, str], ...]
    sentences: tuple[Sentence, ...]
    faithfulness: tuple[tuple[str, str], ...]
    method: str
    review: ReviewPart
    later_plans: tuple[LaterPlan, ...]
    deliveries: tuple[DeliveryLine, ...]
    records: tuple[RecordLine, ...]
    may_act: bool
    may_retry: bool
    may_discard: bool
    may_force: bool
    may_seed: bool
    may_report: bool
    has_dose: bool
    may_explore: bool

    @property
    def bounded(self) -> bool:
        """Return whether a sentence says what an organ cannot go below."""
        return any(item.key == "dose_lowest" for item in self.sentences)


def runs_page(site: Site, status: str, plugin: str, before: str) -> RunsPage:
    """Return the table of runs from a place on, newest first."""
    zone = site.configuration.site.time_zone
    place = read_key(before)
    chosen = status if status in STATUSES else ""
    with site.database.reading() as transaction:
        rows = transaction.runs_before(place, status=chosen, plugin=plugin, limit=PAGE_SIZE + 1)
        plugins = sorted({row.plugin for row in transaction.releases()})
    last = rows[PAGE_SIZE - 1] if len(rows) > PAGE_SIZE else None
    wanted = {"status": chosen, "plugin": plugin}
    older = wanted | {"before": key_of(last.opened_at, last.run_id)} if last else None
    return RunsPage(
        rows=tuple(run_line(row, zone) for row in rows[:PAGE_SIZE]),
        statuses=STATUSES,
        plugins=tuple(plugins),
        status=chosen,
        plugin=plugin,
        zone=zone,
        newest=urlencode(wanted) if place else None,
        older=urlencode(older) if older else None,
    )


def run_line(row: RunRow, zone: str) -> RunLine:
    """Return one line of a table of runs."""
    return RunLine(
        row.run_id,
        row.plugin,
        row.plugin_version,
        short_digest(row.release_digest),
        row.mode,
        row.status,
        TONES.get(row.status, "wait"),
        moment(row.opened_at, zone),
        row.reason,
    )


def run_page(site: Site, run_id: str, session: Session, language: str = "en") -> RunPage:
    """Return everything about a run; NotFoundError when the id is unknown."""
    with site.database.reading() as transaction:
        row = transaction.run(run_id)
        if row is None:
            raise NotFoundError(f"expected a run with id {run_id[:32]}, found none")
        deliveries = transaction.deliveries(run_id)
        leaves = transaction.records_of(run_id)
        inference = inference_body(transaction, run_id)
        explanation = explanation_body(transaction, run_id)
        unwritten = unwritten_refusal(transaction, run_id)
        marks = transaction.marks(run_id)
        shown = can_be_shown(transaction.documents(run_id))
        reviewed = review_part(transaction, row, inference, session)
        plans = transaction.plan_comparisons_of(run_id)
    zone = site.configuration.site.time_zone
    return RunPage(
        run_id=run_id,
        facts=_facts(row, zone),
        abstained=row.status == "abstained",
        refused=row.status == "refused",
        why=row.reason,
        unwritten=unwritten,
        marks=tuple(f"mark_{code}" for code in marks),
        upstream=upstream_lines(feeding(site, row.request), translator(language)),
        superseded_by=row.superseded_by,
        tone=TONES.get(row.status, "wait"),
        release_digest=row.release_digest,
        inputs=_inputs(row, inference),
        patient=_patient(leaves),
        has_overview=overview_path(site, run_id) is not None,
        has_slices=shown,
        findings=_findings(inference, f"{row.plugin} {row.plugin_version}"),
        uncertainty=_uncertainty(inference),
        beams=beams_told(inference),
        explanation=_numbers(explanation, "contributions"),
        sentences=sentences(explanation, inference),
        faithfulness=_numbers(explanation, "faithfulness"),
        method=str(explanation.get("method", "")),
        review=reviewed,
        later_plans=later_plans(plans, zone),
        deliveries=tuple(_delivery(item) for item in deliveries),
        records=tuple(_record(leaf, zone) for leaf in leaves),
        may_act=session.role in OPERATORS,
        may_retry=row.status in PERMITTED["retry"],
        may_discard=row.status in PERMITTED["discard"],
        may_force=row.status in PERMITTED["force"],
        may_seed=session.role in SEEDERS and _needs_seed(row),
        may_report=session.role in INCIDENT_REPORTERS,
        has_dose=_has_dose(inference),
        may_explore=row.status == "done" and _has_dose(inference),
    )


def _facts(row: RunRow, zone: str) -> tuple[tuple[str, str], ...]:
    return (
        ("plugin", f"{row.plugin} {row.plugin_version}"),
        ("release", row.release_digest),
        ("mode", row.mode),
        ("trigger", row.trigger),
        ("status", row.status),
        ("reason", row.reason or "–"),
        ("opened", moment(row.opened_at, zone)),
        ("closed", moment(row.closed_at, zone)),
    )


def _delivery(row: DeliveryRow) -> DeliveryLine:
    tone = TONES.get(row.state, "wait")
    return DeliveryLine(row.kind, row.target, row.state, tone, row.attempts, row.reason)


def overview_path(site: Site, run_id: str) -> Any:
    """Return the overview picture of a run, None when there is none."""
    folder = site.home.outbox / run_id
    pictures = sorted(folder.glob("*.png")) if run_id.isalnum() and folder.is_dir() else []
    return pictures[0] if pictures else None


def _has_dose(inference: Mapping[str, Any]) -> bool:
    return bool(inference.get("output", {}).get("doses"))


def _needs_seed(row: RunRow) -> bool:
    codes = {reason.split()[0] for reason in row.reason.split("; ") if reason.strip()}
    return row.status == "refused" and row.superseded_by is None and bool(SEED_WANTED & codes)


def _record(leaf: StoredLeaf, zone: str) -> RecordLine:
    record = decode(leaf.leaf)
    digest = leaf_hash(leaf.leaf).hex()[:16]
    outcome = str(record.outcome.code)
    when = moment(record.recorded_at, zone)
    return RecordLine(leaf.leaf_index, leaf.kind, when, outcome, digest)


def _patient(leaves: tuple[StoredLeaf, ...]) -> str:
    """Return the pseudonym of the patient as the newest record has it; empty when none does."""
    for leaf in reversed(leaves):
        subject = decode(leaf.leaf).subject
        if subject is not None and subject.pseudonym != NOT_EVALUATED:
            return subject.pseudonym
    return ""


def _inputs(row: RunRow, inference: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what was read: instances, digest, and for each role modality, size and spacing."""
    stated = inference.get("input", {})
    lines = [("instances", str(len(row.sop_instance_uids)))]
    if row.input_digest:
        lines.append(("input_digest", row.input_digest))
    acquisition = inference.get("acquisition") or row.facts.get("acquisition", {})
    for role, facts in acquisition.items():
        shape = " × ".join(str(n) for n in facts.get("shape", ()))
        spacing = " × ".join(f"{n:g}" for n in facts.get("spacing_mm", ()))
        lines.append((role, f"{facts.get('modality', '')}, {shape}, {spacing} mm"))
    flags = stated.get("quality_flags")
    if isinstance(flags, list) and flags:
        lines.append(("quality_flags", ", ".join(flags)))
    return tuple(lines)


def _findings(inference: Mapping[str, Any], release: str) -> tuple[FindingLine, ...]:
    lines = []
    for region in inference.get("output", {}).get("rois", ()):
        for key, quantity, unit in (
            ("volume_ml", "volume", "ml"),
            ("max_diameter_mm", "max_diameter", "mm"),
        ):
            if key in region:
                value = f"{float(region[key]):.1f} {unit}"
                limits = region.get(f"{key}_interval")
                interval = f"{limits[0]:.1f}–{limits[1]:.1f} {unit}" if limits else ""
                lines.append(FindingLine(region["name"], quantity, value, interval, release))
    return (*lines, *_dose_findings(inference, release))


def _dose_findings(inference: Mapping[str, Any], release: str) -> Iterator[FindingLine]:
    """Yield each point of a predicted dose, and whether the protocol's goal is met."""
    for dose in inference.get("output", {}).get("doses", ()):
        for point in dose["points"]:
            name, unit = f"{point['region']} {point['point']}", point["unit"]
            value = f"{float(point['value']):.1f} {unit}"
            limits = f"{point['low']:.1f}–{point['high']:.1f} {unit}" if "low" in point else ""
            yield FindingLine(name, "predicted_dose", value, limits, release)
        for goal in dose["goals"]:
            sign = "≤" if goal["sense"] == "at-most" else "≥"
            name = f"{goal['region']} {goal['point']} {sign} {goal['limit']:g}"
            yield FindingLine(name, f"goal_{goal['verdict']}", "", "", release)


def _uncertainty(inference: Mapping[str, Any]) -> str:
    """Return the case-level uncertainty with its interval."""
    stated = inference.get("uncertainty", {})
    if not stated or str(stated["measure"]).startswith("text:"):  # words of a plugin, no measure
        return ""
    low, high = stated["interval"]
    return f"{stated['measure']}: {stated['score']:.3f} ({low:.3f}–{high:.3f})"


def _numbers(body: Mapping[str, Any], part: str) -> tuple[tuple[str, str], ...]:
    stated = body.get(part, ())
    pairs = stated.items() if isinstance(stated, Mapping) else stated
    return tuple(
        (str(name), f"{value:.3f}" if isinstance(value, (int, float)) else str(value))
        for name, value in pairs
    )
