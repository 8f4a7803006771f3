"""Whatever the axis order of the scanner, the same tumour gets the same contour."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from plugins.contouring.orientation import frame_of, lay
from plugins.host.case import Case
from plugins.host.findings import Segmentation
from plugins.host.images import Geometry, Volume
from tests.simulators.hand_set_contouring import (
    AXIAL,
    CENTRE_MM,
    Bench,
    grid,
    inside_tumour,
    limb_case,
)

SIGNED_PERMUTATIONS = [
    (order, flips)
    for order in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]
"""All 48 ways in which a scanner may order and run through an axis-aligned grid."""

ORDERS = [SIGNED_PERMUTATIONS[index] for index in (0, 1, 2, 4, 7, 13, 18, 27, 36, 47)]


def reordered(volume: Volume, order: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """Return the same voxels at the same places, stored in another order."""
    geometry = volume.geometry
    axes, spacing = np.asarray(geometry.axes), np.asarray(geometry.spacing_mm)
    index = np.where(flips, np.asarray(geometry.shape)[list(order)] - 1, 0)
    first = np.zeros(3)
    first[list(order)] = index
    origin = geometry.to_patient(first)
    signs = np.where(flips, -1.0, 1.0)
    turned = axes[list(order)] * signs[:, None]
    array = stored(volume.array, order, flips)
    moved = Geometry(
        (array.shape[0], array.shape[1], array.shape[2]),
        tuple(float(value) for value in spacing[list(order)]),  # type: ignore[arg-type]
        tuple(float(value) for value in origin),  # type: ignore[arg-type]
        tuple(tuple(float(value) for value in row) for row in turned),  # type: ignore[arg-type]
        geometry.frame_of_reference_uid,
    )
    return replace(volume, array=array, geometry=moved)


def stored(array: np.ndarray, order: tuple[int, ...], flips: tuple[bool, ...]) -> np.ndarray:
    """Return an array in another storage order."""
    turned = array.transpose(order)
    return np.ascontiguousarray(
        turned[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    )


def contour_of(bench: Bench, case: Case) -> Segmentation:
    """Return the one contour of a case."""
    found = bench.plugin.predict(case, {"members": "all", "mirrored": False}).findings
    assert isinstance(found[0], Segmentation)
    return found[0]


@pytest.fixture(scope="module")
def reference(bench: Bench) -> Segmentation:
    """Return the contour of the limb on its axial grid."""
    return contour_of(bench, bench.case)


def test_the_contour_lies_on_the_tumour(reference: Segmentation) -> None:
    """The centroid is within 2 mm of the truth on every axis: left stays left."""
    index = np.argwhere(reference.mask).astype(np.float64)
    centroid = reference.geometry.to_patient(index).mean(axis=0)
    assert np.abs(centroid - CENTRE_MM).max() < 2.0


@pytest.mark.parametrize(("order", "flips"), ORDERS)
def test_every_storage_order_gives_the_same_voxels(
    bench: Bench, reference: Segmentation, order: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    """A feet-first, prone, sagittal or coronal series has the same contour, voxel by voxel."""
    images = {role: reordered(item, order, flips) for role, item in bench.case.images.items()}
    found = contour_of(bench, replace(bench.case, images=images))
    assert np.array_equal(found.mask, stored(reference.mask, order, flips))
    assert found.geometry == images["ct"].geometry
    values = [item.value for item in found.measurements]
    assert values == pytest.approx([item.value for item in reference.measurements], rel=1e-9)


@pytest.mark.parametrize(("order", "flips"), SIGNED_PERMUTATIONS)
def test_turning_and_turning_back_is_the_identity(
    order: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    """For all 48 orders, what was turned into the frame comes back to its own voxels."""
    volume = limb_case(grid((5, 6, 7), (3.0, 2.0, 1.0))).images["ct"]
    there = reordered(volume, order, flips)
    frame = frame_of(there.geometry)
    assert np.array_equal(frame.axes, np.asarray(AXIAL))
    turned, placed = lay(there, frame)
    assert np.array_equal(turned, volume.array)
    assert np.array_equal(frame.back(turned), there.array)
    z, y, x = placed.origin_mm
    assert (x, y, z) == pytest.approx(volume.geometry.origin_mm)
    assert placed.spacing_mm == volume.geometry.spacing_mm


@pytest.mark.parametrize("ct_first", [True, False])
def test_ct_and_pet_need_not_be_stored_alike(
    bench: Bench, reference: Segmentation, ct_first: bool
) -> None:
    """Only one of the two series is stored feet first; the contour stays."""
    role = "ct" if ct_first else "pet"
    turned = reordered(bench.case.images[role], (0, 1, 2), (True, False, False))
    found = contour_of(bench, replace(bench.case, images={**bench.case.images, role: turned}))
    mask = found.mask[::-1] if ct_first else found.mask
    assert np.array_equal(mask, reference.mask)


def tilted(angle_deg: float) -> tuple[tuple[float, float, float], ...]:
    """Return axial axes tilted about the patient's x axis."""
    angle = np.deg2rad(angle_deg)
    return (
        (0.0, float(np.sin(angle)), float(np.cos(angle))),
        (0.0, float(np.cos(angle)), float(-np.sin(angle))),
        (1.0, 0.0, 0.0),
    )


@pytest.mark.parametrize("angle_deg", [-8.0, 4.0])
def test_a_slightly_oblique_ct_keeps_the_tumour_in_place(bench: Bench, angle_deg: float) -> None:
    """A tilted CT beside a straight PET: the PET is brought to the CT's grid, DSC >= 0.85."""
    ct_grid = grid((56, 70, 78), (3.0, 2.0, 2.0), tilted(angle_deg))
    found = contour_of(bench, limb_case(ct_grid))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in ct_grid.shape), indexing="ij"), -1)
    truth = inside_tumour(ct_grid.to_patient(index.astype(np.float64)))
    overlap = 2 * np.count_nonzero(found.mask & truth) / (found.mask.sum() + truth.sum())
    assert overlap >= 0.85
