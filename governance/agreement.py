"""How far two releases agree on the same studies: per structure and subgroup, n and interval.

Agreement with the active release is not accuracy: both may be wrong together.  It says
whether a change does what it should to live studies before its results leave.

    segmentation     DSC = 2 |A and B| / (|A| + |B|)              Dice 1945
    measurement      1 - |a - b| / max(|a|, |b|)
    classification   1 - max |p - q| over the classes
    one withheld     0: one release answered, the other refused, abstained or failed
    both withheld    no pair; counted beside, like a pair whose findings were not kept

The interval of a mean is Student's t, 95 %, two-sided; its lower end is what promotion
asks for.  With n of 1, or no pair, there is none.

Source: Student 1908; SEAMS, house style Numbers (every rate with its n and interval).

Read next: `promotion.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95
PAIRED, ONE_WITHHELD, BOTH_WITHHELD = "paired", "one-withheld", "both-withheld"
NOT_COMPARED = "not-compared"
_COUNTED = (PAIRED, ONE_WITHHELD)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two releases on one study.

    Parameters
    ----------
    outcome : paired | one-withheld | both-withheld | not-compared.
    findings : agreement in [0, 1] by the finding's name.
    subgroup : age band of the patient, as recorded.
    """

    outcome: str
    findings: Mapping[str, float] = field(default_factory=dict)
    subgroup: str = ""

    @property
    def agreement(self) -> float:
        """Return the agreement of the study: that of its worst finding."""
        return min(self.findings.values(), default=0.0 if self.outcome == ONE_WITHHELD else 1.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its n, 95 % interval (None below n = 2) and lowest value."""

    n: int
    mean: float | None
    lower: float | None
    upper: float | None
    lowest: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What the pairs of a release come to.

    Parameters
    ----------
    overall : agreement of studies, withheld by one counted as 0.
    structures : agreement by finding; subgroups: by age band.
    """

    overall: Estimate
    structures: Mapping[str, Estimate]
    subgroups: Mapping[str, Estimate]
    one_withheld: int
    both_withheld: int
    not_compared: int


def agreement_of_masks(first: int, second: int, common: int) -> float:
    """Return the DSC of two masks by their voxel counts and that of their overlap.

    Examples
    --------
    >>> agreement_of_masks(4, 4, 2), agreement_of_masks(0, 0, 0)
    (0.5, 1.0)
    """
    total = first + second
    return 2.0 * common / total if total else 1.0


def agreement_of_numbers(first: float, second: float) -> float:
    """Return 1 minus the relative difference of two numbers, 0 at least.

    Examples
    --------
    >>> agreement_of_numbers(9.0, 10.0), agreement_of_numbers(0.0, 0.0)
    (0.9, 1.0)
    """
    largest = max(abs(first), abs(second))
    return 1.0 if largest == 0 else max(0.0, 1.0 - abs(first - second) / largest)


def summarise(pairs: Iterable[Pair]) -> Summary:
    """Return agreement over pairs, overall, by finding and by subgroup."""
    every = tuple(pairs)
    counted = [pair for pair in every if pair.outcome in _COUNTED]
    names = sorted({name for pair in counted for name in pair.findings})
    groups = sorted({pair.subgroup for pair in counted if pair.subgroup})
    return Summary(
        overall=estimate([pair.agreement for pair in counted]),
        structures={
            name: estimate([p.findings[name] for p in counted if name in p.findings])
            for name in names
        },
        subgroups={
            group: estimate([p.agreement for p in counted if p.subgroup == group])
            for group in groups
        },
        one_withheld=sum(pair.outcome == ONE_WITHHELD for pair in every),
        both_withheld=sum(pair.outcome == BOTH_WITHHELD for pair in every),
        not_compared=sum(pair.outcome == NOT_COMPARED for pair in every),
    )


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean and interval of values in [0, 1]; the interval is cut to that range."""
    n = len(values)
    if n == 0:
        return Estimate(0, None, None, None, None)
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if n == 1:
        return Estimate(1, mean, None, None, mean)
    # t: mean +- t(1 - alpha / 2; n - 1) s / sqrt(n)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1) * array.std(ddof=1) / np.sqrt(n))
    return Estimate(n, mean, max(0.0, mean - half), min(1.0, mean + half), float(array.min()))


def encode(summary: Summary) -> dict[str, Any]:
    """Return a summary as JSON values with six digits, so that its digest is stable."""
    values: dict[str, Any] = _rounded(asdict(summary))
    return values


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value
