"""A document of acceptance criteria: what has to hold of a release, written down beforehand.

    {"schema": "osteon.criteria/2", "plugin": ..., "criteria": [{"id", "kind", ...}], ...}

Kinds: `KINDS` says of each which limits it needs.  Documents of ``osteon.criteria/1`` (release
members) are read too.  A document says what was known of the release when it was written
(``known_before``); where results were known, ``post_hoc`` is true and a certificate says so.

Source: Regulation (EU) 2024/1689 Art. 9(8) (metrics and thresholds defined beforehand);
REGULATORY.md AIA-9.8, AIA-9.9, AIA-10.2fg, VAL-1.

Read next: `reading.py`, `judging.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from audit.errors import RefusalError
from validation.cohort.strata import MINIMUM_N, StratumRule

SCHEMA = "osteon.criteria/2"
FIRST_SCHEMA = "osteon.criteria/1"
ALL = "all"
KINDS: Mapping[str, tuple[str, ...]] = {
    "floor": ("metric", "at_least"),
    "ceiling": ("metric", "at_most"),
    "superiority": ("metric",),
    "non-inferiority": ("metric", "margin"),
    "subgroup-floor": ("metric",),
    "subgroup-gap": ("metric", "at_most"),
    "calibration": ("metric", "observed", "at_most"),
    "robustness": ("metric", "condition", "at_most"),
    "out-of-distribution": ("condition", "at_least"),
    "answered": ("at_least",),
    "abstention": ("metric",),
    "repeatability": (),
    "conformal-coverage": ("metric", "nominal"),
    "explanation-randomisation": ("at_most",),
    "explanation-deletion": ("at_least",),
    "geometry": ("at_most",),
    "latency": ("at_most",),
    "memory": ("at_most",),
}
"""Kind -> fields that a criterion of that kind has to state."""
STATISTICS = ("mean", "quantile", "interval_low", "interval_high", "share", "highest")
SPENDING = ("obrien-fleming", "pocock")
INTERVALS = ("percentile", "bca")
SHARE_INTERVALS = ("exact", "wilson")
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}")


class CriteriaError(RefusalError):
    """Acceptance criteria cannot be used, were changed, or come too late."""

    code = "CRITERIA"
    advice = "Fix the criteria before the first result: `osteon validate criteria`."


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that has to hold.

    Parameters
    ----------
    criterion_id : stands on the report.
    kind : of `KINDS`.
    reason : why this limit; a limit without a reason is not one.
    stratum : whom it is about; ``all``, a name, or ``every`` for each stratum by itself.
    given : roles that the release got, ``ct+pet``; empty: whatever the case has.
    condition, level : sweep of a robustness or OOD criterion; level None is every level.
    at_least, at_most : limits in the unit of the metric; a subgroup gap has to stay *below*.
    decide_by : estimate | interval: with interval the end of the confidence interval decides,
        and what lies between is "insufficient".
    fails : ``all`` where a failed subgroup fails the release; ``stratum`` bars that stratum.
    observed : calibration: the metric that ``metric`` foretells.
    looks, spending : planned looks at the same cohort and how they share ``alpha``.
    """

    criterion_id: str
    kind: str
    reason: str
    metric: str = ""
    stratum: str = ALL
    given: str = ""
    condition: str = "baseline"
    level: float | None = None
    statistic: str = "mean"
    quantile: float = 0.95
    at_least: float | None = None
    at_most: float | None = None
    margin: float | None = None
    alpha: float = 0.05
    looks: int = 1
    spending: str = "obrien-fleming"
    minimum_n: int | None = None
    decide_by: str = "estimate"
    fails: str = ALL
    observed: str = ""
    nominal: float | None = None

    def __post_init__(self) -> None:
        needed = KINDS.get(self.kind)
        if needed is None or not _NAME.fullmatch(self.criterion_id) or not self.reason.strip():
            raise malformed(f"criterion {self.criterion_id[:40]!r} with id, kind and reason")
        missing = [name for name in needed if getattr(self, name) in (None, "")]
        if self.kind == "subgroup-floor" and self.at_least is None and self.at_most is None:
            missing.append("at_least or at_most")
        if missing:
            raise malformed(f"{self.criterion_id} with {', '.join(missing)}")
        well = (
            self.statistic in STATISTICS
            and self.spending in SPENDING
            and self.decide_by in ("estimate", "interval")
            and self.fails in (ALL, "stratum")
            and 0 < self.alpha < 1
            and 0 < self.quantile < 1
            and self.looks >= 1
            and (self.margin is None or self.margin >= 0)
            and (self.nominal is None or 0 < self.nominal < 1)
            and (self.minimum_n is None or self.minimum_n >= 1)
        )
        if not well:
            raise malformed(f"{self.criterion_id} with numbers in their ranges")


@dataclass(frozen=True, slots=True)
class Criteria:
    """The acceptance criteria of one evaluation.

    Parameters
    ----------
    method : held-out | cross-fitted: whether no network that judges ever saw a patient, or each
        patient is judged by those members that did not; the run has to be made by the same.
    known_before : which results of the release were known when this was written.
    post_hoc : whether thresholds were set after results on the same patients were known.
    level : of every confidence interval.
    smallest_stratum : patients below which a stratum is "insufficient".
    resamples : of the bootstrap over patients.
    interval : of means and quantiles: percentile | bca (bias-corrected and accelerated).
    share_interval : exact (Clopper-Pearson) | wilson.
    """

    plugin: str
    method: str
    criteria: tuple[Criterion, ...]
    strata: tuple[StratumRule, ...] = ()
    purpose: str = ""
    known_before: str = ""
    post_hoc: bool = False
    level: float = 0.95
    smallest_stratum: int = MINIMUM_N
    resamples: int = 2000
    interval: str = "percentile"
    share_interval: str = "exact"
    schema: str = field(default=SCHEMA)

    def __post_init__(self) -> None:
        ids = [item.criterion_id for item in self.criteria]
        well = (
            bool(self.criteria)
            and len(set(ids)) == len(ids)
            and self.method in ("held-out", "cross-fitted")
            and 0.5 < self.level < 1
            and self.smallest_stratum >= 1
            and self.resamples >= 200
            and self.interval in INTERVALS
            and self.share_interval in SHARE_INTERVALS
            and self.schema in (SCHEMA, FIRST_SCHEMA)
        )
        if not well:
            raise malformed("criteria with different ids, a method and an interval")
        if self.schema == SCHEMA and not (self.purpose.strip() and self.known_before.strip()):
            raise malformed("a purpose, and what was known before")


def require_method(criteria: Criteria, method: str) -> None:
    """Return where a run is made by the method that its criteria name.

    Raises
    ------
    CriteriaError : it is made by another one (CRITERIA_METHOD).
    """
    if criteria.method != method:
        raise CriteriaError(
            f"expected the method {criteria.method} that the criteria name, found {method}",
            reasons=("CRITERIA_METHOD",),
            advice=(
                "Before the first look, fix criteria that name the method of the run; after it, "
                "the run cannot be judged by them."
            ),
        )


def malformed(expected: str) -> CriteriaError:
    """Return the error of a document that cannot be read as criteria."""
    return CriteriaError(f"expected {expected}", reasons=("CRITERIA_MALFORMED",))
