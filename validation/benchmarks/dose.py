"""Measure the dose network on the validation patients, and its time beside C3D's architecture.

    python -m validation.benchmarks.dose [--data ../shared/data/openkbp] [--speed 3]

Scores have the official definitions (`validation/metrics/dose.py`), bootstrap intervals, a
table by subgroup and the worst ten. Both sides of the speed table work on the same cores in one
process, in turns; ours is the whole prediction from arrays, the peer's is the network alone
on 128 cubed (`dose_peer.py`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from models.dose.patient import LEVELS, ORGANS, Patient
from models.dose.predict import DosePredictor
from models.dose.uncertainty import Calibration
from models.training.dose.packs import read_pack
from models.weights.store import weight_paths
from validation.benchmarks.dose_peer import CHANNELS, SIZE, CascadePeer
from validation.metrics.dose import (
    PatientScore,
    dose_score,
    dvh_score,
    interval,
    score_patient,
)
from validation.statistics.conformal import coverage as held

SEED = 20261126
GOALS_GY = {"dose": (2.6, 2.35), "dvh": (1.6, 1.25)}
SPEED_GOAL = 25.0
WORST = 10
LARGE_TARGET_ML = 400.0


def score_folder(
    predictor: DosePredictor, packs: Path, tell: Callable[[str], None] = lambda _: None
) -> tuple[list[PatientScore], list[Patient], list[float]]:
    """Return the scores, the patients and the seconds of each prediction of a folder of packs."""
    scores, patients, seconds = [], [], []
    for path in sorted(packs.glob("*.npz")):
        patient, planned = read_pack(path)
        begun = time.perf_counter()
        predicted = predictor.predict(patient)
        seconds.append(time.perf_counter() - begun)
        targets = {name_of(gray): mask for gray, mask in patient.targets}
        structures = (targets, patient.organs, patient.voxel_mm)
        scores.append(
            score_patient(path.stem, planned, predicted, patient.possible_dose, structures)
        )
        patients.append(patient)
        tell(f"{path.stem} {scores[-1].dose_gy:.2f} Gy")
    return scores, patients, seconds


def name_of(gray: float) -> str:
    """Return OpenKBP's name of a target by its prescription."""
    return next((name for name, level in LEVELS.items() if level == gray), f"PTV{gray:g}")


def summary(scores: Sequence[PatientScore], patients: Sequence[Patient]) -> dict[str, Any]:
    """Return scores with intervals, by structure, by subgroup, and the worst patients."""
    dose, dvh = interval(scores, np.random.default_rng(SEED))
    by_cell: dict[str, list[float]] = {}
    for score in scores:
        for (structure, point), value in score.cells_gy.items():
            by_cell.setdefault(f"{structure} {point}", []).append(value)
    worst = sorted(scores, key=lambda score: -score.dose_gy)[:WORST]
    return {
        "patients": len(scores),
        "dose_score_gy": round(dose_score(scores), 4),
        "dose_score_interval_gy": [round(value, 3) for value in dose],
        "dvh_score_gy": round(dvh_score(scores), 4),
        "dvh_score_interval_gy": [round(value, 3) for value in dvh],
        "goals_gy": GOALS_GY,
        "dvh_cells": sum(len(score.cells_gy) for score in scores),
        "by_point_gy": {
            name: {"mean": round(float(np.mean(values)), 3), "n": len(values)}
            for name, values in sorted(by_cell.items())
        },
        "subgroups": subgroups(scores, patients),
        "worst": [{"patient": score.name, "dose_gy": round(score.dose_gy, 3)} for score in worst],
    }


