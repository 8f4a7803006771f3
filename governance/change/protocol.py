"""The protocol of a change plan, run over a validation report: every step a gate.

A gate reads one figure (given, stratum, metric, statistic) of the report and compares it
with its bound.  A figure that is not there, that rests on too few patients, or that is not
a number fails its gate: silence never passes.  A deviation from the protocol is a failed
gate; the run is kept as it was, with every bound as it was authorised, in order.

The report is a JSON document ``{"schema", "release_digest", "compared_with", "results":
[{given, stratum, metric, statistic, value, count}], ...}``; `Report` says what is read.

Source: REGULATORY.md rows FDA-PCCP1, AIA-43.4, AIA-10.2fg.

Read next: `budget.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from governance.change.plan import ChangePlan, Step
from governance.reading import Table

RUN_SCHEMA = "osteon.protocol_run/1"
FigureKey = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """What change control reads of a validation report.

    Parameters
    ----------
    digest : of the report's bytes.
    signed_by : trusted key of purpose ``report`` that signed it; empty where none did.
    release_digest : the release that was validated.
    figures : (given, stratum, metric, statistic) -> (value, patients).
    per_update, vs_baseline : measure -> difference to the release before, and to the
        certified baseline, for the change budget.
    previous_digest, baseline_digest : the two releases that it was compared with.
    alpha : statistical error that its tests spent.
    sealed_set_digest, refreshed_fraction : the sealed set that it looked at, and the share
        of it that no earlier report has seen.
    """

    digest: str
    signed_by: str
    release_digest: str
    figures: Mapping[FigureKey, tuple[float, int]]
    per_update: Mapping[str, float] = field(default_factory=dict)
    vs_baseline: Mapping[str, float] = field(default_factory=dict)
    previous_digest: str = ""
    baseline_digest: str = ""
    alpha: float | None = None
    sealed_set_digest: str = ""
    refreshed_fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate found; ``reason`` is empty where it passed."""

    step_id: str
    bound: str
    found: float | None
    count: int
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ProtocolRun:
    """One run of the protocol of some modifications over one report."""

    plan_digest: str
    release_digest: str
    report_digest: str
    signed_by: str
    modifications: tuple[str, ...]
    gates: tuple[GateResult, ...]

    @property
    def passed(self) -> bool:
        """Tell whether there are gates, every one passed, and the report is signed."""
        return bool(self.gates) and bool(self.signed_by) and all(g.passed for g in self.gates)


def read_report(document: Mapping[str, Any], digest: str, signed_by: str) -> Report:
    """Return a decoded validation report; ConfigurationError names what is missing.

    A figure that two rows give is refused: nobody could say which one counts.
    """
    top = Table("report", document)
    figures: dict[FigureKey, tuple[float, int]] = {}
    for row in top.tables("results"):
        key = (
            row.text("given", ""), row.text("stratum"), row.text("metric"), row.text("statistic"),
        )  # fmt: skip
        if key in figures:
            raise row.fault("metric", f"each figure once, not {' '.join(key)} again")
        figures[key] = (row.number("value"), row.count("count"))
    compared = top.table("compared_with")
    sealed = top.table("sealed_set")
    return Report(
        digest=digest,
        signed_by=signed_by,
        release_digest=top.text("release_digest"),
        figures=figures,
        per_update=top.numbers("per_update"),
        vs_baseline=top.numbers("vs_baseline"),
        previous_digest=compared.text("previous", ""),
        baseline_digest=compared.text("baseline", ""),
        alpha=top.number("alpha") if "alpha" in document else None,
        sealed_set_digest=sealed.text("digest", ""),
        refreshed_fraction=sealed.number("refreshed_fraction", 0.0),
    )


def run_protocol(plan: ChangePlan, modifications: tuple[str, ...], report: Report) -> ProtocolRun:
    """Return what every gate of these modifications finds in a report."""
    return ProtocolRun(
        plan_digest=plan.digest,
        release_digest=report.release_digest,
        report_digest=report.digest,
        signed_by=report.signed_by,
        modifications=modifications,
        gates=tuple(_gate(step, report) for step in plan.steps_of(modifications)),
    )


def encode_run(run: ProtocolRun, person: str, at: datetime) -> dict[str, Any]:
    """Return the run as the governed document that is kept of it."""
    return {
        "schema": RUN_SCHEMA,
        **asdict(run),
        "modifications": list(run.modifications),
        "gates": [asdict(gate) for gate in run.gates],
        "passed": run.passed,
        "run_by": person,
        "run_at": at.isoformat(),
    }


def _gate(step: Step, report: Report) -> GateResult:
    word = "≥" if step.comparison == "at_least" else "≤"
    bound = f"{step.metric} {step.statistic} {word} {step.bound:g}"
    found = report.figures.get((step.given, step.stratum, step.metric, step.statistic))
    if found is None:
        return GateResult(step.step_id, bound, None, 0, False, "FIGURE_MISSING")
    value, count = found
    if count < step.smallest_count:
        return GateResult(step.step_id, bound, value, count, False, "TOO_FEW_PATIENTS")
    inside = value >= step.bound if step.comparison == "at_least" else value <= step.bound
    return GateResult(step.step_id, bound, value, count, inside, "" if inside else "OUT_OF_BOUND")
