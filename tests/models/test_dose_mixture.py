"""Whose answer counts how much where."""

from dataclasses import replace

import numpy as np

from models.dose.fluence import FluenceNet
from models.dose.inputs import CONTINUOUS, Prepared, prepare
from models.dose.mixture import ELSEWHERE, IN_ORGANS, IN_TARGETS, planned_share
from models.dose.patient import ORGANS
from models.dose.predict import DosePredictor
from models.dose.voxels import PLAIN, VoxelNet
from tests.simulators.dose_patient import water_patient


def crop_with(organ: str) -> Prepared:
    """Return a crop with a block of 70 Gy on one side and an organ on the other."""
    shape = (32, 16, 16)
    continuous = np.zeros((len(CONTINUOUS), *shape), np.float32)
    continuous[CONTINUOUS.index("prescription"), :8] = 1.0
    masks = np.zeros((1 + len(ORGANS), *shape), bool)
    masks[0] = True
    masks[1 + ORGANS.index(organ), 20:24] = True
    sides = (slice(0, 32), slice(0, 16), slice(0, 16))
    return Prepared(continuous, masks, sides, 1.0, (4.0, 4.0, 2.5), ())


def test_a_structure_has_its_share_to_the_last_voxel() -> None:
    """Targets and small organs have their own, the rest another, and beside them it goes over."""
    share = planned_share(crop_with("SpinalCord"))[:, 8, 8]
    assert np.allclose(share[:8], IN_TARGETS)
    assert np.allclose(share[20:24], IN_ORGANS["SpinalCord"])
    assert np.allclose(share[12:17], ELSEWHERE)
    assert np.all(np.abs(np.diff(share)) <= 0.5 * (ELSEWHERE - IN_ORGANS["SpinalCord"]))


def test_a_large_organ_is_as_the_rest() -> None:
    """Of the mandible the planning networks know as much as elsewhere."""
    assert np.allclose(planned_share(crop_with("Mandible"))[12:], ELSEWHERE)


def test_one_kind_stands_for_both() -> None:
    """Alone a kind is the answer and nothing lies apart; together their mean lies between."""
    prepared = prepare(water_patient())
    voxels = VoxelNet((8, 4), given=PLAIN).eval()
    planner = FluenceNet((8, 8, 8)).eval()
    for one in (DosePredictor([voxels]), DosePredictor(planners=[planner]), DosePredictor()):
        dose, apart = one.mean_of(prepared)
        assert not apart.any()
        assert dose.any()
    alone = DosePredictor([voxels]).mean_of(prepared)[0]
    both = DosePredictor([voxels], [planner])
    dose, apart = both.mean_of(prepared)
    plan = DosePredictor(planners=[planner]).mean_of(prepared)[0]
    low, high = np.minimum(alone, plan), np.maximum(alone, plan)
    assert np.all(dose >= low - 1e-5)
    assert np.all(dose <= high + 1e-5)
    assert np.allclose(apart, high - low, atol=1e-5)
    assert apart.max() > 0
    unseen = both.mean_of(replace(prepared, view=None))[0]
    assert np.array_equal(unseen, alone)