def coverage(scores: Sequence[PatientScore], calibration: Calibration) -> dict[str, Any]:
    """Return how often the planned DVH point lies in its interval, in all and by point.

    An interval is the prediction plus and minus the half-width, so it holds the planned value
    where the absolute difference is not larger.
    """
    by_point: dict[str, list[bool]] = {}
    for score in scores:
        for key, value in score.cells_gy.items():
            if key in calibration.half_width_gy:
                inside = value <= calibration.half_width_gy[key]
                by_point.setdefault(" ".join(key), []).append(inside)
    nominal = 1 - calibration.alpha
    every = held([inside for part in by_point.values() for inside in part], nominal)
    widths = {" ".join(key): width for key, width in calibration.half_width_gy.items()}
    return {
        "nominal": nominal,
        "covered": every.hits,
        "low": round(every.low, 4),
        "high": round(every.high, 4),
        "cells": every.n,
        "by_point": {
            name: {"covered": sum(part), "n": len(part), "half_width_gy": widths[name]}
            for name, part in sorted(by_point.items())
        },
    }


def subgroups(
    scores: Sequence[PatientScore], patients: Sequence[Patient]
) -> dict[str, dict[str, float]]:
    """Return both scores by levels of prescription, missing organs and volume of the targets."""
    groups: dict[str, list[PatientScore]] = {}
    for score, patient in zip(scores, patients, strict=True):
        millilitres = float(patient.target.sum() * np.prod(patient.voxel_mm) / 1000)
        size = "large" if millilitres > LARGE_TARGET_ML else "small"
        for name in (
            f"{len(patient.targets)} prescription levels",
            "an organ missing" if len(patient.organs) < len(ORGANS) else "all organs",
            f"{size} targets (limit {LARGE_TARGET_ML:g} ml)",
        ):
            groups.setdefault(name, []).append(score)
    return {
        name: {
            "n": len(part),
            "dose_gy": round(dose_score(part), 3),
            "dvh_gy": round(dvh_score(part), 3),
        }
        for name, part in sorted(groups.items())
    }


def speed(predictor: DosePredictor, patients: Sequence[Patient], turns: int) -> dict[str, Any]:
    """Return the time of a prediction beside the peer's, in turns on the same threads."""
    peer = CascadePeer().eval()
    batch = torch.zeros(1, CHANNELS, SIZE, SIZE, SIZE)
    ours: list[float] = []
    theirs: list[float] = []
    predictor.predict(patients[0])
    for turn in range(turns):
        with torch.inference_mode():
            begun = time.perf_counter()
            peer(batch)
            theirs.append(time.perf_counter() - begun)
        part = []
        for patient in patients[turn % 4 :: 4]:
            begun = time.perf_counter()
            predictor.predict(patient)
            part.append(time.perf_counter() - begun)
        ours.append(statistics.mean(part))
    return {
        "ours_median_s": round(statistics.median(ours), 3),
        "ours_least_s": round(min(ours), 3),
        "peer_median_s": round(statistics.median(theirs), 3),
        "peer_least_s": round(min(theirs), 3),
        "ratio_of_medians": round(statistics.median(theirs) / statistics.median(ours), 1),
        "goal": SPEED_GOAL,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "turns": turns,
    }


def measure(
    data: Path, weights: Path, turns: int, threads: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Return scores on the validation patients, coverage of the intervals, and the speed table.

    Every call is a look at the validation patients and is counted in the card.
    """
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    predictor = DosePredictor.load(weights)
    scores, patients, seconds = score_folder(predictor, data / "validation", tell)
    document = summary(scores, patients)
    document["seconds"] = {
        "median": round(statistics.median(seconds), 3),
        "most": round(max(seconds), 3),
    }
    calibration = Calibration.load()
    if calibration.weights_digest == "sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest():
        document["coverage"] = coverage(scores, calibration)
    if turns:
        document["speed"] = speed(predictor, patients, turns)
    return document


def main() -> None:
    """Print the document of scores and speed as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--speed", type=int, default=3, help="turns of the speed table; 0: none")
    arguments = parser.parse_args()
    weights = arguments.weights or weight_paths("dose")[0]
    document = measure(arguments.data, weights, arguments.speed, arguments.threads, tell_stderr)
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


def data_folder() -> Path:
    """Return where OpenKBP lies by default."""
    return Path(os.environ.get("OSTEON_TEST_DATA", "../shared/data")) / "openkbp"


def tell_stderr(line: str) -> None:
    """Write a line of progress."""
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main()
