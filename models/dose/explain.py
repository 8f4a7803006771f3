"""What a predicted dose hangs on: organs and margins of the targets, and what a change would do.

Players are the organs (present, or not told to the planner) and the outer margin of each target
(present, or the target without it).  A value is a DVH point of the *true* structures, predicted
anew for each coalition by the very networks, all points at once.  The share of a player is the
mean of its first and its last marginal contribution,

    φ_i = ½ [ v({i}) - v(∅) + v(N) - v(N \\ {i}) ],

which is the Shapley value wherever no more than two players interact (Grabisch and Roubens 1999,
Int J Game Theory 28:547).  How far that holds is measured: the efficiency gap, and how well the
sums of shares foretell coalitions that were not used.  Counterfactuals are predicted, not
extrapolated.

A large patient is played on a coarser grid, still one of the training data's, so that every
coalition fits into the time, and lowest doses are sought there; targets are drawn back on the
patient's own.  Against shares on the own grid with all the time they want, those of six held-back
patients correlated by 0.84 to 0.99 (3 of them beyond `COARSE_ABOVE`: 0.84, 0.90, 0.99); within the
time the own grid gave those three 6, 8 and 11 of some 27 predictions, too few for any share.

Between shares and counterfactuals the dose is sought that organs beyond their goals cannot go below
(`lowest.py`), and the networks are asked for the dose at that weight.

Read `predict.py` and `game.py` first, `counterfactuals.py` and `lowest.py` next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import spearmanr

from models.dose.counterfactuals import SHRINK_MM, places
from models.dose.game import Game, Made, Values
from models.dose.lowest import TOLERANCE, LowestDose, QuickPlan, lowest, told, worst
from models.dose.patient import Patient
from models.dose.predict import SPACING_MM, DosePredictor, resampled
from models.dose.uncertainty import Point

COARSE_ABOVE = 100_000
"""Voxels of the mask from where on the grid is made coarser, to `COARSE_VOXELS` where it can be."""
COARSE_VOXELS = 80_000
FOR_SHARES, FOR_LOWEST = 0.6, 0.85
"""Parts of the time by which shares and lowest doses end: the rest is for counterfactuals.  Where
none of them would fit into the rest, the others have it, in these proportions."""
WITH_ITS_SEARCH = 1.5
"""Predictions that have to fit before a search: it takes less than half of one and asks for one."""
LEAST_SAVED_GY = 1.0
"""In the beam model, from which on it is told how far the networks follow."""
LEAST_RANKED = 3
"""Counterfactuals from which on a rank correlation is told."""
CHECKED = 4
"""Coalitions that were not used, by which the shares are judged."""
SEED = 20261126


@dataclass(frozen=True, slots=True)
class Attribution:
    """What one DVH point hangs on, in Gy.

    Parameters
    ----------
    without_gy : the point with no organ told and no margin drawn.
    shares_gy : (player, contribution), largest first; they sum to value less ``without_gy``
        but for the efficiency gap.
    """

    point: Point
    value_gy: float
    without_gy: float
    shares_gy: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What a target drawn back where it costs an organ would do, predicted anew; points in Gy."""

    target: str
    shrink_mm: float
    organ: str
    organ_mean_gy: tuple[float, float]
    target_d95_gy: tuple[float, float]


@dataclass(frozen=True, slots=True)
class DoseExplanation:
    """Hold attributions, counterfactuals, their measured faithfulness, and what they took.

    Parameters
    ----------
    lowest : of the organs that exceed their goals most, or come nearest.
    on_coarse_grid : whether the coalitions were predicted on a coarser grid than the patient's.
    """

    attributions: tuple[Attribution, ...]
    counterfactuals: tuple[Counterfactual, ...]
    faithfulness: Mapping[str, float]
    evaluations: int
    seconds: float
    on_coarse_grid: bool = False
    lowest: tuple[LowestDose, ...] = ()


