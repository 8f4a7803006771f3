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
from models.dose.voxels import (
    FEATURES,
    GRAIN,
    LOT,
    PLAIN,
    VoxelNet,
    _lots,
    corrected_plan,
    voxel_rows,
)
from models.training.dose.__main__ import together
from models.training.dose.packs import (
    PARTS,
    load_case,
    parts,
    prepare_all,
    read_pack,
    split,
)
from models.training.dose.recipe import VoxelStage
from models.training.dose.voxels import (
    draw_all,
    mirrored,
    sided,
    train_voxels,
    without_side,
)
from tests.simulators.dose_packs import write_pack

DATA = Path(os.environ.get("OSTEON_TEST_DATA", "../shared/data")) / "openkbp"
MIRROR = {"RightParotid": "LeftParotid", "LeftParotid": "RightParotid"}


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


def test_every_patient_is_in_one_of_five_parts() -> None:
    """The first is the one held back, the others have forty each, whatever the order of names."""
    names = [f"pt_{number}" for number in range(1, 201)]
    found = parts(names)
    assert sorted(name for part in found for name in part) == sorted(names)
    assert [len(part) for part in found] == [40] * PARTS
    assert found[0] == split(names)[1]
    assert parts(list(reversed(names))) == found


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
    assert not predictor.planners
    assert len(predictor.voxels) == 1
    planned, features = corrected_plan(predictor.voxels, case.prepared)
    assert features.shape == (16,)
    found = planned[inside] * 70
    assert np.abs(found - case.dose_gy[inside]).mean() == pytest.approx(error, rel=0.3)
    pair = tmp_path / "pair.safetensors"
    pair.write_bytes(together([tmp_path / "voxels.safetensors"] * 2))
    assert len(DosePredictor.load(pair).voxels) == 2


def test_rows_of_a_mirrored_patient_are_mirrored_rows(prepared: tuple[Path, list[str]]) -> None:
    """Mirroring the rows is the same as taking the rows of the mirrored patient."""
    case = load_case(prepared[0], prepared[1][2], fields=True)
    before = case.prepared
    order = [0, *(1 + ORGANS.index(MIRROR.get(name, name)) for name in ORGANS)]
    rows = voxel_rows(before, before.masks[0])
    places = np.zeros(before.masks[0].shape, int)
    places[before.masks[0]] = np.arange(len(rows))
    turned_masks = before.masks[order][:, :, ::-1]
    taken = places[:, ::-1][turned_masks[0]]
    every = FIELDS + RAYS
    turned_order = [every.index(mirrored_field(name)) for name in every]
    fields = (np.concatenate(before.fields)[turned_order][:, taken],)
    turned = replace(
        before, continuous=before.continuous[:, :, ::-1], masks=turned_masks, fields=fields
    )
    again = mirrored(torch.from_numpy(rows)).numpy()[taken]
    assert rows.shape[1] == len(FEATURES)
    assert np.allclose(again, voxel_rows(turned, turned_masks[0]), atol=1e-4)


@pytest.mark.parametrize("count", [1, 2047, 2049, 16384, 16385, 40_001])
def test_rows_are_asked_in_few_sizes_and_all_of_them(count: int) -> None:
    """Whatever their number, every row is new once, and from 2,048 on sizes are multiples of it."""
    seen = np.zeros(count, int)
    for part, new in _lots(count):
        seen[part.stop - new : part.stop] += 1
        size = part.stop - part.start
        assert new <= size <= LOT
        assert size % GRAIN == 0 or size == part.stop
    assert (seen == 1).all()


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
