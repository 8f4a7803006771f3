"""The network that plans: what fields see, turns, the dose of its fluence, its training."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.dose.eye import EYE, SEEN, along_ray_mm, seen
from models.dose.fluence import (
    GIVEN,
    MIRRORED_EYE,
    FluenceNet,
    Turn,
    channels,
    named_weights,
    networks_of,
    planned,
    turned,
    turned_back,
)
from models.dose.inputs import PLAN, prepare
from models.dose.patient import Patient
from models.dose.predict import DosePredictor
from models.training.dose.fluence import drawn_turn, train_fluence
from models.training.dose.recipe import FLUENCE
from models.training.dose.views import DoseOf, ViewCase, keep_views, load_view
from tests.simulators.dose_packs import write_pack
from tests.simulators.dose_patient import water_patient

SMALL = replace(
    FLUENCE, steps=150, learning_rate=3e-3, warm_up=2, widths=(8, 8, 8), ema_decay=0.8, patients=1
)
TURNS = [
    Turn(mirrored, upside_down, fields)
    for mirrored, upside_down, fields in product((False, True), (False, True), (0, 4))
]


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ViewCase]:
    """Return the views of four phantoms, by name."""
    packs, folder = tmp_path_factory.mktemp("packs"), tmp_path_factory.mktemp("views")
    for number in range(4):
        write_pack(packs / f"pt_{number}.npz", number)
    keep_views(packs, folder)
    return {path.stem: load_view(folder, path.stem) for path in sorted(folder.glob("*.npz"))}


@pytest.mark.parametrize("turn", TURNS)
def test_a_patient_turned_back_is_the_patient(turn: Turn) -> None:
    """Maps survive there and back, and only `known` of the channels says where fields stand."""
    maps = torch.rand(3, 9, 6, 5)
    assert torch.equal(turned_back(turned(maps, turn), turn), maps)
    given = channels(torch.rand(len(EYE), 9, 6, 5), torch.rand(3, 9, 6, 5), turn)
    assert given.shape == (len(GIVEN), 9, 6, 5)
    unknown = channels(torch.rand(len(EYE), 9, 6, 5), torch.rand(3, 9, 6, 5), Turn(known=False))
    assert not unknown[GIVEN.index("sine") : GIVEN.index("known") + 1].any()


def test_a_mirrored_patient_is_seen_mirrored() -> None:
    """What the fields see of the mirrored patient is what they saw, sides changed.

    But for the samples of the quick plan, which are others by a voxel.
    """
    patient = water_patient()
    columns = [slice(None), slice(None, None, -1)]
    other = Patient(
        patient.ct_hu[tuple(columns)],
        patient.voxel_mm,
        patient.possible_dose[tuple(columns)],
        tuple((gray, mask[tuple(columns)]) for gray, mask in patient.targets),
        {
            "LeftParotid": patient.organs["RightParotid"][tuple(columns)],
            "SpinalCord": patient.organs["SpinalCord"][tuple(columns)],
        },
    )
    before, after = prepare(patient).view, prepare(other).view
    assert before is not None
    assert after is not None
    maps = turned(torch.from_numpy(before.maps)[MIRRORED_EYE], Turn(mirrored=True)).numpy()
    found = after.maps
    for name, one, two in zip(EYE[:-1], maps, found, strict=False):
        share = 0.05 if name.startswith("plan") else 0.01
        assert np.abs(one - two).mean() <= share * np.abs(two).mean() + 1e-4, name
    assert found[EYE.index("path_LeftParotid")].max() > 0.15
    assert not found[EYE.index("path_RightParotid")].any()


def test_what_is_seen_is_counted_once() -> None:
    """Every point counts for one in every field; a ray's middle is where the structure lies."""
    patient = water_patient()
    view = prepare(patient).view
    assert view is not None
    voxels = np.argwhere(patient.possible_dose)
    inside = np.flatnonzero(patient.target[patient.possible_dose])
    along = along_ray_mm(view.fields, voxels)
    ones = np.ones(len(voxels), np.float32)
    one, far, point = seen(view.rays, inside, along, 3 * ones)
    assert np.allclose(one.sum(axis=(1, 2)), len(inside), rtol=1e-4)
    assert np.allclose(point, 3 * one, rtol=1e-4, atol=1e-4)
    assert abs(far.sum(axis=(1, 2)) / len(inside)).max() < 0.5
    place = view.maps[len(SEEN) + SEEN.index("SpinalCord")]
    assert place[0].max() > 0.3
    assert place[0].min() >= 0


