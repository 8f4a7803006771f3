"""Labels that come months later, twice, corrected, or out of order: one order, stated before.

If cases entered a test whenever a label happens to arrive, toxicities would come first (they are
reported when they occur, their absence only at the end of follow-up) and every test would alarm.
So a case waits until its horizon and a time of grace are over for both outcomes alike:

    enters(case) = max(predicted_at + horizon + grace, report of its label)

in the order of that time, then of the prediction.  An event within the horizon counts as 1,
follow-up through the horizon without one as 0, neither as missing.  Missing labels are counted
and shown; a test is silent about them.  The same report twice is one report; a different one is a
correction, the later report holds at the case's place, and the sums are folded again from the
start (a few hundred cases take milliseconds).  The result depends on what was reported and when,
never on the order in which the reports are read.

Source: TRIPOD+AI 2024, item 8 (outcome and horizon stated beforehand); Kalbfleisch and Prentice
2002, 1.2 (follow-up through the horizon).

Read next: `recalibration.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from audit.errors import SuiteError


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a release stated about a patient; aware UTC time."""

    run_id: str
    predicted_at: datetime
    probability: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found later; aware UTC times.

    Parameters
    ----------
    event : it happened, at ``seen_at``; else it had not happened until ``seen_at``.
    reported_at : when we were told; of two reports of one run the later holds.
    """

    run_id: str
    event: bool
    seen_at: datetime
    reported_at: datetime


@dataclass(frozen=True, slots=True)
class Labelled:
    """A case that has entered the test."""

    run_id: str
    probability: float
    label: bool
    entered_at: datetime


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The order in which cases enter a test, and what happened to the reports.

    Parameters
    ----------
    cases : with their labels, in order of entry.
    waiting : cases whose time has not come.
    missing : cases whose time has come, and nobody knows the outcome.
    repeated, corrected, unknown : reports that said the same again, changed a label, or were
        about no prediction of ours.
    """

    cases: tuple[Labelled, ...]
    waiting: int
    missing: int
    repeated: int
    corrected: int
    unknown: int


def arrange(
    predictions: Sequence[Predicted],
    outcomes: Sequence[Outcome],
    now: datetime,
    *,
    horizon: timedelta,
    grace: timedelta,
) -> Arrivals:
    """Return the cases in the order that a test takes them, whatever order reports came in."""
    if horizon <= timedelta(0) or grace < timedelta(0):
        raise SuiteError("expected a horizon above zero and a grace of at least zero")
    known = {item.run_id: item for item in predictions}
    reports: dict[str, list[Outcome]] = {name: [] for name in known}
    unknown = repeated = 0
    told = [item for item in outcomes if item.reported_at <= now]
    for report in sorted(told, key=lambda i: (i.reported_at, i.run_id, i.seen_at, i.event)):
        before = reports.get(report.run_id)
        if before is None:
            unknown += 1
        elif any((b.event, b.seen_at) == (report.event, report.seen_at) for b in before):
            repeated += 1
        else:
            before.append(report)
    cases: list[Labelled] = []
    waiting = missing = corrected = 0
    for case in known.values():
        due_at = case.predicted_at + horizon + grace
        labels = _labels(reports[case.run_id], case.predicted_at + horizon)
        corrected += sum(a[0] != b[0] for a, b in pairwise(labels))
        if due_at > now:
            waiting += 1
        elif not labels:
            missing += 1
        else:
            entered_at = max(due_at, labels[0][1])
            cases.append(Labelled(case.run_id, case.probability, labels[-1][0], entered_at))
    cases.sort(key=lambda item: (item.entered_at, known[item.run_id].predicted_at, item.run_id))
    return Arrivals(tuple(cases), waiting, missing, repeated, corrected, unknown)


def _labels(reports: Sequence[Outcome], end: datetime) -> list[tuple[bool, datetime]]:
    """Return each label that the reports of a case gave, with the time of its report."""
    return [
        (report.event and report.seen_at <= end, report.reported_at)
        for report in reports
        if report.event or report.seen_at >= end
    ]
