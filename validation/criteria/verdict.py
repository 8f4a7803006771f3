"""From judgements to the verdict of a certificate: for all, and for each stratum.

    fail           a criterion about everybody failed, or a subgroup's that fails the release
    insufficient   a criterion about everybody has too little evidence
    pass           neither

A stratum with too little evidence is "insufficient" and bars its own patients; it does not fail
the rest (SEAMS, Certificate).  A stratum that no criterion asks about is "insufficient" too.

Read next: `document.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from governance.strata import Stratum
from validation.cohort.strata import StratumRule, with_mandatory
from validation.criteria.document import ALL, Criteria
from validation.criteria.outcome import FAIL, INSUFFICIENT, PASS, Judgement
from validation.criteria.patients import patients_in
from validation.harness.results import RunResults


def verdict_of(judgements: Sequence[Judgement]) -> str:
    """Return the verdict for the release: pass, fail or insufficient."""
    if any(item.verdict == FAIL and ALL in (item.stratum, item.fails) for item in judgements):
        return FAIL
    about_all = [item for item in judgements if item.stratum == ALL]
    if not about_all or any(item.verdict == INSUFFICIENT for item in about_all):
        return INSUFFICIENT
    return PASS


def strata_verdicts(
    criteria: Criteria,
    results: RunResults,
    judgements: Sequence[Judgement],
    rules: Sequence[StratumRule] = (),
) -> tuple[Stratum, ...]:
    """Return each stratum with its patients and verdict, as a certificate states it.

    Parameters
    ----------
    rules : strata of the cohort; those of the criteria and the mandatory ones are added.
    """
    known = {rule.name: rule for rule in (*rules, *criteria.strata)}
    return tuple(
        _one(rule, criteria, results, judgements) for rule in with_mandatory(tuple(known.values()))
    )


def _one(
    rule: StratumRule, criteria: Criteria, results: RunResults, judgements: Sequence[Judgement]
) -> Stratum:
    n = patients_in(results, rule.name)
    own = [item.verdict for item in judgements if item.stratum == rule.name]
    if n < max(rule.minimum_n, criteria.smallest_stratum):
        return rule.judged(n, INSUFFICIENT)
    if FAIL in own:
        return rule.judged(n, FAIL)
    if not own or INSUFFICIENT in own:
        return rule.judged(n, INSUFFICIENT)
    return rule.judged(n, PASS)
