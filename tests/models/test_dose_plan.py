"""The simplified beams and the quick plan behind the dose network."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from models.dose.beams import dose_by_field, dose_of, fields_around, fluence_gradient, rays_to
from models.dose.box_mean import box_mean
from models.dose.eye import CROSSED, along_ray_mm, lengths_cm, maps_of
from models.dose.inputs import (
    CHANNELS,
    FIELDS,
    MASK,
    PLAN,
    RAYS,
    crop,
    levels_of,
    padded_box,
    prepare,
    sample_points,
    uncrop,
)
from models.dose.paths import PATHS, paths
from models.dose.patient import Patient, patient_from_arrays
from models.dose.plan import Objective, Points, optimise
from models.dose.predict import DosePredictor

SHAPE = (40, 44, 24)


def phantom(top_gy: float = 70.0, organs: bool = True) -> Patient:
    """Return a water cylinder with a target beside a parotid."""
    row, column, slices = np.ogrid[tuple(map(slice, SHAPE))]
    body = np.hypot(row - 20, column - 22) < 17 + 0 * slices
    target = (np.hypot(row - 20, column - 18) < 5) & (abs(slices - 12) < 5)
    parotid = (np.hypot(row - 20, column - 30) < 3) & (abs(slices - 12) < 4)
    allowed = body & (abs(slices - 12) < 8)
    ct = np.where(body, 0, -1000).astype(np.int16) * np.ones(SHAPE, np.int16)
    return Patient(
        ct,
        (4.0, 4.0, 3.0),
        allowed,
        ((top_gy, target),),
        {"RightParotid": parotid} if organs else {},
    )


def test_the_gradient_is_the_adjoint_of_the_dose() -> None:
    """<D w, g> = <w, D' g>, so that descent goes downhill."""
    generator = np.random.default_rng(3)
    patient = phantom()
    fields = fields_around(patient.ct_hu, patient.target, patient.voxel_mm)
    rays = rays_to(fields, np.argwhere(patient.possible_dose)[::7])
    fluence = generator.random((9, *fields.shape), dtype=np.float32)
    gradient = generator.random(rays.bixel.shape[1], dtype=np.float32)
    left = float(dose_of(fields, fluence, rays) @ gradient)
    right = float((fluence * fluence_gradient(fields, gradient, rays)).sum())
    assert left == pytest.approx(right, rel=1e-4)


def test_the_fields_together_give_the_dose() -> None:
    """What each field gives sums to the dose of all, and a closed field gives nothing."""
    patient = phantom()
    fields = fields_around(patient.ct_hu, patient.target, patient.voxel_mm)
    rays = rays_to(fields, np.argwhere(patient.possible_dose)[::5])
    fluence = np.random.default_rng(4).random((9, *fields.shape), dtype=np.float32)
    fluence[3] = 0
    found = dose_by_field(fields, fluence, rays)
    assert np.allclose(found.sum(axis=0), dose_of(fields, fluence, rays), rtol=1e-5)
    assert np.all(found[3] == 0)
    prepared = prepare(patient)
    fields = np.concatenate(prepared.fields)
    assert fields.shape == (len(FIELDS + RAYS), int(patient.possible_dose.sum()))
    plan = prepared.continuous[PLAN][prepared.masks[0]]
    assert np.allclose(fields[:9].sum(axis=0), plan, atol=1e-5)


@pytest.mark.parametrize("widths", [3, 9, (31, 31, 21)])
def test_means_over_boxes_are_those_of_scipy(widths: int | tuple[int, int, int]) -> None:
    """Running sums give the same means, also where the box is larger than the grid."""
    values = np.random.default_rng(6).random((19, 12, 16), dtype=np.float32)
    expected = uniform_filter(values, widths)
    assert np.allclose(box_mean(values, widths), expected, atol=1e-5)
    with pytest.raises(ValueError, match="odd"):
        box_mean(values, 4)


def test_depth_is_that_of_water() -> None:
    """On the axis of a water cylinder each of the nine fields has gone through its radius."""
    patient = phantom()
    middle = np.zeros(SHAPE, bool)
    middle[20, 22, 12] = True
    fields = fields_around(patient.ct_hu, middle, patient.voxel_mm)
    place = fields.depths.shape[2] // 2
    assert np.allclose(fields.depths[:, 12, place, place], 68.0, atol=4.0)


