"""Several sites, one signal: evidence that can be put together without a case leaving a site.

The sums of `sums.py` are affine in where they begin.  Over a block of cases with factors L_1..L_m

    R_after = P R_before + S,   P = product of the L,   S = the sum after the block from R = 0

so that a block is told by (n, P, S) for each alternative, and blocks of several sites are put
behind each other as if all cases had come to one place.  Their order is that of the months, then
of the sites' names: it does not look at the values, and sites are independent, so that (1) to (3)
of `sums.py` hold for the pooled cases: alarm at A means at least A pooled cases in the mean
between false alarms.

What leaves is bounded: a block closes at the end of the first month in which it rests on at least
`LEAST_PATIENTS` patients, blocks never change afterwards, and cases lie along one dimension alone
and without a total, so that no small stratum is the difference of two others.  Histograms are
shares at two digits of a number of cases at steps of five, cells of fewer patients joined.

Only items whose "no change" is the same everywhere can be pooled: stated rates, and the release's
own reference window.  Numbers held against first cases here cannot.

Source: sums.py; Shin, Ramdas and Rinaldo, arXiv 2203.03532; small cells as in
`validation/pooling/aggregate.py` (five patients).

Read next: `adapters/monitoring/pooling.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from audit.errors import SuiteError
from governance.monitoring.plan import INPUT, RATE, RELEASE, Item
from governance.monitoring.sums import CEILING, Detector, FloatArray, advance, threshold
from governance.monitoring.watch import MISS

LEAST_PATIENTS = 5
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the reference window: edges of the bins of a histogram."""
_STEP = 5


@dataclass(frozen=True, slots=True)
class Case:
    """A case as it is counted at home: month (``YYYY-MM``), patient, stratum, values by name."""

    month: str
    patient: str
    stratum: str
    values: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Block:
    """What leaves of some cases of one stratum.

    Parameters
    ----------
    log_products, log_sums : natural logarithms of P and S by name, one for each alternative.
    """

    stratum: str
    month: str
    n: int
    log_products: Mapping[str, tuple[float, ...]]
    log_sums: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Pooled:
    """What the blocks of some sites say together.

    Parameters
    ----------
    cases : pooled, of the dimension that the blocks lie along.
    alarm_month : first month after which the evidence had reached the threshold; else empty.
    parts : (stratum, name, share of the evidence now), largest first.
    """

    cases: int
    evidence: float
    threshold: float
    alarm_month: str
    parts: tuple[tuple[str, str, float], ...]


def can_be_pooled(item: Item) -> bool:
    """Return whether the "no change" of an item is the same at every site."""
    return item.metric == RATE or (item.metric == INPUT and item.window == RELEASE)


def blocks(
    detectors: Mapping[str, Detector], cases: Iterable[Case], present: str
) -> tuple[Block, ...]:
    """Return what leaves of the cases of months that are over, in order of month and stratum.

    Parameters
    ----------
    cases : in their order.
    present : the month that is not over yet.
    """
    found: list[Block] = []
    by_stratum: dict[str, list[Case]] = {}
    for case in cases:
        if case.month < present:
            by_stratum.setdefault(case.stratum, []).append(case)
    for stratum, own in sorted(by_stratum.items()):
        waiting: list[Case] = []
        for number, case in enumerate(own):
            waiting.append(case)
            is_end = number + 1 == len(own) or own[number + 1].month != case.month
            if is_end and len({one.patient for one in waiting}) >= LEAST_PATIENTS:
                found.append(_block(detectors, stratum, case.month, waiting))
                waiting = []
    return tuple(sorted(found, key=lambda block: (block.month, block.stratum)))


def _block(
    detectors: Mapping[str, Detector], stratum: str, month: str, cases: Sequence[Case]
) -> Block:
    products, sums = {}, {}
    for name, detector in detectors.items():
        log_product = np.zeros(len(detector.weights))
        log_sum = np.full(len(detector.weights), -np.inf)
        for case in cases:
            value = case.values.get(name)
            if value is None or not np.all(np.isfinite(value)):
                continue
            step = np.log(detector.factors(np.asarray(value)))
            log_product = log_product + step
            log_sum = np.logaddexp(log_sum, 0.0) + step  # (R + 1) L
        if np.any(np.isfinite(log_sum)):
            products[name] = tuple(map(float, log_product))
            sums[name] = tuple(map(float, log_sum))
    return Block(stratum, month, len(cases), products, sums)


