"""The part of a run's page that shows real plans beside the dose that was predicted.

Read next: `governance/oversight/plans.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.web.formats import moment
from governance.oversight.plans import PlanComparison


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One point of a histogram: predicted, planned, and where the planned value lies."""

    name: str
    predicted: str
    planned: str
    difference: str
    verdict: str
    tone: str


@dataclass(frozen=True, slots=True)
class LaterPlan:
    """One approved plan that came back.

    Parameters
    ----------
    warnings : keys of texts that say what limits the comparison.
    """

    found_at: str
    dose_mae: str
    dvh_mae: str
    outside: str
    warnings: tuple[str, ...]
    lines: tuple[PlanLine, ...]


def later_plans(found: Sequence[PlanComparison], zone: str) -> tuple[LaterPlan, ...]:
    """Return every comparison of a run, newest first."""
    return tuple(_plan(item, zone) for item in reversed(found))


def _plan(item: PlanComparison, zone: str) -> LaterPlan:
    numbers = item.numbers()
    judged = [point.within for point in item.points if point.within is not None]
    notes = {
        "plan_other_dose": item.same_prescription is False,
        "plan_no_dose": item.same_prescription is None,
        "plan_other_structures": not item.same_structures,
        "plan_no_structures": not item.points,
    }
    return LaterPlan(
        moment(item.found_at, zone),
        f"{item.dose_mae_gy:.2f} Gy",
        f"{numbers['dvh_mae_gy']:.2f} Gy" if "dvh_mae_gy" in numbers else "–",
        f"{judged.count(False)}/{len(judged)}" if judged else "–",
        tuple(key for key, holds in notes.items() if holds),
        tuple(
            PlanLine(
                f"{point.structure} {point.point}",
                f"{point.predicted_gy:.1f} Gy",
                f"{point.planned_gy:.1f} Gy",
                f"{point.difference_gy:+.1f} Gy",
                {True: "plan_within", False: "plan_outside", None: "no_interval"}[point.within],
                {True: "good", False: "bad", None: ""}[point.within],
            )
            for point in item.points
        ),
    )