def test_rays_that_nobody_reads_change_nothing() -> None:
    """Depths worked out only for the rays to the mask give the same beams there."""
    patient = phantom()
    places = np.argwhere(patient.possible_dose)
    every = rays_to(fields_around(patient.ct_hu, patient.target, patient.voxel_mm), places)
    fields = fields_around(patient.ct_hu, patient.target, patient.voxel_mm, patient.possible_dose)
    found = rays_to(fields, places)
    assert np.array_equal(found.bixel, every.bixel)
    assert np.allclose(found.primary, every.primary, rtol=1e-5)
    assert np.allclose(found.scatter, every.scatter, rtol=1e-5)
    assert np.all(fields.depths[:, 0] == 0)
    assert fields.depths[:, 12].max() > 100


def test_a_dose_that_the_beams_can_give_is_found_again() -> None:
    """Projecting a deliverable dose onto the beams gives it back within two percent."""
    patient = phantom()
    fields = fields_around(patient.ct_hu, patient.target, patient.voxel_mm)
    rays = rays_to(fields, np.argwhere(patient.possible_dose)[::3])
    fluence = np.random.default_rng(5).random((9, *fields.shape), dtype=np.float32)
    dose = dose_of(fields, fluence, rays)
    ones = np.ones_like(dose)
    found = optimise(fields, rays, Objective(dose, ones, ones, 0 * ones), dose > 0, 150)
    error = np.abs(dose_of(fields, found, rays) - dose).mean()
    assert error < 0.02 * dose.mean()


def test_the_plan_covers_the_target_and_falls_off() -> None:
    """The target gets its prescription, the far parotid much less, both follow the level."""
    for top in (70.0, 50.0):
        patient = phantom(top)
        prepared = prepare(patient)
        dose = uncrop(prepared.continuous[PLAN], prepared.box, SHAPE) * 70 * prepared.scale
        assert dose[patient.target].mean() == pytest.approx(top * 1.03, rel=0.04)
        assert dose[patient.organs["RightParotid"]].mean() < 0.6 * top
        assert np.all(dose[~patient.possible_dose] == 0)


def test_more_weight_on_organs_spares_them() -> None:
    """The second plan gives the parotid less than the first."""
    patient = phantom()
    prepared = prepare(patient)
    inside = prepared.masks[CHANNELS.index("RightParotid") - MASK]
    plan, sparing = prepared.continuous[PLAN], prepared.continuous[PLAN + 1]
    assert sparing[inside].mean() < plan[inside].mean() - 0.01


def test_channels_stand_on_a_box_of_sixteenths() -> None:
    """Channels and masks share a box of sides in multiples of 16 that holds the whole mask."""
    patient = phantom(organs=False)
    prepared = prepare(patient)
    assert prepared.continuous.shape[0] + prepared.masks.shape[0] == len(CHANNELS)
    assert all(size % 16 == 0 for size in prepared.masks.shape[1:])
    assert np.array_equal(
        uncrop(prepared.masks[0].astype(np.float32), prepared.box, SHAPE) > 0,
        patient.possible_dose,
    )


def test_crop_and_uncrop_are_inverse_beyond_the_edge() -> None:
    """A box that reaches over the array gives its part back to its place."""
    mask = np.zeros((20, 8, 40), bool)
    mask[3:20, 2:7, 30:40] = True
    box = padded_box(mask)
    values = np.random.default_rng(0).random(mask.shape, dtype=np.float32) * mask
    assert np.array_equal(uncrop(crop(values, box, 0.0), box, mask.shape), values)


def test_plain_arrays_become_a_patient() -> None:
    """Names are OpenKBP's; an empty structure counts as missing, a missing array is named."""
    source = phantom()
    arrays = {
        "ct": source.ct_hu,
        "voxel_mm": np.asarray(source.voxel_mm),
        "possible_dose_mask": source.possible_dose,
        "PTV63": source.target,
        "LeftParotid": np.zeros(SHAPE, bool),
    }
    patient = patient_from_arrays(arrays)
    assert patient.top_gy == 63.0
    assert not patient.organs
    del arrays["ct"]
    with pytest.raises(ValueError, match="named ct"):
        patient_from_arrays(arrays)


