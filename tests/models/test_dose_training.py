"""The training recipe of the dose network: packs, scores, a few steps, going on."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.dose.inputs import CONTINUOUS, FIELDS, RAYS, mirrored_field
from models.dose.patient import ORGANS
from models.dose.predict import DosePredictor, trained_spacing
from models.dose.voxels import FEATURES, PLAIN, VoxelNet, corrected_plans, voxel_rows
from models.training.dose.__main__ import together
from models.training.dose.packs import (
    load_case,
    prepare_all,
    read_pack,
    split,
)
from models.training.dose.recipe import STAGES, VoxelStage
from models.training.dose.score import dvh_points
from models.training.dose.train import (
    MIRRORED,
    Training,
    as_batch,
    mirror,
    run,
    turned,
    upside_down,
)
from models.training.dose.voxels import draw_all, mirrored, sided, train_voxels, without_side
from tests.simulators.dose_packs import write_pack

DATA = Path(os.environ.get("OSTEON_TEST_DATA", "../shared/data")) / "openkbp"
SMALL = replace(
    STAGES["shapes"], steps=4, widths=(16, 16, 16, 16), depths=(1, 1, 1, 1), detail=8, slab=16
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return a folder of four prepared phantoms and their names."""
    packs = tmp_path_factory.mktemp("packs")
    for number in range(4):
        write_pack(packs / f"pt_{number}.npz", number)
    folder = tmp_path_factory.mktemp("work")
    return folder, prepare_all(packs, folder)


def test_a_pack_gives_back_what_was_written(tmp_path: Path) -> None:
    """CT, masks, spacing and dose survive the coding of the pack."""
    write_pack(tmp_path / "a.npz", 2)
    patient, dose = read_pack(tmp_path / "a.npz")
    assert set(patient.organs) == {"RightParotid"}
    assert patient.top_gy == 70.0
    assert np.allclose(dose[patient.target], 70.0)
    assert np.allclose(dose[patient.possible_dose & ~patient.target], 20.0)
    assert np.array_equal(patient.ct_hu == 0, patient.possible_dose)


def test_the_split_keeps_forty_back_and_never_changes() -> None:
    """Learning and held-back patients are apart, and the same on every machine."""
    names = [f"pt_{number}" for number in range(1, 201)]
    learnt, kept = split(names)
    assert (len(learnt), len(kept)) == (160, 40)
    assert not set(learnt) & set(kept)
    assert split(list(reversed(names))) == (learnt, kept)
    assert kept[:3] == split(names)[1][:3]


def test_percentiles_are_those_of_numpy() -> None:
    """D99, D95, D1 of a target and D0.1cc, mean of an organ as OpenKBP defines them."""
    generator = np.random.default_rng(1)
    dose = generator.random((6, 7, 8), dtype=np.float32) * 70
    mask = generator.random((2, 6, 7, 8)) < 0.4
    points = dvh_points(
        torch.from_numpy(dose), torch.from_numpy(mask[:1]), torch.from_numpy(mask[1:]), 40.0
    )
    found = [float(point) for point in points]
    target, organ = dose[mask[1]], dose[mask[0]]
    expected = [*np.percentile(target, [1, 5, 99])]
    expected += [np.percentile(organ, 100 - 2 / organ.size * 100), organ.mean()]
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_mirror_swaps_the_parotids(prepared: tuple[Path, list[str]]) -> None:
    """What lay in the right parotid lies in the left one, and twice mirrored is the same."""
    batch = as_batch(load_case(prepared[0], prepared[1][0]))
    turned = mirror(batch)
    right, left = ORGANS.index("RightParotid"), ORGANS.index("LeftParotid")
    assert torch.equal(turned.organs[left].flip(1), batch.organs[right])
    assert torch.equal(mirror(turned).channels, batch.channels)
    assert sorted(MIRRORED) == list(range(9, 16))


