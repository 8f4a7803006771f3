"""What the harness does to an input on purpose: one table of robustness sweeps.

A sweep is a pure function of an `Evaluation`, a level and a seeded generator; it changes images
and reference standard alike.  `changed` gives the same arrays for the same seed, case and
condition on every machine.  Sweeps of ``kind`` ``outside`` make an input that nobody should
answer: what is counted there is how often the release refuses or abstains.

Levels are this suite's choice; ``source`` says what they are taken from.

Read next: `movement.py`, `evaluate.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from audit.errors import RecordError
from validation.harness.cases import Evaluation
from validation.harness.movement import (
    AIR_HU,
    cropped,
    resliced,
    rotated,
    with_array,
    with_images,
)
from validation.harness.results import Condition

BASELINE = "baseline"
OTHER_BODY = "other-body"
Change = Callable[[Evaluation, float, np.random.Generator], Evaluation]


@dataclass(frozen=True, slots=True)
class Sweep:
    """One kind of change to the input.

    Parameters
    ----------
    unit : UCUM unit of the level; ``1`` for a number.
    levels : those of the full sweep; the first is the one of a short run.
    needs : role without which the change means nothing; empty where any image will do.
    moves : the change moves anatomy; it is left out where a case has structures, which would
        stay behind.
    kind : ``robustness``: the right answer is known; ``outside``: no answer is right.
    neutral : level that changes nothing; None where it is the case's own, as its slice thickness.
    """

    name: str
    unit: str
    levels: tuple[float, ...]
    source: str
    change: Change
    needs: str = "ct"
    kind: str = "robustness"
    moves: bool = False
    neutral: float | None = 0.0


def _noise(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    ct = item.case.images["ct"].array
    return with_array(item, "ct", ct + level * generator.standard_normal(ct.shape))


def _thickness(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    del generator
    return resliced(item, level)


def _in_plane(item: Evaluation, sigma_mm: float) -> list[float]:
    _frames, rows, columns = item.case.images["ct"].geometry.spacing_mm
    return [0.0, sigma_mm / rows, sigma_mm / columns]


def _smooth(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    del generator
    ct = item.case.images["ct"].array
    return with_array(item, "ct", ndimage.gaussian_filter(ct, _in_plane(item, level)))


def _sharp(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    del generator
    ct = item.case.images["ct"].array
    return with_array(
        item, "ct", ct + level * (ct - ndimage.gaussian_filter(ct, _in_plane(item, 2.0)))
    )


def _shift(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    del generator
    return with_array(item, "ct", item.case.images["ct"].array + level)


def _scale(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    """Scale attenuation: HU' = f (HU + 1000) - 1000, so that air stays air."""
    del generator
    return with_array(item, "ct", level * (item.case.images["ct"].array - AIR_HU) + AIR_HU)