def explain(
    predictor: DosePredictor,
    patient: Patient,
    budget_s: float = 10.0,
    goals: Values | None = None,
    made: Made | None = None,
) -> DoseExplanation:
    """Return what the DVH points of a prediction hang on, within the time given.

    A prediction begins where the longest so far would end in time.  Where the time does not
    suffice for first contributions, last ones stand for both; where it does not suffice for the
    whole and the empty coalition, there is no attribution.

    Parameters
    ----------
    goals : what the protocol allows organs; it chooses those whose lowest dose is sought.
    made : the prediction that is explained, so that it is not made again.
    """
    begun = time.monotonic()
    for_shares, for_lowest = FOR_SHARES, FOR_LOWEST
    if made is not None and WITH_ITS_SEARCH * made.seconds > (1 - for_lowest) * budget_s:
        for_shares, for_lowest = FOR_SHARES / FOR_LOWEST, 1.0
    own, game, played = _games(predictor, patient, begun + for_shares * budget_s, made)
    whole, empty = game.value(frozenset(game.players)), game.value(frozenset())
    stated = own.value(frozenset(own.players))
    found: tuple[Attribution, ...] = ()
    faithfulness: dict[str, float] = {}
    changes: tuple[Counterfactual, ...] = ()
    limits: tuple[LowestDose, ...] = ()
    if whole is not None and empty is not None and stated is not None:
        shares, first = _shares(game, whole, empty)
        faithfulness = _faithfulness(game, shares, whole, empty)
        faithfulness["first_contributions"] = float(first)
        found = tuple(_attributions(stated, whole, empty, shares))
        game.ends_at = begun + for_lowest * budget_s
        limits, followed = _lowest(game, played, (stated, whole), goals or {})
        own.ends_at = begun + budget_s
        changes, fits = _counterfactuals(own, patient, stated)
        faithfulness |= followed | fits
    evaluations = game.evaluations + (own.evaluations if own is not game else 0)
    took = time.monotonic() - begun
    return DoseExplanation(
        found, changes, faithfulness, evaluations, took, played is not patient, limits
    )


def _games(
    predictor: DosePredictor, patient: Patient, ends_at: float, made: Made | None
) -> tuple[Game, Game, Patient]:
    """Return the game on the patient's own grid, the one that is played, and its patient.

    On a coarser grid a prediction is expected to take as much less as there are fewer voxels.
    """
    expected_s = 0.0 if made is None else made.seconds
    own = Game(predictor.predict, patient, ends_at, expected_s)
    if made is not None:
        own.know(made.dose_gy)
    played = coarser(patient)
    if played is patient:
        return own, own, patient
    share = int(played.possible_dose.sum()) / int(patient.possible_dose.sum())
    return own, Game(predictor.predict, played, ends_at, expected_s * share), played


def coarser(patient: Patient) -> Patient:
    """Return a large patient on the coarsest grid that is needed, first in plane; others as is."""
    count = int(patient.possible_dose.sum())
    if count <= COARSE_ABOVE:
        return patient
    wanted, spacing = count / COARSE_VOXELS, list(patient.voxel_mm)
    plane = wanted**0.5
    for axis in (0, 1):
        spacing[axis] = max(spacing[axis], min(spacing[axis] * plane, SPACING_MM[axis][1]))
    gained = spacing[0] * spacing[1] / (patient.voxel_mm[0] * patient.voxel_mm[1])
    along = max(1.0, wanted / gained)
    spacing[2] = max(spacing[2], min(spacing[2] * along, SPACING_MM[2][1]))
    return resampled(patient, (spacing[0], spacing[1], spacing[2]))


def _attributions(
    stated: Values, whole: Values, empty: Values, shares: Mapping[Point, Mapping[str, float]]
) -> Iterator[Attribution]:
    """Yield each point as the patient's own grid states it, with the shares of the game."""
    for point in whole:
        if point not in stated:
            continue
        yield Attribution(
            point,
            stated[point],
            stated[point] - whole[point] + empty[point],
            tuple(sorted(shares[point].items(), key=lambda pair: -abs(pair[1]))),
        )


def _shares(game: Game, whole: Values, empty: Values) -> tuple[dict[Point, dict[str, float]], int]:
    """Return the shares of every point, and for how many players both ends were predicted."""
    everyone = frozenset(game.players)
    shares: dict[Point, dict[str, float]] = {point: {} for point in whole}
    last = {player: game.value(everyone - {player}) for player in game.players}
    first = {player: game.value(frozenset({player})) for player in game.players}
    both = 0
    for player in game.players:
        ends = []
        without, alone = last[player], first[player]
        if without is not None:
            ends.append({point: whole[point] - without[point] for point in whole})
        if alone is not None:
            ends.append({point: alone[point] - empty[point] for point in whole})
        both += len(ends) == 2
        for point in whole:
            if ends:
                shares[point][player] = float(np.mean([end[point] for end in ends]))
    return shares, both


