"""Judge results by criteria: a pass, a fail, or too little evidence, each with n and interval.

    judge(criteria, results, baseline, generator) -> one Judgement for each criterion and stratum

The rule of every kind stands in `rules.py`.  Too few patients, or nothing measured, is
"insufficient" and never a pass.  The same results, criteria and seed give the same judgements:
each criterion gets a generator of its own, drawn in the order of the document.

Read next: `rules.py`, `verdict.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from audit.errors import NotFoundError
from validation.cohort.strata import StratumRule, with_mandatory
from validation.criteria.document import ALL, Criteria, Criterion
from validation.criteria.outcome import Judgement, Question
from validation.criteria.patients import patients_in
from validation.criteria.rules import RULES
from validation.harness.results import RunResults


def judge(
    criteria: Criteria,
    results: RunResults,
    baseline: RunResults | None,
    generator: np.random.Generator,
    look: int = 1,
) -> tuple[Judgement, ...]:
    """Return what the results say to every criterion.

    Parameters
    ----------
    baseline : results of the certified release on the same cohort; None where there is none.
    look : number of this look at the cohort, from 1: what alpha spending counts.
    """
    found: list[Judgement] = []
    for item in criteria.criteria:
        own = np.random.default_rng(generator.integers(0, 2**63))
        for stratum, least in _strata(criteria, item):
            question = Question(criteria, item, stratum, results, baseline, own, look)
            found.append(_judge_one(question, least))
    return tuple(found)


def _judge_one(question: Question, least: int) -> Judgement:
    n = patients_in(question.results, question.stratum)
    if question.stratum != ALL and n < least:
        return question.insufficient(f"TOO_FEW_PATIENTS {n} of {least}", n)
    return RULES[question.criterion.kind](question)


def _strata(criteria: Criteria, item: Criterion) -> Iterator[tuple[str, int]]:
    """Yield the strata that a criterion is judged in, each with the patients it needs."""
    rules = {rule.name: rule for rule in with_mandatory(criteria.strata)}
    if item.stratum == "every":
        names = list(rules)
    else:
        names = [item.stratum]
        if item.stratum != ALL and item.stratum not in rules:
            raise NotFoundError(f"criterion {item.criterion_id} names no known stratum")
    for name in names:
        rule: StratumRule | None = rules.get(name)
        stated = item.minimum_n or criteria.smallest_stratum
        yield name, max(stated, rule.minimum_n if rule else 1)
