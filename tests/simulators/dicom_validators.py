"""Validators and readers that we did not write: dciodvfy, dcmtk, plastimatch.

Each call skips the test by name where the program is missing.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from plugins.host.images import Geometry


def program(name: str) -> str:
    """Return the program's path, or skip the test."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def dcmtk(name: str) -> str:
    """Return the path of dcmtk's program: pynetdicom brings some of the same name."""
    found = shutil.which(name, path="/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip(f"dcmtk ({name}) is not installed")
    return found


def dciodvfy_errors(path: Path) -> list[str]:
    """Return the error lines of dciodvfy (dicom3tools) on one object.

    It aborts at pixels of 32 bits before it says anything; what it checks then is a copy with
    the upper 16 bits of them. Any other end before its verdict is an error.
    """
    code, lines = _dciodvfy(path.read_bytes())
    if code < 0:
        code, lines = _dciodvfy(_narrowed(path))
    errors = [line for line in lines if line.startswith("Error")]
    return errors if code >= 0 else [*errors, f"Error - dciodvfy ended by signal {-code}"]


def _dciodvfy(content: bytes) -> tuple[int, list[str]]:
    with tempfile.NamedTemporaryFile(suffix=".dcm") as copy:
        copy.write(content)
        copy.flush()
        done = subprocess.run(
            [program("dciodvfy"), copy.name], capture_output=True, timeout=60, check=False
        )
    return done.returncode, done.stderr.decode("latin-1").splitlines()


def _narrowed(path: Path) -> bytes:
    """Return an object whose pixels of 32 bits are cut to 16; any other as it is."""
    dataset = pydicom.dcmread(path)
    if dataset.get("BitsAllocated") == 32 and "PixelData" in dataset:
        pixels = np.frombuffer(dataset.PixelData, "<u4")
        dataset.PixelData = (pixels >> 16).astype("<u2").tobytes()
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit = 15
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def plastimatch_mask(
    structures: Path, images: Path, folder: Path, name: str, geometry: Geometry
) -> NDArray[np.bool_]:
    """Return the mask that plastimatch makes of a structure set, on ``geometry``."""
    import SimpleITK

    done = subprocess.run(
        [
            *(program("plastimatch"), "convert", "--input", str(structures)),
            *("--referenced-ct", str(images), "--output-prefix", str(folder)),
        ],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode("latin-1")[-500:]
    image = SimpleITK.ReadImage(str(folder / f"{name}.mha"))
    filled = np.argwhere(SimpleITK.GetArrayFromImage(image) > 0)
    mask = np.zeros(geometry.shape, dtype=bool)
    if len(filled):
        points = np.asarray(
            [image.TransformIndexToPhysicalPoint([int(x), int(y), int(z)]) for z, y, x in filled]
        )
        mask[tuple(np.rint(geometry.to_index(points)).astype(int).T)] = True
    return mask


def dsc(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Dice similarity coefficient; 1 for two empty masks."""
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else 1.0
