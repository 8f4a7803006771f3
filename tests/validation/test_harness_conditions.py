"""Sweeps of the harness: seeded, pure, and the reference standard moves with the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.host.case import Case, Subject
from plugins.host.images import Geometry, Volume
from validation.harness.cases import Evaluation
from validation.harness.conditions import SWEEPS, changed, given_after
from validation.harness.movement import cropped, resliced, rotated
from validation.harness.results import Condition
from validation.metrics.segmentation import missed_shares

AXIAL = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
PRONE = ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0))


def volume(array: np.ndarray, modality: str, axes: tuple[tuple[float, ...], ...]) -> Volume:
    """Return an array as a volume of 3 x 2 x 2 mm."""
    shape = (array.shape[0], array.shape[1], array.shape[2])
    geometry = Geometry(shape, (3.0, 2.0, 2.0), (5.0, -7.0, 11.0), axes, "1.2")  # type: ignore[arg-type]
    uids = tuple(f"1.{index}" for index in range(shape[0]))
    return Volume(array.astype(np.float32), geometry, modality, "1", "1", "1.9", "1", uids)


def evaluation(axes: tuple[tuple[float, ...], ...] = AXIAL) -> Evaluation:
    """Return a case whose CT shows its reference: 100 HU inside, -100 outside."""
    mask = np.zeros((20, 30, 34), dtype=bool)
    mask[6:15, 9:19, 12:24] = True
    ct = np.where(mask, 100.0, -100.0)
    pet = np.where(mask, 8.0, 1.0)
    images = {"ct": volume(ct, "CT", axes), "pet": volume(pet, "PT", axes)}
    return Evaluation(Case("1.3", Subject(), images), mask)


@pytest.mark.reg("AIA-15.4")
@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_a_sweep_is_pure_and_seeded(name: str) -> None:
    """The same seed gives the same arrays, another seed others where chance is used; the input
    stays as it was."""
    item, before = evaluation(), evaluation()
    condition = Condition(name, SWEEPS[name].levels[0])
    first = changed(item, condition, "case", 7)
    again = changed(item, condition, "case", 7)
    for role, image in first.case.images.items():
        assert np.array_equal(image.array, again.case.images[role].array)
        assert image.geometry == again.case.images[role].geometry
    for role, image in item.case.images.items():
        assert np.array_equal(image.array, before.case.images[role].array)
    assert np.array_equal(item.reference, before.reference)  # type: ignore[arg-type]
    if SWEEPS[name].kind == "outside":
        assert first.reference is None


@pytest.mark.parametrize("axes", [AXIAL, PRONE])
@pytest.mark.parametrize("change", ["rotation", "crop-jitter", "slice-thickness"])
def test_the_reference_moves_with_the_image(
    change: str, axes: tuple[tuple[float, ...], ...]
) -> None:
    """After a change of geometry the mask still is where the CT is bright, whatever the axes."""
    found = changed(evaluation(axes), Condition(change, SWEEPS[change].levels[0]), "case", 3)
    bright = found.case.images["ct"].array > 0
    assert found.reference is not None
    assert found.reference.any()
    assert np.mean(bright == found.reference) > 0.995


@settings(max_examples=15, deadline=None)
@given(st.floats(-10, 10))
def test_a_turn_and_back_is_near_where_it_was(degrees: float) -> None:
    """Turning by an angle and by its negative gives the mask back up to its rim."""
    item = evaluation()
    back = rotated(rotated(item, degrees), -degrees)
    assert back.reference is not None
    assert item.reference is not None
    overlap = 2 * (back.reference & item.reference).sum()
    assert overlap / (back.reference.sum() + item.reference.sum()) > 0.9


def test_images_of_a_turn_stay_in_register() -> None:
    """CT and PET turn about one point in millimetres, also where their grids differ."""
    turned = rotated(evaluation(), 8.0)
    ct, pet = turned.case.images["ct"].array > 0, turned.case.images["pet"].array > 4.5
    assert np.mean(ct == pet) > 0.999


def test_slices_of_another_thickness_keep_the_patient_in_place() -> None:
    """The centroid in millimetres stays within a tenth of a slice, the volume within 10 %."""
    item = evaluation()
    thick = resliced(item, 5.0)
    assert thick.reference is not None
    assert item.reference is not None
    old = item.grid.to_patient(np.argwhere(item.reference).mean(axis=0))
    new = thick.grid.to_patient(np.argwhere(thick.reference).mean(axis=0))
    assert np.abs(new - old).max() < 1.5
    volumes = [
        float(e.reference.sum()) * e.grid.voxel_volume_ml()  # type: ignore[union-attr]
        for e in (item, thick)
    ]
    assert abs(volumes[1] / volumes[0] - 1) < 0.15
    assert thick.grid.spacing_mm == (5.0, 2.0, 2.0)


def test_a_crop_never_cuts_the_lesion() -> None:
    """Whatever is drawn, all of the reference is left, and its place in millimetres."""
    item = evaluation()
    assert item.reference is not None
    for seed in range(20):
        cut = cropped(item, 40.0, np.random.default_rng(seed))
        assert cut.reference is not None
        assert cut.reference.sum() == item.reference.sum()
        old = item.grid.to_patient(np.argwhere(item.reference).mean(axis=0))
        assert np.allclose(cut.grid.to_patient(np.argwhere(cut.reference).mean(axis=0)), old)


def test_missing_pet_is_told_as_what_was_given() -> None:
    """A case without its PET counts among those that got the CT alone."""
    assert given_after("ct+pet", "missing-pet") == "ct"
    assert given_after("ct+pet", "noise") == "ct+pet"
    lacking = changed(evaluation(), Condition("missing-pet", 1.0), "case", 1)
    assert set(lacking.case.images) == {"ct"}


def test_missed_shares_never_grow_with_the_margin() -> None:
    """Of a cube inside a larger one all is found at last."""
    mask = np.zeros((9, 9, 9), dtype=bool)
    reference = mask.copy()
    mask[3:5, 3:5, 3:5] = True
    reference[2:7, 2:7, 2:7] = True
    shares = list(missed_shares(mask, reference, (3.0, 1.0, 1.0)).values())
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(1 - 8 / 125)
    assert shares[-1] == 0.0