def test_a_patient_without_target_is_not_made() -> None:
    """A missing target is refused, not guessed."""
    source = phantom()
    with pytest.raises(ValueError, match="target"):
        Patient(source.ct_hu, source.voxel_mm, source.possible_dose, ())


def test_rays_tell_what_they_cross() -> None:
    """A ray along a structure's middle crosses its width; of what does not exist, nothing."""
    patient = phantom()
    places = np.argwhere(patient.possible_dose)
    fields = fields_around(patient.ct_hu, patient.target, patient.voxel_mm)
    rays = rays_to(fields, places)
    target = patient.target[patient.possible_dose]
    parts = [None] * (len(CROSSED) - 1)
    maps = maps_of(
        rays,
        [*parts, target],
        along_ray_mm(fields, places),
        (zero := np.zeros(len(places), np.float32), zero),
        float(np.prod(patient.voxel_mm)),
    )
    found = paths(rays, lengths_cm(maps))
    lengths = dict(zip(PATHS, found, strict=True))
    middle = int(np.flatnonzero((places == (20, 18, 12)).all(axis=1))[0])
    across = lengths["path_PTV70_0"][middle]
    assert across == pytest.approx(2 * 5 * 4.0 / 10, rel=0.15)
    aside = int(np.flatnonzero((places == (20, 32, 12)).all(axis=1))[0])
    assert lengths["path_PTV70_0"][aside] == 0
    assert all(not lengths[name].any() for name in PATHS if "PTV70" not in name)
    prepared = prepare(patient)
    named = dict(zip(FIELDS + RAYS, np.concatenate(prepared.fields), strict=True))
    assert named["path_RightParotid_80"].max() > 1.5
    assert not named["path_LeftParotid_80"].any()


@pytest.mark.parametrize("voxels", [1, 2])
@pytest.mark.parametrize("place", [(20, 22, 12), (20, 22, 13), (17, 19, 9), (25, 14, 14)])
@pytest.mark.parametrize("others", [(), (56.0,), (63.0, 56.0)])
def test_a_target_of_a_voxel_or_two_has_a_plan(
    voxels: int, place: tuple[int, int, int], others: tuple[float, ...]
) -> None:
    """Alone or beside others, whatever its parity: a finite dose, highest near the target."""
    patient, small = phantom(), np.zeros(SHAPE, bool)
    small[place] = True
    small[place[0], place[1], place[2] + voxels - 1] = True
    targets = [(70.0, small)]
    for step, gray in enumerate(others, 1):
        mask = np.zeros(SHAPE, bool)
        mask[place[0] - step, place[1], place[2]] = True
        targets.append((gray, mask))
    given = replace(patient, targets=tuple(targets))
    dose = DosePredictor().predict(given)
    assert np.isfinite(dose).all()
    assert dose[small].min() > 30 > dose[given.possible_dose].mean()
    assert all(np.isfinite(block).all() for block in prepare(given).fields)


def test_a_small_target_beside_a_large_one_is_planned_for() -> None:
    """Of a second target of one voxel, which the samples would pass over, that voxel is kept."""
    patient = phantom()
    allowed, large = patient.possible_dose, patient.target
    for place in ((20, 30, 12), (20, 30, 13)):
        small = np.zeros(SHAPE, bool)
        small[place] = True
        samples, points = samples_of(replace(patient, targets=((70.0, large), (56.0, small))))
        kept = points.target[(samples == place).all(axis=1)]
        assert kept.tolist() == [True]
    rows, columns, slices = np.indices(SHAPE)
    plain = allowed & ((rows + columns + slices) % 2 == 0)
    plain &= large | patient.organs["RightParotid"] | ((slices % 2 == 0) & (rows % 2 == 0))
    assert np.array_equal(samples_of(patient)[0], np.argwhere(plain))


def samples_of(patient: Patient) -> tuple[np.ndarray, Points]:
    """Return the sample points on the whole grid."""
    box = (slice(0, SHAPE[0]), slice(0, SHAPE[1]), slice(0, SHAPE[2]))
    prescription, away = levels_of(patient, box)
    return sample_points(patient.possible_dose, prescription, away, dict(patient.organs))
