"""Labelled performance over time: AUC and calibration slope of blocks of patients, with intervals.

The sequential test (`recalibration.py`) says whether something changed; these blocks show people
how much.  They raise no alarm.  Blocks follow the order in which outcomes enter (`labels.py`) and
do not overlap; a block is shown when it is full.

    AUC      share of pairs (event, no event) that the stated risk orders rightly, ties one half;
             interval of all theta with |AUC - theta| <= z sqrt(V(theta)), where for m events and
             n patients without, k = (m + n) / 2 - 1,
             V = theta (1 - theta) (1 + k (1 - theta) / (2 - theta) + k theta / (1 + theta)) / (m n)
    slope    of the log-odds of the event on those stated, 1 when calibrated; Wald, 95 %

Source: Hanley and McNeil 1982, Radiology 143:29 (V, with m - 1 and n - 1); Newcombe 2006, Stat Med
25:559, method 5 (their mean k in place of both, and the score interval); Cox 1958 (slope).

Read next: `adapters/monitoring/performance.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from audit.errors import SuiteError
from governance.monitoring.recalibration import MARGIN, fit_calibration
from governance.monitoring.sums import FloatArray

BLOCK = 50
"""Patients of a block: at a prevalence of 0.3 the AUC is known within about 0.15."""
LEAST_OF_EACH = 5
"""Events and patients without that a block needs for a figure."""
_Z = float(norm.ppf(0.975))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Block:
    """One block of patients in order of entry, counted from 1.

    Parameters
    ----------
    auc, slope : None where fewer than five events, or five without, are among them.
    """

    first: int
    last: int
    events: int
    auc: Estimate | None
    slope: Estimate | None


def blocks(stated: Sequence[float], labels: Sequence[bool], size: int = BLOCK) -> tuple[Block, ...]:
    """Return the figures of every full block.

    Raises
    ------
    SuiteError : not one label for each probability, or a block of fewer than 20.
    """
    if len(stated) != len(labels) or size < 20:
        raise SuiteError("expected a label for each probability and blocks of at least 20")
    found = []
    for start in range(0, len(stated) - size + 1, size):
        p = np.asarray(stated[start : start + size], dtype=np.float64)
        y = np.asarray(labels[start : start + size], dtype=bool)
        events = int(y.sum())
        is_enough = min(events, size - events) >= LEAST_OF_EACH
        found.append(
            Block(
                start + 1, start + size, events,
                auc(p, y) if is_enough else None,
                calibration_slope(p, y) if is_enough else None,
            )
        )  # fmt: skip
    return tuple(found)


def auc(stated: FloatArray, events: np.typing.NDArray[np.bool_]) -> Estimate:
    """Return the area under the curve with its score interval.

    Examples
    --------
    >>> found = auc(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    >>> found.value, round(found.lower, 2), found.upper
    (1.0, 0.39, 1.0)
    """
    m, n = int(events.sum()), int((~events).sum())
    if min(m, n) < 1:
        raise SuiteError("expected both outcomes for an AUC, found one")
    value = float((rankdata(stated)[events].sum() - m * (m + 1) / 2) / (m * n))

    def away(theta: float) -> float:
        return abs(value - theta) - _Z * float(np.sqrt(_variance(theta, m, n)))

    edge = 1e-6  # at 0 and 1 the variance is 0, so that the value itself would solve it
    inside = min(max(value, edge), 1 - edge)
    lower = brentq(away, 0.0, inside) if value > edge else 0.0
    upper = brentq(away, inside, 1.0) if value < 1 - edge else 1.0
    return Estimate(value, float(lower), float(upper))


def _variance(theta: float, m: int, n: int) -> float:
    k = (m + n) / 2 - 1
    more = 1 + k * (1 - theta) / (2 - theta) + k * theta / (1 + theta)
    return theta * (1 - theta) * more / (m * n)


def calibration_slope(stated: FloatArray, events: np.typing.NDArray[np.bool_]) -> Estimate:
    """Return the slope of the log-odds with its Wald interval."""
    intercept, slope = fit_calibration(stated, events.astype(np.float64))
    x = logit(np.clip(stated, MARGIN, 1 - MARGIN))
    p = expit(intercept + slope * x)
    design = np.stack([np.ones_like(x), x], axis=1)
    information = design.T @ (design * (p * (1 - p))[:, np.newaxis])
    half = _Z * float(np.sqrt(np.linalg.pinv(information)[1, 1]))
    return Estimate(slope, slope - half, slope + half)
