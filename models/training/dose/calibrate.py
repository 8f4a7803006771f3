"""Calibrate the intervals of DVH points on the held-back training patients.

    python -m models.training.dose.calibrate --packs FOLDER [--weights FILE] [--stands-for FILE]
    python -m models.training.dose.calibrate --packs FOLDER --constants FILE FILE FILE FILE FILE

`--constants` prints first what `sharpen.SHIFTS_GY`, `sharpen.TRUST` and `uncertainty.ERROR_GY`
should be, by the errors in all five parts of the training patients (`packs.parts`) of networks that
had not seen the part, in this order; they are written there by hand, and the intervals are
calibrated after it. Where the stored networks have learnt from the held-back patients too,
intervals are made with networks of the same kind that have not (`--weights`), and named by the
stored ones (`--stands-for`).

These patients also chose when the network stopped, so their errors are a little small; the coverage
on the validation patients is measured by `validation/benchmarks/dose.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numba
import numpy as np
import torch

from models.dose.inputs import crop, prepare
from models.dose.patient import LEVELS, TOP_GY
from models.dose.points import TARGET_PERCENT, points_of, structures
from models.dose.predict import DosePredictor
from models.dose.uncertainty import FILE, Point, calibrate, dvh_points, error_terms
from models.training.dose.packs import PARTS, parts, read_pack, split
from models.weights.store import weight_paths

ALPHA = 0.1
TRUSTED = tuple(round(0.1 * part, 1) for part in range(11))


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
    known: Iterable[tuple[DosePredictor, Path]],
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]], list[float]]:
    """Return what `SHIFTS_GY`, `TRUST` and `ERROR_GY` should be, in this order, in Gy.

    Parameters
    ----------
    known : packs, each with a predictor that has not learnt from it.

    The first are medians of what each target's points are off, the second those parts of what
    is foretold that leave the smallest mean error, the third the least squares of a voxel's
    absolute error by `uncertainty.error_terms`.
    """
    rows: dict[Point, list[tuple[float, float, float]]] = {}
    squares, products = np.zeros((4, 4)), np.zeros(4)
    for predictor, path in known:
        patient, planned_gy = read_pack(path)
        prepared = prepare(patient)
        dose, apart = predictor.mean_of(prepared)
        planned = crop(planned_gy, prepared.box, 0.0)
        places = {n: there for n, there in structures(prepared).items() if n in LEVELS}
        voxel_mm3 = float(np.prod(patient.voxel_mm))
        own = points_of(dose * np.float32(TOP_GY), places, voxel_mm3)
        foretold = predictor.points.foretold_gy(prepared) if predictor.points else own
        for point, value in points_of(planned, places, voxel_mm3).items():
            rows.setdefault(point, []).append((value, own[point], foretold[point]))
        allowed = prepared.masks[0]
        terms = np.stack([t[allowed] for t in error_terms(dose, apart, prepared)]).astype(float)
        error = np.abs(planned - TOP_GY * dose)[allowed]
        squares += terms @ terms.T / error.size
        products += terms @ error / error.size
    shifts = {
        level: {
            point: round(float(np.median([v - o for v, o, _ in rows.get((level, point), [])])), 1)
            for point in TARGET_PERCENT
        }
        for level in LEVELS
    }
    return shifts, trust_of(rows, shifts), np.linalg.solve(squares, products).round(2).tolist()


def trust_of(
    rows: Mapping[Point, Sequence[tuple[float, float, float]]],
    shifts: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, float]]:
    """Return by target and point the part of the foretelling that leaves the smallest error."""
    found: dict[str, dict[str, float]] = {level: {} for level in shifts}
    for (level, point), values in rows.items():
        planned, own, foretold = np.asarray(values).T
        usual = own + shifts[level][point]
        errors = [np.abs(planned - usual - part * (foretold - usual)).mean() for part in TRUSTED]
        found[level][point] = TRUSTED[int(np.argmin(errors))]
    return found


def main() -> None:
    """Write ``models/dose/calibration.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--stands-for", type=Path, help="weights that the intervals are used with")
    parser.add_argument("--output", type=Path, default=FILE)
    parser.add_argument(
        "--constants",
        type=Path,
        nargs=PARTS,
        help="print them by weights of each part",
    )
    arguments = parser.parse_args()
    threads = os.cpu_count() or 1
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    names = [path.stem for path in arguments.packs.glob("*.npz")]
    if arguments.constants:
        known = [
            (predictor, arguments.packs / f"{name}.npz")
            for predictor, unseen in zip(
                map(DosePredictor.load, arguments.constants), parts(names), strict=True
            )
            for name in unseen
        ]
        sys.stdout.write("".join(f"{values}\n" for values in constants_of(known)))
        return
    weights = arguments.weights or weight_paths("dose")[0]
    paths = [arguments.packs / f"{name}.npz" for name in split(names)[1]]
    named = arguments.stands_for or weights
    digest = "sha256:" + hashlib.sha256(named.read_bytes()).hexdigest()
    errors = errors_of(DosePredictor.load(weights), paths)
    calibrate(errors, ALPHA, digest).save(arguments.output)


if __name__ == "__main__":
    main()
