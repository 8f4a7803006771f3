"""An imported nnU-Net answers as nnU-Net itself does, where nnU-Net is installed.

nnunetv2 brings many libraries and is no dependency of the suite; this file skips without
it.  To run it: `pip install nnunetv2` into an environment of its own beside the suite.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.importers import segment as path
from models.importers.networks.runner import load
from models.importers.nnunet import read
from models.importers.source import Source
from models.importers.statement import read_statement
from tests.simulators.foreign_models import (
    AXES,
    SPACING,
    body,
    dataset,
    nnunet_folder,
    plans,
)

for _name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
    os.environ.setdefault(_name, "none")
pytest.importorskip("nnunetv2", reason="nnunetv2 is not installed (an environment of its own)")

LARGEST_SHARE = 2e-4
"""Voxels that may differ: nnU-Net adds windows up in float16, the suite in float32."""

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "residual": {"residual": True},
    "two_channels_zscore": {"channels": 2, "scheme": "ZScoreNormalization"},
    "separate_axis": {"spacing": (5.0, 1.0, 1.0)},
    "finer": {"spacing": (2.0, 1.0, 1.0)},
    "transposed": {"forward": (2, 0, 1), "spacing": (1.4, 3.0, 1.4)},
    "slices": {"planar": True},
    "same_spacing": {"spacing": SPACING},
}


def statement(channels: int, labels: dict[str, Any]) -> dict[str, Any]:
    """Return a statement for a folder: CT alone, or two MR channels."""
    code = {"value": "1", "scheme": "99TEST", "meaning": "Test"}
    inputs = [{"role": "ct", "modality": "CT"}]
    if channels > 1:
        inputs = [{"role": f"mr_{i}", "modality": "MR"} for i in range(channels)]
    names = [name for name in labels if name not in ("background", "ignore")]
    return {
        "inputs": inputs,
        "outputs": {"labels": [{"from": n, "name": n, "code": code} for n in names]},
    }


def ours(folder: Path, image: np.ndarray, document: dict[str, Any]) -> path.Segmented:
    """Return the suite's answer, from the folder's files."""
    import json

    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    documents = {n: json.loads(c) for n, c in files.items() if n.endswith(".json")}
    imported = read(Source(files, documents), read_statement(document))
    network = imported.description.network
    runner = load(network, [imported.weights[name] for name in network.files])
    return path.segment(imported.description, runner, image, SPACING, AXES)


def theirs(folder: Path, image: np.ndarray, *, mirror: bool = True) -> tuple[Any, Any]:
    """Return nnU-Net's own label map and probabilities."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=mirror, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), None)
    return predictor.predict_single_npy_array(image, {"spacing": list(SPACING)}, None, None, True)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Dice similarity coefficient of two masks; 1 where both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 1.0 if total == 0 else 2.0 * int((one & other).sum()) / total


@pytest.mark.parametrize("name", CASES)
def test_label_maps_are_those_of_nnunet(
    name: str, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    """The same plans, weights and image give the same structures, but for rounding."""
    changes = CASES[name]
    channels = changes.get("channels", 1)
    data = dataset(channels)
    if channels > 1:
        data["channel_names"] = {"0": "T1", "1": "T2"}
    axes = (0, 1) if changes.get("planar") else (0, 1, 2)
    folder = nnunet_folder(tmp_path, plans(**changes), data, folds=("0", "1"), mirror=axes)
    image = body(channels=channels)
    answer = ours(folder, image, statement(channels, data["labels"]))
    labels, probabilities = theirs(folder, image)
    scores = {}
    for label, value in list(data["labels"].items())[1:]:
        assert (labels == value).sum() > 50, f"the drawn network never says {label}"
        scores[label] = dice(answer.masks[label], labels == value)
    mine = sum(v * answer.masks[k] for k, v in list(data["labels"].items())[1:])
    differing = float(np.mean(mine != labels))
    record_property("dsc", scores)
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1)
    entropy = -(p * np.log(p)).sum(axis=0) / np.log(len(p))
    apart = np.abs(entropy - answer.entropy)
    record_property("measured", f"{differing:.2e} voxels, entropy {apart.mean():.1e}")
    assert differing <= LARGEST_SHARE
    assert min(scores.values()) > 0.999
    assert apart.mean() < 1e-3


def test_regions_are_those_of_nnunet(tmp_path: Path) -> None:
    """Overlapping regions, written over each other in the stated order, are the same."""
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    data = dataset(labels=labels, regions=[1, 2])
    folder = nnunet_folder(tmp_path, plans(), data)
    answer = ours(folder, body(), statement(1, labels))
    found, _ = theirs(folder, body())
    assert (found == 2).sum() > 50
    assert dice(answer.masks["core"], found == 2) > 0.999
    assert dice(answer.masks["whole"], found > 0) > 0.999


def test_without_mirroring_both_are_the_same(tmp_path: Path) -> None:
    """A statement that switches mirroring off gives what nnU-Net gives without it."""
    folder = nnunet_folder(tmp_path, plans(), dataset())
    document = {**statement(1, dataset()["labels"]), "inference": {"mirror": False}}
    answer = ours(folder, body(), document)
    found, _ = theirs(folder, body(), mirror=False)
    for value, name in ((1, "bone"), (2, "tumour")):
        assert dice(answer.masks[name], found == value) > 0.999


@pytest.mark.parametrize("residual", [False, True])
def test_networks_have_the_tensors_of_the_original(residual: bool) -> None:
    """Our networks have the names, shapes and values of dynamic_network_architectures."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    from models.importers.networks.unet import UNet
    from models.importers.nnunet_plans import configuration_of

    plan = plans(residual=residual)
    architecture = plan["configurations"]["3d_fullres"]["architecture"]
    original = get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        1,
        3,
        deep_supervision=False,
    ).eval()
    numbers = configuration_of(plan, "3d_fullres").plan(1, 3)
    own = UNet(numbers, residual=residual).eval()
    state = original.state_dict()
    own.load_state_dict({name: state[name] for name in own.state_dict()})
    batch = torch.randn(2, 1, 16, 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(own(batch), original(batch), atol=1e-5)
