"""Checks for automation bias (REGULATORY.md 5.3): do people still look, and see?

Each check is a function of assessments and says ``quiet``, ``signal`` or, where the data are
too few to say either, ``insufficient``.  A signal asks for a look at cases or for training,
never for a judgement of a person.  Limits are defaults of the regulation's matrix; a site
justifies its own.

    edits-out-of-control   individuals chart of the added path length per structure: beyond
                           mean + 3 MR/1.128                          Shewhart; Montgomery 6.4
    waning-edits           Kendall's tau of added path length over time, per reviewer, below 0
                           at p < 0.05
    rubber-stamp           target accepted in less than the 5th centile of time with less than
                           half of the slices seen: at least 3 in 20 of one reviewer
    uncertainty-mismatch   the most uncertain tenth is accepted as often as the rest
                           (Fisher's exact test, one-sided, p > 0.05)
    seeded-errors          share of seeded errors that were edited or rejected, in training
    anchoring              DSC to ours: assisted less blinded, 95 % interval (Welch)
    reliance               accepted when wrong, rejected when right, on adjudicated cases
    fraction-fatigue       Kendall's tau of "edited" over the fraction, below 0 at p < 0.05

Read next: `reviewers.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from governance.oversight.assessment import Assessment, is_target
from governance.oversight.rates import Rate, rate
from governance.oversight.reviewers import by_reviewer

QUIET, SIGNAL, INSUFFICIENT = "quiet", "signal", "insufficient"
_LEAST_CHART = 10
_LEAST_TREND = 20
_LEAST_DECILE = 10
_P = 0.05
_D2 = 1.128
"""Mean moving range of two normal values over their sigma (Montgomery, appendix VI)."""
_LAST, _STAMPS = 20, 3
_HALF, _CENTILE = 0.5, 5.0
DETECTION_FLOOR = 0.8
"""Least share of seeded errors that people find, unless the site states another."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Parameters
    ----------
    about : structure, or pseudonym of a reviewer; empty for all together.
    n : how many assessments it rests on.
    figures : numbers by name, as they were measured.
    run_ids : cases that somebody should look at.
    """

    name: str
    verdict: str
    n: int
    about: str = ""
    figures: Mapping[str, float | Rate] | None = None
    run_ids: tuple[str, ...] = ()


def all_checks(
    assessments: Sequence[Assessment], scores: Mapping[str, float], *, by_person: bool
) -> tuple[Check, ...]:
    """Return every check on assessments of one plugin.

    Parameters
    ----------
    scores : uncertainty of a run by its id.
    by_person : checks by reviewer are permitted (`reviewers.require_permitted`).
    """
    ordered = sorted(assessments, key=lambda item: item.decided_at)
    clinical = [item for item in ordered if item.seeded is None and not item.blinded]
    found = [
        *edits_out_of_control(clinical),
        uncertainty_mismatch(clinical, scores),
        seeded_errors(ordered),
        anchoring(ordered),
        reliance(ordered),
        fraction_fatigue(clinical),
    ]
    if by_person:
        found += [*waning_edits(clinical), *rubber_stamp(clinical)]
    return tuple(found)


def edits_out_of_control(assessments: Sequence[Assessment]) -> tuple[Check, ...]:
    """Return the control chart of the path that people add, for each structure."""
    checks = []
    for name in sorted({item.structure for item in assessments if item.figures}):
        cases = [item for item in assessments if item.structure == name and item.figures]
        values = np.array([item.figures.added_path_length_mm for item in cases if item.figures])
        if len(values) < _LEAST_CHART:
            checks.append(Check("edits-out-of-control", INSUFFICIENT, len(values), name))
            continue
        centre = float(values.mean())
        sigma = float(np.abs(np.diff(values)).mean()) / _D2
        limit = centre + 3 * sigma
        beyond = tuple(case.run_id for case, v in zip(cases, values, strict=True) if v > limit)
        checks.append(
            Check(
                "edits-out-of-control", SIGNAL if beyond else QUIET, len(values), name,
                {"mean_mm": centre, "limit_mm": limit}, beyond,
            )
        )  # fmt: skip
    return tuple(checks)


def waning_edits(assessments: Sequence[Assessment]) -> tuple[Check, ...]:
    """Return for each reviewer whether edits become smaller over time."""
    checks = []
    for person, cases in by_reviewer(assessments).items():
        values = [item.figures.added_path_length_mm for item in cases if item.figures]
        checks.append(_trend("waning-edits", person, list(range(len(values))), values))
    return tuple(checks)


def rubber_stamp(assessments: Sequence[Assessment]) -> tuple[Check, ...]:
    """Return for each reviewer how often a target was accepted in no time and unseen."""
    known = [item for item in assessments if item.viewing.known and item.action != "defer"]
    if len(known) < _LAST:
        return (Check("rubber-stamp", INSUFFICIENT, len(known)),)
    floor_s = float(np.percentile([item.viewing.active_seconds for item in known], _CENTILE))
    checks = []
    for person, cases in by_reviewer(known).items():
        last = cases[-_LAST:]
        stamped = tuple(item.run_id for item in last if _is_stamped(item, floor_s))
        verdict = SIGNAL if len(stamped) >= _STAMPS else QUIET
        figures = {"stamped": float(len(stamped)), "floor_s": floor_s}
        checks.append(Check("rubber-stamp", verdict, len(last), person, figures, stamped))
    return tuple(checks)


def uncertainty_mismatch(assessments: Sequence[Assessment], scores: Mapping[str, float]) -> Check:
    """Return whether the most uncertain tenth is accepted less often than the rest."""
    name = "uncertainty-mismatch"
    cases = [
        (scores[item.run_id], item.action == "accept")
        for item in assessments
        if item.run_id in scores and item.action != "defer"
    ]
    limit = np.percentile([score for score, _ in cases], 90) if cases else 0.0
    top = [accepted for score, accepted in cases if score >= limit]
    rest = [accepted for score, accepted in cases if score < limit]
    if len(top) < _LEAST_DECILE or len(rest) < _LEAST_DECILE:
        return Check(name, INSUFFICIENT, len(cases))
    table = [[sum(top), len(top) - sum(top)], [sum(rest), len(rest) - sum(rest)]]
    p = float(stats.fisher_exact(table, alternative="less").pvalue)
    figures: dict[str, float | Rate] = {
        "accept_most_uncertain": rate(sum(top), len(top)),
        "accept_rest": rate(sum(rest), len(rest)),
        "p": p,
    }
    return Check(name, SIGNAL if p > _P else QUIET, len(cases), "", figures)


def seeded_errors(assessments: Sequence[Assessment], floor: float = DETECTION_FLOOR) -> Check:
    """Return how many errors that were put in on purpose somebody found."""
    seeded = [item for item in assessments if item.seeded]
    if len(seeded) < _LEAST_CHART:
        return Check("seeded-errors", INSUFFICIENT, len(seeded))
    found = rate(sum(item.action in ("edit", "reject") for item in seeded), len(seeded))
    missed = tuple(item.run_id for item in seeded if item.action == "accept")
    quiet = found.value is not None and found.value >= floor
    return Check(
        "seeded-errors", QUIET if quiet else SIGNAL, len(seeded), "", {"detected": found}, missed
    )


def anchoring(assessments: Sequence[Assessment]) -> Check:
    """Return how much nearer to ours the assisted contours are than the blinded ones."""
    groups = [
        [item.figures.dsc for item in assessments if item.figures and item.blinded is blinded]
        for blinded in (False, True)
    ]
    n = sum(map(len, groups))
    if min(map(len, groups)) < _LEAST_CHART:
        return Check("anchoring", INSUFFICIENT, n)
    assisted, blinded = (np.asarray(group) for group in groups)
    interval = stats.ttest_ind(assisted, blinded, equal_var=False).confidence_interval(0.95)
    difference = float(assisted.mean() - blinded.mean())
    figures = {"bias_dsc": difference, "lower": float(interval.low), "upper": float(interval.high)}
    return Check("anchoring", SIGNAL if interval.low > 0 else QUIET, n, "", figures)


def reliance(assessments: Sequence[Assessment]) -> Check:
    """Return both ways of being wrong on cases that others judged later."""
    judged = [item for item in assessments if item.adjudicated and item.action != "defer"]
    wrong = [item for item in judged if item.adjudicated == "wrong"]
    right = [item for item in judged if item.adjudicated == "right"]
    if min(len(wrong), len(right)) < _LEAST_CHART:
        return Check("reliance", INSUFFICIENT, len(judged))
    over = rate(sum(item.action == "accept" for item in wrong), len(wrong))
    under = rate(sum(item.action == "reject" for item in right), len(right))
    excess = over.lower is not None and under.upper is not None and over.lower > under.upper
    figures = {"accepted_when_wrong": over, "rejected_when_right": under}
    return Check("reliance", SIGNAL if excess else QUIET, len(judged), "", figures)


def fraction_fatigue(assessments: Sequence[Assessment]) -> Check:
    """Return whether people edit less and less from fraction to fraction."""
    course = [item for item in assessments if item.fraction and item.action != "defer"]
    edited = [float(item.action in ("edit", "reject")) for item in course]
    return _trend("fraction-fatigue", "", [item.fraction for item in course], edited)


def _trend(name: str, about: str, order: Sequence[int], values: Sequence[float]) -> Check:
    if len(values) < _LEAST_TREND or len(set(values)) < 2 or len(set(order)) < 2:
        return Check(name, INSUFFICIENT, len(values), about)
    found = stats.kendalltau(order, values)
    falling = found.statistic < 0 and found.pvalue < _P
    figures = {"tau": float(found.statistic), "p": float(found.pvalue)}
    return Check(name, SIGNAL if falling else QUIET, len(values), about, figures)


def _is_stamped(item: Assessment, floor_s: float) -> bool:
    share = item.viewing.share
    unseen = share is not None and share < _HALF
    quick = item.viewing.active_seconds <= floor_s
    return item.action == "accept" and is_target(item.structure) and unseen and quick
