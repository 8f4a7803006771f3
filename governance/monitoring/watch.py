"""One item of the plan at work: detectors of all its numbers under one bound, case by case.

    number      ranks and order statistics, half of its share each; a constant has limits alone,
                since ranks among equal values are nothing but the breaking of ties
    category    shares of the known values, and anything new
    embedding   distance to the reference, order statistics
    risk        stated probability and label, read through the calibration of the first cases
    rate        share of cases in which something happened, against a stated rate

Every number has the same share of the bound (`sums.threshold`) and is taken at two digits, as the
reference is.  The first detector beyond its threshold is the alarm and names what moved.  A window
of first cases is collected before anything is watched; those cases are the reference and are not
judged.  An item that is split (`by`) has its parts in `strata.py`.

Read next: `strata.py`; `adapters/monitoring/`, which reads the runs and keeps the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from governance.monitoring import strata
from governance.monitoring.categories import Categories
from governance.monitoring.conformal import BOTH, Ranks, follow_ranks, rounded
from governance.monitoring.plan import FIRST, HIGH, LOW, OUTCOME, RATE, RISK, SIDES, Item
from governance.monitoring.rates import Rate
from governance.monitoring.recalibration import Recalibration, fit_calibration
from governance.monitoring.reference import (
    EMBEDDING,
    Observation,
    ReferenceWindow,
    make_reference,
)
from governance.monitoring.state import ALARMED as ALARMED
from governance.monitoring.state import BLIND as BLIND
from governance.monitoring.state import COLLECTING as COLLECTING
from governance.monitoring.state import LABEL as LABEL
from governance.monitoring.state import LIMITS, RANKS, chosen, needed
from governance.monitoring.state import WATCHING as WATCHING
from governance.monitoring.state import Beyond as Beyond
from governance.monitoring.state import State as State
from governance.monitoring.state import decode as decode
from governance.monitoring.state import encode as encode
from governance.monitoring.state import restarted as restarted
from governance.monitoring.sums import Detector, FloatArray, Sums, evidence, follow, threshold
from governance.monitoring.tails import both_tails, falling, rising

MISS = 0.02
"""Probability that limits of an item are wrong, over reference windows."""
_SIDED = {BOTH: both_tails, HIGH: rising, LOW: falling}


@dataclass(frozen=True, slots=True)
class Watch:
    """The detectors of an item against a reference; made anew at each start, never changed."""

    item: Item
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    detectors: Mapping[str, Detector]
    thresholds: Mapping[str, float]
    reference: ReferenceWindow | None

    @property
    def is_blind(self) -> bool:
        """Return whether nothing of the reference can be watched."""
        return not self.detectors


def build(item: Item, reference: ReferenceWindow | None) -> Watch:
    """Return the detectors of an item; without a reference (rates need none) it is blind."""
    if item.metric == RATE:
        share = 1 / len(item.data)
        at = threshold(item.limit, share)
        rates: dict[str, Detector] = {name: Rate(item.rate) for name in item.data}
        return Watch(item, (), (), rates, dict.fromkeys(item.data, at), None)
    if reference is None:
        return Watch(item, (), (), {}, {}, None)
    numbers = chosen(tuple(reference.numbers), item.data)
    categories = chosen(tuple(reference.categories), item.data)
    embedded = bool(reference.distances) and EMBEDDING in item.data
    count = len(numbers) + len(categories) + embedded
    if not count:
        return Watch(item, (), (), {}, {}, reference)
    miss = MISS / count
    found: dict[str, Detector] = {
        n: _SIDED[_side(item, n)](reference.numbers[n], miss) for n in numbers
    }
    for name in categories:
        counts = reference.categories[name]
        words = [word for word, times in counts.items() for _ in range(times)]
        found[name] = Categories.from_reference(words, miss)
    if embedded:
        found[EMBEDDING] = rising(reference.distances, miss)
    ranked = {name for name in numbers if len(set(reference.numbers[name])) > 1}
    thresholds = {
        name: threshold(item.limit, (0.5 if name in ranked else 1.0) / count, MISS)
        for name in found
    }
    return Watch(item, numbers, categories, found, thresholds, reference)


def start(watch: Watch) -> State:
    """Return the state before the first case, or after a decision on an alarm."""
    ranks = {
        name: Ranks.from_reference(watch.reference.numbers[name], _side(watch.item, name))
        for name in watch.numbers
        if watch.reference is not None and len(set(watch.reference.numbers[name])) > 1
    }
    sums = {name: Sums.start(len(found.weights)) for name, found in watch.detectors.items()}
    return State(ranks=ranks, sums=sums)


def step(watch: Watch, state: State, case: Observation) -> State:
    """Return the state after one more case; an item that has alarmed does not move."""
    if state.beyond is not None:
        return state
    ranks, sums = dict(state.ranks), dict(state.sums)
    for name, detector in watch.detectors.items():
        value = value_of(watch, detector, name, case)
        if value is None:
            continue
        sums[name] = follow(detector, sums[name], value)
        if name in ranks and isinstance(value, float):
            ranks[name] = follow_ranks(ranks[name], value, case.case)
    after = replace(state, ranks=ranks, sums=sums, n=state.n + 1)
    return replace(after, beyond=_beyond(watch, after))


def watch_of(
    item: Item, release_digest: str, window: ReferenceWindow | None, state: State
) -> Watch:
    """Return the watch of an item: against the release's window, or its own first cases."""
    if item.by:
        return Watch(item, (), (), {}, {}, None)
    if item.window != FIRST:
        return build(item, window)
    if len(state.first) < item.first_cases:
        return build(item, None)
    if item.metric == OUTCOME:
        return _of_outcomes(item, state.first)
    source = f"the first {len(state.first)} cases here"
    return build(item, make_reference(release_digest, source, state.first))


