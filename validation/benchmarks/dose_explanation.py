"""Measure the explanation of a predicted dose beside captum's KernelShap, with agreement.

    python -m validation.benchmarks.dose_explanation [--data ../shared/data/openkbp] [--samples 64]

Both sides value coalitions by the same networks on the same cores. Ours answers every DVH point at
once; captum's answers one point a run, so that its time counts once for each point that we tell.
The patient is one of the held-back training patients: no look at the validation patients. The noise
of KernelShap is the spread of two runs of different seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from models.dose.explain import explain
from models.dose.game import Game
from models.dose.patient import Patient
from models.dose.predict import DosePredictor
from models.dose.uncertainty import Point
from models.training.dose.packs import read_pack, split
from models.weights.store import weight_paths

POINT: Point = ("LeftParotid", "mean")
SEEDS = (1, 2)
GOAL = 10.0


def kernel_shap(
    predictor: DosePredictor, patient: Patient, samples: int, seed: int
) -> tuple[tuple[str, ...], NDArray[np.float64], float]:
    """Return players, their values in Gy for `POINT`, and the seconds of captum's KernelShap."""
    from captum.attr import KernelShap

    game = Game(predictor.predict, patient, float("inf"))

    def value(masks: torch.Tensor) -> torch.Tensor:
        found = []
        for row in masks:
            present = [name for name, kept in zip(game.players, row, strict=True) if kept > 0.5]
            points = game.value(frozenset(present))
            assert points is not None
            found.append(points[POINT])
        return torch.tensor(found)

    torch.manual_seed(seed)
    np.random.seed(seed)
    begun = time.perf_counter()
    ones = torch.ones(1, len(game.players))
    found = KernelShap(value).attribute(ones, baselines=0 * ones, n_samples=samples)
    return game.players, found[0].numpy().astype(np.float64), time.perf_counter() - begun


def measure(data: Path, samples: int, threads: int) -> dict[str, Any]:
    """Return times, ratio, and how the values agree beside the peer's own noise."""
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    predictor = DosePredictor.load(weight_paths("dose")[0])
    predictor.warm()
    names = sorted(path.stem for path in (data / "train").glob("*.npz"))
    patient = _patient(data, split(names)[1])
    ours = explain(predictor, patient, float("inf"))
    shares = dict(next(a for a in ours.attributions if a.point == POINT).shares_gy)
    runs = [kernel_shap(predictor, patient, samples, seed) for seed in SEEDS]
    players = runs[0][0]
    theirs = np.mean([run[1] for run in runs], axis=0)
    own = np.asarray([shares[player] for player in players])
    seconds = float(np.mean([run[2] for run in runs]))
    points = len(ours.attributions)
    return {
        "players": list(players),
        "point": " ".join(POINT),
        "ours_gy": [round(float(value), 3) for value in own],
        "kernel_shap_gy": [round(float(value), 3) for value in theirs],
        "largest_difference_gy": round(float(np.abs(own - theirs).max()), 3),
        "noise_of_kernel_shap_gy": round(float(np.abs(runs[0][1] - runs[1][1]).max()), 3),
        "correlation": round(float(np.corrcoef(own, theirs)[0, 1]), 4),
        "ours_s": round(ours.seconds, 2),
        "ours_evaluations": ours.evaluations,
        "points": points,
        "kernel_shap_s_a_point": round(seconds, 2),
        "kernel_shap_samples": samples,
        "ratio_for_all_points": round(seconds * points / ours.seconds, 1),
        "goal": GOAL,
        "faithfulness": {key: round(value, 4) for key, value in ours.faithfulness.items()},
        "threads": threads,
        "load": round(os.getloadavg()[0], 1),
    }


def _patient(data: Path, names: Sequence[str]) -> Patient:
    """Return the first held-back patient that has the organ of `POINT`."""
    for name in names:
        patient, _ = read_pack(data / "train" / f"{name}.npz")
        if POINT[0] in patient.organs:
            return patient
    raise ValueError(f"expected a held-back patient with {POINT[0]}, found none")


def main() -> None:
    """Print the document of the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    default = Path(os.environ.get("OSTEON_TEST_DATA", "../shared/data")) / "openkbp"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    sys.stdout.write(json.dumps(measure(chosen.data, chosen.samples, chosen.threads), indent=1))


if __name__ == "__main__":
    main()
