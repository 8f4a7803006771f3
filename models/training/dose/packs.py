"""Read the compact OpenKBP packs and keep what training needs, prepared once, on disk.

A pack holds the CT as codes with differences along the last axis, the dose as zigzag-coded
differences over the possible-dose mask, and eleven masks as bits (`shared/data/openkbp`, from
github.com/ababier/open-kbp, MIT). Read `recipe.py` next.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.dose.inputs import FIELDS, RAYS, Prepared, crop, prepare
from models.dose.patient import LEVELS, ORGANS, Patient

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

STRUCTURES = (*ORGANS, *LEVELS)
"""Bit 0 to 9 of a pack in this order; bit 10 is the possible-dose mask."""
HELD_BACK = 40
PARTS = 5


@dataclass(frozen=True, slots=True)
class TrainingCase:
    """Hold one prepared patient: channels, dose in the crop (Gy) and structures in `STRUCTURES`.

    `fields` is that of `inputs.Prepared` in one; only the voxel networks read it, so it may be
    left out.
    """

    name: str
    continuous: NDArray[np.float16]
    masks: BoolArray
    targets: BoolArray
    dose_gy: NDArray[np.float16]
    voxel_mm: tuple[float, float, float]
    fields: NDArray[np.float16]

    @property
    def prepared(self) -> Prepared:
        """Return what a prediction in the crop runs on."""
        sides = [slice(0, side) for side in self.dose_gy.shape]
        return Prepared(
            self.continuous.astype(np.float32),
            self.masks,
            (sides[0], sides[1], sides[2]),
            1.0,
            self.voxel_mm,
            (self.fields.astype(np.float32),),
        )


def read_pack(path: Path) -> tuple[Patient, FloatArray]:
    """Return the patient of a pack and the planned dose in Gy on the whole grid."""
    with np.load(path) as pack:
        bits = pack["bits"]
        allowed = (bits >> len(STRUCTURES) & 1).astype(bool)
        coded = pack["dose_low"].astype(np.int64) + (pack["dose_high"].astype(np.int64) << 8)
        steps = np.cumsum(np.where(coded & 1, -(coded + 1) // 2, coded // 2))
        dose = np.zeros(bits.shape, np.float32)
        dose[allowed] = steps * (pack["dose_step_mgy"].item() / 1000.0)
        ct = pack["ct_lut"][np.cumsum(pack["ct_delta"], axis=-1, dtype=np.uint8)]
        spacing = [float(step) for step in pack["voxel_mm"]]
    masks = {name: (bits >> bit & 1).astype(bool) for bit, name in enumerate(STRUCTURES)}
    present = {name: mask for name, mask in masks.items() if mask.any()}
    patient = Patient(
        ct.astype(np.int16),
        (spacing[0], spacing[1], spacing[2]),
        allowed,
        tuple((LEVELS[name], mask) for name, mask in present.items() if name in LEVELS),
        {name: mask for name, mask in present.items() if name in ORGANS},
    )
    return patient, dose


def split(
    names: list[str], held_back: int = HELD_BACK, seed: int = 7
) -> tuple[list[str], list[str]]:
    """Return the training patients to learn from and those held back to choose and calibrate."""
    ordered = sorted(names)
    kept = np.random.default_rng(seed).permutation(len(ordered))[
        : min(held_back, len(ordered) // 2)
    ]
    chosen = {ordered[index] for index in kept}
    return [name for name in ordered if name not in chosen], sorted(chosen)


def parts(names: list[str], seed: int = 11) -> list[list[str]]:
    """Return the training patients in five parts, of which the first is held back by `split`."""
    learnt, held_back = split(names)
    order = np.random.default_rng(seed).permutation(len(learnt))
    others = PARTS - 1
    return [held_back, *([learnt[i] for i in order[part::others]] for part in range(others))]


def keep_prepared(path: Path, folder: Path) -> None:
    """Prepare one pack and write it to `folder`, unless it is there."""
    out = folder / f"{path.stem}.npz"
    if out.exists():
        return
    patient, dose = read_pack(path)
    prepared = prepare(patient)
    targets = dict(patient.targets)
    blank = np.zeros_like(patient.possible_dose)
    levels = [crop(targets.get(gray, blank), prepared.box, False) for gray in LEVELS.values()]
    part = out.with_suffix(".part.npz")
    np.savez(
        part,
        continuous=prepared.continuous.astype(np.float16),
        masks=np.packbits(prepared.masks, axis=0),
        targets=np.packbits(np.stack(levels), axis=0),
        dose_gy=crop(dose, prepared.box, 0.0).astype(np.float16),
        voxel_mm=np.asarray(patient.voxel_mm),
        fields=np.concatenate(prepared.fields).astype(np.float16),
    )
    part.rename(out)


def prepare_all(packs: Path, folder: Path, workers: int = 1) -> list[str]:
    """Prepare every pack of a folder; return the names."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = sorted(packs.glob("*.npz"))
    work = partial(keep_prepared, folder=folder)
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(work, paths))
    else:
        for path in paths:
            work(path)
    return [path.stem for path in paths]


def load_case(folder: Path, name: str, fields: bool = False) -> TrainingCase:
    """Return a prepared patient, with what the fields give its voxels or without."""
    with np.load(folder / f"{name}.npz") as kept:
        spacing = [float(step) for step in kept["voxel_mm"]]
        return TrainingCase(
            name,
            kept["continuous"],
            np.unpackbits(kept["masks"], axis=0, count=1 + len(ORGANS)).astype(bool),
            np.unpackbits(kept["targets"], axis=0, count=len(LEVELS)).astype(bool),
            kept["dose_gy"],
            (spacing[0], spacing[1], spacing[2]),
            kept["fields"] if fields else np.empty((len(FIELDS) + len(RAYS), 0), np.float16),
        )
