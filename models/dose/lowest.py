"""How low the dose of an organ can go while every target keeps its coverage, in the beam model.

The quick plan (`plan.py`) is made anew with a growing weight of one organ, each time from where the
last one ended, until the D95% of a target falls or its D1% rises beyond a tolerance; the weight at
which that happens is bracketed.  What the organ has at the last weight that keeps both is the
lowest dose *of this search in a simplified beam model with nine fields*: without leaves, their
leakage or a least field size, so that a real plan stays above it.  The networks are then asked for
the dose at that weight (`explain.py`): they follow about half as far.

Points are in Gy on the scale of the patient's prescription.  Read `explain.py` first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.dose.beams import dose_of, fields_around, rays_to
from models.dose.inputs import STEPS, crop, levels_of, padded_box, sample_points
from models.dose.patient import TOP_GY, Patient
from models.dose.plan import MAXIMUM_ORGANS, MEAN_WEIGHTS, objective, optimise
from models.dose.uncertainty import SMALL_VOLUME_MM3, Point, structure_name

FloatArray = NDArray[np.float32]
Values = Mapping[Point, float]

TOLERANCE = 0.01
"""Of a target's prescription, by how much its D95% may fall and its D1% rise."""
GOALS_GY: Values = {
    ("RightParotid", "mean"): 25.0,
    ("LeftParotid", "mean"): 25.0,
    ("Larynx", "mean"): 44.0,
    ("Esophagus", "mean"): 34.0,
    ("SpinalCord", "D0.1cc"): 50.0,
    ("Brainstem", "D0.1cc"): 54.0,
}
"""Where a protocol says nothing: QUANTEC, Marks et al. 2010, doi 10.1016/j.ijrobp.2009.07.1754,
table 1; its maximum is read as D0.1cc."""
MOST = 3
"""Organs that are asked for."""
GROWTH, GROWN, HALVINGS = 4.0, 5, 3
"""The weight grows fourfold, five times at most; then the last step is halved three times."""
STEPS_EACH = 20


@dataclass(frozen=True, slots=True)
class Reached:
    """What the search came to: the weight, the point there, and whether coverage ended it."""

    priority: float
    value_gy: float
    at_the_edge: bool


@dataclass(frozen=True, slots=True)
class LowestDose:
    """What an organ cannot go below while targets keep their coverage; with what the networks say.

    Parameters
    ----------
    model_gy : the point in the quick plan, and the lowest that was found in the beam model.
    tolerance : of a target's prescription, by how much its D95% and D1% may give way.
    anew_gy : what the networks predict at the weight of the organ that led there.
    d95_change : the most that the D95% of a target changed in that prediction, as a share of its
        prescription; below 0 where it fell.
    """

    point: Point
    predicted_gy: float
    model_gy: tuple[float, float]
    tolerance: float
    anew_gy: float
    d95_change: float

    @property
    def lowest_gy(self) -> float:
        """Return the bound: what was found in the beam model, and never more than is predicted."""
        return min(self.model_gy[1], self.predicted_gy)


def point_of(organ: str) -> Point:
    """Return the point by which an organ is judged: D0.1cc of cord and brainstem, else mean."""
    return organ, "D0.1cc" if organ in MAXIMUM_ORGANS else "mean"


def worst(values: Values, goals: Values) -> tuple[Point, ...]:
    """Return the points of organs that exceed their goals most, or come nearest; three at most.

    Parameters
    ----------
    goals : what the protocol allows; `GOALS_GY` where it says nothing of an organ.
    """
    organs = (*MAXIMUM_ORGANS, *MEAN_WEIGHTS)
    asked = {point: goals.get(point, GOALS_GY.get(point)) for point in map(point_of, organs)}
    shares = {p: values[p] / goal for p, goal in asked.items() if goal and p in values}
    return tuple(sorted(shares, key=lambda point: -shares[point])[:MOST])


