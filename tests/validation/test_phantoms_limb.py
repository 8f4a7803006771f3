"""The limb phantom is what its parameters say, to known tolerance."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from validation.phantoms.limb import MR_TUMOUR, LimbParameters, limb, vary


@pytest.fixture(scope="module")
def standard():
    """The standard phantom."""
    return limb()


def test_the_mask_has_the_analytic_volume(standard):
    """Voxel counting gives the ellipsoid's volume within 0.5 %."""
    voxel_ml = np.prod(standard.ct_grid.spacing_mm) / 1000.0
    assert standard.tumour.sum() * voxel_ml == pytest.approx(standard.volume_ml, rel=5e-3)
    assert 150.0 <= standard.volume_ml <= 250.0


def test_the_mask_has_the_analytic_diameter(standard):
    """The long axis of the mask is that of the ellipsoid within a slice."""
    filled = np.flatnonzero(standard.tumour.any(axis=(1, 2)))
    length = (np.ptp(filled) + 1) * standard.ct_grid.spacing_mm[0]
    assert length == pytest.approx(standard.maximum_diameter_mm, abs=3.0)


def test_the_centre_of_the_mask_is_the_stated_one(standard):
    """The centroid of the mask is the analytic centre within a tenth of a voxel."""
    z, y, x = standard.ct_grid.coordinates_mm()
    place = [
        float(np.broadcast_to(axis, standard.tumour.shape)[standard.tumour].mean())
        for axis in (x, y, z)
    ]
    tolerance = np.asarray(standard.ct_grid.spacing_mm[::-1]) / 10
    assert np.all(np.abs(np.asarray(place) - standard.parameters.centre_mm) < tolerance)


def test_tissues_have_their_numbers(standard):
    """Tumour, bone, fat and air lie where CT shows them."""
    tumour = standard.ct_hu[ndimage.binary_erosion(standard.tumour, iterations=2)]
    assert 35.0 < tumour.mean() < 55.0
    assert standard.ct_hu.max() > 800.0
    assert np.percentile(standard.ct_hu, 5) < -90.0


def test_pet_shows_the_tumour_hot(standard):
    """Uptake is 6 to 10 in viable tumour and 0.7 to 1.0 in muscle."""
    assert standard.pet_suv is not None
    hot = standard.pet_suv[standard.pet_suv > 4.0]
    assert 6.0 < np.median(hot) < 10.0
    quiet = standard.pet_suv[(standard.pet_suv > 0.5) & (standard.pet_suv < 1.3)]
    assert 0.7 < np.median(quiet) < 1.0


def test_mr_shows_fat_bright_and_the_tumour_between():
    """After contrast the tumour lies between muscle and fat; cortex and table give no signal."""
    phantom = limb(LimbParameters(has_mr=True, mr_spacing_mm=(3.0, 1.0, 1.0)))
    assert phantom.mr is not None
    assert phantom.mr_grid is not None
    z, y, x = phantom.mr_grid.coordinates_mm()
    cx, cy, cz = phantom.parameters.centre_mm
    near = np.hypot(np.hypot(x - cx, y - cy), z - cz) < 18.0
    assert MR_TUMOUR - 60.0 < np.median(phantom.mr[near]) < MR_TUMOUR + 40.0
    table = np.broadcast_to((y - cy > 94.0) & (y - cy < 102.0), phantom.mr.shape)
    if table.any():
        assert phantom.mr[table].mean() < 40.0
    bone = (np.hypot(x - cx + 48.0, y - cy + 12.0) < 13.0) & (np.abs(z - cz) < 10.0)
    assert phantom.mr[bone].min() < 120.0
    assert np.percentile(phantom.mr, 95) > 850.0


def test_fields_of_view_cover_the_margin(standard):
    """CT and PET reach about 5 cm beyond the tumour, as the training data do."""
    filled = np.argwhere(standard.tumour)
    before = filled.min(axis=0) * standard.ct_grid.spacing_mm
    after = (np.asarray(standard.tumour.shape) - 1 - filled.max(axis=0)) * np.asarray(
        standard.ct_grid.spacing_mm
    )
    assert np.all((before > 45.0) & (before < 55.0))
    assert np.all((after > 45.0) & (after < 55.0))


def test_no_mirror_leaves_the_limb_as_it_is(standard):
    """The anatomy differs from each of its mirror images, so a mirrored result is noticed."""
    for axis in range(3):
        mirrored = np.flip(standard.ct_hu, axis)
        assert np.abs(mirrored - standard.ct_hu).mean() > 20.0 or axis == 0
    foot, head = standard.ct_hu[:8].mean(), standard.ct_hu[-8:].mean()
    assert abs(foot - head) > 5.0


def test_the_other_leg_is_the_mirror_image():
    """A right leg has its bone on the other side of the tumour."""
    left = LimbParameters(seed=3)
    x, y, z = left.centre_mm
    right = replace(left, laterality="R", centre_mm=(-x, y, z))
    for parameters, side in ((left, -1), (right, 1)):
        phantom = limb(parameters)
        bone = np.argwhere(phantom.ct_hu > 600.0)[:, 2].mean()
        tumour = np.argwhere(phantom.tumour)[:, 2].mean()
        assert np.sign(bone - tumour) == side


def test_the_seed_decides_everything():
    """The same parameters give the same arrays, another seed gives others."""
    first, again, other = limb(vary(1)), limb(vary(1)), limb(vary(2))
    assert np.array_equal(first.ct_hu, again.ct_hu)
    assert first.pet_suv is not None
    assert again.pet_suv is not None
    assert np.array_equal(first.pet_suv, again.pet_suv)
    assert first.volume_ml != other.volume_ml


def test_a_patient_without_pet_has_none():
    """The phantom exists without PET."""
    phantom = limb(vary(4, has_pet=False))
    assert phantom.pet_suv is None
    assert phantom.pet_grid is None
