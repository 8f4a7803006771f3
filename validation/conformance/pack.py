"""The conformance pack: every metric of the registry on what it must give, and the refusal.

Thirteen published implementations of the same metrics differed by up to 50 % in Dice and 200 % in
surface distance; so the harness asks its own, installed ones before it measures and before it
certifies. A certificate names the pack by label and digest: the digest is over the cases and
their exact values, so that a changed pack is another one. Packs only grow: a case or a metric that
is added names the pack that it came with, and what is in an earlier one is never changed.

    run_pack() -> Conformance    require_conformance() -> the pack's name, or MetricDriftError
    pack_for(metrics) -> the name that a run of these metrics states

Start here, then `known.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from audit import canonical
from audit.errors import RefusalError
from governance.release import digest_of
from validation.conformance import curves, doses, shapes
from validation.conformance.known import Known
from validation.metrics.registry import METRICS

LABELS = ("osteon-metrics/1", "osteon-metrics/1", "osteon-metrics/3")
"""Label of each pack by its number, from 1; the second is called like the first by mistake."""
NEWEST = len(LABELS)
CASES: tuple[Known, ...] = (*shapes.CASES, *doses.CASES, *curves.CASES)


class MetricDriftError(RefusalError):
    """The suite's own metrics give other values than they must."""

    code = "METRIC_DRIFT"
    advice = "Do not certify with this installation; install the pinned libraries again."


@dataclass(frozen=True, slots=True)
class Checked:
    """Hold one value of the pack: what was to come and what came."""

    metric: str
    case: str
    expected: float
    found: float
    tolerance: float

    @property
    def kept(self) -> bool:
        """Return whether the value is the one that must come."""
        if math.isnan(self.expected) or math.isinf(self.expected):
            return self.found == self.expected or (
                math.isnan(self.expected) and math.isnan(self.found)
            )
        return abs(self.found - self.expected) <= self.tolerance


@dataclass(frozen=True, slots=True)
class Conformance:
    """Hold a pass over the pack."""

    pack: str
    checks: tuple[Checked, ...]

    @property
    def drifted(self) -> tuple[Checked, ...]:
        """Return the values that are not what they must be."""
        return tuple(item for item in self.checks if not item.kept)


def pack_name(number: int = NEWEST) -> str:
    """Return label and digest of a pack: of its cases, exact values and tolerances."""
    cases = [
        {"case": known.case, "tolerance": known.tolerance, "why": known.why,
         "exact": {name: _text(value) for name, value in sorted(exact.items())}}
        for known in CASES
        if (exact := known.asked_in(number))
    ]  # fmt: skip
    return f"{LABELS[number - 1]} {digest_of(canonical.encode(cases))}"


def pack_for(metrics: Iterable[str]) -> str:
    """Return the name of the first pack that asks for all of some metrics.

    A later pack asks for more, of other metrics: who measures the same by the same exact values
    gives the same name, whatever was added since.
    """
    wanted = set(metrics)
    for number in range(1, NEWEST):
        if wanted <= {name for known in CASES for name in known.asked_in(number)}:
            return pack_name(number)
    return pack_name()


def run_pack() -> Conformance:
    """Measure every case; a metric that raises or is missing has the value NaN."""
    return Conformance(pack_name(), tuple(item for known in CASES for item in _asked(known)))


def require_conformance() -> str:
    """Return the name of the pack that passed.

    Raises
    ------
    MetricDriftError : a metric gave another value; names metric, expected and found.
    """
    found = run_pack()
    if found.drifted:
        first = found.drifted[0]
        raise MetricDriftError(
            f"expected {first.metric} {_text(first.expected)} for {first.case}, "
            f"found {_text(first.found)}",
            reasons=tuple(dict.fromkeys(f"METRIC_DRIFT {item.metric}" for item in found.drifted)),
        )
    return found.pack


def require_pack(measured_by: str) -> None:
    """Return where the installed metrics pass, and the pack that measured a run is one of theirs.

    Every case of an earlier pack is asked with the newest, so that metrics which pass give its
    values too.

    Raises
    ------
    MetricDriftError : they are not (METRIC_PACK_CHANGED), or give other values than they must.
    """
    here = require_conformance()
    if measured_by not in [pack_name(number) for number in range(1, NEWEST + 1)]:
        raise MetricDriftError(
            f"expected the metrics that measured the run, {measured_by}, found {here}",
            reasons=("METRIC_PACK_CHANGED",),
            advice="Run the harness again with this installation.",
        )


def uncovered() -> tuple[str, ...]:
    """Return metrics of the registry that no case asks for."""
    asked = {name for known in CASES for name in known.exact}
    return tuple(name for name in METRICS if name not in asked)


def _asked(known: Known) -> list[Checked]:
    try:
        measured = dict(known.measure())
    except (ValueError, ArithmeticError, TypeError, IndexError):
        measured = {}  # a broken metric is a drifted one
    return [
        Checked(name, known.case, exact, _found(measured.get(name), exact), known.tolerance)
        for name, exact in known.exact.items()
    ]


def _found(value: float | None, exact: float) -> float:
    if value is None:  # never the value that was to come, whatever that is
        return math.inf if math.isnan(exact) else math.nan
    return float(value)


def _text(value: float) -> str:
    return f"{value:.12g}"
