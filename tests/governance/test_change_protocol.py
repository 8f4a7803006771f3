"""Gates of the protocol: what is missing, thin, unsigned or out of bound does not pass."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from audit.errors import ConfigurationError
from governance.change.plan_reading import read_plan
from governance.change.protocol import encode_run, read_report, run_protocol
from tests.simulators.change_plans import plan_document, report_document

NEW = "sha256:" + "7" * 64
PLAN = read_plan(plan_document())
NOW = datetime(2026, 11, 25, tzinfo=UTC)


def ran(results: list[dict[str, Any]] | None = None, signed_by: str = "report-key") -> Any:
    """Return the protocol of M1 run over a report with these results."""
    document = report_document(NEW) if results is None else report_document(NEW, results=results)
    return run_protocol(PLAN, ("M1",), read_report(document, "sha256:8", signed_by))


def with_row(number: int, **changes: Any) -> list[dict[str, Any]]:
    """Return the passing results with one row changed."""
    rows: list[dict[str, Any]] = report_document(NEW)["results"]
    rows[number] = {**rows[number], **changes}
    return rows


@pytest.mark.reg("FDA-PCCP1")
def test_every_gate_of_the_modification_is_run_in_order() -> None:
    """The run shows all steps of the protocol in the plan's order, with bounds as authorised."""
    run = ran()
    assert [gate.step_id for gate in run.gates] == ["S1", "S2", "S3"]
    assert [gate.bound for gate in run.gates] == [
        *("d_dsc interval_low ≥ -0.02", "dsc interval_low ≥ 0.75", "ece value ≤ 0.05"),
    ]
    assert run.passed
    assert [gate.found for gate in run.gates] == [-0.01, 0.78, 0.03]
    other = run_protocol(PLAN, ("M3",), read_report(report_document(NEW), "sha256:8", "k"))
    assert [gate.step_id for gate in other.gates] == ["S1", "S2"]


@pytest.mark.reg("FDA-PCCP1")
@pytest.mark.reg("AIA-10.2fg")
@pytest.mark.parametrize(
    ("results", "step", "reason"),
    [
        (with_row(0, value=-0.03), "S1", "OUT_OF_BOUND"),
        (with_row(2, value=0.06), "S3", "OUT_OF_BOUND"),
        (with_row(1, count=19), "S2", "TOO_FEW_PATIENTS"),
        (with_row(1, stratum="adults"), "S2", "FIGURE_MISSING"),
        (with_row(1, statistic="mean"), "S2", "FIGURE_MISSING"),
        (with_row(0, given="ct"), "S1", "FIGURE_MISSING"),
        ([], "S1", "FIGURE_MISSING"),
    ],
)
def test_a_deviation_is_a_failed_gate(
    results: list[dict[str, Any]], step: str, reason: str
) -> None:
    """Out of bound, another stratum or statistic, too few patients: the gate fails and says so."""
    run = ran(results)
    assert not run.passed
    failed = {gate.step_id: gate.reason for gate in run.gates if not gate.passed}
    assert failed[step] == reason


def test_bounds_are_inclusive() -> None:
    """A figure exactly at its bound, on exactly the smallest count, passes."""
    assert ran(with_row(0, value=-0.02, count=30)).passed
    assert ran(with_row(2, value=0.05)).passed


def test_an_unsigned_report_passes_no_protocol() -> None:
    """Every gate may pass, and the run does not, when nobody signed the figures."""
    run = ran(signed_by="")
    assert all(gate.passed for gate in run.gates)
    assert not run.passed


def test_a_protocol_without_gates_does_not_pass() -> None:
    """No modification named: nothing was examined, so nothing passed."""
    run = run_protocol(PLAN, (), read_report(report_document(NEW), "sha256:8", "k"))
    assert run.gates == ()
    assert not run.passed


@pytest.mark.parametrize(
    "broken",
    [
        {"results": with_row(0, value=float("nan"))},
        {"results": with_row(0, value="-0.01")},
        {"results": with_row(0, count=True)},
        {"results": with_row(0, count=-1)},
        {"results": [*report_document(NEW)["results"], report_document(NEW)["results"][0]]},
        {"results": "good"},
        {"release_digest": ""},
        {"per_update": {"d_dsc_mean": None}},
        {"alpha": "small"},
    ],
)
def test_a_report_that_cannot_be_read_is_refused(broken: dict[str, Any]) -> None:
    """A figure that is no number, or that stands twice, is a fault of the report."""
    with pytest.raises(ConfigurationError):
        read_report({**report_document(NEW), **broken}, "sha256:8", "k")


def test_the_run_is_kept_whole() -> None:
    """What is kept of a run has plan, report, every gate with bound and figure, and the verdict."""
    kept = json.loads(json.dumps(encode_run(ran(with_row(0, value=-1)), "anna", NOW)))
    assert (kept["plan_digest"], kept["report_digest"]) == (PLAN.digest, "sha256:8")
    assert kept["passed"] is False
    assert kept["gates"][0] == {
        "step_id": "S1", "bound": "d_dsc interval_low ≥ -0.02", "found": -1.0, "count": 40,
        "passed": False, "reason": "OUT_OF_BOUND",
    }  # fmt: skip
    assert (kept["run_by"], kept["run_at"]) == ("anna", NOW.isoformat())
