"""The voxels that are asked, and what the points of a plan are foretold by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from models.dose.fluence import FluenceNet, named_weights
from models.dose.inputs import CONTINUOUS, Prepared
from models.dose.patient import LEVELS
from models.dose.points import (
    FACTS,
    POINTS,
    PointMachine,
    facts_of,
    machine_of,
    mirrored_facts,
    points_of,
    structures,
)
from models.dose.predict import DosePredictor
from models.dose.sharpen import SHIFTS_GY, TRUST, sharpened
from models.dose.sparse import filled, own_shares
from models.training.dose.__main__ import released_digest, together
from models.training.dose.calibrate import trust_of
from models.training.dose.packs import load_case, prepare_all
from models.training.dose.points import fit_points, fitted
from models.training.dose.recipe import POINTS as POINT_STAGE
from models.training.dose.recipe import VoxelStage
from models.training.dose.voxels import draw_all, train_voxels
from tests.simulators.dose_packs import write_pack


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return a folder of four prepared phantoms and their names."""
    packs = tmp_path_factory.mktemp("packs")
    for number in range(4):
        write_pack(packs / f"pt_{number}.npz", number)
    folder = tmp_path_factory.mktemp("work")
    return folder, prepare_all(packs, folder)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_every_voxel_is_asked_or_has_one_beside_it(seed: int, share: float) -> None:
    """What is not asked lies between the values around it; what is asked stays as it was."""
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 9, size=3))
    allowed = generator.random(shape) < share
    targets = allowed & (generator.random(shape) < 0.1)
    plan = generator.random(shape, dtype=np.float32) * np.float32(0.1)
    shares = own_shares(allowed, targets, plan)
    assert not shares[~allowed].any()
    assert (shares[targets] == 1).all()
    values = generator.normal(size=shape).astype(np.float32)
    whole = filled(values, shares, allowed)
    assert np.array_equal(whole[shares == 1], values[shares == 1])
    assert not whole[~allowed].any()
    if allowed.any():
        known = values[shares > 0]
        assert known.min() - 1e-5 <= whole[allowed].min()
        assert whole[allowed].max() <= known.max() + 1e-5


def test_a_steep_plan_is_asked_everywhere_a_flat_one_in_a_quarter() -> None:
    """One voxel in four where nothing changes, all of them where it changes by 7 Gy a voxel."""
    allowed = np.ones((16, 16, 16), bool)
    nothing = np.zeros_like(allowed)
    flat = own_shares(allowed, nothing, np.zeros(allowed.shape, np.float32))
    assert (flat > 0).mean() == 0.25
    slope = np.arange(16, dtype=np.float32)[:, None, None] * np.float32(0.1)
    steep = own_shares(allowed, nothing, np.broadcast_to(slope, allowed.shape).copy())
    assert (steep[1:-1] == 1).all()


def test_a_plan_that_differs_a_little_gives_nearly_the_same() -> None:
    """No voxel jumps between its own answer and its neighbours'."""
    generator = np.random.default_rng(8)
    allowed = np.ones((12, 12, 12), bool)
    nothing = np.zeros_like(allowed)
    values = generator.normal(size=allowed.shape).astype(np.float32)
    plan = generator.random(allowed.shape, dtype=np.float32) * np.float32(0.15)
    other = plan + np.float32(1e-5) * generator.normal(size=allowed.shape).astype(np.float32)
    one, two = (filled(values, own_shares(allowed, nothing, p), allowed) for p in (plan, other))
    assert 0 < np.abs(one - two).max() < 0.01


def test_facts_of_a_mirrored_patient_are_mirrored_facts(packs: tuple[Path, list[str]]) -> None:
    """Sides change places and the offset aside its sign; points change places as well."""
    before = load_case(packs[0], packs[1][2]).prepared
    order = [0, 1, 2, 4, 3, 5, 6, 7]
    turned = replace(
        before,
        continuous=before.continuous[:, :, ::-1],
        masks=before.masks[order][:, :, ::-1],
    )
    facts = facts_of(before, structures(before))
    assert facts.shape == (len(FACTS),)
    again = facts_of(turned, structures(turned))
    assert np.allclose(mirrored_facts(facts[None])[0], again, atol=1e-3, equal_nan=True)


def test_the_point_machine_learns_a_habit() -> None:
    """Where the planner adds by a fact, so does the machine; a stranger gets the usual."""
    generator = np.random.default_rng(3)
    facts = generator.normal(size=(120, len(FACTS))).astype(np.float32)
    facts[:, 5:] = 0.0
    facts[::7, 3] = np.nan
    added = np.full((120, len(POINTS)), np.nan, np.float32)
    hot = POINTS.index(("PTV70", "D1%"))
    added[:, hot] = 2.0 * np.tanh(facts[:, 0]) + 1.0
    stage = replace(POINT_STAGE, bound=10.0, narrowness=0.1)
    machine = machine_of(fitted(facts, added, stage).named())
    assert machine is not None
    found = np.asarray([machine.added_gy(row)[hot] for row in facts])
    assert np.abs(found - added[:, hot]).mean() < 0.4
    stranger = np.full(len(FACTS), 1e3, np.float32)
    assert machine.added_gy(stranger)[hot] == pytest.approx(machine.offset[hot])
    nothing = machine.added_gy(facts[0])
    assert not np.delete(nothing, hot).any()