def after(sums: FloatArray, log_product: Sequence[float], log_sum: Sequence[float]) -> FloatArray:
    """Return the sums after a block: P R + S, at most the ceiling of `sums.py`.

    Examples
    --------
    >>> after(np.array([3.0]), (float(np.log(2.0)),), (float(np.log(5.0)),)).round(9).tolist()
    [11.0]
    """
    with np.errstate(over="ignore"):
        moved = sums * np.exp(np.asarray(log_product)) + np.exp(np.asarray(log_sum))
    return np.asarray(np.minimum(moved, CEILING))


def pool(
    detectors: Mapping[str, Detector],
    limit: float,
    sites: Mapping[str, Sequence[Block]],
    *,
    has_window: bool,
) -> Pooled:
    """Return what the blocks of some sites say together, months first, then the sites' names.

    Parameters
    ----------
    limit : A of the item, in pooled cases.
    has_window : the limits come from a reference window, and may miss.

    Raises
    ------
    SuiteError : a block is about a detector that the item does not have.
    """
    at = threshold(limit, 1.0, MISS if has_window else 0.0)
    ordered = sorted(
        ((block, site) for site, own in sites.items() for block in own),
        key=lambda pair: (pair[0].month, pair[1], pair[0].stratum),
    )
    sums: dict[tuple[str, str], FloatArray] = {}
    alarm, cases = "", 0
    for block, _ in ordered:
        cases += block.n
        for name, log_product in block.log_products.items():
            if name not in detectors or len(log_product) != len(detectors[name].weights):
                raise SuiteError("expected blocks of the detectors of this item, found others")
            start = np.zeros(len(log_product))
            before = sums.get((block.stratum, name), start)
            sums[block.stratum, name] = after(before, log_product, block.log_sums[name])
        if not alarm and sum(_evidence(detectors, sums).values()) >= at:
            alarm = block.month
    parts = _evidence(detectors, sums)
    total = sum(parts.values())
    ranked = sorted(parts.items(), key=lambda item: (-item[1], item[0]))
    shares = tuple((*where, value / total if total else 0.0) for where, value in ranked)
    return Pooled(cases, total, at, alarm, shares)


def _evidence(
    detectors: Mapping[str, Detector], sums: Mapping[tuple[str, str], FloatArray]
) -> dict[tuple[str, str], float]:
    return {
        (stratum, name): float(values @ detectors[name].weights) / len(detectors)
        for (stratum, name), values in sums.items()
    }


def whole_sums(detector: Detector, values: Iterable[FloatArray]) -> FloatArray:
    """Return the sums of all cases at one place: what pooled blocks must come to."""
    sums = np.zeros(len(detector.weights))
    for value in values:
        sums = advance(sums, detector.factors(np.asarray(value)))
    return sums


def histogram(
    values: Sequence[float], patients: Sequence[str], reference: Sequence[float]
) -> tuple[int, tuple[float, ...], tuple[float, ...]] | None:
    """Return a number as counts in bins of the reference window: n, edges, shares.

    None where fewer than five patients stand behind all of it; bins of fewer patients are joined
    with the next, and the last with the one before.
    """
    if len(set(patients)) < LEAST_PATIENTS:
        return None
    edges = sorted({float(np.quantile(np.asarray(reference), q)) for q in QUANTILES})
    cells: list[tuple[list[str], float | None]] = [([], edge) for edge in (*edges, None)]
    for value, patient in zip(values, patients, strict=True):
        cells[int(np.searchsorted(edges, value, side="left"))][0].append(patient)
    joined: list[tuple[list[str], float | None]] = []
    carried: list[str] = []
    for members, edge in cells:
        carried = [*carried, *members]
        if len(set(carried)) >= LEAST_PATIENTS:
            joined.append((carried, edge))
            carried = []
    if carried:
        joined[-1] = ([*joined[-1][0], *carried], None)
    kept = tuple(edge for _, edge in joined[:-1] if edge is not None)
    shares = tuple(round(len(members) / len(values), 2) for members, _ in joined)
    return len(values) // _STEP * _STEP, kept, shares
