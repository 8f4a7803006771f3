"""One table of functions beside their peers: alternating runs, ratio, agreement.

Each row has two sides that work on the same files.  They take turns; median and minimum stand
in the table, with the agreement of their results beside the ratio and the load of the machine
under it (PERFORMANCE.md section 4: rules for an honest side-by-side).

Read next: `adapters/benchmarks/numerics.py`, which provides the sides.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Side = Callable[[], float]
"""Do the work once and return the seconds it took."""


@dataclass(frozen=True, slots=True)
class Row:
    """One function beside one peer.

    Parameters
    ----------
    goal : how many times faster than the peer it shall be.
    agreement : called after the runs; says how far the results agree, in words with figures.
    """

    function: str
    peer: str
    goal: float
    ours: Side
    theirs: Side
    agreement: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one row gave; ``missing`` says why it gave nothing."""

    function: str
    peer: str
    goal: float
    ours_median_s: float = float("nan")
    ours_minimum_s: float = float("nan")
    theirs_median_s: float = float("nan")
    theirs_minimum_s: float = float("nan")
    agreement: str = ""
    load: float = float("nan")
    missing: str = ""

    @property
    def ratio(self) -> float:
        """Return how many times faster we are, by the medians."""
        return self.theirs_median_s / self.ours_median_s

    @property
    def reached(self) -> bool:
        """Return whether the goal is reached."""
        return self.ratio >= self.goal


def measure(row: Row, repeats: int) -> Measured:
    """Return the figures of a row: one run of each side to warm up, then turns."""
    row.ours()
    row.theirs()
    ours, theirs = [], []
    for _ in range(repeats):
        theirs.append(row.theirs())
        ours.append(row.ours())
    return Measured(
        row.function,
        row.peer,
        row.goal,
        statistics.median(ours),
        min(ours),
        statistics.median(theirs),
        min(theirs),
        row.agreement(),
        os.getloadavg()[0],
    )


def lines(table: Sequence[Measured]) -> list[tuple[str, ...]]:
    """Return the cells of the table as text."""
    return [
        (item.function, item.peer, "-", "-", "-", f"{item.goal:g}", item.missing)
        if item.missing
        else (
            item.function,
            item.peer,
            f"{item.ours_median_s:.3f} ({item.ours_minimum_s:.3f})",
            f"{item.theirs_median_s:.3f} ({item.theirs_minimum_s:.3f})",
            f"{item.ratio:.1f}",
            f"{item.goal:g} {'reached' if item.reached else 'missed'}",
            item.agreement,
        )
        for item in table
    ]
