"""The rows of the numerics table: our side, the peer, and how far their results agree.

    osteon bench numerics      (peers by `make peers`)

Read next: `validation/benchmarks/table.py` (how they take turns), `subjects.py` (the input).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.benchmarks.environments import FOLDER
from adapters.benchmarks.peer import Peer
from adapters.benchmarks.subjects import make, near_maximum_gy, regions, volume_mm3
from adapters.benchmarks.window_subject import make_windows
from adapters.benchmarks.windows import dice, labels_of
from adapters.benchmarks.writing import (
    grid_of,
    round_trip,
    same_segments,
    write_segments,
    write_structures,
)
from audit.errors import SuiteError
from validation.benchmarks.table import Measured, Row, Spent, Turns, measure, spent

WINDOWS = "sliding windows, CT 96 × 320²"


@dataclass(frozen=True, slots=True)
class Subject:
    """One function: our work, the peer's script, and the agreement of what both found.

    Parameters
    ----------
    script : the peer's environment and the script that runs it.
    ours : does the work once on the files of the folder.
    agreement : from our result and the folder in which the peer left its own.
    """

    function: str
    peer: str
    goal: float
    script: tuple[str, str]
    ours: Callable[[Path], Any]
    agreement: Callable[[Any, Path], str]


def wanted(only: str, skip: Collection[str]) -> list[Subject]:
    """Return the rows whose function holds ``only`` and whose names hold nothing of ``skip``."""
    return [
        subject
        for subject in subjects()
        if only in subject.function
        and not any(word in f"{subject.function} {subject.peer}" for word in skip)
    ]


def numerics_table(
    rows: Collection[Subject], turns: Turns, peers: Path = FOLDER, place: Path | None = None
) -> Iterator[Measured]:
    """Yield the figures of each row when it is measured; a peer that is not there is named.

    Parameters
    ----------
    place : folder that keeps what both sides work on; one that is deleted where it is None.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = place or Path(name)
        if any(subject.function != WINDOWS for subject in rows):
            _once("files", make, folder)
        if any(subject.function == WINDOWS for subject in rows):
            _once("windows", make_windows, folder)
        for subject in rows:
            try:
                with Peer(*subject.script, folder, peers) as peer:
                    yield measure(_row(subject, peer, folder), turns)
            except SuiteError as error:
                yield Measured(subject.function, subject.peer, subject.goal, missing=str(error))


def _once(name: str, maker: Callable[[Path], None], folder: Path) -> None:
    """Make what is worked on, where it was not made before; a part of it is made anew."""
    stamp = folder / f"{name}.done"
    if not stamp.exists():
        folder.mkdir(parents=True, exist_ok=True)
        maker(folder)
        stamp.touch()


def _row(subject: Subject, peer: Peer, folder: Path) -> Row:
    found: list[Any] = [None]

    def work() -> None:
        found[0] = subject.ours(folder)

    def ours() -> Spent:
        return spent(work)

    return Row(
        subject.function,
        subject.peer,
        subject.goal,
        ours,
        peer.run,
        lambda: subject.agreement(found[0], folder),
    )


def subjects() -> tuple[Subject, ...]:
    """Return every function that is measured."""
    load, gamma = "CT load, 200 × 512²", "gamma 3D, 3 % 3 mm, 48³"
    surface = "surface metrics, two masks of 1.3 l"
    pymedphys, fast = ("pymedphys", "gamma_pymedphys"), ("pymedphys", "gamma_pymedphys_fast")
    by_samples, passing = f"{gamma}, by samples", f"{gamma}, pass or fail only"
    deepmind, histograms = ("surface", "surface_deepmind"), ("dicompyler", "dvh_dicompyler")
    rt_utils, drawn = ("rt-utils", "structures_rt_utils"), ("rt-utils", "masks_rt_utils")
    seg = ("own", "seg_highdicom")
    return (
        Subject(load, "pydicom", 12, ("own", "ct_pydicom"), _ct, _same("ct-pydicom")),
        Subject(load, "SimpleITK", 4, ("own", "ct_simpleitk"), _ct, _same("ct-simpleitk")),
        Subject(gamma, "pymedphys", 100, pymedphys, _gamma, _decisions),
        Subject(by_samples, "pymedphys", 100, pymedphys, _sampled, _decisions),
        Subject(passing, "pymedphys, fast", 100, fast, _passing, _decisions),
        Subject(
            f"{passing}, by samples", "pymedphys, fast", 100, fast, _sampled_passing, _decisions
        ),
        Subject(
            surface, "MONAI", 10, ("own", "surface_monai"), _surface, _figures("surface-monai")
        ),
        Subject(surface, "surface-distance", 10, deepmind, _surface, _figures("surface")),
        Subject("DVH, 10 ROIs, 3 mm", "dicompyler-core", 50, histograms, _dvh, _volumes),
        Subject(WINDOWS, "nnU-Net", 20, ("nnunet", "windows_nnunet"), labels_of, dice("nnunet")),
        Subject(WINDOWS, "MONAI", 1, ("own", "windows_monai"), labels_of, dice("monai")),
        Subject("RTSTRUCT to masks, 10 ROIs", "rt-utils", 20, rt_utils, _read, _masks),
        Subject("masks to RTSTRUCT, 10 ROIs", "rt-utils", 10, drawn, write_structures, round_trip),
        Subject("SEG write, 10 segments", "highdicom", 10, seg, write_segments, same_segments),
    )


