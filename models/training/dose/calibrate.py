"""Calibrate the intervals of DVH points on the held-back training patients.

    python -m models.training.dose.calibrate --packs FOLDER [--weights FILE]

These patients also chose when the network stopped, so their errors are a little small; the coverage
on the validation patients is measured by `validation/benchmarks/dose.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import numba
import torch

from models.dose.predict import DosePredictor
from models.dose.uncertainty import FILE, Point, calibrate, dvh_points
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


def main() -> None:
    """Write ``models/dose/calibration.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--output", type=Path, default=FILE)
    arguments = parser.parse_args()
    threads = os.cpu_count() or 1
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    weights = arguments.weights or weight_paths("dose")[0]
    _, held_back = split([path.stem for path in arguments.packs.glob("*.npz")])
    paths = [arguments.packs / f"{name}.npz" for name in held_back]
    digest = "sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest()
    errors = errors_of(DosePredictor.load(weights), paths)
    calibrate(errors, ALPHA, digest).save(arguments.output)


if __name__ == "__main__":
    main()