def _side(item: Item, name: str) -> str:
    return SIDES.get(item.metric, {}).get(name, BOTH)


def _of_outcomes(item: Item, first: Sequence[Observation]) -> Watch:
    """Return the watch of stated risks; blind where the first cases have one outcome only."""
    stated = np.array([case.numbers[RISK] for case in first])
    labels = np.array([case.numbers[LABEL] for case in first])
    if not 0 < labels.sum() < len(labels):
        return Watch(item, (), (), {}, {}, None)
    intercept, slope = fit_calibration(stated, labels)
    found = Recalibration(float(labels.mean()), intercept=intercept, slope=slope)
    return Watch(item, (), (), {RISK: found}, {RISK: threshold(item.limit, 1.0)}, None)


def run(
    item: Item,
    release_digest: str,
    window: ReferenceWindow | None,
    state: State,
    cases: Iterable[Observation],
) -> State:
    """Return the state of an item after more cases, in their order.

    Parameters
    ----------
    window : the release's own; None where it has none.
    """
    if item.by:
        return strata.run(item, state, cases)
    watch: Watch | None = None
    for case in cases:
        if item.window == FIRST and len(state.first) < item.first_cases:
            state = replace(state, first=(*state.first, needed(item, case)))
            continue
        if watch is None:
            watch = watch_of(item, release_digest, window, state)
            if set(state.sums) != set(watch.detectors):
                state = replace(start(watch), first=state.first)
        state = step(watch, state, case)
    return state


def condition(watch: Watch, state: State) -> str:
    """Return whether an item collects its first cases, watches, has alarmed, or sees nothing."""
    if watch.item.by:
        return strata.condition(watch.item, state)
    if state.beyond is not None:
        return ALARMED
    if watch.item.window == FIRST and len(state.first) < watch.item.first_cases:
        return COLLECTING
    return BLIND if watch.is_blind else WATCHING


def standing(watch: Watch, state: State) -> tuple[Beyond, ...]:
    """Return the evidence of every detector beside its threshold, nearest to an alarm first."""
    if watch.item.by:
        return strata.standing(watch.item, state)
    found = []
    for name, detector in watch.detectors.items():
        if name not in state.sums:
            continue
        at = watch.thresholds[name]
        found.append(Beyond(name, LIMITS, evidence(detector, state.sums[name]), at))
        if name in state.ranks:
            found.append(Beyond(name, RANKS, state.ranks[name].evidence, at))
    return tuple(sorted(found, key=lambda item: (-item.evidence / item.threshold, item.name)))


def value_of(
    watch: Watch, detector: Detector, name: str, case: Observation
) -> float | FloatArray | None:
    """Return what a detector takes of a case; None where the case does not have it."""
    if isinstance(detector, Recalibration):
        return np.array([case.numbers[RISK], case.numbers[LABEL]])
    if isinstance(detector, Categories):
        word = case.categories.get(name)
        return None if word is None else detector.code(word)
    if name == EMBEDDING and watch.reference is not None and watch.reference.distance is not None:
        distance = watch.reference.distance
        if len(case.embedding) != len(distance.mean):
            return None
        return float(distance.of(np.asarray(case.embedding)))
    found = case.numbers.get(name)
    return None if found is None else float(rounded(np.asarray(found, dtype=np.float64)))


def _beyond(watch: Watch, state: State) -> Beyond | None:
    first = next(iter(standing(watch, state)), None)
    return first if first is not None and first.evidence >= first.threshold else None
