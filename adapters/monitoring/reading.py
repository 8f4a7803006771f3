"""The cases of an item, in one stated order, out of what runs and reviews left.

    input       a run that has statistics                       by its closing
    rate        a closed run: refused, abstained, failed        by its closing
    operations  a closed run that counted its seconds           by its closing
    agreement   a clinical assessment with figures              by the decision
    resources   a day that is over                              by the day
    oversight   a clinical review that accepted, edited or rejected   by the decision
    plan        an approved plan that came back                 by the finding
    outcome     a case whose horizon and grace are over         `governance/monitoring/labels.py`

Every case knows its scanner, site and subgroup (`placing.py`): items are split by them, and an
input item may watch the case mix itself.

A case that closed within the last seconds waits for the next turn, so that one that commits late
is not passed over.

Read next: `running.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from adapters.monitoring.placing import place
from governance.monitoring.labels import Arrivals, arrange
from governance.monitoring.plan import (
    AGREEMENT,
    INPUT,
    OPERATIONS,
    OUTCOME,
    OVERSIGHT,
    PLANNED,
    RATE,
    RESOURCES,
    RISK,
    STRUCTURE,
    Item,
)
from governance.monitoring.reference import Observation
from governance.monitoring.state import LABEL
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
    if item.metric == RESOURCES:
        days = transaction.days(cursor[0], now, BATCH)
        until: Cursor = (days[-1][0], "day") if days else cursor
        return Batch(tuple(_of_day(transaction, day, peaks) for day, peaks in days), until)
    if item.metric in (AGREEMENT, OVERSIGHT):
        found = transaction.assessments_after(release_digest, cursor, BATCH)
        last: Cursor = (found[-1].decided_at, found[-1].assessment_id) if found else cursor
        turn = _assessed if item.metric == AGREEMENT else _reviewed
        cases = [(one.run_id, case) for one in found if (case := turn(one))]
        return Batch(_placed(transaction, cases), last)
    if item.metric == PLANNED:
        return _plans(transaction, release_digest, cursor)
    runs = transaction.closed_runs(release_digest, cursor, now - SETTLED, BATCH)
    last = (runs[-1].closed_at, runs[-1].run_id) if runs else cursor
    return Batch(tuple(case for run in runs if (case := observed(item.metric, run))), last)


def observed(metric: str, run: ClosedRun) -> Observation | None:
    """Return a closed run as an item of a metric takes it; None where it does not."""
    case = _of_run(metric, run)
    return None if case is None else _at(case, run.pacs, run.facts)


def arrivals(
    transaction: Transaction,
    release_digest: str,
    item: Item,
    now: datetime,
    files: Collection[str] | None = None,
) -> Arrivals:
    """Return the outcomes of a release in the order in which its item takes them.

    Parameters
    ----------
    files : digests of the imports that count; all without.
    """
    stated, told = transaction.outcomes(release_digest, files)
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


def _of_day(transaction: Transaction, day: datetime, peaks: Mapping[str, float]) -> Observation:
    """Return a day; what only ever grows counts by how much it grew since the day before."""
    numbers = dict(peaks)
    before = transaction.peaks(day - timedelta(days=1)).get("outbox_mb")
    if before is not None and "outbox_mb" in numbers:
        numbers["outbox_growth_mb"] = numbers["outbox_mb"] - before
    return Observation(f"{day:%Y-%m-%d}", numbers)


def _assessed(one: Assessment) -> Observation | None:
    if one.figures is None:
        return None
    numbers = {n: float(v) for n, v in asdict(one.figures).items() if v is not None}
    return Observation(one.assessment_id, numbers, {STRUCTURE: one.structure})


def _reviewed(one: Assessment) -> Observation | None:
    """Return whether a result was accepted as it is, and how long somebody looked at it."""
    if one.action == "defer":
        return None
    numbers = {"accepted": float(one.action == "accept")}
    if one.viewing.known:
        numbers["active_seconds"] = one.viewing.active_seconds
    if one.viewing.share is not None:
        numbers["slices_share"] = one.viewing.share
    return Observation(one.assessment_id, numbers, {STRUCTURE: one.structure})


def _plans(transaction: Transaction, release_digest: str, cursor: Cursor) -> Batch:
    """Return the plans that came back; one for another prescription says nothing of ours."""
    found = transaction.plan_comparisons_after(release_digest, cursor, BATCH)
    last: Cursor = (found[-1].found_at, found[-1].comparison_id) if found else cursor
    counted = [item for item in found if item.counts]
    cases = [(item.run_id, Observation(item.comparison_id, item.numbers())) for item in counted]
    return Batch(_placed(transaction, cases), last)


def _at(case: Observation, pacs: str, facts: Mapping[str, Any]) -> Observation:
    return replace(case, categories={**place(pacs, facts), **case.categories})


def _placed(
    transaction: Transaction, cases: Sequence[tuple[str, Observation]]
) -> tuple[Observation, ...]:
    """Return cases with where the run of each lies."""
    known = transaction.facts_of(run_id for run_id, _ in cases)
    return tuple(_at(case, *known.get(run_id, ("", {}))) for run_id, case in cases)


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
        (case.run_id, Observation(case.run_id, {RISK: case.probability, LABEL: float(case.label)}))
        for case in kept
    ]
    return Batch(_placed(transaction, cases), cursor)
