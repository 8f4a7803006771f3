"""What a criterion is asked of, and what it came to.

Read next: `rules.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from validation.criteria.document import Criteria, Criterion
from validation.harness.results import RunResults
from validation.statistics.resampling import Statistic, bias_corrected, bootstrap
from validation.statistics.shares import exact_share, wilson_share

PASS, FAIL, INSUFFICIENT = "pass", "fail", "insufficient"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one criterion came to in one stratum.

    Parameters
    ----------
    verdict : pass | fail | insufficient.
    value, low, high : the figure that was judged and its interval; None where there is none.
    n : patients (cases, for repeatability) that it rests on.
    reason : a stable code with numbers: why it came to this.
    measured : it rests on a machine's times or memory, which stand outside the digest.
    """

    criterion_id: str
    verdict: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str
    kind: str = ""
    stratum: str = "all"
    fails: str = "all"
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A criterion in one stratum, with everything that answers it."""

    criteria: Criteria
    criterion: Criterion
    stratum: str
    results: RunResults
    baseline: RunResults | None
    generator: np.random.Generator
    look: int

    @property
    def level(self) -> float:
        """Level of the interval."""
        return self.criteria.level

    def interval_of(
        self, values: Sequence[float], statistic: Statistic | None = None
    ) -> tuple[float, float]:
        """Return the interval of a statistic of one value per patient, as the criteria ask."""
        make = bias_corrected if self.criteria.interval == "bca" else bootstrap
        return make(values, self.generator, self.level, self.criteria.resamples, statistic)

    def interval_of_share(self, hits: int, n: int) -> tuple[float, float]:
        """Return the interval of a share, as the criteria ask."""
        make = wilson_share if self.criteria.share_interval == "wilson" else exact_share
        return make(hits, n, self.level)

    def answer(
        self, verdict: str, reason: str, n: int, value: float | None = None,
        interval: tuple[float | None, float | None] = (None, None),
    ) -> Judgement:  # fmt: skip
        """Return the judgement."""
        item = self.criterion
        return Judgement(
            criterion_id=item.criterion_id,
            verdict=verdict,
            value=value,
            low=interval[0],
            high=interval[1],
            n=n,
            reason=reason,
            kind=item.kind,
            stratum=self.stratum,
            fails=item.fails,
            measured=item.kind in ("latency", "memory"),
        )

    def insufficient(self, reason: str, n: int = 0) -> Judgement:
        """Return that there is too little evidence, and why."""
        return self.answer(INSUFFICIENT, reason, n)

    def limited(
        self, value: float, interval: tuple[float, float], n: int, *, strictly_below: bool = False
    ) -> Judgement:
        """Return whether a value keeps the limits of the criterion.

        With ``decide_by`` interval a value that keeps them while its interval does not is
        "insufficient".
        """
        item = self.criterion
        if not _keeps(item, value, strictly_below):
            return self.answer(FAIL, "LIMIT_MISSED", n, value, interval)
        if item.decide_by == "interval":
            ends = all(_keeps(item, end, strictly_below) for end in _deciding(item, interval))
            if not ends:
                return self.answer(INSUFFICIENT, "INTERVAL_CROSSES_LIMIT", n, value, interval)
        return self.answer(PASS, "LIMIT_KEPT", n, value, interval)


def _deciding(item: Criterion, interval: tuple[float, float]) -> list[float]:
    low = [] if item.at_least is None else [interval[0]]
    return low if item.at_most is None else [*low, interval[1]]


def _keeps(item: Criterion, value: float, strictly_below: bool) -> bool:
    if not np.isfinite(value):
        return False
    if item.at_least is not None and value < item.at_least:
        return False
    if item.at_most is None:
        return True
    return value < item.at_most - 1e-9 if strictly_below else value <= item.at_most