def _faithfulness(
    game: Game, shares: Mapping[Point, Mapping[str, float]], whole: Values, empty: Values
) -> dict[str, float]:
    """Return the efficiency gap, and how sums of shares foretell coalitions that were not used.

    ``efficiency_gap_gy`` : mean |v(N) - v(∅) - Σ φ| over points.  ``foretold_correlation`` :
    between foretold and predicted change from v(∅), over points and coalitions; ``_shuffled`` :
    the same where shares go to the wrong players.
    """
    gaps = [abs(whole[p] - empty[p] - sum(shares[p].values())) for p in whole]
    found = {"efficiency_gap_gy": float(np.mean(gaps))}
    generator = np.random.default_rng(SEED)
    foretold, shuffled, seen = [], [], []
    players = np.asarray(game.players)
    for _ in range(CHECKED):
        chosen = frozenset(players[generator.random(len(players)) < 0.5].tolist())
        values = game.value(chosen)
        if values is None:
            break
        other = dict(zip(players.tolist(), generator.permutation(players).tolist(), strict=True))
        for point in whole:
            held = shares[point]
            foretold.append(sum(held.get(player, 0.0) for player in chosen))
            shuffled.append(sum(held.get(other[player], 0.0) for player in chosen))
            seen.append(values[point] - empty[point])
    if len(seen) > 2 and np.std(seen) > 0:
        for name, series in (("", foretold), ("_shuffled", shuffled)):
            if np.std(series) > 0:
                found[f"foretold_correlation{name}"] = float(np.corrcoef(series, seen)[0, 1])
    return found


def _counterfactuals(
    game: Game, patient: Patient, whole: Values
) -> tuple[tuple[Counterfactual, ...], dict[str, float]]:
    """Return what drawing a target back does where it costs an organ most, and how gradients fit.

    ``gradient_rank_correlation`` : between the burden that gradients say is saved and the change
    of the organ's mean, predicted anew.
    """
    found: list[Counterfactual] = []
    saved: list[float] = []
    if not game.has_time(WITH_ITS_SEARCH):
        return (), {}
    for place in places(patient, whole):
        if not game.has_time():
            break
        targets = tuple(
            (level, kept & ~place.voxels) if level == place.prescribed_gy else (level, kept)
            for level, kept in patient.targets
        )
        after = game.points(replace(patient, targets=targets))
        mean, d95 = (place.organ, "mean"), (place.target, "D95%")
        found.append(
            Counterfactual(
                *(place.target, SHRINK_MM, place.organ),
                organ_mean_gy=(whole[mean], after[mean]),
                target_d95_gy=(whole[d95], after[d95]),
            )
        )
        saved.append(place.saved)
    change = [item.organ_mean_gy[0] - item.organ_mean_gy[1] for item in found]
    if len(found) < LEAST_RANKED or np.ptp(change) == 0 or np.ptp(saved) == 0:
        return tuple(found), {}
    return tuple(found), {"gradient_rank_correlation": float(spearmanr(saved, change).statistic)}


def _lowest(
    game: Game, played: Patient, known: tuple[Values, Values], goals: Values
) -> tuple[tuple[LowestDose, ...], dict[str, float]]:
    """Return what organs cannot go below, as many as fit into the time, and how networks follow.

    Left out are those of which the beam model holds more than is predicted: it does not fit there.
    ``lowest_followed`` : of what the beam model saves, the part that the networks save, median.

    Parameters
    ----------
    known : points as they are stated, and as they are predicted on the grid of the game.
    """
    stated, whole = known
    found: list[LowestDose] = []
    chosen = worst(stated, goals)
    if not chosen or not game.has_time(WITH_ITS_SEARCH):
        return (), {}
    plan = QuickPlan(played)
    quick = plan.points(plan.fluence)
    for point in chosen:
        reached = None
        if point in quick:
            reached = lowest(plan, point, stated, ends_at=game.last_start)
        if reached is None or not game.has_time():
            continue
        if reached.value_gy > stated[point] + TOLERANCE * played.top_gy:
            continue
        anew = game.points(played, {point[0]: reached.priority})
        after = {key: stated[key] + anew[key] - whole[key] for key in stated if key in anew}
        found.append(told(point, (quick[point], reached), (stated, after), plan.prescribed_gy))
    saved = [(i.predicted_gy - i.anew_gy, i.model_gy[0] - i.model_gy[1]) for i in found]
    followed = [ours / model for ours, model in saved if model > LEAST_SAVED_GY]
    return tuple(found), {"lowest_followed": float(np.median(followed))} if followed else {}
