"""The label map from few windows is that of the full path, wherever there is body."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import ModelImportError
from models.importers import resampling, windows
from models.importers.description import Description, Inference
from models.importers.networks.runner import Runner, load
from models.importers.nnunet import read
from models.importers.segment import segment
from models.importers.source import Source
from models.importers.statement import read_statement
from models.sparing.label import Sparing, predict_inside, segment_labels
from tests.simulators.foreign_models import AXES, SPACING, body, dataset, nnunet_folder, plans

CODE = {"value": "1", "scheme": "99TEST", "meaning": "Test"}


def _model(folder: Path, **changes: Any) -> tuple[Description, Runner]:
    """Return a small nnU-Net as the suite reads it, mirroring switched off."""
    nnunet_folder(folder, plans(**changes), dataset())
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    documents = {n: json.loads(c) for n, c in files.items() if n.endswith(".json")}
    labels = [{"from": n, "name": n, "code": CODE} for n in ("bone", "tumour")]
    statement = {
        "inputs": [{"role": "ct", "modality": "CT"}],
        "outputs": {"labels": labels},
        "inference": {"mirror": False},
    }
    imported = read(Source(files, documents), read_statement(statement))
    network = imported.description.network
    return imported.description, load(network, [imported.weights[n] for n in network.files])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"spacing": (5.0, 1.0, 1.0)},
        {"forward": (2, 0, 1), "spacing": (1.4, 3.0, 1.4)},
    ],
)
def test_labels_are_those_of_the_full_path(tmp_path: Path, changes: dict[str, Any]) -> None:
    """With the whole image as body and the same overlap every voxel has the same label."""
    description, runner = _model(tmp_path, **changes)
    image = body()
    full = segment(description, runner, image, SPACING, AXES)
    sparing = Sparing(overlap=description.inference.overlap, air=-1e9)
    found = segment_labels(description, runner, image, SPACING, AXES, sparing)
    expected = full.masks["bone"] + 2 * full.masks["tumour"].astype(int)
    assert (expected > 0).sum() > 500
    assert np.mean(found != expected) < 1e-4  # logits that are equal but for rounding


def test_a_body_in_wide_air_has_the_labels_of_the_full_path(tmp_path: Path) -> None:
    """Air is left out by box and by window; a network that looks at single voxels says the same."""
    description, _ = _model(tmp_path)
    image = np.pad(body(), ((0, 0), (6, 30), (10, 70), (40, 10)))
    image[image == 0] = -1000.0
    levels = (np.array([-20.0, 60.0, 300.0]) - 110.0) / 90.0
    calls: list[int] = []

    def nearest_level(batch: np.ndarray) -> np.ndarray:
        calls.append(len(batch))
        away = [np.abs(batch[:, 0] - level) for level in levels]
        return -np.stack(away, axis=1).astype(np.float32)

    full = segment(description, nearest_level, image, SPACING, AXES)
    all_windows = sum(calls)
    calls.clear()
    found = segment_labels(description, nearest_level, image, SPACING, AXES)
    assert sum(calls) * 4 < all_windows
    inside = image[0] > -500.0
    assert not found[~inside].any()
    expected = full.masks["bone"] + 2 * full.masks["tumour"].astype(int)
    assert min((expected[inside] == 1).sum(), (expected[inside] == 2).sum()) > 50
    assert np.mean(found[inside] != expected[inside]) < 1e-3


def test_air_alone_has_no_label_and_asks_no_network(tmp_path: Path) -> None:
    """An image without body is all background."""
    description, _ = _model(tmp_path)

    def never(batch: np.ndarray) -> np.ndarray:
        raise AssertionError("the network was asked")

    air = np.full((1, 9, 12, 13), -1000.0, dtype=np.float32)
    found = segment_labels(description, never, air, SPACING, AXES)
    assert found.shape == (9, 12, 13)
    assert not found.any()


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 20), st.integers(4, 30), st.integers(4, 30)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.25, 0.5]),
)
def test_windows_that_hold_nothing_change_nothing(
    shape: tuple[int, int, int], seed: int, overlap: float
) -> None:
    """Where there is body, the answer is that of all windows."""
    random = np.random.default_rng(seed)
    image = random.random((2, *shape), dtype=np.float32)
    inside = np.zeros(shape, dtype=bool)
    inside[tuple(random.integers(0, n) for n in shape)] = True

    def network(batch: np.ndarray) -> np.ndarray:
        ramp = np.linspace(0, 1, batch.shape[-1], dtype=np.float32)
        return np.stack([batch[:, 0] * ramp, batch[:, 1] - ramp, batch.sum(axis=1)], axis=1)

    inference = Inference((6, 8, 10), "even", overlap, "gaussian-nnunet")
    every = windows.predict(network, image, inference)
    found = predict_inside(network, image, inside, inference, Sparing(overlap=overlap))
    assert found.shape == every.shape
    assert found[:, inside] == pytest.approx(every[:, inside], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]), st.sampled_from([None, 0, 2]))
def test_a_part_is_that_of_the_whole(seed: int, order: int, axis: int | None) -> None:
    """A part that is resampled alone is what the whole would have there."""
    random = np.random.default_rng(seed)
    old, new = (tuple(int(n) for n in random.integers(20, 45, 3)) for _ in range(2))
    array = random.random(old).astype(np.float32)
    starts = [int(random.integers(0, n - 3)) for n in new]
    box = tuple(slice(a, int(random.integers(a + 1, n))) for a, n in zip(starts, new, strict=True))
    rule = resampling.Splines(order, 0, axis)
    whole = resampling.between_boxes(array, new, rule)
    part = resampling.part_between_boxes(array, new, rule, (box[0], box[1], box[2]))
    assert part.shape == whole[box].shape
    assert part == pytest.approx(whole[box], abs=1e-5)


def test_models_of_another_kind_are_refused(tmp_path: Path) -> None:
    """A threshold on channels and another resampling are refused by name."""
    description, runner = _model(tmp_path)
    others = (
        replace(description, preprocessing=description.preprocessing[:-1]),
        replace(description, inference=replace(description.inference, planar=True)),
    )
    for other in others:
        with pytest.raises(ModelImportError):
            segment_labels(other, runner, body(), SPACING, AXES)
    for values in ({"overlap": 1.0}, {"margin": -1}, {"air": float("nan")}):
        with pytest.raises(ValueError, match="expected"):
            Sparing(**values)
