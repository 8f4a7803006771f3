"""Overhead of the whole path over a bare script that does the same prediction.

Both sides alternate in one process tree on the same files; median, minimum and 95th
percentile are given, with the load of the machine, and the agreement of the two masks
beside the ratio (PERFORMANCE.md section 4: rules for an honest side-by-side).

Read next: `adapters/bench.py`, which provides the two sides.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LIMIT_SHARE = 0.10
LIMIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Timed:
    """One run of one side.

    Parameters
    ----------
    total_s : from the last instance at hand to the last result written (and verified).
    start_s : from the last instance at hand to the job's start; 0 for the bare script.
    plugin_s : what the plugin itself took of it, predicting and explaining.
    mask : bool, what was outlined.
    """

    total_s: float
    start_s: float
    plugin_s: float
    mask: NDArray[np.bool_]

    @property
    def other_s(self) -> float:
        """Return what everything but the plugin took."""
        return self.total_s - self.plugin_s


@dataclass(frozen=True, slots=True)
class Overhead:
    """What was measured; seconds, and the Dice coefficient of the two masks.

    ``other`` is a side's time without the plugin's own, which both sides have: on a busy
    machine the plugin's time scatters by more than what the path adds.
    """

    repeats: int
    path_median_s: float
    path_minimum_s: float
    bare_median_s: float
    bare_minimum_s: float
    path_other_median_s: float
    path_other_minimum_s: float
    bare_other_median_s: float
    bare_other_minimum_s: float
    start_p95_s: float
    ratio: float
    allowed_s: float
    holds: bool
    agreement_dsc: float
    load: float


def measure(path: Callable[[int], Timed], bare: Callable[[int], Timed], repeats: int) -> Overhead:
    """Return the overhead of ``path`` over ``bare``; each is called with the repeat's number."""
    pairs = [(path(number), bare(number)) for number in range(repeats)]
    path_s = [ours.total_s for ours, _ in pairs]
    bare_s = [theirs.total_s for _, theirs in pairs]
    median, peer = statistics.median(path_s), statistics.median(bare_s)
    allowed = peer + max(LIMIT_SHARE * peer, LIMIT_S)
    return Overhead(
        repeats=repeats,
        path_median_s=median,
        path_minimum_s=min(path_s),
        bare_median_s=peer,
        bare_minimum_s=min(bare_s),
        path_other_median_s=statistics.median(ours.other_s for ours, _ in pairs),
        path_other_minimum_s=min(ours.other_s for ours, _ in pairs),
        bare_other_median_s=statistics.median(theirs.other_s for _, theirs in pairs),
        bare_other_minimum_s=min(theirs.other_s for _, theirs in pairs),
        start_p95_s=float(np.percentile([ours.start_s for ours, _ in pairs], 95)),
        ratio=median / peer,
        allowed_s=allowed,
        holds=median <= allowed,
        agreement_dsc=min(dice(ours.mask, theirs.mask) for ours, theirs in pairs),
        load=os.getloadavg()[0],
    )


def timed(function: Callable[[], tuple[float, NDArray[np.bool_]]]) -> Timed:
    """Run one side that has no start of its own and returns the plugin's seconds and the mask."""
    started = time.monotonic()
    plugin_s, mask = function()
    return Timed(time.monotonic() - started, 0.0, plugin_s, mask)


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return 2 |A and B| / (|A| + |B|); 1 when both are empty (Dice 1945)."""
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2.0 * int((first & second).sum()) / total