def test_a_network_that_learnt_nothing_plans_the_quick_plan() -> None:
    """Its last layer is zero, so that training starts from the quick plan."""
    prepared = prepare(water_patient())
    assert prepared.view is not None
    dose = planned([FluenceNet((8, 8, 8)).eval()], prepared.view)
    assert np.allclose(dose, prepared.continuous[PLAN][prepared.masks[0]], atol=1e-4)


def test_the_dose_has_the_right_derivative(views: dict[str, ViewCase]) -> None:
    """A small change of the fluence changes the dose as its adjoint says."""
    case = next(iter(views.values()))
    generator = torch.Generator().manual_seed(2)
    fluence = case.fluences[0].clone().requires_grad_()
    weight = torch.rand(len(case.dose_gy), generator=generator)
    (DoseOf.apply(fluence, case) * weight).sum().backward()
    step = torch.rand(fluence.shape, generator=generator)
    changed = DoseOf.apply(fluence.detach() + step, case) - DoseOf.apply(fluence.detach(), case)
    assert fluence.grad is not None
    assert float((fluence.grad * step).sum()) == pytest.approx(
        float((changed * weight).sum()), rel=1e-3
    )


def test_it_learns_and_is_read_back(views: dict[str, ViewCase], tmp_path: Path) -> None:
    """Of phantoms it plans a patient that it has not seen nearer than the quick plan is."""
    kept = list(views)[3:]
    error = train_fluence(SMALL, views, kept, tmp_path)
    judged = views[kept[0]]
    before = (DoseOf.apply(judged.fluences[0], judged) - judged.dose_gy).abs().mean()
    assert error < 0.9 * float(before)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == SMALL.steps
    assert min(line["held_back_dose_gy"] for line in lines) == pytest.approx(error, abs=1e-3)
    predictor = DosePredictor.load(tmp_path / "fluence.safetensors")
    assert len(predictor.planners) == 1
    assert not predictor.voxels
    dose = predictor.predict(water_patient())
    assert np.abs(dose - DosePredictor().predict(water_patient())).max() > 1.0


def test_where_nobody_is_held_back_the_last_step_counts(
    views: dict[str, ViewCase], tmp_path: Path
) -> None:
    """The same seed gives the same weights, and no error is told."""
    quick = replace(SMALL, steps=3)
    for name in ("one", "two"):
        assert np.isnan(train_fluence(quick, views, [], tmp_path / name))
    one, two = (load_file(tmp_path / name / "fluence.safetensors") for name in ("one", "two"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_turns_are_drawn_as_the_stage_says() -> None:
    """Without turns nothing but the mirror is drawn; fields turned are never told."""
    generator = np.random.default_rng(1)
    plain = replace(FLUENCE, upside_down=0.0, around=0.0)
    drawn = [drawn_turn(plain, generator) for _ in range(50)]
    assert {turn.mirrored for turn in drawn} == {True, False}
    assert all(turn.known and not turn.fields and not turn.upside_down for turn in drawn)
    drawn = [drawn_turn(replace(FLUENCE, around=1.0), generator) for _ in range(50)]
    assert not any(turn.known for turn in drawn)
    assert len({turn.fields for turn in drawn}) > 5


def test_weights_of_other_kinds_are_refused(tmp_path: Path) -> None:
    """Names that no part has, and a network without a layer, are told."""
    values = named_weights(FluenceNet((8, 8, 8)), 0)
    assert len(networks_of(values | named_weights(FluenceNet((8, 12, 8)), 1))) == 2
    save_file(values | {"other.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"other\.weight"):
        DosePredictor.load(tmp_path / "a.safetensors")
    del values["fluence.0.leave.weight"]
    save_file(values, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="leave"):
        DosePredictor.load(tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="widths"):
        FluenceNet((8, 8))
