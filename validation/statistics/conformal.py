"""Split-conformal intervals: how wide, from the errors of calibration patients, and whether they
hold.

An interval is the prediction plus and minus the error at rank ⌈(n + 1)(1 − α)⌉ of n calibration
patients; it holds a new, exchangeable patient with probability 1 − α or more, and by not more than
1/(n + 1) more where errors differ.  With fewer patients than that rank there is no interval.

Source: Lei et al., JASA 2018;113:1094, theorem 2.2.

Read next: `validation/uncertainty/margins.py` (the same promise for a contour's margin).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from validation.statistics.shares import exact_share


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often intervals held: ``hits`` of ``n``, with the exact 95 % interval of the share."""

    nominal: float
    hits: int
    n: int
    low: float
    high: float

    @property
    def kept(self) -> bool:
        """Return whether the nominal share is not ruled out from below."""
        return self.high >= self.nominal


def half_width(errors: Sequence[float], alpha: float) -> float | None:
    """Return the half-width of intervals at level 1 − α; None where patients are too few.

    Parameters
    ----------
    errors : absolute errors, one of each calibration patient.

    Examples
    --------
    >>> half_width(range(1, 20), 0.1), half_width(range(8), 0.1)
    (18, None)
    """
    rank = math.ceil((len(errors) + 1) * (1 - alpha))
    if rank > len(errors):
        return None
    found: float = np.sort(np.asarray(errors))[rank - 1].item()
    return found


def coverage(held: Sequence[bool], nominal: float) -> Coverage:
    """Return how often intervals held; nothing measured is 0 of 0, from 0 to 1."""
    hits, n = sum(map(bool, held)), len(held)
    low, high = exact_share(hits, n) if n else (0.0, 1.0)
    return Coverage(nominal, hits, n, low, high)
