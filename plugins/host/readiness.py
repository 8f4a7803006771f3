"""Is a study ready to run?  It is when it is complete, not when a timer says so.

Three sources, in this order: a person (force, discard); announced counts of the series
that the release wants; and, where nobody announced a count, a quiet time since the last
arrival.  Pure functions of facts and a moment.

Read next: `routing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from plugins.host.facts import SeriesFacts, StudyFacts
from plugins.host.manifest import Input

QUIET_TIME_S = 5.0
PATIENCE_S = 60.0

FORCED = "forced"
DISCARDED = "discarded"
MISSING_REQUIRED = "missing-required"
COUNTS_COMPLETE = "counts-complete"
COUNTS_INCOMPLETE = "counts-incomplete"
COUNTS_NEVER_COMPLETE = "counts-never-complete"
WAITING_QUIET = "waiting-quiet"
QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether to start, and why.

    Parameters
    ----------
    reason : one of the codes above.
    wait_s : when to ask again if nothing arrives; None when only an arrival or a person
        changes the answer.
    missing : roles that are required and not there, or series roles that are incomplete.
    """

    ready: bool
    reason: str
    wait_s: float | None = None
    missing: tuple[str, ...] = ()


def assess(
    facts: StudyFacts,
    wanted: Sequence[Input],
    now: datetime,
    quiet_time_s: float = QUIET_TIME_S,
    *,
    forced: bool = False,
    discarded: bool = False,
    patience_s: float = PATIENCE_S,
) -> Readiness:
    """Say whether a study is ready for a release.

    Parameters
    ----------
    wanted : inputs of the release's manifest.
    now : aware UTC, of the same clock as the arrival times.
    quiet_time_s : how long nothing must have come, where nobody announced counts.
    forced, discarded : a person decided; discarding wins.
    patience_s : how long an announced count may stay unfulfilled: after it the study is
        ready with COUNTS_NEVER_COMPLETE, and reading it finds the gap or not.  Waiting
        for ever would lose the study silently.
    """
    if discarded:
        return Readiness(False, DISCARDED)
    missing = tuple(item.role for item in wanted if item.required and not _series(facts, item))
    if missing:
        return Readiness(False, MISSING_REQUIRED, None, missing)
    if forced:
        return Readiness(True, FORCED)
    incomplete = tuple(item.role for item in wanted if _is_incomplete(facts, item))
    quiet_s = _quiet_s(facts, now)
    if incomplete:
        remaining_s = patience_s - quiet_s
        if remaining_s > 0:
            return Readiness(False, COUNTS_INCOMPLETE, remaining_s, incomplete)
        return Readiness(True, COUNTS_NEVER_COMPLETE, None, incomplete)
    if all(_is_complete(facts, item) for item in wanted):
        return Readiness(True, COUNTS_COMPLETE)
    remaining_s = quiet_time_s - quiet_s
    if remaining_s > 0:
        return Readiness(False, WAITING_QUIET, remaining_s)
    return Readiness(True, QUIET)


def _series(facts: StudyFacts, item: Input) -> tuple[SeriesFacts, ...]:
    """Return the series that could fill a role; each was announced or has come enough."""
    return tuple(
        series
        for series in facts.series
        if series.modality == item.modality
        and max(series.image_count, series.expected_count or 0) >= item.minimum_instances
    )


def _is_complete(facts: StudyFacts, item: Input) -> bool:
    """Say whether a role is filled and every series that could fill it is complete.

    An optional role that nothing fills is not: it may still come, so the quiet time runs.
    """
    series = _series(facts, item)
    return bool(series) and all(
        candidate.expected_count is not None
        and len(candidate.sop_instance_uids) >= candidate.expected_count
        for candidate in series
    )


def _is_incomplete(facts: StudyFacts, item: Input) -> bool:
    """Say whether a series of the role announced more than has come."""
    return any(
        series.expected_count is not None and len(series.sop_instance_uids) < series.expected_count
        for series in _series(facts, item)
    )


def _quiet_s(facts: StudyFacts, now: datetime) -> float:
    """Return for how long nothing has come; unknown arrivals count as long ago."""
    if facts.last_arrival_at is None:
        return float("inf")
    return max(timedelta(0), now - facts.last_arrival_at).total_seconds()
