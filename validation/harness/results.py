"""What the harness found: one result for each case under each condition, as plain values.

A condition is what was done to the input (``baseline``, ``noise``, ``missing-pet`` ...) at one
level; a repeat is the same once more.  `encode` gives the canonical form that the report's
digest rests on; what differs from machine to machine (`Measured`) stands outside it.

Read next: `validation/criteria` (what is asked of the results).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from audit import canonical
from audit.errors import RecordError
from governance.release import digest_of

SCHEMA = "osteon.validation-results/1"
DIGITS = 6
"""Decimal places that results are rounded to before they are digested."""
OUTCOMES = ("done", "abstained", "refused", "failed")


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """What was done to the input of a case.

    Parameters
    ----------
    name : ``baseline`` or the name of a robustness sweep.
    level : size of the change, in the unit that the sweep states; 0 for the baseline.
    given : roles that the release got, sorted and joined by ``+`` (``ct+pet``).
    repeat : 0 for the first run; above it, the same input once more.
    """

    name: str = "baseline"
    level: float = 0.0
    given: str = ""
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case under one condition.

    Parameters
    ----------
    case_id : id of the case in the cohort; never of a patient.
    patient_group : cases of one patient share it; intervals resample it.
    site : site code of the cohort.
    strata : names of the strata that the case belongs to, sorted.
    outcome : done | abstained | refused | failed.
    reasons : stable codes of an abstention, refusal or failure.
    metrics : by metric name, in the unit of the registry (`validation/metrics`).
    output_digest : of the decoded findings; equal for equal answers.
    """

    case_id: str
    patient_group: str
    site: str
    strata: tuple[str, ...]
    condition: Condition
    outcome: str
    reasons: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    output_digest: str = ""

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise RecordError(f"expected an outcome of {OUTCOMES}, found {self.outcome[:20]!r}")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a machine took for a case; outside the digest."""

    case_id: str
    condition: Condition
    seconds: float
    peak_memory_mb: float
    node: str = ""


@dataclass(frozen=True, slots=True)
class RunResults:
    """All results of one run of the harness.

    Parameters
    ----------
    run_id : of the harness's run.
    metric_pack : version and digest of the conformance pack that passed before the run.
    method : held-out | cross-fitted.
    criteria_recorded_at, evaluated_at : aware UTC; the first is older.
    cases : sorted by case, then condition.
    runtime : what of the runtime environment the results depend on.
    """

    run_id: str
    release_digest: str
    cohort_digest: str
    criteria_digest: str
    metric_pack: str
    method: str
    seed: int
    criteria_recorded_at: datetime
    evaluated_at: datetime
    cases: tuple[CaseResult, ...]
    runtime: Mapping[str, str] = field(default_factory=dict)
    measured: tuple[Measured, ...] = ()


def encode_case(result: CaseResult) -> dict[str, Any]:
    """Return the JSON values of one case result, its metrics rounded; inverse of `decode_case`."""
    values = asdict(result)
    values["metrics"] = {
        name: round(float(value), DIGITS) if math.isfinite(value) else str(float(value))
        for name, value in sorted(result.metrics.items())
    }
    return values


def decode_case(values: Mapping[str, Any]) -> CaseResult:
    """Return the case result that JSON values state."""
    metrics = {str(name): float(value) for name, value in values["metrics"].items()}
    return CaseResult(
        case_id=values["case_id"],
        patient_group=values["patient_group"],
        site=values["site"],
        strata=tuple(values["strata"]),
        condition=Condition(**values["condition"]),
        outcome=values["outcome"],
        reasons=tuple(values["reasons"]),
        metrics=metrics,
        output_digest=values["output_digest"],
    )


def encode(results: RunResults) -> bytes:
    """Return the canonical JSON of the results without what was measured of the machine.

    Source: RFC 8785.
    """
    cases = sorted(results.cases, key=lambda item: (item.case_id, item.condition))
    return canonical.encode(
        {
            "schema": SCHEMA,
            "run_id": results.run_id,
            "release_digest": results.release_digest,
            "cohort_digest": results.cohort_digest,
            "criteria_digest": results.criteria_digest,
            "metric_pack": results.metric_pack,
            "method": results.method,
            "seed": results.seed,
            "criteria_recorded_at": results.criteria_recorded_at.astimezone(UTC).isoformat(),
            "evaluated_at": results.evaluated_at.astimezone(UTC).isoformat(),
            "runtime": dict(results.runtime),
            "cases": [encode_case(item) for item in cases],
        }
    )


def content_digest(results: RunResults) -> str:
    """Return the digest that a re-run of the same plan gives again, on any day.

    It leaves out when criteria were recorded and when the first result came; everything else
    of `encode` is in it.
    """
    values = json.loads(encode(results))
    for name in ("criteria_recorded_at", "evaluated_at"):
        del values[name]
    return digest_of(canonical.encode(values))


def decode(raw: bytes) -> RunResults:
    """Return the results that `encode` wrote.

    Raises
    ------
    RecordError : the bytes are not results of this schema.
    """
    try:
        values = json.loads(raw)
        if values.pop("schema") != SCHEMA:
            raise ValueError("schema")
        values["cases"] = tuple(decode_case(item) for item in values["cases"])
        for name in ("criteria_recorded_at", "evaluated_at"):
            values[name] = datetime.fromisoformat(values[name])
        return RunResults(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"expected validation results, found {type(error).__name__}") from error
