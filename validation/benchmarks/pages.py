"""How long each page takes on a log of a stated size, over its whole way: session, rights,
the record of the access, the query, the rendering.

The subject is passed in: a function that asks for a page once and returns its status.

Read next: `adapters/benchmarks/workspace.py`, which provides it.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

GOAL_S = 0.2


@dataclass(frozen=True, slots=True)
class PageTime:
    """One page: seconds of the median, the slowest and the first call, and the load beside."""

    page: str
    median_s: float
    slowest_s: float
    first_s: float
    load: float

    @property
    def reached(self) -> bool:
        """Return whether the median keeps the goal."""
        return self.median_s <= GOAL_S


def measure_pages(
    pages: Mapping[str, str], ask: Callable[[str], int], repeats: int = 7
) -> tuple[PageTime, ...]:
    """Return the times of pages by name; each is asked for ``repeats`` times.

    Raises
    ------
    ValueError : a page does not answer with 200, so that nothing was measured.
    """
    found = []
    for name, path in pages.items():
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            status = ask(path)
            times.append(time.perf_counter() - began)
            if status != 200:
                raise ValueError(f"expected page {name} to open, found {status}")
        median = statistics.median(times)
        found.append(PageTime(name, median, max(times), times[0], os.getloadavg()[0]))
    return tuple(found)


def as_markdown(times: tuple[PageTime, ...]) -> str:
    """Return the table of a benchmark README."""
    lines = ["| page | median | slowest | goal 200 ms |", "|---|---|---|---|"]
    for item in times:
        verdict = "**reached**" if item.reached else "missed"
        lines.append(
            f"| {item.page} | {1000 * item.median_s:.0f} ms | {1000 * item.slowest_s:.0f} ms | "
            f"{verdict} |"
        )
    return "\n".join(lines)
