"""The rule of every kind of criterion.

Losses and gaps are counted so that larger is worse, whatever direction the metric has.  In a
comparison with a baseline each patient is compared with itself.

Read next: `explained.py` (explanations), `verdict.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from governance.known_answer import EACH_VOXELS
from validation.criteria import explained
from validation.criteria.document import ALL
from validation.criteria.outcome import FAIL, INSUFFICIENT, PASS, Judgement, Question
from validation.criteria.patients import Values, chosen, values_of
from validation.harness.results import CaseResult
from validation.metrics.registry import METRICS
from validation.statistics.looks import alpha_of_look
from validation.statistics.resampling import Statistic, of_difference

LOWER_IS_BETTER = ("error", "hd95", "assd", "added_path_length", "score_gy", "seconds", "ece")
"""Parts of names that the registry does not have of which less is better; else more is."""
_DONE = ("done",)
LEAST_REPEATS = 2
"""Answers asked for once more, from which on their being equal counts: one may be chance."""


def worse_by(metric: str) -> float:
    """Return the factor that makes a difference of a metric count as a loss: -1 or 1."""
    known = METRICS.get(metric)
    if known is not None and known.better in ("lower", "higher"):
        return 1.0 if known.better == "lower" else -1.0
    return 1.0 if any(part in metric for part in LOWER_IS_BETTER) else -1.0


def limit(question: Question) -> Judgement:
    """A mean, quantile, share or end of an interval keeps its limits."""
    item = question.criterion
    found = values_of(_baseline(question), item.metric, _DONE)
    if (early := _unusable(question, found)) is not None:
        return early
    numbers = found.numbers
    interval = question.interval_of(numbers, _drawn(question))
    value = {
        "interval_low": interval[0],
        "interval_high": interval[1],
        "quantile": float(np.quantile(numbers, item.quantile)),
        "highest": float(np.max(numbers)),
    }.get(item.statistic, float(np.mean(numbers)))
    return question.limited(value, interval, len(numbers))


def subgroup_gap(question: Question) -> Judgement:
    """The stratum is not worse than all other patients by the limit or more."""
    item, others = question.criterion, ALL
    inside = values_of(_baseline(question), item.metric, _DONE)
    everyone = values_of(chosen(question.results, item, others), item.metric, _DONE)
    rest = [v for group, v in sorted(everyone.by_patient.items()) if group not in inside.by_patient]
    least = item.minimum_n or question.criteria.smallest_stratum
    n = len(inside.by_patient)
    if inside.bad or everyone.bad:
        return question.answer(FAIL, f"CASES_WITHOUT_VALUE {everyone.bad}", n)
    if min(n, len(rest)) < least:
        return question.insufficient(f"TOO_FEW_PATIENTS {min(n, len(rest))} of {least}", n)
    sign = worse_by(item.metric)
    first, second = np.array(inside.numbers) * sign, np.array(rest) * sign
    ends = of_difference(
        first, second, question.generator, question.level, question.criteria.resamples
    )
    gap = float(first.mean() - second.mean())
    return question.limited(gap, ends, n, strictly_below=True)


def robustness(question: Question) -> Judgement:
    """The largest mean loss over the levels of a sweep keeps its limit, each case by itself."""
    item = question.criterion
    sweep = [c for c in question.results.cases if c.condition.name == item.condition]
    levels = sorted({c.condition.level for c in sweep})
    levels = [at for at in levels if item.level is None or abs(at - item.level) < 1e-9]
    kept: list[tuple[float, tuple[float, float], int]] = []
    plain = values_of(_ungiven(question, "baseline", None), item.metric, _DONE)
    for at in levels:
        swept = values_of(_ungiven(question, item.condition, at), item.metric, _DONE)
        if swept.bad or plain.bad:
            return question.answer(FAIL, f"CASES_WITHOUT_VALUE {swept.bad + plain.bad}", 0)
        losses = _losses(item.metric, swept, plain)
        if len(losses) < question.criteria.smallest_stratum:
            return question.insufficient(f"TOO_FEW_PATIENTS {len(losses)} at level", len(losses))
        ends = question.interval_of(losses)
        kept.append((float(np.mean(losses)), ends, len(losses)))
    if not kept:
        return question.insufficient("NOT_MEASURED")
    value, ends, n = max(kept)
    return question.limited(value, ends, n)


def against_baseline(question: Question) -> Judgement:
    """Non-inferior (loss below the margin) or superior (loss below minus the margin), one-sided.

    The upper confidence bound of the mean paired loss, by Student's t at 1 - alpha of this look,
    lies below the margin (ICH E9, 3.3.2; CPMP/EWP/482/99).
    """
    item = question.criterion
    if question.baseline is None:
        return question.insufficient("BASELINE_MISSING")
    if question.baseline.cohort_digest != question.results.cohort_digest:
        return question.insufficient("BASELINE_OF_OTHER_COHORT")
    if question.look > item.looks:
        return question.insufficient(f"ALPHA_SPENT look {question.look} of {item.looks}")
    new = values_of(_baseline(question), item.metric, _DONE)
    old = values_of(chosen(question.baseline, item, question.stratum), item.metric, _DONE)
    losses = _losses(item.metric, new, old)
    n = len(losses)
    if new.bad or old.bad or set(new.by_patient) != set(old.by_patient):
        return question.answer(FAIL, "PATIENTS_DIFFER_OR_WITHOUT_VALUE", n)
    if n < question.criteria.smallest_stratum:
        return question.insufficient(f"TOO_FEW_PATIENTS {n}", n)
    alpha = alpha_of_look(question.look, item.looks, item.alpha, item.spending)
    half = float(stats.t.ppf(1 - alpha, n - 1) * np.std(losses, ddof=1) / np.sqrt(n))
    loss = float(np.mean(losses))
    margin = item.margin or 0.0
    bound = margin if item.kind == "non-inferiority" else -margin
    verdict = PASS if loss + half < bound else FAIL if loss - half >= bound else INSUFFICIENT
    return question.answer(verdict, f"ALPHA {alpha:.6f}", n, loss, (loss - half, loss + half))


def calibration(question: Question) -> Judgement:
    """The mean absolute difference between what was foretold and what was found."""
    item = question.criterion
    cases = [c for c in _baseline(question) if c.outcome == "done"]
    foretold, found = (values_of(cases, m, _DONE) for m in (item.metric, item.observed))
    if not foretold.by_patient or set(foretold.by_patient) != set(found.by_patient):
        return question.insufficient("NOT_MEASURED", len(found.by_patient))
    errors = np.abs(np.array(foretold.numbers) - np.array(found.numbers))
    ends = question.interval_of(list(errors))
    return question.limited(float(errors.mean()), ends, len(errors))


def share_withheld(question: Question) -> Judgement:
    """Of the cases outside the intended purpose, the share that was refused or withheld."""
    cases = _ungiven(question, question.criterion.condition, question.criterion.level)
    return _share(question, [c.outcome in ("refused", "abstained") for c in cases])


def share_answered(question: Question) -> Judgement:
    """Of the cases of the baseline, the share that was answered."""
    return _share(question, [c.outcome == "done" for c in _baseline(question)])


def coverage(question: Question) -> Judgement:
    """The share of cases inside their bound is not significantly below the nominal one.

    Fails where the exact interval ends below the nominal share.
    """
    item = question.criterion
    found = values_of(_baseline(question), item.metric, _DONE)
    if (early := _unusable(question, found)) is not None:
        return early
    cases = [c for c in _baseline(question) if c.outcome == "done"]
    hits = sum(c.metrics[item.metric] >= 0.5 for c in cases)
    ends = question.interval_of_share(hits, len(cases))
    verdict = FAIL if ends[1] < (item.nominal or 0.0) else PASS
    share = hits / len(cases)
    return question.answer(verdict, f"NOMINAL {item.nominal}", len(cases), share, ends)


def abstention(question: Question) -> Judgement:
    """What is kept is, on average, at least as good as everything together."""
    metric = question.criterion.metric
    cases = _baseline(question)
    kept, every = (values_of(cases, metric, o) for o in (_DONE, ("done", "abstained")))
    withheld = [c for c in cases if c.outcome == "abstained" and metric in c.metrics]
    if not kept.by_patient:
        return question.insufficient("NOT_MEASURED")
    if not withheld:
        return question.answer(PASS, "NOTHING_WITHHELD", len(kept.by_patient), 0.0)
    gain = float(np.mean(every.numbers) - np.mean(kept.numbers)) * worse_by(metric)
    return question.answer(PASS if gain >= 0 else FAIL, "GAIN", len(every.by_patient), gain)


def repeatability(question: Question) -> Judgement:
    """Every case that was run again gave the same answer, digest for digest.

    One difference is enough to fail; to pass takes two repeats or more.
    """
    first = {
        (c.case_id, c.condition.name, c.condition.level, c.condition.given): c.output_digest
        for c in question.results.cases
        if c.condition.repeat == 0
    }
    again = [c for c in question.results.cases if c.condition.repeat > 0]
    same = [
        bool(c.output_digest)
        and first.get((c.case_id, c.condition.name, c.condition.level, c.condition.given))
        == c.output_digest
        for c in again
    ]
    if not same:
        return question.insufficient("NOT_MEASURED")
    if all(same) and len(same) < LEAST_REPEATS:
        return question.insufficient("TOO_FEW_REPEATS", len(same))
    ends = question.interval_of_share(sum(same), len(same))
    verdict = PASS if all(same) else FAIL
    return question.answer(verdict, "EQUAL_DIGESTS", len(same), sum(same) / len(same), ends)


def geometry(question: Question) -> Judgement:
    """On phantoms, the largest signed mean centroid error of the three axes, in voxels.

    No single lesion may lie farther off than `EACH_VOXELS`: a mirror moves left and right lesions
    to opposite sides, so that their mean stays near zero.
    """
    names = [f"centroid_error_{axis}_voxels" for axis in ("frame", "row", "column")]
    cases = [
        c for c in question.results.cases if "phantom" in (c.condition.name, c.condition.given)
    ]
    rows = [[c.metrics.get(name, np.nan) for name in names] for c in cases]
    if not rows:
        return question.insufficient("NOT_MEASURED")
    value = float(np.abs(np.mean(np.array(rows), axis=0)).max())
    farthest = float(np.abs(np.array(rows)).max())
    known = value if np.isfinite(value) else None
    if farthest > EACH_VOXELS:
        return question.answer(FAIL, f"ONE_LESION_FAR {farthest:.1f} VOXELS", len(rows), known)
    verdict = PASS if value <= (question.criterion.at_most or 0.0) else FAIL
    return question.answer(verdict, "LARGEST_AXIS", len(rows), known)


def measured(question: Question) -> Judgement:
    """The highest or a quantile of the times or memory of the baseline."""
    item = question.criterion
    name = "seconds" if item.kind == "latency" else "peak_memory_mb"
    if "explanation" in item.metric:
        return question.insufficient("NOT_MEASURED")
    numbers = [
        getattr(m, name)
        for m in question.results.measured
        if m.condition.name == "baseline" and (not item.given or m.condition.given == item.given)
    ]
    if not numbers:
        return question.insufficient("NOT_MEASURED")
    highest = item.statistic != "quantile"
    value = float(np.max(numbers) if highest else np.quantile(numbers, item.quantile))
    return question.limited(value, (value, value), len(numbers))


RULES: Mapping[str, Callable[[Question], Judgement]] = {
    "floor": limit,
    "ceiling": limit,
    "subgroup-floor": limit,
    "subgroup-gap": subgroup_gap,
    "superiority": against_baseline,
    "non-inferiority": against_baseline,
    "calibration": calibration,
    "robustness": robustness,
    "out-of-distribution": share_withheld,
    "answered": share_answered,
    "abstention": abstention,
    "repeatability": repeatability,
    "conformal-coverage": coverage,
    "explanation-randomisation": explained.randomisation,
    "explanation-deletion": explained.deletion,
    "geometry": geometry,
    "latency": measured,
    "memory": measured,
}


def _baseline(question: Question) -> list[CaseResult]:
    item = question.criterion
    return chosen(question.results, item, question.stratum, item.condition)


def _ungiven(question: Question, condition: str, level: float | None) -> list[CaseResult]:
    """Return cases under a condition; a sweep of what is given compares with whatever was."""
    item = question.criterion
    if condition == "baseline" or not condition.startswith("missing"):
        return chosen(question.results, item, question.stratum, condition, level)
    return chosen(question.results, replace(item, given=""), question.stratum, condition, level)


def _losses(metric: str, new: Values, old: Values) -> list[float]:
    """Return for each patient of both how much worse the new value is."""
    both = sorted(set(new.by_patient) & set(old.by_patient))
    return [(new.by_patient[g] - old.by_patient[g]) * worse_by(metric) for g in both]


def _drawn(question: Question) -> Statistic | None:
    """Return the statistic that the bootstrap repeats; None for the mean."""
    item = question.criterion
    if item.statistic == "quantile":
        return lambda drawn: np.quantile(drawn, item.quantile, axis=1)
    return (lambda drawn: drawn.max(axis=1)) if item.statistic == "highest" else None


def _share(question: Question, hits: Sequence[bool]) -> Judgement:
    if len(hits) < question.criteria.smallest_stratum:
        return question.insufficient(f"TOO_FEW_CASES {len(hits)}", len(hits))
    ends = question.interval_of_share(sum(hits), len(hits))
    return question.limited(sum(hits) / len(hits), ends, len(hits))


def _unusable(question: Question, found: Values) -> Judgement | None:
    """Return why values cannot be judged: a failure is a fail, too few are insufficient."""
    n = len(found.by_patient)
    if found.bad:
        return question.answer(FAIL, f"CASES_WITHOUT_VALUE {found.bad}", n)
    least = question.criterion.minimum_n or question.criteria.smallest_stratum
    return question.insufficient(f"TOO_FEW_PATIENTS {n} of {least}", n) if n < least else None
