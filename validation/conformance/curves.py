"""Probabilities and times of a few patients, their figures worked out by hand.

Read next: `pack.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from validation.conformance.known import Known
from validation.metrics import calibration, classification, survival

ONE = np.array([False, False, True, True])
P_ONE = np.array([0.1, 0.4, 0.35, 0.8])
EIGHT = np.array([True, True, True, False, True, False, False, False])
P_EIGHT = np.array([0.9] * 4 + [0.1] * 4)
FOLLOWED = survival.Followed(np.array([2.0, 3.0, 5.0, 7.0]), np.array([True, False, True, True]))
THREE_OF_FOUR = np.array([True, True, True, False])
RISK = np.array([0.9, 0.2, 0.4, 0.6])
ALIVE = np.array([0.2, 0.5, 0.6, 0.7])
ALIVE_OVER_TIME = np.stack([np.ones(4), np.array([0.5, 0.9, 0.9, 0.9]), ALIVE], axis=1)
MOMENTS = np.array([1.0, 2.0, 5.0])


def _survival() -> Mapping[str, float]:
    return {
        "c_index": survival.c_index(FOLLOWED, RISK),
        "auc_at_t": survival.auc_at(FOLLOWED, RISK, 5.0),
        "brier_at_t": survival.brier_at(FOLLOWED, ALIVE, 5.0),
    }


def _weighted() -> Mapping[str, float]:
    return {
        "c_index_ipcw": survival.c_index_ipcw(FOLLOWED, RISK),
        "integrated_brier": survival.integrated_brier(FOLLOWED, ALIVE_OVER_TIME, MOMENTS),
    }


CASES = (
    Known("four patients, two positive", {"auc": 0.75, "average_precision": 5 / 6},
          lambda: classification.score_probabilities(ONE, P_ONE),
          "3 of 4 pairs; precision 1 and 2/3 at a recall of 1/2 each"),
    Known("one class alone", {"auc": math.nan, "average_precision": 1.0},
          lambda: classification.score_probabilities(np.ones(4, dtype=bool), P_ONE),
          "no pair; every decision is right"),
    Known("eight decisions",
          {"sensitivity": 0.75, "specificity": 0.75, "ppv": 0.75, "npv": 0.75,
           "balanced_accuracy": 0.75, "f1": 0.75},
          lambda: classification.score_decisions(EIGHT, P_EIGHT > 0.5), "3 of 4 on either side"),
    Known("nothing decided", {"sensitivity": 0.0, "specificity": 1.0, "ppv": math.nan, "npv": 0.5},
          lambda: classification.score_decisions(EIGHT, np.zeros(8, dtype=bool)), "by definition"),
    Known("said 9 and 1 of 10, came 3 and 1 of 4",
          {"brier": 0.21, "ece": 0.15, "calibration_slope": 0.5, "calibration_in_the_large": 0.0},
          lambda: calibration.score_calibration(EIGHT, P_EIGHT, bins=2),
          "log odds of 3 beside log odds of 9", tolerance=1e-6),
    Known("said even, came 3 of 4",
          {"brier": 0.25, "calibration_slope": math.nan, "calibration_in_the_large": math.log(3)},
          lambda: calibration.score_calibration(THREE_OF_FOUR, np.full(4, 0.5)),
          "log odds of 3 beside log odds of 1"),
    Known("four patients, one lost at 3",
          {"c_index": 0.75, "auc_at_t": 0.4, "brier_at_t": 0.17875},
          _survival,
          "3 of 4 pairs; weights 1 and 3/2; (0.04 + 0.36 * 3/2 + 0.09 * 3/2) / 4"),
    Known("the same four, over time",
          {"c_index_ipcw": 4 / 7, "integrated_brier": 0.408125 / 4},
          _weighted,
          "pairs of weights 1, 1, 1 right and 9/4 wrong; scores 0, 0.07, 0.17875 at 1, 2, 5: "
          "(0.07 / 2 + 3 (0.07 + 0.17875) / 2) / 4", since=3),
    Known("the same four, events before 5",
          {"c_index_ipcw": 1.0},
          lambda: {"c_index_ipcw": survival.c_index_ipcw(FOLLOWED, RISK, 5.0)},
          "the event at 2 alone: three pairs, all right", since=3),
)  # fmt: skip
