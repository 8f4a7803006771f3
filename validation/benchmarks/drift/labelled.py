"""Labelled performance: AUC 0.81 falls to 0.55 at prevalence 0.3, seen by every method.

The score is binormal: N(0, 1) without the event, N(d, 1) with it, d = sqrt(2) z(AUC); the frozen
model states the exact probability of the first situation.  The fall is told in three ways, since
"AUC 0.55" does not say where the scores went:

    same patients    scores as before, labels from a + b x so that AUC and prevalence are met
    events move      no-event scores as before, events come down to d' = sqrt(2) z(0.55)
    both move        events come down and the others up, the mean score stays

Source: PERFORMANCE.md row 7a; Green and Swets 1966 (binormal model, AUC = Phi(d / sqrt 2)).

Read next: `contours.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from governance.monitoring.recalibration import Recalibration
from governance.monitoring.run_length import Delays, IntArray, delays, evidence_of, first_alarms
from governance.monitoring.sums import FloatArray

PREVALENCE, BEFORE, AFTER = 0.3, 0.81, 0.55
RUN_LENGTH = 2000.0
GOAL = 40.0
QUIET_CASES = 300
FOLLOWED = 400
CHUNK = 50
STORIES = ("same patients", "events move", "both move")
_SEPARATION = float(np.sqrt(2) * norm.ppf(BEFORE))
_LEFT = float(np.sqrt(2) * norm.ppf(AFTER))


@dataclass(frozen=True, slots=True)
class Cases:
    """Stated probabilities and labels, (streams, cases)."""

    stated: FloatArray
    labels: FloatArray

    @property
    def pairs(self) -> FloatArray:
        """Return (streams, cases, 2) for the detector."""
        return np.stack([self.stated, self.labels], axis=-1)

    @property
    def loss(self) -> FloatArray:
        """Return the log loss of each case: what loss-based peers are fed."""
        p = np.where(self.labels > 0.5, self.stated, 1 - self.stated)
        return np.asarray(-np.log(p))

    def then(self, later: Cases) -> Cases:
        """Return these cases followed by others."""
        return Cases(np.hstack([self.stated, later.stated]), np.hstack([self.labels, later.labels]))


def _log_odds(score: FloatArray) -> FloatArray:
    return np.asarray(logit(PREVALENCE) + _SEPARATION * (score - _SEPARATION / 2))


def quiet(streams: int, cases: int, generator: np.random.Generator) -> Cases:
    """Return cases of the situation that the model was made for."""
    events = generator.random((streams, cases)) < PREVALENCE
    scores = generator.normal(size=(streams, cases)) + _SEPARATION * events
    return Cases(np.asarray(expit(_log_odds(scores))), events.astype(np.float64))


def changed(story: str, streams: int, cases: int, generator: np.random.Generator) -> Cases:
    """Return cases after the fall, told in one of the three ways."""
    if story == "same patients":
        before = quiet(streams, cases, generator)
        intercept, slope = _weakened(np.random.default_rng(0))
        chance = expit(intercept + slope * logit(before.stated))
        return Cases(before.stated, (generator.random(chance.shape) < chance).astype(np.float64))
    events = generator.random((streams, cases)) < PREVALENCE
    start = PREVALENCE * (_SEPARATION - _LEFT) if story == "both move" else 0.0
    scores = generator.normal(size=(streams, cases)) + start + _LEFT * events
    return Cases(np.asarray(expit(_log_odds(scores))), events.astype(np.float64))


def _weakened(generator: np.random.Generator) -> tuple[float, float]:
    """Return intercept and slope that give the prevalence and an AUC of 0.55 on old scores."""
    x = np.sort(logit(quiet(1, 100_000, generator).stated[0]))

    def _intercept(slope: float) -> float:
        return float(brentq(lambda a: expit(a + slope * x).mean() - PREVALENCE, -10, 10))

    def _auc(slope: float) -> float:
        q = expit(_intercept(slope) + slope * x)
        return float((np.cumsum(1 - q) * q).sum() / (q.sum() * (1 - q).sum()))

    slope = float(brentq(lambda b: _auc(b) - AFTER, 0.01, 0.9))
    return _intercept(slope), slope


def ours(cases: Cases, run_length: float = RUN_LENGTH) -> IntArray:
    """Return the first alarms of the recalibration detector."""
    return first_alarms(evidence_of(Recalibration(PREVALENCE), cases.pairs), run_length)


def chunk_statistics(cases: Cases) -> FloatArray:
    """Return the AUC of each chunk of 50 patients, (streams, chunks); 0.5 without both labels."""
    streams, count = cases.stated.shape
    whole = count // CHUNK * CHUNK
    stated = cases.stated[:, :whole].reshape(streams, -1, CHUNK)
    labels = cases.labels[:, :whole].reshape(streams, -1, CHUNK)
    places = stated.argsort(axis=-1).argsort(axis=-1) + 1.0
    events = labels.sum(axis=-1)
    pairs = events * (CHUNK - events)
    above = (places * labels).sum(axis=-1) - events * (events + 1) / 2
    return np.asarray(np.where(pairs > 0, above / np.maximum(pairs, 1), 0.5))


def chunks(cases: Cases, floor: float) -> IntArray:
    """Return the first case at whose chunk's end the AUC lies below the floor."""
    return first_alarms(-chunk_statistics(cases), -floor) * CHUNK


def chunk_floor(generator: np.random.Generator, run_length: float = RUN_LENGTH) -> float:
    """Return the AUC below which one chunk of run_length / 50 falls when nothing changed."""
    found = chunk_statistics(quiet(1, CHUNK * 40_000, generator))
    return float(np.quantile(found, CHUNK / run_length))


def matched(
    settings: dict[str, dict[str, Sequence[int]]], cases: int, run_length: float = RUN_LENGTH
) -> dict[str, tuple[str, float, Delays]]:
    """Return for each method of a peer its fastest setting of at least the run length.

    Parameters
    ----------
    settings : by name, ``METHOD ...``: first alarms on quiet and on changed streams.
    cases : length of the quiet streams.
    """
    best: dict[str, tuple[str, float, Delays]] = {}
    for name, found in settings.items():
        quiet_alarms = np.asarray(found["quiet"])
        count = int((quiet_alarms > 0).sum())
        at_risk = float(np.where(quiet_alarms > 0, quiet_alarms, cases).sum())
        length = at_risk / count if count else float("inf")
        seen = delays(np.asarray(found["changed"]), QUIET_CASES)
        method = name.split(" ")[0]
        better = method not in best or (seen.median, -seen.found_share) < (
            best[method][2].median, -best[method][2].found_share,
        )  # fmt: skip
        if length >= 0.9 * run_length and better:
            best[method] = (name, length, seen)
    return best
