"""Calibrate the intervals of DVH points on the held-back training patients.

    python -m models.training.dose.calibrate --packs FOLDER [--weights FILE] [--constants]
                                             [--stands-for FILE]

`--constants` prints first what `sharpen.SHIFTS_GY` and `uncertainty.ERROR_GY` should be for these
weights; they are written there by hand, and the intervals are calibrated after it. Where the
stored networks have learnt from the held-back patients too, intervals are made with networks of the
same kind that have not (`--weights`), and named by the stored ones (`--stands-for`).

These patients also chose when the network stopped, so their errors are a little small; the coverage
on the validation patients is measured by `validation/benchmarks/dose.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path

import numba
import numpy as np
import torch

from models.dose.inputs import crop, prepare, uncrop
from models.dose.patient import LEVELS, TOP_GY
from models.dose.predict import DosePredictor
from models.dose.uncertainty import (
    FILE,
    TARGET_PERCENT,
    Point,
    calibrate,
    dvh_points,
    error_terms,
)
from models.training.dose.packs import read_pack, split
from models.weights.store import weight_paths

ALPHA = 0.1


def errors_of(predictor: DosePredictor, paths: list[Path]) -> dict[Point, list[float]]:
    """Return the absolute error of every DVH point of every pack, by point."""
    errors: dict[Point, list[float]] = {}
    for path in paths:
        patient, planned = read_pack(path)
        found = dvh_points(predictor.predict(patient), patient)
        for point, value in dvh_points(planned, patient).items():
            errors.setdefault(point, []).append(abs(found[point] - value))
    return errors


def constants_of(
    predictor: DosePredictor, paths: list[Path]
) -> tuple[dict[str, tuple[float, ...]], list[float]]:
    """Return the median of what D99%, D95% and D1% of each target are off before it is sharpened,
    and the least squares of a voxel's absolute error by `uncertainty.error_terms` (Gy)."""
    off: dict[Point, list[float]] = {}
    squares, products = np.zeros((4, 4)), np.zeros(4)
    for path in paths:
        patient, planned = read_pack(path)
        prepared = prepare(patient)
        dose, apart = predictor.mean_of(prepared)
        whole = uncrop(dose * np.float32(TOP_GY), prepared.box, planned.shape)
        found = dvh_points(whole, patient)
        for point, value in dvh_points(planned, patient).items():
            off.setdefault(point, []).append(value - found[point])
        allowed = prepared.masks[0]
        terms = np.stack([t[allowed] for t in error_terms(dose, apart, prepared)]).astype(float)
        error = np.abs(crop(planned, prepared.box, 0.0) - TOP_GY * dose)[allowed]
        squares += terms @ terms.T / error.size
        products += terms @ error / error.size
    medians = {
        name: tuple(
            round(float(np.median(off[name, point])), 1) if (name, point) in off else 0.0
            for point in TARGET_PERCENT
        )
        for name in LEVELS
    }
    return medians, [round(float(value), 2) for value in np.linalg.solve(squares, products)]


def main() -> None:
    """Write ``models/dose/calibration.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--stands-for", type=Path, help="weights that the intervals are used with")
    parser.add_argument("--output", type=Path, default=FILE)
    parser.add_argument("--constants", action="store_true", help="print them, write nothing")
    arguments = parser.parse_args()
    threads = os.cpu_count() or 1
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    weights = arguments.weights or weight_paths("dose")[0]
    _, held_back = split([path.stem for path in arguments.packs.glob("*.npz")])
    paths = [arguments.packs / f"{name}.npz" for name in held_back]
    named = arguments.stands_for or weights
    digest = "sha256:" + hashlib.sha256(named.read_bytes()).hexdigest()
    if arguments.constants:
        found = constants_of(DosePredictor.load(weights), paths)
        sys.stdout.write(f"{found[0]}\n{found[1]}\n")
        return
    errors = errors_of(DosePredictor.load(weights), paths)
    calibrate(errors, ALPHA, digest).save(arguments.output)


if __name__ == "__main__":
    main()
