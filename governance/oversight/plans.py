"""What a real plan that comes back later says of a dose that was predicted.

Nobody decided about the prediction: a planner planned, and the difference is measured.  Both doses
are read in the structures that the prediction was made for, by the same numerics.  A plan for
another prescription is told and never counted: it says nothing of how well this one was foretold.

Source: the dose score is that of OpenKBP (Babier et al. 2021, Med Phys 48:5549); Regulation (EU)
2024/1689 Art. 72(2).

Read next: `governance/monitoring/plan.py`, whose items watch these numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import fmean
from typing import Any

from governance.oversight.assessment import is_target

MEAN, D95 = "Mean", "D95"
SAME_DOSE_SHARE = 0.01
"""Prescriptions that differ by no more are one."""
LEAST_COVERED = 0.5
"""Share of the predicted dose's voxels that the plan's grid must hold."""


@dataclass(frozen=True, slots=True)
class PlannedPoint:
    """One point of a histogram in Gy, predicted and planned.

    Parameters
    ----------
    within : whether the planned value lies in the interval that was told; None without one.
    """

    structure: str
    roi_number: int
    point: str
    predicted_gy: float
    planned_gy: float
    within: bool | None = None

    @property
    def difference_gy(self) -> float:
        """Return planned less predicted."""
        return self.planned_gy - self.predicted_gy


@dataclass(frozen=True, slots=True)
class PlanComparison:
    """One approved plan's dose beside one predicted dose.

    Parameters
    ----------
    same_prescription : None where the plan states no dose.
    same_structures : whether the plan was made on the very structure set.
    covered_share : of the predicted dose's voxels, those in the plan's grid.
    dose_mae_gy : mean absolute difference over these voxels.
    plan_sop_uid_p, dose_sop_uid_p : keyed pseudonyms of plan and dose.
    """

    comparison_id: str
    run_id: str
    found_at: datetime
    same_prescription: bool | None
    same_structures: bool
    covered_share: float
    dose_mae_gy: float
    points: tuple[PlannedPoint, ...]
    plan_sop_uid_p: str
    dose_sop_uid_p: str
    inference_event_id: str

    @property
    def counts(self) -> bool:
        """Return whether monitors may take it: not a plan for another prescription."""
        return self.same_prescription is not False

    def numbers(self) -> dict[str, float]:
        """Return what monitors watch: errors, points outside their intervals, signed changes."""
        found = {"dose_mae_gy": self.dose_mae_gy}
        if self.points:
            found["dvh_mae_gy"] = fmean(abs(item.difference_gy) for item in self.points)
        judged = [item.within for item in self.points if item.within is not None]
        if judged:
            found["outside_share"] = judged.count(False) / len(judged)
        targets = [p.difference_gy for p in self.points if p.point == D95]
        organs = [
            p.difference_gy for p in self.points if p.point == MEAN and not is_target(p.structure)
        ]
        if targets:
            found["target_d95_gy"] = fmean(targets)
        if organs:
            found["organ_mean_gy"] = fmean(organs)
        return found


def same_prescription(predicted_gy: float | None, planned_gy: float | None) -> bool | None:
    """Return whether two highest prescriptions in Gy are one; None where either is not stated.

    Examples
    --------
    >>> same_prescription(70.0, 69.96), same_prescription(70.0, 66.0), same_prescription(70.0, None)
    (True, False, None)
    """
    if not predicted_gy or not planned_gy:
        return None
    return abs(planned_gy - predicted_gy) <= SAME_DOSE_SHARE * predicted_gy


def encode(item: PlanComparison) -> dict[str, Any]:
    """Return a comparison as JSON values; inverse of `decode`."""
    return asdict(item) | {"found_at": item.found_at.isoformat()}


def decode(values: Mapping[str, Any]) -> PlanComparison:
    """Return the comparison that `encode` wrote."""
    points = tuple(PlannedPoint(**point) for point in values["points"])
    found_at = datetime.fromisoformat(values["found_at"])
    return PlanComparison(**{**values, "points": points, "found_at": found_at})
