"""Gradients say where a target costs an organ most: the side that faces it, nearest organ first."""

from dataclasses import replace

import numpy as np
import pytest

from models.dose.counterfactuals import PART, SHRINK_MM, places
from models.dose.patient import Patient

SHAPE = (32, 32, 12)
MEANS = {("LeftParotid", "mean"): 30.0, ("RightParotid", "mean"): 20.0}


def patient() -> Patient:
    """Return a box of a target, one parotid close to its left and one far to its right."""
    target = np.zeros(SHAPE, bool)
    target[10:22, 10:20, 3:9] = True
    left, right = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    left[12:20, 21:25, 3:9] = True
    right[12:20, 1:3, 10:12] = True
    organs = {"LeftParotid": left, "RightParotid": right}
    body = np.ones(SHAPE, bool)
    return Patient(np.zeros(SHAPE, np.int16), (4.0, 4.0, 3.0), body, ((70.0, target),), organs)


def test_the_place_faces_the_organ_and_lies_on_the_edge():
    """Voxels of the outer 2 mm, a quarter of them, nearer to the organ than the target is."""
    given = patient()
    found = {place.organ: place for place in places(given, MEANS)}
    mask = given.targets[0][1]
    for organ, place in found.items():
        assert (place.target, place.prescribed_gy) == ("PTV70", 70.0)
        assert not (place.voxels & ~mask).any()
        assert 0 < place.voxels.sum() < PART * mask.sum() + 1
        away = np.argwhere(given.organs[organ]).mean(axis=0)
        near = np.linalg.norm(np.argwhere(place.voxels) - away, axis=1).mean()
        every = np.linalg.norm(np.argwhere(mask) - away, axis=1).mean()
        assert near < every
    assert SHRINK_MM == 2.0


def test_the_organ_that_the_target_costs_most_comes_first():
    """The parotid beside the target before the one that lies outside its slices."""
    first, second = places(patient(), MEANS)
    assert (first.organ, second.organ) == ("LeftParotid", "RightParotid")
    assert first.saved > second.saved >= 0


def test_only_organs_whose_mean_is_known_and_targets_that_keep_voxels():
    """No mean, no place; a target that is all edge is never taken away whole."""
    (only,) = places(patient(), {("LeftParotid", "mean"): 30.0})
    assert only.organ == "LeftParotid"
    thin = np.zeros(SHAPE, bool)
    thin[15:16, 10:20, 5:6] = True
    assert list(places(replace(patient(), targets=((70.0, thin),)), MEANS)) == []


def test_a_lower_target_may_be_the_one_that_costs():
    """The target that faces the organ is drawn back, not the highest."""
    given = patient()
    mask = given.targets[0][1]
    low = np.zeros(SHAPE, bool)
    low[10:22, 15:20, 3:9] = True
    both = replace(given, targets=((70.0, mask & ~low), (56.0, low)))
    found = {place.organ: place.prescribed_gy for place in places(both, MEANS)}
    assert found["LeftParotid"] == pytest.approx(56.0)
