"""Alarm fatigue: how alarms weigh on people, counted for each release.

    per week        alarms raised in the time that the release was at work, at least one week
    late            acknowledged after the stated time, of those whose time is over or that were
                    acknowledged; a decision counts as acknowledgement
    without action  decided as "keep" or "false alarm", of those decided
    overdue         open past the deadline for a decision

An item of a plan may alarm more than once: its document has the revisions of every alarm, and
`episodes` tells them apart by the time at which each was raised.

Source: issue 6 (alarm fatigue is itself a metric); intervals: Clopper and Pearson 1934.

Read next: `escalation.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from governance.monitoring.reevaluation import DECIDED, NO_ACTION, is_overdue
from governance.oversight.rates import Rate, rate
from governance.ports import GovernedDocument

WEEK = timedelta(days=7)
Alarm = Sequence[GovernedDocument]
"""Every revision of one alarm, oldest first."""


@dataclass(frozen=True, slots=True)
class Fatigue:
    """How alarms weigh.

    Parameters
    ----------
    due, late : alarms that were to be acknowledged by now, and those of them that were not in time.
    median_days : from an alarm to its decision; None where nothing was decided.
    """

    opened: int
    decided: int
    false: int
    no_action: int
    overdue: int
    due: int
    late: int
    weeks: float
    median_days: float | None

    @property
    def false_share(self) -> float | None:
        """Return false alarms per decided ones; None where nothing was decided."""
        return self.false / self.decided if self.decided else None

    @property
    def per_week(self) -> float:
        """Return alarms per week."""
        return self.opened / self.weeks

    @property
    def late_rate(self) -> Rate:
        """Return the share acknowledged late."""
        return rate(self.late, self.due)

    @property
    def no_action_rate(self) -> Rate:
        """Return the share of decisions that changed nothing."""
        return rate(self.no_action, self.decided)


def episodes(history: Sequence[GovernedDocument]) -> tuple[tuple[GovernedDocument, ...], ...]:
    """Return the alarms of an item, oldest first, each with its revisions."""
    found: list[list[GovernedDocument]] = []
    for document in history:
        raised = document.content.get("opened_at")
        if not found or found[-1][0].content.get("opened_at") != raised:
            found.append([])
        found[-1].append(document)
    return tuple(tuple(alarm) for alarm in found)


def fatigue(alarms: Sequence[Alarm], now: datetime, since: datetime | None = None) -> Fatigue:
    """Return how alarms weigh.

    Parameters
    ----------
    since : when the release came to work here; None counts one week.
    """
    waits, counts = [], dict.fromkeys(("false", "no_action", "overdue", "due", "late"), 0)
    for alarm in alarms:
        last = alarm[-1]
        counts["overdue"] += is_overdue(last, now)
        is_late = _is_late(alarm, now)
        counts["due"] += is_late is not None
        counts["late"] += bool(is_late)
        if last.content["state"] == DECIDED:
            waits.append((last.recorded_at - alarm[0].recorded_at) / timedelta(days=1))
            counts["false"] += last.content["decision"] == "false-alarm"
            counts["no_action"] += last.content["decision"] in NO_ACTION
    waits.sort()
    middle = waits[len(waits) // 2] if waits else None
    weeks = 1.0 if since is None else max((now - since) / WEEK, 1.0)
    return Fatigue(
        opened=len(alarms), decided=len(waits), weeks=weeks, median_days=middle, **counts
    )


def document(found: Fatigue) -> dict[str, Any]:
    """Return the counts and shares as JSON values."""
    return {
        **asdict(found),
        "false_share": found.false_share,
        "per_week": found.per_week,
        "late_rate": asdict(found.late_rate),
        "no_action_rate": asdict(found.no_action_rate),
    }


def _is_late(alarm: Alarm, now: datetime) -> bool | None:
    """Return whether an alarm was acknowledged late; None while its time runs, or had none."""
    last = alarm[-1]
    if "acknowledge_by" not in last.content:
        return None
    until = datetime.fromisoformat(str(last.content["acknowledge_by"]))
    if "acknowledged_at" in last.content:
        return datetime.fromisoformat(str(last.content["acknowledged_at"])) > until
    if last.content["state"] == DECIDED:
        return last.recorded_at > until
    return True if now > until else None
