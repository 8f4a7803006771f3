"""The cases of an item, in one stated order, out of what runs and reviews left.

    input       a run that has statistics                       by its closing
    rate        a closed run: refused, abstained, failed        by its closing
    operations  a closed run that counted its seconds           by its closing
    agreement   a clinical assessment with figures              by the decision
    outcome     a case whose horizon and grace are over         `governance/monitoring/labels.py`

A case that closed within the last seconds waits for the next turn, so that one that commits late
is not passed over.

Read next: `running.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from governance.monitoring.labels import Arrivals, arrange
from governance.monitoring.plan import AGREEMENT, INPUT, OPERATIONS, OUTCOME, RATE, RISK, Item
from governance.monitoring.reference import Observation
from governance.monitoring.watch import LABEL
from plugins.host.observation import stored

if TYPE_CHECKING:
    from adapters.database import Transaction
    from adapters.database.monitoring import ClosedRun
    from governance.oversight.assessment import Assessment

SETTLED = timedelta(seconds=5)
BATCH = 500
Cursor = tuple[datetime | None, str]


@dataclass(frozen=True, slots=True)
class Batch:
    """Cases of an item, and the cursor after them."""

    cases: tuple[Observation, ...]
    cursor: Cursor


def read(
    transaction: Transaction, release_digest: str, item: Item, cursor: Cursor, now: datetime
) -> Batch:
    """Return what came for an item since its cursor."""
    if item.metric == OUTCOME:
        return _outcomes(transaction, release_digest, item, cursor, now)
    if item.metric == AGREEMENT:
        found = transaction.assessments_after(release_digest, cursor, BATCH)
        last: Cursor = (found[-1].decided_at, found[-1].assessment_id) if found else cursor
        return Batch(tuple(case for one in found if (case := _assessed(one))), last)
    runs = transaction.closed_runs(release_digest, cursor, now - SETTLED, BATCH)
    last = (runs[-1].closed_at, runs[-1].run_id) if runs else cursor
    return Batch(tuple(case for run in runs if (case := _of_run(item.metric, run))), last)


def arrivals(transaction: Transaction, release_digest: str, item: Item, now: datetime) -> Arrivals:
    """Return the outcomes of a release in the order in which its item takes them."""
    stated, told = transaction.outcomes(release_digest)
    return arrange(
        stated,
        told,
        now,
        horizon=timedelta(days=item.horizon_days),
        grace=timedelta(days=item.grace_days),
    )


def _of_run(metric: str, run: ClosedRun) -> Observation | None:
    if metric == INPUT:
        return None if run.statistics is None else stored(run.run_id, run.statistics)
    if metric == RATE:
        states = ("refused", "abstained", "failed", "done")
        return Observation(run.run_id, {name: float(run.status == name) for name in states})
    assert metric == OPERATIONS
    return None if run.seconds is None else Observation(run.run_id, {"seconds": run.seconds})


def _assessed(one: Assessment) -> Observation | None:
    if one.figures is None:
        return None
    numbers = {n: float(v) for n, v in asdict(one.figures).items() if v is not None}
    return Observation(one.assessment_id, numbers, {"structure": one.structure})


def _outcomes(
    transaction: Transaction, release_digest: str, item: Item, cursor: Cursor, now: datetime
) -> Batch:
    """Return all cases, not only new ones: a correction changes one in the middle.

    The cursor is set by a decision on an alarm alone: cases before it, but for those that
    calibration was fitted on, are not judged again.
    """
    found = arrivals(transaction, release_digest, item, now).cases
    kept = [
        case
        for number, case in enumerate(found)
        if number < item.first_cases or cursor[0] is None or case.entered_at > cursor[0]
    ]
    cases = [
        Observation(case.run_id, {RISK: case.probability, LABEL: float(case.label)})
        for case in kept
    ]
    return Batch(tuple(cases), cursor)
