"""Methods at the same measured run length: each alarms where its statistic reaches a threshold.

The threshold is the least at which quiet streams give the wanted cases at risk per first alarm.
That favours whoever is matched so: the threshold is fitted on the very streams, where ours is
proven beforehand.  Ours is matched besides, by its evidence over its threshold.

Source: issue text (matched mean run length); Tartakovsky, Nikiforov and Basseville 2014, 6.3.

Read next: `__main__.py`.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from governance.monitoring.run_length import Delays, IntArray, delays, first_alarms
from governance.monitoring.sums import FloatArray


@dataclass(frozen=True, slots=True)
class Matched:
    """A method at its threshold: run length on quiet streams, delays by change."""

    method: str
    run_length: float
    delays: Mapping[str, Delays]
    level: float


def run_length_of(alarms: IntArray, cases: int) -> float:
    """Return cases at risk per first alarm."""
    count = int((alarms > 0).sum())
    return float(np.where(alarms > 0, alarms, cases).sum()) / count if count else float("inf")


def threshold_at(quiet: FloatArray, run_length: float) -> float:
    """Return the least threshold that keeps a run length on quiet streams (streams, cases)."""
    peaks = np.unique(quiet.max(axis=1))
    for level in np.nextafter(peaks, np.inf):
        if run_length_of(first_alarms(quiet, float(level)), quiet.shape[1]) >= run_length:
            return float(level)
    return float(np.nextafter(peaks[-1], np.inf))


def at_run_length(
    method: str,
    quiet: FloatArray,
    changed: Mapping[str, FloatArray],
    change_at: int,
    run_length: float,
) -> Matched:
    """Return a method at the threshold that its quiet streams ask for."""
    level = threshold_at(quiet, run_length)
    length = run_length_of(first_alarms(quiet, level), quiet.shape[1])
    found = {
        name: delays(first_alarms(statistic, level), change_at)
        for name, statistic in changed.items()
    }
    return Matched(method, length, found, level)


def window_tests(
    python: Path, script: Path, tables: Mapping[str, FloatArray]
) -> dict[str, dict[str, FloatArray]]:
    """Return the statistics of the peer's tests: method, set of streams, (streams, cases).

    Raises
    ------
    RuntimeError : the peer did not run.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        np.savez(folder / "tables.npz", **tables)  # type: ignore[arg-type]
        command = [str(python), str(script), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"peer did not run: {done.stderr.strip().splitlines()[-1:]}")
        found: dict[str, dict[str, FloatArray]] = {}
        with np.load(folder / "statistics.npz") as answers:
            for key in answers.files:
                method, name = key.split("|")
                found.setdefault(method, {})[name] = answers[key]
    return found
