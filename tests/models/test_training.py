"""The recipe: samples, learning, and resuming after a crash."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.contouring.inputs import CHANNEL_GROUPS, CHANNELS, NETWORK_STRIDE
from models.training.contouring.cases import Case, cache_case
from models.training.contouring.recipe import FOLD_COUNT, Recipe, assign_folds
from models.training.contouring.sampling import draw_sample
from models.training.contouring.train import (
    checkpoint_name,
    draw_batch,
    learning_rate,
    load_checkpoint,
    new_state,
    save_checkpoint,
    train_member,
    train_step,
)


def test_folds_are_even_and_stratified() -> None:
    """Every fold gets as many patients of each size, and the same seed the same folds."""
    volumes = {f"P{index:02d}": float(index) for index in range(34)}
    folds = assign_folds(volumes, seed=1)
    assert folds == assign_folds(volumes, seed=1)
    counts = [list(folds.values()).count(fold) for fold in range(FOLD_COUNT)]
    assert min(counts) == 6
    assert max(counts) == 7
    largest = [folds[f"P{index:02d}"] for index in range(25, 30)]
    assert sorted(largest) == [0, 1, 2, 3, 4]


def test_the_digest_names_the_recipe(small_recipe: Recipe) -> None:
    """Any other number gives another digest; the course leaves out its length alone."""
    longer = replace(small_recipe, step_count=99)
    assert longer.digest != small_recipe.digest
    assert longer.course_digest == small_recipe.course_digest
    assert replace(small_recipe, seed=1).course_digest != small_recipe.course_digest


def test_the_learning_rate_rises_stays_and_falls(small_recipe: Recipe) -> None:
    """The rate warms up, is constant, falls, and falls again after its one restart."""
    recipe = replace(
        small_recipe, step_count=150, restart_step=100, warmup_steps=10, decay_steps=20
    )
    assert learning_rate(recipe, 0) == recipe.learning_rate / 10
    assert learning_rate(recipe, 50) == recipe.learning_rate
    assert learning_rate(recipe, 99) == recipe.learning_rate / 20
    assert learning_rate(recipe, 100) == recipe.learning_rate * recipe.restart_rate
    assert learning_rate(recipe, 149) < recipe.learning_rate / 50


def test_samples_are_reproducible_and_well_formed(toy_case: Case, small_recipe: Recipe) -> None:
    """The same generator draws the same box; boxes hold tumour, air and absent sources."""
    cached = cache_case(toy_case)
    first = draw_sample(cached, np.random.default_rng(1), small_recipe)
    again = draw_sample(cached, np.random.default_rng(1), small_recipe)
    assert np.array_equal(first.channels, again.channels)
    absent = {"ct": 0, "pet": 0, "seed": 0}
    for number in range(40):
        sample = draw_sample(cached, np.random.default_rng(number), small_recipe)
        assert sample.channels.shape[0] == len(CHANNELS)
        assert all(size % NETWORK_STRIDE == 0 for size in sample.channels.shape[1:])
        assert np.isfinite(sample.channels).all()
        assert sample.target.min() >= 0
        assert sample.target.max() <= 1.0001
        assert sample.target.max() > 0.5
        for group, members in CHANNEL_GROUPS.items():
            absent[group] += not sample.channels[list(members)].any()
    assert 2 <= absent["pet"] <= 20
    assert 12 <= absent["seed"] <= 36
    assert absent["ct"] <= 8


def test_the_seed_lies_on_tumour(toy_case: Case, small_recipe: Recipe) -> None:
    """Where a seed is given, its highest voxel is a tumour voxel of the augmented box."""
    recipe = replace(small_recipe, seed_given_rate=1.0)
    cached = cache_case(toy_case)
    for number in range(5):
        sample = draw_sample(cached, np.random.default_rng(number), recipe)
        highest = np.unravel_index(sample.channels[6].argmax(), sample.target[0].shape)
        assert sample.target[0][highest] > 0.5


def test_training_reduces_the_loss(toy_case: Case, small_recipe: Recipe, tmp_path: Path) -> None:
    """A few steps on one patient bring the contour nearer to the reference standard."""
    cached = cache_case(toy_case)
    sample = draw_sample(cached, np.random.default_rng(4), small_recipe)
    batch = torch.from_numpy(sample.channels)[None]

    def error(network: torch.nn.Module) -> float:
        with torch.inference_mode():
            probability = torch.sigmoid(network(batch))[0].numpy()
        return float(np.abs(probability - sample.target).mean())

    before = error(new_state(small_recipe, 0).average)
    state = train_member([toy_case], small_recipe, 0, tmp_path)
    assert error(state.average) < 0.8 * before


def test_a_resumed_run_ends_with_the_same_weights(
    toy_case: Case, small_recipe: Recipe, tmp_path: Path
) -> None:
    """Stopping at a checkpoint and going on gives what an unbroken run gives, bit for bit."""
    recipe = replace(small_recipe, step_count=6, decay_steps=2)
    cached = cache_case(toy_case)
    whole = train_member([toy_case], recipe, 1, tmp_path / "whole", bf16=False)
    folder = tmp_path / "broken"
    folder.mkdir()
    stopped = new_state(recipe, 1)
    while stopped.step < 3:
        train_step(stopped, draw_batch([cached], recipe, 1, stopped.step), recipe, bf16=False)
    save_checkpoint(stopped, folder / checkpoint_name(recipe, 1))
    resumed = train_member([toy_case], recipe, 1, folder, bf16=False)
    for kept, new in zip(
        whole.average.state_dict().values(), resumed.average.state_dict().values(), strict=True
    ):
        assert torch.equal(kept, new)
    restored = new_state(recipe, 1)
    load_checkpoint(restored, folder / checkpoint_name(recipe, 1))
    assert restored.step == 6


def test_a_checkpoint_past_the_end_is_refused(
    toy_case: Case, small_recipe: Recipe, tmp_path: Path
) -> None:
    """A course that ran further than asked is not passed off as the shorter one."""
    state = new_state(small_recipe, 0)
    state.step = small_recipe.step_count + 1
    save_checkpoint(state, tmp_path / checkpoint_name(small_recipe, 0))
    with pytest.raises(ValueError, match="past step"):
        train_member([toy_case], small_recipe, 0, tmp_path)
