"""An item split by scanner, site, structure and subgroup, all parts under the item's one bound.

Along one dimension every case lies in one stratum s, which has sums R^s of its own that move with
its own cases alone.  By (1) of `sums.py` each case adds at most 1 to the expectation of the sum
over the strata, so that

    M_n = sum over s of R^s_n,    E[M_n | past] <= M_(n-1) + 1

and M_n - n is a supermartingale, however many strata there are and whenever a new one appears:
a partition costs nothing.  Several dimensions (and several names of a rate) are averaged, with
weights that sum to 1.  So

    rates, outcomes     one history: average over dimensions and names >= A is the alarm   (mean)
    numbers             ranks of each number are a history of their own: the sums of a number over
                        the strata share the bound by Boole's inequality, threshold 2 A

and the mean run length, in all cases of the item, is at least A (numbers, rates, outcomes), with
at most n / (2 A) or n / A false alarms within n cases.

Numbers are ranked within their stratum, against its first cases here and those after: exact for a
stratum of any size, without limits that could miss.  Rates hold every stratum against the stated
rate, outcomes against the calibration of the first cases of all.  A stratum that has not yet its
first cases is counted, not judged.

What it cannot see: a stratum with few cases for long; a case without the fact that would place
it (`NOT_KNOWN` is a stratum like others).

Source: sums.py; Shin, Ramdas and Rinaldo, arXiv 2203.03532, 2.3 (mixtures of e-detectors).

Read next: `watch.py`; `adapters/monitoring/reading.py` says where a case lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from governance.monitoring.conformal import BOTH, Ranks, follow_ranks
from governance.monitoring.plan import FIRST, OUTCOME, RATE, RISK, SIDES, Item
from governance.monitoring.rates import Rate
from governance.monitoring.recalibration import Recalibration, fit_calibration
from governance.monitoring.reference import Observation
from governance.monitoring.state import (
    ALARMED,
    BLIND,
    COLLECTING,
    LABEL,
    RANKS,
    WATCHING,
    Beyond,
    State,
    chosen,
    needed,
)
from governance.monitoring.sums import Sums, evidence, follow, threshold
from governance.monitoring.tails import LEAST_REFERENCE

MOST = 24
"""Strata of one dimension; cases of later ones are counted and not judged."""
MEAN = "mean"
NOT_KNOWN = "not-known"
_BOOLE = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """Where one stratum stands.

    Parameters
    ----------
    cases : that it has had, with its first ones.
    name : of the number or rate with the most evidence here; empty before there is one.
    share : its part of the evidence over the threshold of the item; the parts of all strata of a
        dimension are added up for the alarm.
    """

    dimension: str
    value: str
    condition: str
    cases: int
    name: str
    share: float


def key(dimension: str, value: str) -> str:
    """Return the name of a stratum.

    Examples
    --------
    >>> key("sex", "F")
    'sex=F'
    """
    return f"{dimension}={value}"


def run(item: Item, state: State, cases: Iterable[Observation]) -> State:
    """Return the state of a split item after more cases, in their order."""
    for case in cases:
        if state.beyond is not None:
            return state
        state = _step(item, state, case)
    return state


def _step(item: Item, state: State, case: Observation) -> State:
    if item.metric == OUTCOME and len(state.first) < item.first_cases:
        return replace(state, first=(*state.first, case), n=state.n + 1)
    parts = dict(state.strata)
    for dimension in item.by:
        name = key(dimension, case.categories.get(dimension, NOT_KNOWN))
        known = sum(other.startswith(f"{dimension}=") for other in parts)
        if name in parts or known < MOST:
            parts[name] = _follow(item, state, parts.get(name, State()), case)
    after = replace(state, strata=parts, n=state.n + 1)
    first = next(iter(standing(item, after)), None)
    is_beyond = first is not None and first.evidence >= first.threshold
    return replace(after, beyond=first) if is_beyond else after


def _follow(item: Item, state: State, part: State, case: Observation) -> State:
    """Return where a stratum stands after one of its cases."""
    if item.metric == RATE:
        return _follow_sums(part, {n: Rate(item.rate) for n in item.data}, case.numbers)
    if item.metric == OUTCOME:
        found = calibration(state.first)
        if found is None:
            return replace(part, n=part.n + 1)
        pair = np.array([case.numbers[RISK], case.numbers[LABEL]])
        sums = part.sums.get(RISK, Sums.start(len(found.weights)))
        return replace(part, sums={RISK: follow(found, sums, pair)}, n=part.n + 1)
    if len(part.first) < item.first_cases:
        part = replace(part, first=(*part.first, needed(item, case)))
        return part
    ranks = dict(part.ranks) or _ranks(item, part)
    for name in ranks:
        if name in case.numbers:
            ranks[name] = follow_ranks(ranks[name], case.numbers[name], case.case)
    return replace(part, ranks=ranks, n=part.n + 1)


def _follow_sums(part: State, detectors: Mapping[str, Rate], numbers: Mapping[str, float]) -> State:
    sums = dict(part.sums)
    for name, detector in detectors.items():
        if name in numbers:
            before = sums.get(name, Sums.start(len(detector.weights)))
            sums[name] = follow(detector, before, numbers[name])
    return replace(part, sums=sums, n=part.n + 1)


def _ranks(item: Item, part: State) -> dict[str, Ranks]:
    names = sorted({name for case in part.first for name in case.numbers})
    found = {}
    for name in chosen(names, item.data):
        values = [case.numbers[name] for case in part.first if name in case.numbers]
        if len(values) >= LEAST_REFERENCE:
            side = SIDES.get(item.metric, {}).get(name, BOTH)
            found[name] = Ranks.from_reference(values, side)
    return found


def calibration(first: tuple[Observation, ...]) -> Recalibration | None:
    """Return the detector that the first outcomes of all fit; None with one outcome only."""
    stated = np.array([case.numbers[RISK] for case in first])
    labels = np.array([case.numbers[LABEL] for case in first])
    if not 0 < labels.sum() < len(labels):
        return None
    intercept, slope = fit_calibration(stated, labels)
    return Recalibration(float(labels.mean()), intercept=intercept, slope=slope)


def standing(item: Item, state: State) -> tuple[Beyond, ...]:
    """Return the evidence of each number or of the mean, nearest to an alarm first.

    The name is that of the stratum and number with the largest part in it.
    """
    shares = _shares(item, state)
    if item.metric in (RATE, OUTCOME):
        if not shares:
            return ()
        stratum, name = max(shares, key=lambda at: (shares[at], at))
        at = threshold(item.limit, 1.0)
        return (Beyond(f"{name} in {stratum}", MEAN, sum(shares.values()), at),)
    grouped: dict[tuple[str, str], dict[str, float]] = {}
    for (stratum, name), value in shares.items():
        grouped.setdefault((stratum.partition("=")[0], name), {})[stratum] = value
    at = _BOOLE * item.limit
    found = [
        Beyond(f"{name} in {max(parts, key=lambda s: (parts[s], s))}", RANKS,
               sum(parts.values()), at)
        for (_, name), parts in grouped.items()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-one.evidence, one.name)))


def _shares(item: Item, state: State) -> dict[tuple[str, str], float]:
    """Return the weighted evidence of each stratum and name."""
    found: dict[tuple[str, str], float] = {}
    fitted = calibration(state.first) if item.metric == OUTCOME else None
    for stratum, part in state.strata.items():
        if item.metric == RATE:
            weight = 1 / (len(item.by) * len(item.data))
            for name, sums in part.sums.items():
                found[stratum, name] = weight * evidence(Rate(item.rate), sums)
        elif fitted is not None and RISK in part.sums:
            found[stratum, RISK] = evidence(fitted, part.sums[RISK]) / len(item.by)
        for name, ranks in part.ranks.items():
            found[stratum, name] = ranks.evidence / (len(item.by) * len(part.ranks))
    return found


def condition(item: Item, state: State) -> str:
    """Return whether a split item has alarmed, watches any stratum, or collects first cases."""
    if state.beyond is not None:
        return ALARMED
    if item.metric == OUTCOME and len(state.first) >= item.first_cases:
        return WATCHING if calibration(state.first) is not None else BLIND
    is_watching = any(part.n or part.sums for part in state.strata.values())
    return WATCHING if is_watching else COLLECTING


def parts(item: Item, state: State) -> tuple[Part, ...]:
    """Return where every stratum stands, in the order of the dimensions, most cases first."""
    shares = _shares(item, state)
    at = threshold(item.limit, 1.0) if item.metric in (RATE, OUTCOME) else _BOOLE * item.limit
    found = []
    for stratum, part in state.strata.items():
        dimension, _, value = stratum.partition("=")
        own = {name: share for (where, name), share in shares.items() if where == stratum}
        top = max(own, key=lambda name: (own[name], name), default="")
        is_first = item.window == FIRST and item.metric != OUTCOME
        is_collecting = is_first and len(part.first) < item.first_cases
        found.append(
            Part(
                dimension, value, COLLECTING if is_collecting else WATCHING,
                part.n + len(part.first), top, own.get(top, 0.0) / at,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda p: (item.by.index(p.dimension), -p.cases, p.value)))
