"""One table of functions beside their peers: alternating runs, ratio, agreement.

Each row has two sides that work on the same files.  They take turns; median and minimum stand
in the table, with the agreement of their results beside the ratio and the load of the machine
under it (PERFORMANCE.md section 4: rules for an honest side-by-side).  Beside the time on the
clock stands the processor time of all threads, which other work on the machine disturbs less.

Read next: `adapters/benchmarks/numerics.py`, which provides the sides.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spent:
    """What one run of a side took, in seconds: on the clock, and of the processor."""

    clock_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Turns:
    """How often the sides take turns: ``most`` times, or until a row has taken ``seconds``.

    One turn after the one to warm up there always is.
    """

    most: int
    seconds: float = float("inf")


Side = Callable[[], Spent]
"""Do the work once and return what it took."""


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
    ours_cpu_s: float = float("nan")
    theirs_cpu_s: float = float("nan")
    turns: int = 0
    agreement: str = ""
    load: float = float("nan")
    missing: str = ""

    @property
    def ratio(self) -> float:
        """Return how many times faster we are, by the medians."""
        return self.theirs_median_s / self.ours_median_s

    @property
    def cpu_ratio(self) -> float:
        """Return how many times less processor time we take, by the medians."""
        return self.theirs_cpu_s / self.ours_cpu_s if self.ours_cpu_s else float("nan")

    @property
    def reached(self) -> bool:
        """Return whether the goal is reached."""
        return self.ratio >= self.goal


def spent(work: Callable[[], object]) -> Spent:
    """Do the work once and return what it took; the processor time is that of this process."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - clock, time.process_time() - processor)


def measure(row: Row, turns: Turns) -> Measured:
    """Return the figures of a row: one run of each side to warm up, then turns."""
    started = time.monotonic()
    row.ours()
    row.theirs()
    ours: list[Spent] = []
    theirs: list[Spent] = []
    while not ours or (len(ours) < turns.most and time.monotonic() - started < turns.seconds):
        theirs.append(row.theirs())
        ours.append(row.ours())
    return Measured(
        row.function,
        row.peer,
        row.goal,
        statistics.median(run.clock_s for run in ours),
        min(run.clock_s for run in ours),
        statistics.median(run.clock_s for run in theirs),
        min(run.clock_s for run in theirs),
        statistics.median(run.cpu_s for run in ours),
        statistics.median(run.cpu_s for run in theirs),
        len(ours),
        row.agreement(),
        os.getloadavg()[0],
    )


def lines(table: Sequence[Measured]) -> list[tuple[str, ...]]:
    """Return the cells of the table as text."""
    return [_cells(item) for item in table]


def sentence(item: Measured) -> str:
    """Return a row as one line, to be shown when it is measured."""
    function, peer, ours, theirs, ratio, cpu, goal, agreement = _cells(item)
    if item.missing:
        return f"{function} beside {peer}: {agreement}"
    return (
        f"{function}: {ours} s, {peer} {theirs} s: {ratio} times, processor time {cpu} times, "
        f"goal {goal}; {item.turns} turns, load {item.load:.1f}; {agreement}"
    )


def _cells(item: Measured) -> tuple[str, ...]:
    if item.missing:
        return (item.function, item.peer, "-", "-", "-", "-", f"{item.goal:g}", item.missing)
    return (
        item.function,
        item.peer,
        f"{item.ours_median_s:.3f} ({item.ours_minimum_s:.3f})",
        f"{item.theirs_median_s:.3f} ({item.theirs_minimum_s:.3f})",
        f"{item.ratio:.1f}",
        f"{item.cpu_ratio:.1f}",
        f"{item.goal:g} {'reached' if item.reached else 'missed'}",
        item.agreement,
    )
