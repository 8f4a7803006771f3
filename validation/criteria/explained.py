"""Criteria about explanations: does an attribution hang on the network, and on what it says?

    explanation-randomisation   attributions of shuffled weights are unlike the network's own: the
                                mean |rank correlation| over patients is at most the limit
    explanation-deletion        what is attributed matters: deleting in its order costs the answer
                                more than deleting in a random one, by at least the limit

Judged on the answered cases of the unchanged input; a run without `--explain` measured nothing,
which is "insufficient".

Source: Adebayo et al., NeurIPS 2018, arXiv:1810.03292 (randomisation); Petsiuk et al., BMVC 2018,
arXiv:1806.07421 (deletion).

Read next: `rules.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from validation.criteria.outcome import FAIL, Judgement, Question
from validation.criteria.patients import chosen, values_by
from validation.harness.results import CaseResult

RANDOMISED = "explanation_randomisation_rank_correlation"
DELETED, DELETED_RANDOM = "explanation_deletion_auc", "explanation_deletion_auc_random"


def likeness(item: CaseResult) -> float:
    """Return how alike the attribution and that of shuffled weights are, 0 to 1."""
    return abs(item.metrics.get(RANDOMISED, math.nan))


def gain(item: CaseResult) -> float:
    """Return by how much deletion in the attribution's order costs more than a random order."""
    return item.metrics.get(DELETED_RANDOM, math.nan) - item.metrics.get(DELETED, math.nan)


def randomisation(question: Question) -> Judgement:
    """The attributions of shuffled weights are unlike the network's own."""
    return _mean_of(question, likeness)


def deletion(question: Question) -> Judgement:
    """Deleting what is attributed costs more than deleting anything."""
    return _mean_of(question, gain)


def _mean_of(question: Question, measure: Callable[[CaseResult], float]) -> Judgement:
    cases = [
        item
        for item in chosen(question.results, question.criterion, question.stratum)
        if item.outcome == "done"
    ]
    if not any(math.isfinite(measure(item)) for item in cases):
        return question.insufficient("NOT_MEASURED")
    found = values_by(cases, measure, ("done",))
    n, least = len(found.by_patient), question.criteria.smallest_stratum
    if found.bad:
        return question.answer(FAIL, f"CASES_WITHOUT_VALUE {found.bad}", n)
    if n < (question.criterion.minimum_n or least):
        return question.insufficient(f"TOO_FEW_PATIENTS {n} of {least}", n)
    numbers = found.numbers
    return question.limited(float(np.mean(numbers)), question.interval_of(numbers), n)
