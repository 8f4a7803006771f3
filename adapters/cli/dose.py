"""`osteon predict-dose`: the dose of patients given as plain arrays, without a site.

The arrays are named as in OpenKBP (`models/dose/patient.py`).  A file that cannot be used, or a
patient outside of what was trained (`models/dose/envelope.py`), is told and passed over; the others
get their dose. Nothing is recorded; research use.
"""

from __future__ import annotations

import os
import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.terminal import FAILED, REFUSED, JsonOption, echo_json, report_error
from audit.errors import ConfigurationError, InputError, RefusalError, StorageError, SuiteError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.dose.envelope import Departure
    from models.dose.patient import Patient
    from models.dose.predict import DosePredictor

ROLE = "dose"
ASSUMED = "nine fields assumed"
WARNED = ("NO_ORGANS",)
"""Departures that are told and do not refuse here, where any organ may be missing: on 20 held-back
patients the dose error was 4.8 Gy without any organ and 2.9 Gy with them."""
UNREADABLE = (
    ValueError, TypeError, AttributeError, OSError, EOFError, RuntimeError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
"""What numpy raises on a file that is no archive of arrays, or a broken or locked one."""
UNANSWERABLE = (ValueError, LookupError, ArithmeticError, MemoryError, RuntimeError)
"""What the prediction raises on arrays of sizes and spacings that it cannot work with."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one patient's file came to: seconds where a dose was written, else why it was not."""

    source: Path
    target: Path
    seconds: float = 0.0
    departures: tuple[Departure, ...] = ()
    error: SuiteError | None = None
    beams_given: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the line of a JSON document."""
        found: dict[str, Any] = {"input": self.source.name}
        if self.error is None:
            found |= {"output": str(self.target), "seconds": round(self.seconds, 3)}
            found["beams"] = "given" if self.beams_given else ASSUMED
        else:
            found |= {"error": self.error.code, "message": str(self.error)}
        if self.departures:
            found["outside"] = [
                {"code": item.code, "expected": item.expected, "found": item.found}
                for item in self.departures
            ]
        return found


def predict_dose(
    npz: Annotated[
        Path,
        typer.Option(
            help="One patient's arrays (ct, voxel_mm, possible_dose_mask, one boolean array for "
            "each structure; gantry_degrees and isocentre_voxel where known), or a folder of such."
        ),
    ],
    output: Annotated[Path, typer.Option(help="The dose in Gy (.npy), or a folder for a folder.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights to use; else those of this suite.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = os.cpu_count() or 1,
    outside_envelope: Annotated[
        bool,
        typer.Option(
            "--outside-envelope",
            help="Write the dose also for a patient outside of what was trained, and warn.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Predict the dose of one patient or of a folder of patients; research use, not for treatment.

    The dose is float32 in Gy, on the axes of the CT, and zero outside the possible-dose mask.
    A patient outside of what was trained is refused (exit code 3), a file that cannot be used is an
    error (exit code 1); the other patients of the folder get their dose all the same.
    """
    pairs = _pairs(npz, output)
    predictor = _predictor(weights, threads)
    told = []
    for source, target in pairs:
        told.append(_answered(predictor, source, target, anyway=outside_envelope))
        _say(told[-1], quiet=as_json)
    if as_json:
        echo_json([item.as_json() for item in told])
    if code := _exit_code(told):
        raise typer.Exit(code)


def _say(told: Told, *, quiet: bool) -> None:
    """Tell what a file came to: doses on the output, warnings and errors on the error stream."""
    if told.error is not None:
        report_error(told.error)
        return
    for departure in told.departures:
        typer.echo(f"warning: {told.source.name} lies outside: {departure}", err=True)
    if not quiet:
        beams = "beams as given" if told.beams_given else ASSUMED
        typer.echo(f"{told.target}  {told.seconds:.3f} s  {beams}")


def _exit_code(told: Sequence[Told]) -> int:
    """Return 1 where a file could not be used or written, 3 where patients were refused only."""
    errors = [item.error for item in told if item.error is not None]
    if not errors:
        return 0
    return REFUSED if all(isinstance(error, RefusalError) for error in errors) else FAILED


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


def _answered(predictor: DosePredictor, source: Path, target: Path, *, anyway: bool) -> Told:
    """Return what one patient's file came to, its dose written where it has one."""
    from models.dose.envelope import departures

    begun = time.perf_counter()
    found: tuple[Departure, ...] = ()
    try:
        patient = _read(source)
        found = departures(patient)
        grave = tuple(item for item in found if item.code not in WARNED)
        if grave and not anyway:
            raise _refusal(source, grave)
        _write(_predicted(predictor, patient, source), target)
    except (InputError, RefusalError, StorageError) as error:
        return Told(source, target, departures=found, error=error)
    seconds = time.perf_counter() - begun
    return Told(source, target, seconds, found, beams_given=patient.beams is not None)


def _refusal(source: Path, found: Sequence[Departure]) -> RefusalError:
    told = "; ".join(str(item) for item in found)
    return RefusalError(
        f"{source.name} lies outside of what was trained: {told}",
        reasons=tuple(item.code for item in found),
        advice="Plan by hand; --outside-envelope writes the dose all the same, for research.",
    )


def _read(source: Path) -> Patient:
    import numpy as np

    from models.dose.patient import patient_from_arrays

    try:
        with np.load(source, allow_pickle=False) as arrays:
            return patient_from_arrays({name: arrays[name] for name in arrays.files})
    except UNREADABLE as error:
        raise InputError(f"cannot predict for {source.name}: {error}") from error


def _predicted(predictor: DosePredictor, patient: Patient, source: Path) -> NDArray[np.float32]:
    """Return the dose; arrays that cannot be worked with are that patient's error alone."""
    import numpy as np

    try:
        dose = predictor.predict(patient)
    except UNANSWERABLE as error:
        told = str(error) or type(error).__name__
        raise InputError(f"cannot predict for {source.name}: {told}") from error
    if not np.isfinite(dose).all():
        raise InputError(f"cannot predict for {source.name}: the dose has voxels without a number")
    return dose


def _write(dose: NDArray[np.float32], target: Path) -> None:
    """Write a dose, its folder made where missing; a failed write leaves no half file behind."""
    import numpy as np

    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            np.save(stream, dose)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"cannot write {target.name}: {error.strerror}") from error
