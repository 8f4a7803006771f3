"""The change budget: how far a plugin may move from its certified baseline in all.

Everything is counted against the certified baseline, never against the release before, so
that many small steps cannot add up unseen; the length of the path is bounded too, so that
steps back and forth cannot.  What was not measured counts as exceeded.  Only a new
certificate (another baseline) resets it.

Source: REGULATORY.md section 4 (change_budget).  Statistical error: Bonferroni, each of at
most ``max_updates`` looks may spend ``alpha_total / max_updates``, their sum at most
``alpha_total``.

Read next: `ledger.py`, `gates.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from governance.change.ledger import Baseline, ChangeRequest
from governance.change.plan import BudgetLimits

_ROUNDING = 1e-9  # a limit that decimal fractions reach exactly must not fail by their binary form


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One limit and how much of it is used, the candidate included; None: not measured."""

    name: str
    used: float | None
    limit: float
    holds: bool
    text: str


@dataclass(frozen=True, slots=True)
class BudgetPosition:
    """Where a plugin stands; ``lines`` in the order of the plan."""

    baseline_digest: str
    lines: tuple[BudgetLine, ...]

    @property
    def holds(self) -> bool:
        """Tell whether every limit is kept."""
        return all(line.holds for line in self.lines)

    @property
    def exceeded(self) -> tuple[BudgetLine, ...]:
        """Return the limits that are not kept."""
        return tuple(line for line in self.lines if not line.holds)


def position(
    limits: BudgetLimits,
    baseline: Baseline,
    ledger: Sequence[ChangeRequest],
    candidate: ChangeRequest | None,
    stops: Mapping[str, bool],
    now: datetime,
) -> BudgetPosition:
    """Return where the plugin stands, or would stand with a candidate.

    Parameters
    ----------
    ledger : change requests of the plugin; those against other baselines do not count.
    candidate : the change in question; its own entry in the ledger is left out.
    stops : hard stop -> is it open now; one that is not there is unknown, and counts as open.
    """
    own = (candidate.new_digest, candidate.report_digest) if candidate else ("", "")
    counted = [
        item
        for item in ledger
        if item.baseline_digest == baseline.release_digest
        and (item.new_digest, item.report_digest) != own
    ]
    looks = [*counted, *([candidate] if candidate else [])]
    updates = [item for item in counted if item.is_update and item.new_digest != own[0]]
    path = [*updates, *([candidate] if candidate else [])]
    lines = (
        _at_most("updates", len(path), limits.max_updates, "updates since the baseline"),
        _age(limits, baseline, now),
        *_distance_in_time(limits, updates, candidate, now),
        *(_differences(limits, candidate) if candidate else ()),
        *_path_length(limits, path),
        *_statistics(limits, looks),
        _sealed_set(limits, looks),
        *(_training_data(limits, candidate) if candidate else ()),
        *_hard_stops(limits, stops),
    )
    return BudgetPosition(baseline.release_digest, lines)


def _at_most(name: str, used: float | None, limit: float, text: str) -> BudgetLine:
    holds = used is not None and used <= limit + _ROUNDING
    return BudgetLine(name, used, limit, holds, text)


def _age(limits: BudgetLimits, baseline: Baseline, now: datetime) -> BudgetLine:
    days = (now - baseline.certified_at) / timedelta(days=1)
    found = _at_most("age_days", round(days, 3), limits.max_age_days, "days since the baseline")
    return found if days >= 0 else BudgetLine(found.name, days, found.limit, False, found.text)


def _distance_in_time(
    limits: BudgetLimits,
    updates: Sequence[ChangeRequest],
    candidate: ChangeRequest | None,
    now: datetime,
) -> Iterator[BudgetLine]:
    moment = candidate.recorded_at if candidate else now
    earlier = [item.recorded_at for item in updates if item.recorded_at <= moment]
    if not earlier or candidate is None:
        return
    days = round((now - max(earlier)) / timedelta(days=1), 3)
    text = "days since the update before; its monitoring window must have ended"
    holds = days >= limits.min_days_between
    yield BudgetLine("days_between", days, limits.min_days_between, holds, text)


def _differences(limits: BudgetLimits, candidate: ChangeRequest) -> Iterator[BudgetLine]:
    rows: tuple[tuple[str, Mapping[str, float], Mapping[str, float], str], ...] = (
        ("per_update", candidate.per_update, limits.per_update, "to the release before"),
        ("vs_baseline", candidate.vs_baseline, limits.vs_baseline, "to the certified baseline"),
    )
    for name, measured, allowed, text in rows:
        for measure, limit in allowed.items():
            used = abs(measured[measure]) if measure in measured else None
            yield _at_most(f"{name}.{measure}", used, limit, f"difference {text}")


def _path_length(limits: BudgetLimits, path: Sequence[ChangeRequest]) -> Iterator[BudgetLine]:
    for measure, limit in limits.vs_baseline.items():
        steps = [item.per_update.get(measure) for item in path]
        known = [abs(step) for step in steps if step is not None]
        used = sum(known) if len(known) == len(steps) else None
        allowed = limits.path_length_factor * limit
        yield _at_most(f"path.{measure}", used, allowed, "sum of all updates, up or down")


def _statistics(limits: BudgetLimits, looks: Sequence[ChangeRequest]) -> Iterator[BudgetLine]:
    tested = [item for item in looks if item.change_class == "D1" or item.sealed_set_digest]
    spent = [item.alpha for item in tested]
    known = [alpha for alpha in spent if alpha is not None]
    complete = len(known) == len(spent)
    share = limits.alpha_total / limits.max_updates
    largest = max(known, default=0.0) if complete else None
    yield _at_most("alpha_each", largest, share, "statistical error of any one update")
    total = sum(known) if complete else None
    yield _at_most("alpha_total", total, limits.alpha_total, "statistical error of all updates")


def _sealed_set(limits: BudgetLimits, looks: Sequence[ChangeRequest]) -> BudgetLine:
    """Count looks at the sealed set; it begins anew only where enough of it was refreshed."""
    uses = 0
    seen: set[str] = set()
    for item in looks:
        digest = item.sealed_set_digest
        if not digest:
            continue
        fresh = digest not in seen and item.refreshed_fraction >= limits.refresh_fraction
        uses = 1 if fresh else uses + 1
        seen.add(digest)
    return _at_most("sealed_set_uses", uses, limits.sealed_set_uses, "looks at the sealed set")


def _training_data(limits: BudgetLimits, candidate: ChangeRequest) -> Iterator[BudgetLine]:
    yield _at_most(
        "new_data_fraction",
        candidate.new_data_fraction,
        limits.new_data_fraction,
        "share of training patients that the baseline had not",
    )


def _hard_stops(limits: BudgetLimits, stops: Mapping[str, bool]) -> Iterator[BudgetLine]:
    for name in limits.hard_stops:
        used = float(stops[name]) if name in stops else None
        yield _at_most(f"stop.{name}", used, 0, "nothing is updated while it is open")
