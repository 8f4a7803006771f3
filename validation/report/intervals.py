"""The interval of a mean that the report prints: percentile bootstrap over patients.

Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, 5.3.

Read next: `figures.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from validation.report.figures import LEVEL

RESAMPLES = 2000


def of_mean(
    values: Sequence[float], groups: Sequence[str], generator: np.random.Generator
) -> tuple[float, float]:
    """Return the interval of the mean over values when whole groups are drawn anew.

    The same values, groups and generator state give the same interval.
    """
    y = np.asarray(values, dtype=np.float64)
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return float(y.mean()), float(y.mean())
    sums, counts = np.bincount(place, weights=y), np.bincount(place)
    drawn = generator.integers(0, len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)
