"""Speed of the audit log beside raw SQLite and a kept Merkle library, as times of callables.

Each side gets the same leaves; sides alternate, warm, and median and best stand beside each
other (PERFORMANCE.md section 4).  Latency is measured at a given rate from the moment in
which a call was due, so that a queue that builds up counts.

Read next: `adapters/bench_log.py`, which provides the sides.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """How many a second: median and best of the repeats.

    ``cpu_us`` is the least processor time for each, of this process and its children: what
    a machine without other work would need, where this one is shared.
    """

    median_per_s: float
    best_per_s: float
    cpu_us: float
    repeats: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from due to done; how many a second were asked for and reached."""

    asked_per_s: float
    reached_per_s: float
    p50_ms: float
    p99_ms: float
    most_ms: float


def rates(sides: Mapping[str, Callable[[int], int]], repeats: int) -> dict[str, Rate]:
    """Return the rate of each side; a side gets the repeat's number and returns how many."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for number in range(repeats):
        for name, side in sides.items():
            started, before = time.perf_counter(), _processor_s()
            count = side(number)
            each_us = (_processor_s() - before) / count * 1e6
            found[name].append((count / (time.perf_counter() - started), each_us))
    return {
        name: Rate(
            statistics.median(rate for rate, _ in pairs),
            max(rate for rate, _ in pairs),
            min(each for _, each in pairs),
            len(pairs),
        )
        for name, pairs in found.items()
    }


def _processor_s() -> float:
    """Return the processor time of this process and of its children that ended."""
    taken = os.times()
    return taken.user + taken.system + taken.children_user + taken.children_system


def paced(call: Callable[[int], object], per_s: float, count: int, callers: int) -> Latency:
    """Return the latency of ``call(number)`` at a fixed rate, by so many callers at once."""
    taken_s = [0.0] * count
    begin = time.perf_counter() + 0.1

    def work(first: int) -> None:
        for number in range(first, count, callers):
            due = begin + number / per_s
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            call(number)
            taken_s[number] = time.perf_counter() - due

    threads = [threading.Thread(target=work, args=(first,)) for first in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole_s = time.perf_counter() - begin
    ordered = sorted(taken_s)
    return Latency(
        per_s,
        count / whole_s,
        ordered[count // 2] * 1000,
        ordered[int(count * 0.99)] * 1000,
        ordered[-1] * 1000,
    )


def milliseconds(call: Callable[[int], object], count: int) -> tuple[float, float]:
    """Return median and 99th percentile of so many calls, in milliseconds."""
    taken = []
    for number in range(count):
        started = time.perf_counter()
        call(number)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken), sorted(taken)[int(count * 0.99)]
