"""Rates of oversight with n and interval (REGULATORY.md 5.2).

    accept, edit, reject    share of the structures that somebody decided about
    override                rejected, or edited with consequence (severity major)
    unseen                  accepted without a slice on the screen, of the accepted whose
                            viewing is known; must be 0 for targets

Deferred structures are counted beside: nobody has decided yet.  Intervals are Clopper and
Pearson's (Biometrika 1934), 95 %, two-sided: they hold at every n, also where k is 0 or n.

Read next: `bias.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

LEVEL = 0.95
DIMENSIONS = ("plugin", "release", "site", "structure", "subgroup", "fraction")


@dataclass(frozen=True, slots=True)
class Rate:
    """k of n with its interval; without n there is no rate."""

    k: int
    n: int
    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Cell:
    """How many assessments are alike in everything that rates are grouped by.

    Parameters
    ----------
    group : value of each of `DIMENSIONS`.
    seen : "yes", "no", or "" where the viewing is not known.
    """

    group: Mapping[str, str]
    action: str
    severity: str
    seen: str
    count: int
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """The rates of one group; ``mean_seconds`` over the decisions whose viewing is known."""

    name: str
    decided: int
    deferred: int
    accept: Rate
    edit: Rate
    reject: Rate
    override: Rate
    unseen: Rate
    mean_seconds: float | None


def rate(k: int, n: int) -> Rate:
    """Return k of n with its exact interval.

    Examples
    --------
    >>> found = rate(0, 10)
    >>> (found.value, found.lower, round(found.upper, 4))
    (0.0, 0.0, 0.3085)
    """
    if not 0 <= k <= n:
        raise ValueError(f"expected 0 <= k <= n, found {k} of {n}")
    if n == 0:
        return Rate(0, 0, None, None, None)
    tail = (1 - LEVEL) / 2
    lower = float(stats.beta.ppf(tail, k, n - k + 1)) if k else 0.0
    upper = float(stats.beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
    return Rate(k, n, k / n, lower, upper)


def rates_by(cells: Iterable[Cell], dimension: str) -> tuple[Row, ...]:
    """Return the rates of each value of a dimension, by name; "" groups all together."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        name = cell.group.get(dimension, "") if dimension else ""
        groups.setdefault(name, []).append(cell)
    return tuple(_row(name, groups[name]) for name in sorted(groups, key=_order))


def narrowed(cells: Iterable[Cell], wanted: Mapping[str, str]) -> tuple[Cell, ...]:
    """Return the cells of the groups that are wanted; an empty wish excludes nothing."""
    return tuple(
        cell
        for cell in cells
        if all(not value or cell.group.get(key) == value for key, value in wanted.items())
    )


def _row(name: str, cells: Sequence[Cell]) -> Row:
    counts = {action: _count(cells, action=action) for action in ("accept", "edit", "reject")}
    decided = sum(counts.values())
    known = [cell for cell in cells if cell.seen and cell.action != "defer"]
    timed = sum(cell.count for cell in known)
    overridden = counts["reject"] + _count(cells, action="edit", severity="major")
    unseen = _count(cells, action="accept", seen="no")
    return Row(
        name=name,
        decided=decided,
        deferred=_count(cells, action="defer"),
        accept=rate(counts["accept"], decided),
        edit=rate(counts["edit"], decided),
        reject=rate(counts["reject"], decided),
        override=rate(overridden, decided),
        unseen=rate(unseen, unseen + _count(cells, action="accept", seen="yes")),
        mean_seconds=sum(cell.seconds for cell in known) / timed if timed else None,
    )


def _count(cells: Sequence[Cell], **wanted: str) -> int:
    return sum(
        cell.count
        for cell in cells
        if all(getattr(cell, key) == value for key, value in wanted.items())
    )


def _order(name: str) -> tuple[int, int, str]:
    """Sort numbers (fractions) as numbers, before words."""
    return (0, int(name), "") if name.isdigit() else (1, 0, name)