def test_weights_of_another_size_are_refused() -> None:
    """A machine with too few facts is not read."""
    short = {"mean": np.zeros(3), "scale": np.ones(3), "support": np.zeros((2, 3))}
    short |= {"weights": np.zeros((2, len(POINTS))), "offset": np.zeros(len(POINTS))}
    values = {f"points.{name}": torch.from_numpy(array) for name, array in short.items()}
    with pytest.raises(ValueError, match="facts"):
        machine_of(values | {"points.narrowness": torch.ones(1)})


def target_in_tissue() -> Prepared:
    """Return a prepared phantom: a block of 56 Gy in a box."""
    mask = np.ones((16, 16, 16), bool)
    continuous = np.zeros((len(CONTINUOUS), *mask.shape), np.float32)
    continuous[CONTINUOUS.index("prescription"), 2:] = 0.8
    masks = np.stack([mask, *[np.zeros_like(mask)] * 7])
    sides = (slice(0, 16),) * 3
    return Prepared(continuous, masks, sides, 1.0, (4.0, 4.0, 2.5), ())


def test_the_ends_of_a_target_move_and_its_middle_stays() -> None:
    """Without a machine the usual errors are taken off: nothing else of the target moves."""
    prepared = target_in_tissue()
    dose = np.linspace(0.7, 0.9, 4096, dtype=np.float32).reshape(16, 16, 16)
    change = (sharpened(dose, prepared) - dose) * 70
    assert np.all(change[:2] == 0)
    assert change[15, 15, 15] == pytest.approx(SHIFTS_GY["PTV56"]["D1%"], abs=1e-3)
    assert np.allclose(change[7:13], SHIFTS_GY["PTV56"]["D50%"], atol=1e-3)


def test_a_structure_comes_nearer_to_what_is_foretold() -> None:
    """Each point of a target goes that part of the way which its kind is trusted."""
    prepared = target_in_tissue()
    generator = np.random.default_rng(2)
    dose = (0.8 + 0.02 * generator.normal(size=(16, 16, 16))).astype(np.float32)
    zero = np.zeros(len(FACTS), np.float32)

    class Fixed(PointMachine):
        def foretold_gy(self, prepared: Prepared) -> dict[tuple[str, str], float]:
            return {("PTV56", "D99%"): 50.0, ("PTV56", "D95%"): 53.0, ("PTV56", "D50%"): 57.0,
                    ("PTV56", "D1%"): 62.0}  # fmt: skip

    machine = Fixed(zero, zero + 1, zero[None], np.zeros((1, len(POINTS)), np.float32),
                    np.zeros(len(POINTS), np.float32), 0.01)  # fmt: skip
    places = structures(prepared)
    before = points_of(sharpened(dose, prepared) * 70, places, 40.0)
    after = points_of(sharpened(dose, prepared, machine) * 70, places, 40.0)
    for key, wanted in machine.foretold_gy(prepared).items():
        expected = before[key] + TRUST[key[0]][key[1]] * (wanted - before[key])
        assert after[key] == pytest.approx(expected, abs=0.25)
    assert set(LEVELS) >= {"PTV56"}


def test_what_erred_less_is_trusted() -> None:
    """By target and point: wholly where the foretelling is right, not where the own value is."""
    generator = np.random.default_rng(4)
    planned = generator.normal(60, 3, 30)
    wrong = planned + generator.normal(0, 2, 30)
    rows = {
        ("PTV56", "D99%"): list(zip(planned, wrong, planned, strict=True)),
        ("PTV70", "D99%"): list(zip(planned, planned - 1, wrong, strict=True)),
        ("PTV70", "D1%"): list(zip(planned, wrong, 2 * planned - wrong, strict=True)),
    }
    shifts = {"PTV56": {"D99%": 0.0}, "PTV70": {"D99%": 1.0, "D1%": 0.0}}
    assert trust_of(rows, shifts) == {"PTV56": {"D99%": 1.0}, "PTV70": {"D99%": 0.0, "D1%": 0.5}}


def test_networks_and_machine_are_trained_stored_and_used(
    packs: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """One file holds all parts, and their mean comes nearer to the plan than the quick plan."""
    folder, names = packs
    stage = VoxelStage(steps=100, voxels=600, lot=512, widths=(32, 16), ema_decay=0.9)
    train_voxels(stage, draw_all(folder, names, stage), names[:3], [], tmp_path)
    fit_points(replace(POINT_STAGE, least=2), folder, names[:3], tmp_path)
    save_file(named_weights(FluenceNet((8, 8, 8)), 0), tmp_path / "fluence.safetensors")
    files = [tmp_path / f"{kind}.safetensors" for kind in ("voxels", "fluence", "points")]
    predictor = DosePredictor.from_bytes(together([*files, files[1]]))
    assert len(predictor.planners) == 2
    assert len(predictor.voxels) == 1
    assert predictor.points is not None
    case = load_case(folder, names[3], fields=True)
    inside, planned = case.masks[0], case.dose_gy.astype(np.float32)
    plan = case.continuous[CONTINUOUS.index("plan")].astype(np.float32) * 70
    found = predictor.mean_of(case.prepared)[0] * 70
    assert np.abs(found - planned)[inside].mean() < 0.8 * np.abs(plan - planned)[inside].mean()
    assert released_digest(files) != released_digest(files[:1])
