"""Explanations that know no model: exact, complete, and measurably faithful."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from plugins.host.explain.attribution import integrated_gradients
from plugins.host.explain.batches import BATCH_SIZE, in_batches
from plugins.host.explain.faithfulness import (
    FRACTIONS,
    area_under,
    deletion,
    randomised,
    rank_correlation,
)
from plugins.host.explain.shapley import exact_shapley

SHAPE = (8, 12, 12)


def by_definition(groups: tuple[str, ...], table: dict[frozenset[str], float]) -> dict[str, float]:
    """Return Shapley values as the mean marginal contribution over all orders."""
    shares = dict.fromkeys(groups, 0.0)
    orders = list(permutations(groups))
    for order in orders:
        there: frozenset[str] = frozenset()
        for name in order:
            shares[name] += (table[there | {name}] - table[there]) / len(orders)
            there |= {name}
    return shares


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(0, 10_000))
def test_shapley_values_are_those_of_the_definition(count: int, seed: int) -> None:
    """For any game of up to four groups the values equal the mean over all orders."""
    groups = ("ct", "pet", "seed", "mr")[:count]
    generator = np.random.default_rng(seed)
    subsets = [
        frozenset(name for place, name in enumerate(groups) if bits >> place & 1)
        for bits in range(2**count)
    ]
    table = {subset: float(generator.normal()) for subset in subsets}
    found = exact_shapley(groups, lambda sets: [table[there] for there in sets])
    expected = by_definition(groups, table)
    assert dict(found.contributions) == pytest.approx(expected, abs=1e-9)
    assert found.value_absent == table[frozenset()]
    assert found.value_present == table[frozenset(groups)]


def test_each_coalition_is_evaluated_once() -> None:
    """A network is asked once, for 2^n different coalitions."""
    asked: list[frozenset[str]] = []

    def values(sets: Sequence[frozenset[str]]) -> list[float]:
        asked.extend(sets)
        return [float(len(there)) for there in sets]

    exact_shapley(("a", "b", "c"), values)
    assert len(asked) == len(set(asked)) == 8


@pytest.mark.parametrize("groups", [(), ("a", "a"), tuple("abcdefghi")])
def test_groups_must_be_few_and_different(groups: tuple[str, ...]) -> None:
    """No group, a group twice or more than eight are refused."""
    with pytest.raises(ValueError, match="groups"):
        exact_shapley(groups, lambda sets: [0.0 for _ in sets])


class Detector(nn.Module):
    """A small network that answers to channel 0 in the middle of the grid."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.first = nn.Conv3d(2, 3, 3, padding=1)
        self.last = nn.Conv3d(3, 1, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
            self.first.weight[0, 0, 1, 1, 1] = 2.0
            self.last.weight[0, 0] = 3.0

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        middle = torch.sigmoid(self.last(torch.tanh(self.first(batch))))[:, 0, 2:6, 4:8, 4:8]
        return middle.mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    """Return two channels: a hot spot in the middle, and noise."""
    generator = torch.Generator().manual_seed(3)
    batch = 0.1 * torch.randn((1, 2, *SHAPE), generator=generator)
    batch[0, 0, 2:6, 4:8, 4:8] += 1.0
    return batch


def number(network: nn.Module, batch: torch.Tensor) -> float:
    """Return the network's answer for a batch of one."""
    with torch.inference_mode():
        return float(network(batch)[0])


def test_integrated_gradients_are_complete(inputs: torch.Tensor) -> None:
    """Attributions sum to the difference between input and baseline, within 1 %."""
    network, baseline = Detector(), torch.zeros_like(inputs)
    found = integrated_gradients(network, inputs, baseline, 16)
    difference = number(network, inputs) - number(network, baseline)
    assert found.values.sum() == pytest.approx(difference, rel=0.01)
    assert found.completeness_error < 0.01
    assert found.voxels().shape == SHAPE


def test_attribution_falls_on_what_the_network_uses(inputs: torch.Tensor) -> None:
    """The hot spot that the network answers to carries nearly all of the attribution."""
    found = integrated_gradients(Detector(), inputs, torch.zeros_like(inputs)).voxels()
    assert np.abs(found[2:6, 4:8, 4:8]).sum() > 0.9 * np.abs(found).sum()


def test_a_good_order_deletes_faster_than_chance(inputs: torch.Tensor) -> None:
    """Deleting by attribution lowers the value faster than a random order does."""
    network, baseline = Detector(), torch.zeros_like(inputs)
    attribution = integrated_gradients(network, inputs, baseline).voxels()
    region = np.ones(SHAPE, dtype=bool)
    found = deletion(
        network,
        inputs[0],
        baseline[0],
        attribution,
        region,
        np.random.default_rng(1),
        random_orders=8,
    )
    assert found.auc < found.auc_random
    assert found.curve[0] == found.curve_random[0] == 1.0
    assert len(found.curve) == len(FRACTIONS) + 1


def test_deletion_stays_inside_the_region(inputs: torch.Tensor) -> None:
    """Only blocks that touch the region are replaced, the rest of the input is left alone."""
    seen: list[torch.Tensor] = []

    def value(batch: torch.Tensor) -> torch.Tensor:
        seen.extend(batch.clone())
        return torch.ones(len(batch))

    region = np.zeros(SHAPE, dtype=bool)
    region[0:4] = True
    attribution = np.zeros(SHAPE, dtype=np.float32)
    marker = torch.full_like(inputs, 9.0)
    deletion(value, inputs[0], marker[0], attribution, region, np.random.default_rng(1))
    changed = torch.stack([(image == 9.0).any(dim=0) for image in seen]).any(dim=0)
    assert changed[0:4].any()
    assert not changed[4:].any()


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
def test_batches_give_each_input_its_value(count: int) -> None:
    """Values come back in order, and nothing is evaluated alone unless it is alone."""
    sizes: list[int] = []

    def value(batch: torch.Tensor) -> torch.Tensor:
        sizes.append(len(batch))
        return batch.sum(dim=(1, 2))

    inputs = [torch.full((2, 3), float(index)) for index in range(count)]
    assert in_batches(value, inputs).tolist() == [6.0 * index for index in range(count)]
    assert max(sizes) <= BATCH_SIZE
    assert count == 1 or min(sizes) >= 2


def test_the_area_of_a_constant_curve_is_its_value() -> None:
    """The area is per unit of width, so curves of other fractions can be compared."""
    assert area_under([1.0] * (len(FRACTIONS) + 1)) == pytest.approx(1.0)


def test_a_randomised_network_keeps_its_weights_but_not_their_places() -> None:
    """Shuffling keeps the values of every layer, changes the answer, and can be repeated."""
    network = Detector()
    twin = randomised(network, np.random.default_rng(5))
    again = randomised(network, np.random.default_rng(5))
    for one, other, third in zip(
        network.parameters(), twin.parameters(), again.parameters(), strict=True
    ):
        assert torch.equal(one.flatten().sort().values, other.flatten().sort().values)
        assert torch.equal(other, third)
    assert not torch.equal(network.first.weight, twin.first.weight)


def test_rank_correlation_compares_orders(inputs: torch.Tensor) -> None:
    """A map agrees with itself and any growing function of it; a constant agrees with none."""
    generator = np.random.default_rng(2)
    one = generator.normal(size=SHAPE).astype(np.float32)
    region = np.ones(SHAPE, dtype=bool)
    assert rank_correlation(one, 3 * one, region) == pytest.approx(1.0)
    assert rank_correlation(one, -one, region) == pytest.approx(-1.0)
    assert rank_correlation(one, np.ones(SHAPE, dtype=np.float32), region) == 0.0
