"""`osteon predict-dose`: the dose of patients given as plain arrays, without a site.

The arrays are named as in OpenKBP (`models/dose/patient.py`). Nothing is recorded; research use.
"""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.terminal import JsonOption, echo_json
from audit.errors import ConfigurationError, InputError, StorageError

if TYPE_CHECKING:
    from models.dose.predict import DosePredictor

ROLE = "dose"


def predict_dose(
    npz: Annotated[
        Path,
        typer.Option(
            help="One patient's arrays (ct, voxel_mm, possible_dose_mask, one boolean array for "
            "each structure), or a folder of such files."
        ),
    ],
    output: Annotated[Path, typer.Option(help="The dose in Gy (.npy), or a folder for a folder.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights to use; else those of this suite.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = os.cpu_count() or 1,
    as_json: JsonOption = False,
) -> None:
    """Predict the dose of one patient or of a folder of patients; research use, not for treatment.

    The dose is float32 in Gy, on the axes of the CT, and zero outside the possible-dose mask.
    """
    pairs = _pairs(npz, output)
    predictor = _predictor(weights, threads)
    lines = []
    for source, target in pairs:
        begun = time.perf_counter()
        _predict_one(predictor, source, target)
        lines.append({"output": str(target), "seconds": round(time.perf_counter() - begun, 3)})
        if not as_json:
            typer.echo(f"{target}  {lines[-1]['seconds']} s")
    if as_json:
        echo_json(lines)


def _pairs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Return each input file and where its dose goes."""
    if source.is_dir():
        files = sorted(source.glob("*.npz"))
        if not files:
            raise InputError(f"expected .npz files in the folder {source.name}, found none")
        if target.exists() and not target.is_dir():
            raise ConfigurationError("expected a folder as output of a folder, found a file")
        target.mkdir(parents=True, exist_ok=True)
        return [(path, target / f"{path.stem}.npy") for path in files]
    if not source.is_file():
        raise InputError(f"expected a file or folder at {source}, found none")
    return [(source, target / f"{source.stem}.npy" if target.is_dir() else target)]


def _predictor(weights: Path | None, threads: int) -> DosePredictor:
    import numba
    import torch

    from models.dose.predict import DosePredictor
    from models.weights.store import weight_paths

    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        return DosePredictor.load(weights or weight_paths(ROLE)[0])
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"expected weights of the dose network: {error}") from error


def _predict_one(predictor: DosePredictor, source: Path, target: Path) -> None:
    """Read one patient and write its dose; a failed write leaves no half file behind."""
    import numpy as np

    from models.dose.patient import patient_from_arrays

    try:
        with np.load(source, allow_pickle=False) as arrays:
            patient = patient_from_arrays({name: arrays[name] for name in arrays.files})
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot predict for {source.name}: {error}") from error
    dose = predictor.predict(patient)
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("wb") as stream:
            np.save(stream, dose)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"cannot write {target.name}: {error.strerror}") from error