def _ct(folder: Path) -> NDArray[np.float32]:
    from adapters.rt.read_series import read_series

    return read_series(sorted((folder / "ct").glob("*.dcm")), "CT")[0].array


def _same(name: str) -> Callable[[Any, Path], str]:
    def words(found: NDArray[np.float32], folder: Path) -> str:
        theirs = np.load(folder / f"{name}.npy")
        return "the same array" if np.array_equal(found, theirs) else "arrays DIFFER"

    return words


def _gamma(folder: Path) -> NDArray[np.float64]:
    return _gamma_of(folder)


def _sampled(folder: Path) -> NDArray[np.float64]:
    return _gamma_of(folder, samples=10)


def _passing(folder: Path) -> NDArray[np.float64]:
    return _gamma_of(folder, passing_only=True, max_gamma=1.1)


def _sampled_passing(folder: Path) -> NDArray[np.float64]:
    return _gamma_of(folder, samples=10, passing_only=True, max_gamma=1.1)


def _gamma_of(folder: Path, **criteria: Any) -> NDArray[np.float64]:
    from models.physics.gamma import GammaCriteria, gamma_index, same_grid

    reference, evaluated, spacing = _held(folder, "doses", "reference", "evaluated")
    return gamma_index(reference, evaluated, same_grid(spacing), GammaCriteria(3, 3, **criteria))


def _decisions(found: NDArray[np.float64], folder: Path) -> str:
    theirs = np.load(folder / "gamma.npy")
    judged = ~np.isnan(theirs)
    differ = 100 * np.mean((theirs[judged] <= 1) != (found[judged] <= 1))
    rates = [100 * np.mean(side[judged] <= 1) for side in (found, theirs)]
    return (
        f"{differ:.3f} % of {judged.sum()} decisions differ; pass {rates[0]:.3f}, {rates[1]:.3f} %"
    )


def _surface(folder: Path) -> tuple[float, ...]:
    from models.physics.agreement import assd_mm, hausdorff_mm, nsd, surface_distances

    first, second, spacing = _held(folder, "masks", "first", "second")
    found = surface_distances(first, second, spacing)
    return nsd(found, 3.0), hausdorff_mm(found), assd_mm(found)


_LOADED: dict[tuple[Path, str], Any] = {}


def _held(folder: Path, name: str, first: str, second: str) -> Any:
    """Return two arrays and their spacing, read once: the peers hold theirs in memory too."""
    if (folder, name) not in _LOADED:
        given = np.load(folder / f"{name}.npz")
        spacing = tuple(float(step) for step in given["spacing"])
        _LOADED[folder, name] = (given[first], given[second], spacing)
    return _LOADED[folder, name]


def _figures(name: str) -> Callable[[Any, Path], str]:
    def words(found: tuple[float, ...], folder: Path) -> str:
        theirs = np.load(folder / f"{name}.npy")
        return (
            f"NSD {found[0]:.4f}, {theirs[0]:.4f}; HD95 {found[1]:.2f}, {theirs[1]:.2f} mm; "
            f"ASSD {found[2]:.3f}, {np.mean(theirs[2:]):.3f} mm"
        )

    return words


def _dvh(folder: Path) -> list[tuple[float, float]]:
    from adapters.rt.dosimetry import region_histograms
    from adapters.rt.read_dose import read_dose
    from adapters.rt.read_structures import read_structures

    structures, dose = read_structures(folder / "RS.dcm")[0], read_dose(folder / "RD.dcm")[0]
    found = region_histograms(structures.rois, dose).values()
    return [(item.total_mm3, item.dose_at_volume_gy(100.0)) for item in found]


def _volumes(found: list[tuple[float, float]], folder: Path) -> str:
    exact = [volume_mm3(parts) for parts in regions()]
    near = [near_maximum_gy(parts) for parts in regions()]
    theirs = np.load(folder / "dvh.npy")
    words = []
    for volumes, doses in (zip(*found, strict=True), (theirs[:, 1], theirs[:, 3])):
        volume = max(abs(100 * (v / true - 1)) for v, true in zip(volumes, exact, strict=True))
        dose = max(abs(d - true) for d, true in zip(doses, near, strict=True) if true)
        words.append(f"{volume:.2f} % and {dose:.3f} Gy")
    return f"error of volume and D0.1cc at most {words[0]} (theirs {words[1]})"


def _read(folder: Path) -> list[NDArray[np.bool_]]:
    from adapters.rt.raster import mask_from_contours
    from adapters.rt.read_series import read_headers
    from adapters.rt.read_structures import read_structures

    structures = read_structures(folder / "RS.dcm")[0]
    geometry = grid_of(read_headers(sorted((folder / "ct").glob("*.dcm"))))
    return [mask_from_contours(roi.contours, geometry) for roi in structures.rois]


def _masks(found: list[NDArray[np.bool_]], folder: Path) -> str:
    exact = np.load(folder / "rois.npy", mmap_mode="r")
    theirs = np.load(folder / "read-peer.npy", mmap_mode="r")
    wrong = [int(np.count_nonzero(mask != true)) for mask, true in zip(found, exact, strict=True)]
    peer = [int(np.count_nonzero(mask != true)) for mask, true in zip(theirs, exact, strict=True)]
    total = int(np.count_nonzero(exact))
    return f"{sum(wrong)} of {total} voxels differ from the analytic shapes (theirs {sum(peer)})"
