"""What a predicted dose hangs on, as the hall takes it: shares of points, changes, faithfulness.

Names are codes, so that the record can hold them: ``Parotid_L.Mean:PTV_7000-margin`` is the share
of the margin in the parotid's mean dose, ``Parotid_L.Mean:PTV_7000-minus-2mm`` the relative change
of the mean when the target is drawn back by 2 mm near the parotid, predicted anew.

What an organ cannot go below has three codes, relative to the point as it is predicted:
``Parotid_L.Mean:lowest-within-1pct`` is what the search in the beam model comes down to while D95
and D1 of every target stay within 1 % of their prescription, ``Parotid_L.Mean:anew-at-lowest`` what
the networks predict at that weight of the organ, ``Parotid_L.Mean:d95-at-lowest`` the most that the
D95 of a target changes in that prediction, as a share of its prescription.

Read next: `models/dose/explain.py`, `models/dose/lowest.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from models.dose.explain import Attribution, Counterfactual, DoseExplanation
from models.dose.game import MARGIN
from models.dose.lowest import LowestDose, point_of
from models.dose.uncertainty import Point
from plugins.dose.structures import MODEL_ORGANS
from plugins.host.findings import Explanation
from plugins.host.prescription import DoseGoal

METHOD = "paired-ends-shapley+re-prediction"
ON_COARSE_GRID = "paired-ends-shapley-on-coarse-grid+re-prediction"
TARGET = "points of the histograms; shares of each point's value, in the prediction itself"
POINTS = {"D95%": "D95", "mean": "Mean"}
LIMITED = {"mean": "Mean", "D0.1cc": "D0.1cc"}
GOALS = {"mean": ("Mean[Gy]",), "D0.1cc": ("D0.1cc[Gy]", "Max[Gy]")}
"""Metrics of a protocol's goals that choose the organs whose lowest dose is sought."""
SHOWN = 3
"""Players that are told of each point: those with the largest shares."""
LEAST_GY = 0.1

NOTHING_EXPLAINED = Explanation("none", "no dose was predicted", (), None, None, {})


def as_explanation(found: DoseExplanation, names: Mapping[str, str]) -> Explanation:
    """Return the explanation of a prediction.

    Parameters
    ----------
    names : the networks' names of structures -> TG-263.
    """
    pairs = [pair for item in found.attributions for pair in _shares(item, names)]
    pairs += [_change(item, names) for item in found.counterfactuals]
    pairs += [pair for item in found.lowest for pair in _limit(item, names)]
    method = ON_COARSE_GRID if found.on_coarse_grid else METHOD
    return Explanation(
        method, TARGET, tuple(pairs), None, None, dict(found.faithfulness), found.seconds
    )


def _shares(item: Attribution, names: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    structure, point = item.point
    if point not in POINTS or item.value_gy < LEAST_GY:
        return
    for player, gray in item.shares_gy[:SHOWN]:
        yield f"{names[structure]}.{POINTS[point]}:{_player(player, names)}", gray / item.value_gy


def _change(item: Counterfactual, names: Mapping[str, str]) -> tuple[str, float]:
    before, after = item.organ_mean_gy
    name = f"{names[item.organ]}.Mean:{names[item.target]}-minus-{item.shrink_mm:g}mm"
    return name, (after - before) / max(before, LEAST_GY)


def _limit(item: LowestDose, names: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    organ, point = item.point
    name, scale = f"{names[organ]}.{LIMITED[point]}", max(item.predicted_gy, LEAST_GY)
    yield (
        f"{name}:lowest-within-{item.tolerance * 100:g}pct",
        (item.lowest_gy - item.predicted_gy) / scale,
    )
    yield f"{name}:anew-at-lowest", (item.anew_gy - item.predicted_gy) / scale
    yield f"{name}:d95-at-lowest", item.d95_change


def goals_of(goals: Sequence[DoseGoal]) -> dict[Point, float]:
    """Return what a protocol allows organs, by the networks' names; the strictest where several."""
    found: dict[Point, float] = {}
    for goal in goals:
        if goal.structure in MODEL_ORGANS and goal.relation == "at_most":
            point = point_of(MODEL_ORGANS[goal.structure])
            if goal.metric in GOALS[point[1]]:
                found[point] = min(goal.limit, found.get(point, goal.limit))
    return found


def _player(player: str, names: Mapping[str, str]) -> str:
    if player.endswith(MARGIN):
        return f"{names[player.removesuffix(MARGIN)]}-margin"
    return names[player]