class QuickPlan:
    """The quick plan of a patient on its sample points, to be made again with other weights."""

    def __init__(self, patient: Patient) -> None:
        box = padded_box(patient.possible_dose)
        prescription, away = levels_of(patient, box)
        allowed = crop(patient.possible_dose, box, False)
        organs = {name: crop(mask, box, False) for name, mask in patient.organs.items()}
        samples, self._points = sample_points(allowed, prescription, away, organs)
        places = samples + np.asarray([side.start for side in box])
        self._fields = fields_around(
            *(patient.ct_hu, patient.target, patient.voxel_mm),
            *(patient.possible_dose, patient.isocentre),
        )
        self._rays = rays_to(self._fields, places)
        self._scale = patient.top_gy / TOP_GY
        self._targets = {
            structure_name(gray, patient.top_gy): mask[tuple(places.T)]
            for gray, mask in patient.targets
        }
        small = max(1, round(SMALL_VOLUME_MM3 / float(np.prod(patient.voxel_mm))))
        self._hottest = {
            name: max(100 - small / max(int(mask.sum()), 1) * 100, 0.0)
            for name, mask in patient.organs.items()
        }
        self.prescribed_gy = {
            structure_name(gray, patient.top_gy): gray for gray, mask in patient.targets
        }
        self.fluence = self.planned(1.0, "", STEPS, None)

    def planned(
        self, priority: float, organ: str, steps: int, start: FloatArray | None
    ) -> FloatArray:
        """Return the fluence where the weight of an organ is multiplied by a priority."""
        aim = objective(self._points, 1.0, {organ: priority})
        return optimise(self._fields, self._rays, aim, self._points.target, steps, start)

    def points(self, fluence: FloatArray) -> dict[Point, float]:
        """Return D95% and D1% of targets, mean and D0.1cc of organs; empty samples are left out."""
        dose = dose_of(self._fields, fluence, self._rays) * np.float32(self._scale)
        found: dict[Point, float] = {}
        for name, inside in self._targets.items():
            if inside.any():
                low, high = np.percentile(dose[inside], (5, 99))
                found[name, "D95%"], found[name, "D1%"] = float(low), float(high)
        for name, inside in self._points.organs.items():
            if inside.any():
                found[name, "mean"] = float(dose[inside].mean())
                found[name, "D0.1cc"] = float(np.percentile(dose[inside], self._hottest[name]))
        return found


def lowest(
    plan: QuickPlan,
    point: Point,
    predicted: Values,
    tolerance: float = TOLERANCE,
    ends_at: float = float("inf"),
) -> Reached | None:
    """Return the lowest point that the search finds; None where the time does not suffice.

    Parameters
    ----------
    predicted : points of the prediction.  Where the quick plan covers a target less than that, or
        has hotter points in it, the quick plan's own value is kept within the tolerance.
    ends_at : of `time.monotonic`.
    """
    kept = _keeps(plan, predicted, tolerance)
    organ, fluence = point[0], plan.fluence
    good, value, bad = 1.0, plan.points(fluence)[point], 0.0
    for _ in range(GROWN + HALVINGS):
        if bad == 0.0 and good >= GROWTH**GROWN:
            break
        if time.monotonic() > ends_at:
            return None
        priority = (good * bad) ** 0.5 if bad else good * GROWTH
        tried = plan.planned(priority, organ, STEPS_EACH, fluence)
        points = plan.points(tried)
        if kept(points):
            good, fluence, value = priority, tried, min(value, points[point])
        else:
            bad = priority
    return Reached(good, value, bad > 0.0)


def told(
    point: Point,
    model: tuple[float, Reached],
    networks: tuple[Values, Values],
    prescribed_gy: Mapping[str, float],
) -> LowestDose:
    """Return what is told of an organ.

    Parameters
    ----------
    model : the point in the quick plan, and what the search came to.
    networks : points as predicted, and at the weight that the search came to.
    """
    before, after = networks
    changes = [
        (after[name, "D95%"] - before[name, "D95%"]) / gray
        for name, gray in prescribed_gy.items()
        if (name, "D95%") in before
    ]
    gray = (model[0], model[1].value_gy)
    return LowestDose(
        point, before[point], gray, TOLERANCE, after[point], min(changes, default=0.0)
    )


def _keeps(plan: QuickPlan, predicted: Values, tolerance: float) -> Callable[[Values], bool]:
    """Return whether points keep the coverage of every target."""
    own = plan.points(plan.fluence)
    floors, ceilings = {}, {}
    for name, gray in plan.prescribed_gy.items():
        low, high = (name, "D95%"), (name, "D1%")
        if low in own:
            slack = tolerance * gray
            floors[low] = min(own[low], predicted.get(low, own[low])) - slack
            ceilings[high] = max(own[high], predicted.get(high, own[high])) + slack

    def kept(points: Values) -> bool:
        return all(points[low] >= gray for low, gray in floors.items()) and all(
            points[high] <= gray for high, gray in ceilings.items()
        )

    return kept
