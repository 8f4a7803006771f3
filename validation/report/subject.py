"""What a report is about: judgements and strata as the report states them.

Read next: `summary.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from governance.strata import Stratum
from validation.cohort.strata import StratumRule, with_mandatory
from validation.criteria.document import Criteria, Criterion
from validation.criteria.outcome import INSUFFICIENT, Judgement
from validation.report.summary import Group, Verdict

_NAMES = {"at_least": "at least", "at_most": "at most"}


def verdicts_of(criteria: Criteria, judgements: Sequence[Judgement]) -> tuple[Verdict, ...]:
    """Return each judgement beside what was asked, as it was fixed."""
    known = {item.criterion_id: item for item in criteria.criteria}
    return tuple(_verdict(known[item.criterion_id], item) for item in judgements)


def groups_of(
    criteria: Criteria, strata: Sequence[Stratum], rules: Sequence[StratumRule]
) -> tuple[Group, ...]:
    """Return each stratum with the patients that it has and needs."""
    needed: Mapping[str, StratumRule] = {
        rule.name: rule for rule in with_mandatory((*rules, *criteria.strata))
    }
    groups = []
    for item in strata:
        least = criteria.smallest_stratum
        if item.name in needed:
            least = max(least, needed[item.name].minimum_n)
        few = item.verdict == INSUFFICIENT
        reason = f"TOO_FEW_PATIENTS {item.n} of {least}" if few and item.n < least else ""
        if few and item.n >= least:
            reason = "NOT_JUDGED_OR_UNDECIDED"
        groups.append(Group(item.name, item.n, least, item.verdict, dict(item.where), reason))
    return tuple(groups)


def headline_of(criteria: Criteria) -> str:
    """Return the metric of the first criterion that has a floor or ceiling of one."""
    kinds = ("floor", "ceiling", "non-inferiority", "superiority")
    return next((item.metric for item in criteria.criteria if item.kind in kinds), "dsc")


def _verdict(item: Criterion, found: Judgement) -> Verdict:
    limit = item.at_least if item.at_least is not None else item.at_most
    return Verdict(
        criterion=found.criterion_id,
        given=item.given,
        stratum=found.stratum,
        metric=item.metric,
        asked=asked(item),
        verdict=found.verdict,
        n=found.n,
        value=found.value,
        low=found.low,
        high=found.high,
        reason=found.reason,
        statistic=item.statistic if item.kind in ("floor", "ceiling", "subgroup-floor") else "",
        limit=limit,
        timed=found.measured,
    )


def asked(item: Criterion) -> str:
    """Return a criterion in one line, in the terms of its document.

    Examples
    --------
    >>> asked(Criterion("a", "floor", "why", metric="dsc", at_least=0.8))
    'floor: mean at least 0.8'
    """
    parts = [item.statistic] if item.kind in ("floor", "ceiling", "subgroup-floor") else []
    if item.condition != "baseline":
        parts.append(item.condition + (f" {item.level:g}" if item.level is not None else ""))
    for name, word in _NAMES.items():
        value = getattr(item, name)
        if value is not None:
            parts.append(f"{word} {value:g}")
    if item.margin is not None:
        parts.append(f"margin {item.margin:g}")
    if item.nominal is not None:
        parts.append(f"nominal {item.nominal:g}")
    return f"{item.kind}: {' '.join(parts)}" if parts else item.kind
