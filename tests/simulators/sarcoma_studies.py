"""Studies of the sarcoma patients as a scanner could send them, and as another one could.

Each study is one of 25 real patients (CT and PET of `sts51`), its CT cut to a box around the
tumour, the PET to what covers it, written as DICOM under names and UIDs of its own.  A study of
the other scanner has larger pixels, a small offset and more noise
(`validation.benchmarks.drift.images`); its tags say nothing of it, so that only the image can
tell.

The network was trained on these patients: what such runs show is how the site behaves, and
nothing about accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from adapters.rt.write_phantom import PhantomStudy, encode_limb
from governance.monitoring.reference import Observation
from models.training.contouring.cases import Case, patient_ids, read_case
from tests.simulators.given_data import folder_of
from validation.benchmarks.drift.images import Image, Spacing, numbers, other_scanner
from validation.phantoms.limb import Grid, LimbParameters, LimbPhantom

SEED = 20261126
AIRLESS = (
    *("STS_001", "STS_009", "STS_013", "STS_016", "STS_022", "STS_027", "STS_029", "STS_039"),
    "STS_044",
)
"""Patients whose box holds no air: the release refuses such a CT (NOT_RESCALED)."""
BOX = (20, 52, 52)
_MOVED = 2


@dataclass(frozen=True, slots=True)
class Sent:
    """One study: UID and Part 10 files."""

    study_instance_uid: str
    files: tuple[bytes, ...]


def sarcoma_study(number: int, *, is_other: bool) -> Sent:
    """Return study ``number`` of a stream, of the usual scanner or of the other one."""
    case, image, spacing, first_mm = _images(number, is_other=is_other)
    pet, pet_first_mm = _pet(case, image.shape, spacing, first_mm)
    phantom = LimbPhantom(
        parameters=LimbParameters(seed=number),
        ct_hu=image,
        ct_grid=Grid(image.shape, spacing, first_mm),
        pet_suv=pet,
        pet_grid=Grid(pet.shape, case.pet_grid.spacing_mm, pet_first_mm),
        tumour=np.zeros(image.shape, dtype=bool),
        volume_ml=0.0,
        maximum_diameter_mm=0.0,
    )
    study = PhantomStudy(name="sarcoma", patient_id=f"SARCOMA-{number}")
    return Sent(study.uid(phantom, "study"), tuple(encode_limb(phantom, study).values()))


def observed(number: int) -> Observation:
    """Return what the CT of a study of the usual scanner measures, without a run."""
    _, image, spacing, _ = _images(number, is_other=False)
    return Observation(str(number), numbers(np.rint(image), spacing))


def _images(
    number: int, *, is_other: bool
) -> tuple[Case, Image, Spacing, tuple[float, float, float]]:
    """Return patient, CT in HU, its spacing and the LPS of its first voxel."""
    generator = np.random.default_rng([SEED, number])
    case = _patient(int(generator.integers(len(_patients()))))
    places = _box(case, generator)
    image, spacing = case.ct_hu[places], case.ct_grid.spacing_mm
    z, y, x = (
        origin + place.start * step
        for origin, place, step in zip(case.ct_grid.origin_mm, places, spacing, strict=True)
    )
    if is_other:
        image, spacing = other_scanner(image, spacing, generator)
    return case, image, spacing, (x, y, z)


def _pet(
    case: Case, shape: tuple[int, ...], spacing: Spacing, first_mm: tuple[float, float, float]
) -> tuple[Image, tuple[float, float, float]]:
    """Return the part of the PET that covers a CT, and the LPS of its first voxel."""
    places, first = [], []
    for axis in range(3):
        step, start = case.pet_grid.spacing_mm[axis], case.pet_grid.origin_mm[axis]
        low = (first_mm[2 - axis] - start) / step
        high = low + shape[axis] * spacing[axis] / step
        begin = max(int(np.floor(low)) - 1, 0)
        places.append(slice(begin, min(int(np.ceil(high)) + 1, case.pet_suv.shape[axis])))
        first.append(start + begin * step)
    return np.maximum(case.pet_suv[tuple(places)], 0), (first[2], first[1], first[0])


def _box(case: Case, generator: np.random.Generator) -> tuple[slice, ...]:
    """Return a box around the tumour, its centre moved by up to two voxels."""
    centre = np.argwhere(case.gtv).mean(axis=0).round().astype(int)
    centre += generator.integers(-_MOVED, _MOVED + 1, size=3)
    shape = np.minimum(BOX, case.ct_hu.shape)
    first = np.clip(centre - shape // 2, 0, np.array(case.ct_hu.shape) - shape)
    return tuple(slice(int(a), int(a + n)) for a, n in zip(first, shape, strict=True))


@lru_cache
def _patients() -> tuple[str, ...]:
    return tuple(one for one in patient_ids(folder_of("sts51")) if one not in AIRLESS)


@lru_cache(maxsize=34)
def _patient(index: int) -> Case:
    return read_case(folder_of("sts51"), _patients()[index])