def test_a_stage_learns_stops_and_goes_on(prepared: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Two steps and a checkpoint, then the rest from it; the weights predict a patient."""
    folder, names = prepared
    training = Training(SMALL, tmp_path)
    before = {name: value.clone() for name, value in training.average.items()}
    for name in names[:2]:
        assert training.advance(as_batch(load_case(folder, name)), 0.9) > 0
    training.save()
    again = Training(SMALL, tmp_path)
    again.resume()
    assert again.step == 2
    run(again, folder, names[:3], names[3:])
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 4
    assert any(not torch.equal(before[name], value) for name, value in again.average.items())
    predictor = DosePredictor.load(tmp_path / "weights.safetensors")
    batch = as_batch(load_case(folder, names[3]))
    expected = again.averaged()(batch.channels)
    assert torch.allclose(predictor.network(batch.channels), expected, atol=0.02)


def test_a_stage_starts_from_the_weights_of_the_one_before(
    prepared: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """The first prediction of the next stage is the last one of this stage."""
    first = Training(SMALL, tmp_path / "one")
    first.advance(as_batch(load_case(prepared[0], prepared[1][0])), 0.0)
    first.save()
    second = Training(SMALL, tmp_path / "two", tmp_path / "one" / "weights.safetensors")
    for name, value in second.average.items():
        assert torch.allclose(value, first.average[name], atol=1e-3)


def test_the_voxel_network_learns_and_predicts(
    prepared: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """It comes nearer to the planned dose than the quick plan, on voxels it did not draw."""
    folder, names = prepared
    stage = VoxelStage(steps=150, voxels=800, lot=512, widths=(32, 16), ema_decay=0.9)
    drawn = draw_all(folder, names, stage)
    error = train_voxels(stage, drawn, names[:3], names[3:], tmp_path)
    case = load_case(folder, names[3], fields=True)
    plan = case.continuous[CONTINUOUS.index("plan")].astype(np.float32) * 70
    inside = case.masks[0]
    assert error < 0.8 * np.abs(plan - case.dose_gy)[inside].mean()
    predictor = DosePredictor.load(tmp_path / "voxels.safetensors")
    assert predictor.network is None
    assert len(predictor.voxels) == 1
    planned = corrected_plans(predictor.voxels, None, case.prepared)
    assert planned.trees is None
    assert planned.features.shape == (16,)
    assert planned.networks is not None
    found = planned.networks[inside] * 70
    assert np.abs(found - case.dose_gy[inside]).mean() == pytest.approx(error, rel=0.3)
    pair = tmp_path / "pair.safetensors"
    pair.write_bytes(together([tmp_path / "voxels.safetensors"] * 2))
    assert len(DosePredictor.load(pair).voxels) == 2
    training = Training(SMALL, tmp_path / "body")
    training.save()
    pair.write_bytes(
        together([tmp_path / "body/weights.safetensors", tmp_path / "voxels.safetensors"])
    )
    both = DosePredictor.load(pair)
    assert both.network is not None
    assert len(both.voxels) == 1


def test_a_turned_patient_keeps_dose_and_structures(prepared: tuple[Path, list[str]]) -> None:
    """No turn changes nothing; there and back is nearly nothing; masks stay masks."""
    batch = as_batch(load_case(prepared[0], prepared[1][1]))
    same = turned(batch, 0.0, 1.0)
    assert torch.allclose(same.channels, batch.channels, atol=1e-3)
    assert torch.allclose(same.dose_gy, batch.dose_gy, atol=1e-2)
    assert torch.equal(same.targets, batch.targets)
    there = turned(batch, 10.0, 1.06)
    assert set(torch.unique(there.channels[0, len(CONTINUOUS) :]).tolist()) <= {0.0, 1.0}
    ratio = there.targets.sum() * there.voxel_mm3 / (batch.targets.sum() * batch.voxel_mm3)
    assert float(ratio) == pytest.approx(1.0, abs=0.15)
    back = turned(there, -10.0, 1 / 1.06)
    assert back.allowed.shape == batch.allowed.shape
    inside = batch.allowed & back.allowed
    assert float((back.dose_gy - batch.dose_gy).abs()[inside].mean()) < 2.0


def test_a_patient_turned_over_a_field_is_whole(prepared: tuple[Path, list[str]]) -> None:
    """A turn of 90 degrees is that of the array: its box turns with it and nothing is cut off."""
    batch = as_batch(load_case(prepared[0], prepared[1][3]))
    turned_batch = turned(batch, 90.0, 1.0)
    assert int(turned_batch.targets.sum()) == int(batch.targets.sum())
    assert int(turned_batch.allowed.sum()) == int(batch.allowed.sum())
    inside, before = turned_batch.allowed, torch.rot90(batch.allowed, 1, (0, 1))
    expected = torch.rot90(batch.dose_gy, 1, (0, 1))[before]
    assert torch.allclose(turned_batch.dose_gy[inside], expected, atol=1e-2)


def test_slices_in_reverse_are_the_same_patient(prepared: tuple[Path, list[str]]) -> None:
    """Twice in reverse is the same, and channels, dose and targets go together."""
    batch = as_batch(load_case(prepared[0], prepared[1][2]))
    over = upside_down(batch)
    assert torch.equal(upside_down(over).channels, batch.channels)
    assert torch.equal(over.dose_gy[over.targets[2]], batch.dose_gy.flip(2)[over.targets[2]])
    assert torch.equal(over.allowed.flip(2), batch.allowed)


def test_what_the_turns_stage_changes_stays_a_patient(
    prepared: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """Sides stay multiples of 16, the dose lies in the mask's box, and a step is finite."""
    stage = replace(
        STAGES["turns"], steps=8, widths=(16, 16, 16, 16), depths=(1, 1, 1, 1), detail=8, slab=16
    )
    training = Training(stage, tmp_path)
    batch = as_batch(load_case(prepared[0], prepared[1][0]))
    for step in range(8):
        changed = training.varied(batch, step > 4)
        assert all(side % 16 == 0 for side in changed.dose_gy.shape[:2])
        assert changed.channels.shape[2:] == changed.dose_gy.shape == changed.targets.shape[1:]
    assert np.isfinite(training.advance(batch, 0.9))


def test_rows_of_a_mirrored_patient_are_mirrored_rows(prepared: tuple[Path, list[str]]) -> None:
    """Mirroring the rows is the same as taking the rows of the mirrored patient."""
    case = load_case(prepared[0], prepared[1][2], fields=True)
    before = case.prepared
    order = [0, *(index - len(CONTINUOUS) for index in MIRRORED)]
    rows = voxel_rows(before, before.masks[0])
    places = np.zeros(before.masks[0].shape, int)
    places[before.masks[0]] = np.arange(len(rows))
    turned_masks = before.masks[order][:, :, ::-1]
    taken = places[:, ::-1][turned_masks[0]]
    every = FIELDS + RAYS
    fields = before.fields[[every.index(mirrored_field(name)) for name in every]][:, taken]
    turned = replace(
        before, continuous=before.continuous[:, :, ::-1], masks=turned_masks, fields=fields
    )
    again = mirrored(torch.from_numpy(rows)).numpy()[taken]
    assert rows.shape[1] == len(FEATURES)
    assert np.allclose(again, voxel_rows(turned, turned_masks[0]), atol=1e-4)


def test_a_network_forgets_the_mirrors_column() -> None:
    """For patients as they are, the network without the last column answers the same."""
    torch.manual_seed(3)
    network = VoxelNet((16, 8), given=PLAIN + 1).eval()
    rows = torch.randn(50, PLAIN)
    network.standardise(sided(rows, False))
    expected = network(sided(rows, False))
    assert torch.allclose(without_side(network)(rows), expected, atol=1e-6)
    assert not torch.allclose(network(sided(rows, True)), expected, atol=1e-3)


def test_spacings_of_the_training_data_are_kept() -> None:
    """A grid within what was trained is not resampled, another one is brought to its edge."""
    assert trained_spacing((3.9, 3.9, 2.5)) == (3.9, 3.9, 2.5)
    assert trained_spacing((1.0, 1.0, 5.0)) == (1.9, 1.9, 3.4)


@pytest.mark.skipif(not DATA.exists(), reason="OpenKBP is not here (OSTEON_TEST_DATA)")
def test_a_real_pack_is_read_as_it_was_planned() -> None:
    """Maximum dose and size of the mask are those of the manifest."""
    manifest = json.loads((DATA / "manifest.json").read_text())["patients"]["pt_1"]
    patient, dose = read_pack(DATA / "train" / "pt_1.npz")
    assert int(patient.possible_dose.sum()) == manifest["n_pdm"]
    assert float(dose.max()) == pytest.approx(manifest["max_dose_gy"], abs=0.02)