def _jitter(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    return cropped(item, level, generator)


def _rotate(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    del generator
    return rotated(item, level)


def _streaks(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    """Add streaks that run out from a point in a third of the slices, falling off with distance.

    The pattern is a sum of angular waves, as photon starvation behind metal leaves it; the metal
    itself is not added: an image that holds 0.5 ml of it is refused by the envelope.
    """
    volume = item.case.images["ct"]
    frames, rows, columns = volume.array.shape
    _z, row_mm, column_mm = volume.geometry.spacing_mm
    centre = generator.uniform(0.25, 0.75, 2) * (rows, columns)
    y = (np.arange(rows)[:, None] - centre[0]) * row_mm
    x = (np.arange(columns)[None, :] - centre[1]) * column_mm
    angle, far = np.arctan2(y, x), np.hypot(x, y)
    waves = sum(np.cos(count * angle + generator.uniform(0, 2 * np.pi)) for count in (5, 9, 14))
    streak = level * np.asarray(waves) / 3.0 * np.exp(-far / 60.0)
    first = int(generator.integers(0, max(1, frames - frames // 3)))
    array = volume.array.copy()
    array[first : first + max(1, frames // 3)] += streak.astype(np.float32)
    return with_array(item, "ct", array)


def _repeated_slices(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    """Show the same slice ``level`` times more, as after a table stop; the reference stays."""
    array = item.case.images["ct"].array.copy()
    count = int(level)
    first = int(generator.integers(1, max(2, array.shape[0] - count)))
    array[first : first + count] = array[first - 1]
    return with_array(item, "ct", array)


def _no_pet(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    del level, generator
    images = {role: volume for role, volume in item.case.images.items() if role != "pet"}
    return replace(item, case=replace(item.case, images=images))


def _pet_shift(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    """Move the PET against the CT in a random direction of the axial plane."""
    angle = float(generator.uniform(0, 2 * np.pi))
    pet = item.case.images["pet"]
    x, y, z = pet.geometry.origin_mm
    origin = (x + level * float(np.cos(angle)), y + level * float(np.sin(angle)), z)
    return with_images(item, pet=replace(pet, geometry=replace(pet.geometry, origin_mm=origin)))


def _only_noise(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    """Replace every image by noise of the same mean and spread."""
    del level
    for role, volume in item.case.images.items():
        mean, spread = float(volume.array.mean()), float(volume.array.std())
        item = with_array(item, role, generator.normal(mean, spread, volume.array.shape))
    return replace(item, reference=None, planned=None)


def _stored_values(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    """Give stored values in place of HU: the rescale intercept of -1024 was not applied."""
    del generator
    shifted = with_array(item, "ct", item.case.images["ct"].array + level)
    return replace(shifted, reference=None, planned=None)


def _other_body(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    """Say that the image shows a head, or a foot where it shows the head, and change nothing."""
    del level, generator
    part = "FOOT" if (item.case.body_part or "").startswith(("HEAD", "NECK")) else "HEAD"
    return replace(item, case=replace(item.case, body_part=part), reference=None, planned=None)


def _empty(item: Evaluation, level: float, generator: np.random.Generator) -> Evaluation:
    """Leave the room without a patient: air, and a scanner's noise."""
    del level
    for role, volume in item.case.images.items():
        air = AIR_HU if volume.modality == "CT" else 0.0
        spread = 12.0 if volume.modality == "CT" else 0.01
        item = with_array(item, role, generator.normal(air, spread, volume.array.shape))
    return replace(item, reference=None, planned=None)


_QA = "AAPM TG-66: water within 5 HU; four times that, and 5 % of attenuation"
_DOSE = "noise goes as dose^-1/2 (Kalender 2011): a planning CT has 10 to 15 HU"
_CROPS = "training/contouring/evaluate.py"
_OBLIQUE = "envelope: up to 10 degrees oblique"
SWEEPS: Mapping[str, Sweep] = {
    item.name: item
    for item in (
        Sweep("noise", "[hnsf'U]", (20.0, 40.0), _DOSE, _noise),
        Sweep(
            "slice-thickness",
            "mm",
            (5.0, 6.0),
            "envelope: up to 6 mm",
            _thickness,
            moves=True,
            neutral=None,
        ),
        Sweep("kernel-smooth", "mm", (1.5, 3.0), "sigma of soft-tissue kernels", _smooth),
        Sweep("kernel-sharp", "1", (0.5, 1.0), "gain of unsharp masking at 2 mm", _sharp),
        Sweep("intensity-shift", "[hnsf'U]", (20.0, -20.0), _QA, _shift),
        Sweep("intensity-scale", "1", (1.05, 0.95), _QA, _scale, neutral=1.0),
        Sweep(
            "crop-jitter",
            "mm",
            (40.0, 20.0),
            "training/contouring/evaluate.py",
            _jitter,
            needs="",
            moves=True,
        ),
        Sweep(
            "rotation",
            "deg",
            (5.0, -10.0),
            "envelope: up to 10 degrees oblique",
            _rotate,
            needs="",
            moves=True,
        ),
        Sweep("streaks", "[hnsf'U]", (150.0, 300.0), "streaks beside metal, choice", _streaks),
        Sweep("repeated-slices", "1", (2.0, 4.0), "table stop, choice", _repeated_slices),
        Sweep("missing-pet", "1", (1.0,), "issue: missing PET", _no_pet, "pet"),
        Sweep("pet-shift", "mm", (5.0, 10.0), "one and two PET voxels", _pet_shift, "pet"),
        Sweep("only-noise", "1", (1.0,), "no anatomy", _only_noise, "", kind="outside"),
        Sweep("stored-values", "[hnsf'U]", (1024.0,), "C.11.1.1.2", _stored_values, kind="outside"),
        Sweep(OTHER_BODY, "1", (1.0,), "intended purpose", _other_body, "", kind="outside"),
        Sweep("empty", "1", (1.0,), "no patient", _empty, "", kind="outside"),
    )
}
"""Every sweep by its name."""


def changed(evaluation: Evaluation, condition: Condition, case_id: str, seed: int) -> Evaluation:
    """Return the evaluation under a condition; the same for the same seed, always.

    Raises
    ------
    RecordError : no sweep has the condition's name.
    """
    if condition.name == BASELINE:
        return evaluation
    if condition.name not in SWEEPS:
        raise RecordError(f"expected a sweep of the harness, found {condition.name[:40]!r}")
    generator = generator_of(seed, case_id, condition.name, condition.level)
    return SWEEPS[condition.name].change(evaluation, condition.level, generator)


def generator_of(seed: int, *parts: str | float) -> np.random.Generator:
    """Return the generator of a case and purpose: no other draws from the same stream."""
    text = "\x00".join(str(part) for part in (seed, *parts))
    words = np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint32)
    return np.random.default_rng(words.tolist())


def given_after(given: str, condition_name: str) -> str:
    """Return the roles that a release gets under a condition, of those that it was to get."""
    roles = [role for role in given.split("+") if role]
    if condition_name == "missing-pet":
        roles = [role for role in roles if role != "pet"]
    return "+".join(sorted(roles))
